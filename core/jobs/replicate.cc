#include "core/jobs/replicate.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/delta.h"
#include "core/jobs/hosts.h"
#include "core/jobs/item_snapshot.h"
#include "core/jobs/prune.h"
#include "core/jobs/replication.h"
#include "core/jobs/resync.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/waiting_changes.h"
#include "core/transfer/make_equal.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Result<VirtualMachine> SourceOf(Environment& environment, const Item& item) {
  ASR_TRY(VirtualMachine vm, FindVm(environment, item.host + "/" + item.name));
  if (vm.protectable()) return vm;
  // In use comes first: what else is wrong may come from that.
  if (vm.in_use) return Fail(Error(*vm.in_use).WithContext(fmt::format("VM {}", item.name)));
  Error error = MakeError(ErrorKind::kState, ErrorCode::kVmNotProtectable,
                          fmt::format("the disks of VM {} cannot be read now", item.name));
  error.causes = vm.reasons;
  error.action = "mend this, then replicate again; the recovery points are safe";
  return Fail(std::move(error));
}

Result<std::unique_ptr<SourceSnapshot>> TakeSnapshot(Environment& environment, ItemLease& lease) {
  ASR_TRY(const VirtualMachine vm, SourceOf(environment, lease.item()));
  if (lease.item().settings != vm.settings) {
    Item changed = lease.item();
    changed.settings = vm.settings;
    ASR_CHECK(lease.PutItem(std::move(changed)));
  }
  return SnapshotOf(environment, lease.item(), vm);
}

Result<std::optional<RecoveryPoint>> RunPass(ReplicationPass& pass,
                                             const std::optional<ResyncRequest>& resync) {
  if (!resync) return ReplicateDelta(pass);
  ASR_TRY(RecoveryPoint point, RunResync(pass, *resync));
  return std::optional<RecoveryPoint>(std::move(point));
}

// Changes that wait cannot be sent over bytes of the replica that cannot be read: a deep resync
// mends these, and sends what the source holds by now.
bool MayOvertake(const std::optional<ResyncRequest>& resync, const Error& error) {
  return resync && resync->deep && error.kind == ErrorKind::kIo &&
         error.code == ErrorCode::kBlobCorrupt;
}

Status RunCycle(Environment& environment, Vault& vault, const Item& found,
                std::optional<ResyncRequest> resync, JobRun& run, ReplicateOutcome& outcome) {
  ASR_TRY(const auto lease, vault.LeaseItem(found));
  const Item& item = lease->item();
  // Another process may have changed it before the lease was ours.
  ASR_CHECK(RequireProtected(item));
  RemoveChangesOfGoneItems(environment, vault);
  ASR_TRY(const Replicas replicas, OpenReplicas(vault, *lease, /*create=*/false));
  if (!resync) resync = DueResync(item);
  // First of all, and even if the source cannot be read now: they hold what nobody else may have.
  const auto waiting = SendWaitingChanges({environment, vault, *lease, replicas, run});
  const bool overtaken = !waiting && MayOvertake(resync, waiting.error());
  if (!waiting && !overtaken) return Fail(waiting.error());
  std::unique_ptr<SourceSnapshot> source;
  ASR_CHECK(run.RunTask("Take snapshot", 0, [&](TaskProgress&) -> Status {
    ASR_TRY(source, TakeSnapshot(environment, *lease));
    return {};
  }));
  ReplicationPass pass{environment, vault, *lease, item, *source, replicas, run};
  ASR_TRY(const auto sealed, RunPass(pass, resync));
  if (overtaken) ASR_CHECK(DropWaitingChanges(environment, vault, item));
  outcome.is_new = waiting.value_or(false) || sealed.has_value();
  ASR_TRY(outcome.point, vault.NewestPoint(item.id));
  return run.RunTask("Apply retention", 0, [&](TaskProgress&) {
    return ApplyRetention(environment, vault, *lease, replicas);
  });
}

Result<ReplicateOutcome> RunAsJob(Environment& environment, Vault& vault, const Item& item,
                                  const std::string& type,
                                  const std::optional<ResyncRequest>& resync) {
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(JobRun run, JobRun::Start(environment, type, item.name, vault.name()));
  ReplicateOutcome outcome;
  const Status status = RunCycle(environment, vault, item, resync, run, outcome);
  ASR_TRY(outcome.job, run.End(status));
  return outcome;
}

}  // namespace

Status RequireProtected(const Item& item) {
  if (item.state == ProtectionState::kProtected) return {};
  if (item.state == ProtectionState::kDisablingProtection) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                          fmt::format("disabling protection of VM {} was interrupted", item.name))
                    .WithAction("finish it: asr disable " + ShellQuote(item.name)));
  }
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                        fmt::format("VM {} is {}", item.name, ProtectionStateName(item.state)))
                  .WithCause("enabling its protection was interrupted, or protection was stopped")
                  .WithAction(fmt::format("asr enable {} --policy {}", ShellQuote(item.name),
                                          item.policy)));
}

Result<ReplicateOutcome> Replicate(Environment& environment, Vault& vault, const Item& item) {
  return RunAsJob(environment, vault, item, "Replicate", std::nullopt);
}

Result<ReplicateOutcome> ReplicateByResync(Environment& environment, Vault& vault, const Item& item,
                                           const ResyncRequest& request) {
  return RunAsJob(environment, vault, item, "Resync", request);
}

Result<Plan> PlanReplicate(Environment& environment, Vault& vault, const Item& item) {
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(const VirtualMachine vm, SourceOf(environment, item));
  ASR_TRY(const auto source, SnapshotOf(environment, item, vm));
  Plan plan;
  for (const SourceSnapshot::OpenedDisk& disk : source->disks()) {
    ASR_TRY(const std::uint64_t bytes, AllocatedBytes(*disk.disk));
    plan.steps.push_back({.step = "Compare and send changes",
                          .item = item.name,
                          .disk = disk.name.value,
                          .bytes = bytes});
  }
  plan.steps.push_back({.step = "Seal recovery point", .item = item.name, .disk = ""});
  ASR_TRY(const RetentionDecision decision, DecideRemovals(environment, vault, item));
  for (const Removal& removal : decision.removals) {
    plan.steps.push_back({.step = fmt::format("Remove recovery point {}", removal.id.value),
                          .item = item.name,
                          .disk = ""});
  }
  return plan;
}

}  // namespace asr
