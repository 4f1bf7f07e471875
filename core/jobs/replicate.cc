#include "core/jobs/replicate.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/delta.h"
#include "core/jobs/follow_disks.h"
#include "core/jobs/hosts.h"
#include "core/jobs/item_snapshot.h"
#include "core/jobs/log_while_away.h"
#include "core/jobs/prune.h"
#include "core/jobs/replication.h"
#include "core/jobs/resync.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/waiting_changes.h"
#include "core/transfer/make_equal.h"
#include "storage/base/text.h"

namespace asr {
namespace {

struct Cycle {
  Environment& environment;
  Vault& vault;
  ItemLease& lease;
  Replicas& replicas;
  JobRun& run;
  const ReplicateRequest& request;
  std::optional<ResyncRequest> resync;
};

// The checkpoint that tells what changed since the newest point. Only what the replica holds
// counts: whatever else a pass that was cut has sent may be gone from the disk again, without a
// trace.
Result<std::string> BaseCheckpoint(Cycle& cycle, const VirtualMachine& vm) {
  const auto newest = cycle.vault.NewestPoint(cycle.lease.item().id);
  if (!newest && newest.error().kind == ErrorKind::kCorrupt) return std::string();
  ASR_CHECK(newest);
  if (!*newest || (*newest)->checkpoint.empty()) return std::string();
  if (!HasImagesOf(**newest, vm)) {
    cycle.environment.progress.Warn(
        fmt::format("VM {}: its images lie elsewhere than at its newest recovery point, its disks "
                    "are compared; likely a snapshot was made or merged, or an image was moved",
                    vm.name));
    return std::string();
  }
  ASR_TRY(const bool holds, HoldPoint(cycle.replicas, (*newest)->id));
  return holds ? (*newest)->checkpoint : std::string();
}

Result<std::unique_ptr<SourceSnapshot>> TakeSnapshot(Cycle& cycle, const VirtualMachine& vm) {
  Environment& environment = cycle.environment;
  ItemLease& lease = cycle.lease;
  if (lease.item().settings != vm.settings) {
    Item changed = lease.item();
    changed.settings = vm.settings;
    ASR_CHECK(lease.PutItem(std::move(changed)));
  }
  SnapshotWish wish{.app_consistent = cycle.request.app_consistent};
  if (vm.is_live()) {
    ASR_TRY(wish.base_checkpoint, BaseCheckpoint(cycle, vm));
    wish.reads_all = cycle.resync.has_value();
  }
  return SnapshotOf(environment, lease.item(), vm, wish);
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

// `power_state` is the one that the pass began in.
Result<std::optional<RecoveryPoint>> RunPassOnce(Cycle& cycle, VmPowerState& power_state) {
  std::unique_ptr<SourceSnapshot> source;
  power_state = VmPowerState::kUnknown;
  ASR_CHECK(cycle.run.RunTask("Take snapshot", 0, [&](TaskProgress&) -> Status {
    ASR_TRY(const VirtualMachine vm, FindSource(cycle.environment, cycle.lease.item()));
    power_state = vm.power_state;
    ASR_CHECK(FollowDisks(cycle.environment, cycle.vault, cycle.lease, vm, cycle.replicas));
    ASR_TRY(source, TakeSnapshot(cycle, vm));
    return {};
  }));
  ReplicationPass pass{cycle.environment, cycle.vault,    cycle.lease, cycle.lease.item(),
                       *source,           cycle.replicas, cycle.run};
  auto sealed = RunPass(pass, cycle.resync);
  if (!sealed) return Fail(source->Explain(std::move(sealed).error()));
  return sealed;
}

Result<std::optional<RecoveryPoint>> RunPasses(Cycle& cycle) {
  for (int i = 1;; ++i) {
    VmPowerState before{};
    auto sealed = RunPassOnce(cycle, before);
    const Item& item = cycle.lease.item();
    if (sealed || !IsWorthAnotherPass(cycle.environment, item.host + "/" + item.name, before, i,
                                      sealed.error())) {
      return sealed;
    }
  }
}

Status RunCycle(Environment& environment, Vault& vault, const Item& found,
                const ReplicateRequest& request, std::optional<ResyncRequest> resync, JobRun& run,
                ReplicateOutcome& outcome) {
  ASR_TRY(const auto lease, vault.LeaseItem(found));
  const Item& item = lease->item();
  // Another process may have changed it before the lease was ours.
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(const auto spool_lock, LockSpool(environment, vault.identity().id, item));
  RemoveChangesOfGoneItems(environment, vault);
  ASR_TRY(Replicas replicas, OpenReplicas(vault, *lease, /*create=*/false));
  if (!resync) resync = DueResync(item);
  // First of all, and even if the source cannot be read now: they hold what nobody else may have.
  const auto waiting = SendWaitingChanges({environment, vault, *lease, replicas, run});
  const bool overtaken = !waiting && MayOvertake(resync, waiting.error());
  if (!waiting && !overtaken) return Fail(waiting.error());
  LogSets sets = LogSetsOf(environment, vault.identity().id, item.id);
  Cycle cycle{environment, vault, *lease, replicas, run, request, std::move(resync)};
  ASR_TRY(const auto sealed, RunPasses(cycle));
  // Before the vault is asked for anything else: from here on an outage can begin.
  if (sealed) ASR_CHECK(sets.NotePoint(*sealed));
  if (overtaken) ASR_CHECK(DropWaitingChanges(environment, vault.identity().id, item));
  outcome.is_new = waiting.value_or(false) || sealed.has_value();
  ASR_TRY(outcome.point, vault.NewestPoint(item.id));
  if (outcome.point) ASR_CHECK(sets.NotePoint(*outcome.point));
  return run.RunTask("Apply retention", 0, [&](TaskProgress&) {
    return ApplyRetention(environment, vault, *lease, replicas);
  });
}

// Files that vanish under a pass say nothing of why.
Error ReasonOf(Environment& environment, Vault& vault, const Item& item, const Error& error) {
  if (item.uuid.empty() || environment.stop.stop_requested() || IsOfAway(error)) return error;
  const Status there = vault.CheckPlace();
  return there || !IsOfAway(there.error()) ? error : there.error();
}

Result<ReplicateOutcome> RunAsJob(Environment& environment, Vault& vault, const Item& item,
                                  const std::string& type, const ReplicateRequest& request,
                                  const std::optional<ResyncRequest>& resync) {
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(JobRun run, JobRun::Start(environment, type, item.name, vault.name()));
  ReplicateOutcome outcome;
  Status status = RunCycle(environment, vault, item, request, resync, run, outcome);
  if (!status && !resync) {
    status = Fail(LogWhileAway(environment, vault.identity(), item, request, run,
                               ReasonOf(environment, vault, item, status.error())));
  }
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

Result<ReplicateOutcome> Replicate(Environment& environment, Vault& vault, const Item& item,
                                   const ReplicateRequest& request) {
  return RunAsJob(environment, vault, item, "Replicate", request, std::nullopt);
}

Result<ReplicateOutcome> ReplicateWhileAway(Environment& environment, const VaultIdentity& vault,
                                            const std::string& vault_name, const Item& item,
                                            const ReplicateRequest& request, const Error& reason) {
  ASR_TRY(JobRun run, JobRun::Start(environment, "Replicate", item.name, vault_name));
  ReplicateOutcome outcome;
  ASR_TRY(outcome.job, run.End(Fail(LogWhileAway(environment, vault, item, request, run, reason))));
  return outcome;
}

Result<ReplicateOutcome> ReplicateByResync(Environment& environment, Vault& vault, const Item& item,
                                           const ResyncRequest& request) {
  return RunAsJob(environment, vault, item, "Resync", {}, request);
}

Result<Plan> PlanReplicate(Environment& environment, Vault& vault, const Item& item) {
  ASR_CHECK(RequireProtected(item));
  ASR_TRY(const VirtualMachine vm, FindSource(environment, item));
  const Item followed = WithDisksOf(item, vm).value_or(item);
  ASR_TRY(const auto reads, EstimateReads(environment, followed, vm));
  Plan plan;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    plan.steps.push_back({.step = "Compare and send changes",
                          .item = item.name,
                          .disk = followed.disks[i].name.value,
                          .bytes = reads[i]});
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
