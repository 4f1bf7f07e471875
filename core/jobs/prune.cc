#include "core/jobs/prune.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/job_run.h"
#include "core/vault/document_list.h"
#include "core/vault/item_documents.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// A point with bytes that cannot be read any more stays whole, with its document: older points may
// need these bytes. It goes once it is the oldest, which needs nothing of it.
Status RemoveAll(Environment& environment, Vault& vault, const ItemLease& lease,
                 const Replicas& replicas, const std::vector<Removal>& removals) {
  WarnOfLeftOvers(environment, lease.item(), replicas);
  for (const Removal& removal : removals) {
    const Status ready = PrepareRemoval(replicas, removal.id);
    if (!ready && IsUnreadableUndo(ready.error())) {
      environment.progress.Warn(
          fmt::format("VM {}: recovery point {} stays until it is the oldest: {}",
                      lease.item().name, removal.id.value, ready.error().Line()));
      continue;
    }
    ASR_CHECK(ready);
    ASR_CHECK(RemovePoint(vault, lease, replicas, removal.id));
  }
  // Others have none.
  const bool has_firmware = lease.item().settings.generation == 2;
  return has_firmware && !removals.empty() ? vault.RemoveLostFirmware(lease.item().id) : Status();
}

void WarnOfPins(Environment& environment, const Item& item, const PinListing& pins) {
  for (const Error& error : pins.unreadable) {
    environment.progress.Warn(fmt::format("VM {}: {}; {}", item.name, error.Line(), error.action));
  }
  if (!pins.may_pin_others) return;
  environment.progress.Warn(fmt::format(
      "VM {}: nobody can tell which recovery point that pin keeps, so retention removes "
      "none",
      item.name));
}

void WarnOfClocks(Environment& environment, const Item& item, Timestamp local, Timestamp server) {
  environment.progress.Warn(
      fmt::format("VM {}: this machine's clock says {}, the vault's service {}; retention removes "
                  "nothing until "
                  "they agree. Look at this machine's clock: timedatectl",
                  item.name, FormatTime(local), FormatTime(server)));
}

}  // namespace

Result<RetentionDecision> DecideRemovals(Environment& environment, Vault& vault, const Item& item) {
  ASR_TRY(const Policy policy, vault.FindPolicy(item.policy));
  ASR_TRY(auto view, vault.Documents(item.id, ViewDepth::kAll));
  ASR_TRY(const auto ids, view.ListPointIds());
  const Timestamp local = environment.clock.Now();
  const auto server = vault.store().ServerTime();
  if (server && std::chrono::abs(*server - local) > kMostClockDifference) {
    WarnOfClocks(environment, item, local, *server);
    return RetentionDecision{};
  }
  // In doubt a pin is in force still.
  ASR_TRY(const auto pins, view.ListPins(std::min(local, server.value_or(local))));
  WarnOfPins(environment, item, pins);
  if (pins.may_pin_others) return RetentionDecision{};
  std::vector<RetentionPoint> points;
  const auto documents = view.ReadPoints(ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const PointId& id = ids[i];
    const auto& point = documents[i];
    if (!point && IsPassing(point.error())) return Fail(point.error());
    if (!point) {
      // What nobody can judge stays; and it must not keep the others from being judged.
      environment.progress.Warn(point.error().Line());
      continue;
    }
    points.push_back(
        {.id = id,
         .time = point->time,
         .consistency = point->consistency,
         .kept_by_hand = std::ranges::find(pins.pins, id, &Pin::point) != pins.pins.end()});
  }
  if (points.empty()) return RetentionDecision{};
  const Timestamp now = RetentionNow(local, server, points.front().time, policy.frequency);
  return DecideRetention(policy.retention, std::move(points), now);
}

Status ApplyRetention(Environment& environment, Vault& vault, const ItemLease& lease,
                      const Replicas& replicas) {
  const Item& item = lease.item();
  ASR_TRY(const RetentionDecision decision, DecideRemovals(environment, vault, item));
  if (!decision.asks) return RemoveAll(environment, vault, lease, replicas, decision.removals);
  WarnOfLeftOvers(environment, item, replicas);
  environment.progress.Warn(fmt::format(
      "VM {0}: policy {1} would remove {2} recovery points at once, over half of them, and has "
      "removed none. Look at the clock and at the policy; if it is right: asr points prune {3}",
      item.name, item.policy, decision.removals.size(), ShellQuote(item.name)));
  return {};
}

Result<Job> PrunePoints(Environment& environment, Vault& vault, const Item& item, LostPoints lost) {
  ASR_TRY(JobRun run, JobRun::Start(environment, "PrunePoints", item.name, vault.name()));
  const auto prune = [&]() -> Status {
    ASR_TRY(const auto lease, vault.LeaseItem(item));
    return run.RunTask("Remove recovery points", 0, [&](TaskProgress&) -> Status {
      ASR_TRY(const Replicas replicas,
              OpenReplicas(vault, *lease, /*create=*/false, lost, ReplicaGrowth::kStay));
      ASR_TRY(const RetentionDecision decision, DecideRemovals(environment, vault, item));
      return RemoveAll(environment, vault, *lease, replicas, decision.removals);
    });
  };
  return run.End(prune());
}

Result<Plan> PlanPrune(Environment& environment, Vault& vault, const Item& item) {
  ASR_TRY(const RetentionDecision decision, DecideRemovals(environment, vault, item));
  Plan plan;
  for (const Removal& removal : decision.removals) {
    plan.steps.push_back({.step = fmt::format("Remove recovery point {}", removal.id.value),
                          .item = item.name,
                          .disk = ""});
  }
  return plan;
}

}  // namespace asr
