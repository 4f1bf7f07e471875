#include "core/jobs/rollback.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/jobs/job_run.h"
#include "core/jobs/replication.h"
#include "core/points/roll_back.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Result<RecoveryPoint> NewestOf(Vault& vault, const Item& item) {
  ASR_TRY(auto newest, vault.NewestPoint(item.id));
  if (newest) return *std::move(newest);
  return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kPointNotFound,
                        fmt::format("VM {} has no recovery point to go back to", item.name))
                  .WithCause("its initial replication has not ended")
                  .WithAction(fmt::format("asr enable {} --policy {}", ShellQuote(item.name),
                                          item.policy)));
}

Status RollBackDisks(Environment& environment, Vault& vault, const ItemLease& lease, JobRun& run) {
  ASR_TRY(const RecoveryPoint point, NewestOf(vault, lease.item()));
  ASR_TRY(const Replicas replicas, OpenReplicas(vault, lease, /*create=*/false));
  WarnOfLeftOvers(environment, lease.item(), replicas);
  for (const auto& replica : replicas) {
    const DiskName& name = replica->disk().name;
    const auto disk = std::ranges::find(point.disks, name, &PointDisk::name);
    if (disk == point.disks.end()) continue;
    const auto roll_back = [&](TaskProgress& progress) -> Status {
      ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, *disk));
      ASR_TRY(const std::uint64_t bytes,
              RollBackDisk(
                  *sealed, *replica, vault.identity().algorithm,
                  [&](std::uint64_t done) { progress.Advance(done); }, environment.stop));
      run.AddStats({.bytes_sent = bytes});
      return {};
    };
    ASR_CHECK(run.RunTask(fmt::format("Roll back disk {}", name.value), 0, roll_back));
  }
  return {};
}

}  // namespace

Result<Job> RollBackItem(Environment& environment, Vault& vault, const Item& item) {
  ASR_CHECK(NewestOf(vault, item));
  ASR_TRY(JobRun run, JobRun::Start(environment, "RollBack", item.name, vault.name()));
  const auto roll_back = [&]() -> Status {
    ASR_TRY(const auto lease, vault.LeaseItem(item));
    return RollBackDisks(environment, vault, *lease, run);
  };
  return run.End(roll_back());
}

Result<Plan> PlanRollBack(Vault& vault, const Item& item) {
  ASR_TRY(const RecoveryPoint point, NewestOf(vault, item));
  Plan plan;
  for (const PointDisk& disk : point.disks) {
    plan.steps.push_back({.step = fmt::format("Roll back to recovery point {}", point.id.value),
                          .item = item.name,
                          .disk = disk.name.value,
                          .bytes = disk.size_bytes});
  }
  return plan;
}

}  // namespace asr
