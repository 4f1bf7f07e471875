#include "core/jobs/resync.h"

#include <utility>

#include <fmt/format.h>

#include "core/jobs/deep_check.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Status NoteState(ItemLease& lease, ResyncState state, const ResyncRequest& request) {
  Item item = lease.item();
  item.applying.reset();
  item.resync = state;
  item.resync_cause = request.cause;
  item.resync_deep = request.deep;
  return lease.PutItem(std::move(item));
}

void WarnOfDamage(ReplicationPass& pass, const DiskName& disk, const DeepFindings& found) {
  if (found.damaged_bytes == 0) return;
  std::string text =
      fmt::format("VM {}, disk {}: {} bytes of the replica were damaged and are sent again",
                  pass.item.name, disk.value, found.damaged_bytes);
  if (found.unreadable_chunks > 0) {
    text += fmt::format("; {} chunks of 64 KiB of them could not be read any more",
                        found.unreadable_chunks);
  }
  if (found.lost_chunks > 0) {
    text += fmt::format(
        ", and the source holds others than {} of these held: recovery points that share them may "
        "have lost them",
        found.lost_chunks);
  }
  text += "; recovery points may share them, see which: asr points verify " +
          ShellQuote(pass.item.name);
  pass.environment.progress.Warn(text);
}

// Which points share what is lost, only a new verification tells.
Status WithdrawVerifications(ReplicationPass& pass) {
  ASR_TRY(const auto points, pass.vault.ListPointIds(pass.item.id));
  for (const PointId& point : points) pass.vault.WithdrawVerification(pass.item.id, point);
  return {};
}

// A live VM's view stays open while the vault is read.
class Touching : public TaskProgress {
 public:
  Touching(SourceSnapshot& source, TaskProgress& progress) : source_(source), progress_(progress) {}
  void Advance(std::uint64_t bytes) override {
    source_.Touch();
    progress_.Advance(bytes);
  }

 private:
  SourceSnapshot& source_;
  TaskProgress& progress_;
};

Status CheckReplicas(ReplicationPass& pass) {
  for (std::size_t i = 0; i < pass.replicas.size(); ++i) {
    DiskReplica& replica = *pass.replicas[i];
    const ItemDisk& disk = replica.disk();
    const auto check = [&](TaskProgress& progress) -> Status {
      Touching touching(pass.source, progress);
      ASR_TRY(
          const DeepFindings found,
          MarkDamagedChunks(replica, *pass.source.disks()[i].disk, pass.vault.identity().algorithm,
                            pass.environment.clock, touching, pass.environment.stop));
      WarnOfDamage(pass, disk.name, found);
      if (found.lost_chunks > 0) ASR_CHECK(WithdrawVerifications(pass));
      return {};
    };
    ASR_CHECK(pass.run.RunTask(fmt::format("Check replica of disk {}", disk.name.value),
                               PaddedDiskBytes(disk.size_bytes), check));
  }
  return {};
}

}  // namespace

Result<RecoveryPoint> RunResync(ReplicationPass& pass, const ResyncRequest& request) {
  if (request.state == ResyncState::kRequired) {
    pass.environment.progress.Warn(
        fmt::format("VM {}: a resync is required and runs now: {}", pass.item.name, request.cause));
  }
  ASR_CHECK(NoteState(pass.lease, ResyncState::kInProgress, request));
  pass.is_resync = true;
  pass.resync_disk = request.disk;
  pass.was_read.clear();
  if (request.deep) ASR_CHECK(CheckReplicas(pass));
  ASR_TRY(const std::uint64_t changed_bytes, ReplicateDisks(pass, "Resync disk"));
  ASR_TRY(auto sealed, SealPass(pass, changed_bytes));
  ASR_CHECK(NoteState(pass.lease, ResyncState::kNone, {}));
  return *std::move(sealed);
}

std::optional<ResyncRequest> DueResync(const Item& item) {
  if (item.resync == ResyncState::kNone) return std::nullopt;
  return ResyncRequest{
      .state = item.resync_cause.empty() ? ResyncState::kScheduled : ResyncState::kRequired,
      .cause = item.resync_cause,
      .deep = item.resync_deep};
}

Result<Item> ScheduleResync(Vault& vault, const Item& item, bool deep) {
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(const auto lease, vault.LeaseItem(item));
  ASR_CHECK(RequireProtected(lease->item()));
  Item marked = lease->item();
  if (marked.resync == ResyncState::kNone) marked.resync = ResyncState::kScheduled;
  marked.resync_deep |= deep;
  ASR_CHECK(lease->PutItem(std::move(marked)));
  return lease->item();
}

Result<ReplicateOutcome> Resync(Environment& environment, Vault& vault, const Item& item,
                                bool deep) {
  const auto due = DueResync(item);
  const bool was_deep = due && due->deep;
  return ReplicateByResync(
      environment, vault, item,
      {.state = ResyncState::kScheduled, .cause = due ? due->cause : "", .deep = deep || was_deep});
}

Result<Plan> PlanResync(Environment& environment, Vault& vault, const Item& item, bool deep) {
  ASR_TRY(Plan plan, PlanReplicate(environment, vault, item));
  const auto due = DueResync(item);
  if (!deep && !(due && due->deep)) return plan;
  std::vector<PlanStep> checks;
  for (const ItemDisk& disk : item.disks) {
    checks.push_back({.step = "Check replica",
                      .item = item.name,
                      .disk = disk.name.value,
                      .bytes = PaddedDiskBytes(disk.size_bytes)});
  }
  plan.steps.insert(plan.steps.begin(), checks.begin(), checks.end());
  return plan;
}

}  // namespace asr
