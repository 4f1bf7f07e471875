#include "core/jobs/protect.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/check.h"
#include "core/jobs/first_replication.h"
#include "core/jobs/hosts.h"
#include "core/jobs/item_snapshot.h"
#include "core/jobs/log_while_away.h"
#include "core/jobs/replication.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/waiting_changes.h"
#include "core/source/domain_xml.h"
#include "core/transfer/make_equal.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// The VM's disks without the excluded ones. kNotFound if an excluded one does not exist.
Result<std::vector<VmDisk>> ChosenDisks(const VirtualMachine& vm,
                                        const std::vector<std::string>& excluded) {
  for (const std::string& name : excluded) {
    if (std::ranges::find(vm.disks, DiskName{name}, &VmDisk::name) == vm.disks.end()) {
      return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound,
                            fmt::format("VM {} has no disk '{}' to exclude", vm.name, name))
                      .WithAction("see its disks: asr vm show " + ShellQuote(vm.name)));
    }
  }
  std::vector<VmDisk> chosen;
  for (const VmDisk& disk : vm.disks) {
    if (std::ranges::find(excluded, disk.name.value) == excluded.end()) chosen.push_back(disk);
  }
  if (chosen.empty()) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kVmNotProtectable,
                          fmt::format("VM {} has no disk left to replicate", vm.name)));
  }
  return chosen;
}

// The item that protection of this VM goes on with, or a new one.
struct EnableTarget {
  Item item;
  bool is_new = true;
  std::vector<std::string> warnings = {};
};

// A document that cannot be read may be that of this very VM: two items of it must not be.
Result<std::vector<std::string>> PassOverUnreadable(const ItemListing& listing,
                                                    const VirtualMachine& vm) {
  std::vector<std::string> warnings;
  for (const UnreadableItem& item : listing.unreadable) {
    if (item.MayBe(vm.name)) {
      return Fail(Error(item.error)
                      .WithContext(fmt::format("VM {} may be protected already, by item {}",
                                               vm.name, item.id.value)));
    }
    warnings.push_back(fmt::format("item {} is passed over: {}; {}", item.id.value,
                                   item.error.Line(), item.error.action));
  }
  return warnings;
}

std::vector<DiskName> SortedNames(const std::vector<std::string>& names) {
  std::vector<DiskName> sorted;
  for (const std::string& name : names) sorted.push_back({name});
  std::ranges::sort(sorted);
  return sorted;
}

Item NewItem(const VirtualMachine& vm, const EnableRequest& request,
             const std::vector<VmDisk>& disks, Timestamp now) {
  Item item;
  item.id = NewItemId(vm.name);
  item.name = vm.name;
  item.host = vm.host;
  item.uuid = vm.uuid;
  item.policy = request.policy;
  item.generation = NewGenerationId();
  item.created = now;
  item.settings = vm.settings;
  item.excluded_disks = SortedNames(request.excluded_disks);
  for (const VmDisk& disk : disks) {
    item.disks.push_back({.name = disk.name,
                          .path = disk.path,
                          .format = disk.format,
                          .size_bytes = disk.size_bytes,
                          .logical_sector_bytes = disk.logical_sector_bytes,
                          .unique_id = RandomBits()});
  }
  return item;
}

bool IsUnfinished(const Item& item) {
  return item.state == ProtectionState::kEnablingProtection ||
         item.state == ProtectionState::kInitialReplicationInProgress ||
         item.state == ProtectionState::kFinalizingProtection;
}

Result<EnableTarget> FindTarget(Environment& environment, Vault& vault, const VirtualMachine& vm,
                                const EnableRequest& request) {
  ASR_TRY(const auto disks, ChosenDisks(vm, request.excluded_disks));
  ASR_TRY(const auto listing, vault.ListItems());
  ASR_TRY(auto warnings, PassOverUnreadable(listing, vm));
  for (const Item& item : listing.items) {
    if (item.name != vm.name || item.host != vm.host) continue;
    if (item.state == ProtectionState::kUnprotected) continue;
    if (item.state == ProtectionState::kDisablingProtection) {
      return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                            fmt::format("disabling protection of VM {} was interrupted", item.name))
                      .WithAction("finish it first: asr disable " + ShellQuote(item.name)));
    }
    if (!IsUnfinished(item)) {
      return Fail(
          MakeError(ErrorKind::kState, ErrorCode::kItemExists,
                    fmt::format("VM {} is in this vault already: {}", item.name,
                                ProtectionStateName(item.state)))
              .WithAction(fmt::format("replicate its changes: asr replicate {}; look at it: "
                                      "asr items show {}",
                                      ShellQuote(item.name), ShellQuote(item.name))));
    }
    if (item.policy != request.policy ||
        item.excluded_disks != SortedNames(request.excluded_disks)) {
      return Fail(
          MakeError(ErrorKind::kState, ErrorCode::kItemExists,
                    fmt::format("protection of VM {} was begun with policy {} and other "
                                "settings",
                                item.name, item.policy))
              .WithAction(fmt::format("go on with the same settings: asr enable {} --policy "
                                      "{}; or begin anew after: asr disable {}",
                                      ShellQuote(item.name), item.policy, ShellQuote(item.name))));
    }
    return EnableTarget{.item = item, .is_new = false, .warnings = std::move(warnings)};
  }
  return EnableTarget{.item = NewItem(vm, request, disks, environment.clock.Now()),
                      .warnings = std::move(warnings)};
}

// Held for milliseconds by whoever enables another VM: worth some patience.
Result<std::unique_ptr<Lease>> LeaseNewItems(Environment& environment, Vault& vault) {
  constexpr int kTries = 100;
  constexpr double kPauseSeconds = 0.05;
  for (int i = 1;; ++i) {
    auto lease = vault.LeaseNewItems();
    if (lease || lease.error().kind != ErrorKind::kBusy || i == kTries) return lease;
    environment.clock.SleepSeconds(kPauseSeconds);
  }
}

// Decides once more, now that nobody else can, whether there is an item already; leases it.
Result<std::unique_ptr<ItemLease>> ClaimItem(Environment& environment, Vault& vault,
                                             const VirtualMachine& vm,
                                             const EnableRequest& request) {
  ASR_TRY(const auto deciding, LeaseNewItems(environment, vault));
  ASR_TRY(const EnableTarget target, FindTarget(environment, vault, vm, request));
  ASR_TRY(auto lease, vault.LeaseItem(target.item));
  // Another process may have finished it before the lease was ours.
  if (!target.is_new) ASR_CHECK(FindTarget(environment, vault, vm, request));
  if (target.is_new) ASR_CHECK(lease->PutItem(target.item));
  return lease;
}

Status Enable(Environment& environment, Vault& vault, const VirtualMachine& vm,
              const Policy& policy, const EnableRequest& request, const std::vector<Seed>& seeds,
              JobRun& run) {
  ASR_CHECK(run.RunTask("Check prerequisites", 0, [&](TaskProgress&) -> Status {
    const VirtualMachine chosen = WithoutDisks(vm, SortedNames(request.excluded_disks));
    ASR_TRY(const auto results, CheckVm(environment, vault, chosen, policy));
    ASR_CHECK(RequirePassed(chosen, results));
    for (const std::string& warning : chosen.warnings) {
      environment.progress.Warn(fmt::format("VM {}: {}", vm.name, warning));
    }
    return {};
  }));
  std::unique_ptr<ItemLease> lease;
  ASR_CHECK(run.RunTask("Enable protection", 0, [&](TaskProgress&) -> Status {
    RemoveChangesOfGoneItems(environment, vault);
    ASR_TRY(lease, ClaimItem(environment, vault, vm, request));
    return {};
  }));
  // A point that was sealed before the crash makes a second initial replication needless.
  const ItemId& id = lease->item().id;
  ASR_TRY(const auto points, vault.ListPointIds(id));
  if (points.empty()) ASR_CHECK(ReplicateFirstTime(environment, vault, vm, seeds, *lease, run));
  if (!points.empty()) ASR_CHECK(vault.MakePointDurable(id, points.front()));
  return run.RunTask("Finalize protection", 0, [&](TaskProgress&) -> Status {
    ASR_CHECK(SetProtectionState(*lease, ProtectionState::kFinalizingProtection));
    return SetProtectionState(*lease, ProtectionState::kProtected);
  });
}

// Changes that were logged before the last run was cut make one more point of those that are kept.
// Protection stops whether that goes well or not; what is lost then is told when it is dropped.
void SendLastChanges(Environment& environment, Vault& vault, ItemLease& lease, JobRun& run) {
  const auto send = [&]() -> Status {
    ASR_TRY(const Replicas replicas, OpenReplicas(vault, lease, /*create=*/false));
    ASR_CHECK(SendWaitingChanges({environment, vault, lease, replicas, run}));
    return {};
  };
  // An item whose initial replication never ended has no replicas.
  const Status sent = send();
  if (!sent && !IsNotFound(sent.error())) {
    environment.progress.Warn(sent.error().Line());
  }
}

// What stays on the VM does no harm but for some of its space; that it does stay is said.
void EndTracking(Environment& environment, const Item& item) {
  const Status released = ReleaseTracking(environment, item);
  if (released) return;
  environment.progress.Warn(
      fmt::format("VM {}: a checkpoint of asr may stay on it: {}; see: virsh checkpoint-list {}",
                  item.name, released.error().Line(), ShellQuote(item.name)));
}

// Its document does not tell its VM and host any more; the definition that its newest point has
// may.
void EndTrackingOfDamaged(Environment& environment, Item item) {
  const auto description = ParseDomainXml(item.settings.domain_xml);
  const auto hosts = environment.state.ListHosts();
  if (!description || !hosts) return;
  item.uuid = description->uuid;
  item.name = description->name;
  for (const HostRegistration& host : *hosts) {
    if (host.kind != kLibvirtKind) continue;
    item.host = host.name;
    EndTracking(environment, item);
  }
}

Status RequireNoTestFailover(Environment& environment, Vault& vault, const Item& item) {
  ASR_TRY(const auto test, environment.state.FindTestFailover(vault.identity().id, item.id));
  if (!test) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                        fmt::format("a test failover of VM {} is not cleaned up yet", item.name))
                  .WithAction("asr test-failover-cleanup " + ShellQuote(item.name)));
}

Status RequireNotUnprotected(const Item& item) {
  if (item.state != ProtectionState::kUnprotected) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                        fmt::format("VM {} is not protected any more", item.name))
                  .WithAction("to remove what was kept: asr items delete " + item.id.value));
}

Status RequireUnprotected(const Item& item) {
  if (item.state == ProtectionState::kUnprotected) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                        fmt::format("VM {} is {}", item.name, ProtectionStateName(item.state)))
                  .WithAction("stop its protection instead: asr disable " + ShellQuote(item.name)));
}

}  // namespace

Result<Plan> PlanEnable(Environment& environment, Vault& vault, const EnableRequest& request) {
  ASR_TRY(const VirtualMachine vm, FindVm(environment, request.vm));
  ASR_TRY(const Policy policy, vault.FindPolicy(request.policy));
  const VirtualMachine chosen = WithoutDisks(vm, SortedNames(request.excluded_disks));
  ASR_TRY(const auto results, CheckVm(environment, vault, chosen, policy));
  ASR_CHECK(RequirePassed(chosen, results));
  ASR_TRY(const EnableTarget target, FindTarget(environment, vault, vm, request));
  ASR_TRY(const auto seeds, OpenSeeds(environment, vault, target.item, request.seed));
  ASR_TRY(const auto seed_steps, PlanSeeds(target.item, seeds));
  Plan plan;
  plan.warnings = target.warnings;
  for (const CheckResult& result : results) {
    if (result.verdict != CheckResult::Verdict::kWarning) continue;
    plan.warnings.push_back(fmt::format("{}: {}", result.name, result.detail));
  }
  plan.steps.push_back({.step = "Enable protection", .item = vm.name, .disk = ""});
  plan.steps.insert(plan.steps.end(), seed_steps.begin(), seed_steps.end());
  ASR_TRY(const auto reads, EstimateReads(environment, target.item, vm));
  for (std::size_t i = 0; i < reads.size(); ++i) {
    plan.steps.push_back({.step = "Initial replication",
                          .item = vm.name,
                          .disk = target.item.disks[i].name.value,
                          .bytes = reads[i]});
  }
  plan.steps.push_back({.step = "Seal recovery point", .item = vm.name, .disk = ""});
  plan.steps.push_back({.step = "Finalize protection", .item = vm.name, .disk = ""});
  return plan;
}

Result<Job> EnableProtection(Environment& environment, Vault& vault, const EnableRequest& request) {
  ASR_TRY(const VirtualMachine vm, FindVm(environment, request.vm));
  ASR_TRY(const Policy policy, vault.FindPolicy(request.policy));
  // An image that cannot be read has no disks to choose from: the job's check says why.
  std::vector<Seed> seeds;
  if (vm.protectable()) {
    ASR_TRY(const EnableTarget target, FindTarget(environment, vault, vm, request));
    for (const std::string& warning : target.warnings) environment.progress.Warn(warning);
    ASR_TRY(seeds, OpenSeeds(environment, vault, target.item, request.seed));
  }
  ASR_TRY(JobRun run, JobRun::Start(environment, "EnableProtection", vm.name, vault.name()));
  const Status outcome = Enable(environment, vault, vm, policy, request, seeds, run);
  return run.End(outcome);
}

Result<Job> DisableProtection(Environment& environment, Vault& vault, const Item& item,
                              bool keep_data) {
  ASR_CHECK(RequireNotUnprotected(item));
  ASR_CHECK(RequireNoTestFailover(environment, vault, item));
  ASR_TRY(JobRun run, JobRun::Start(environment, "DisableProtection", item.name, vault.name()));
  const auto disable = [&]() -> Status {
    ASR_TRY(const auto lease, vault.LeaseItem(item));
    // Another process may have changed it before the lease was ours.
    ASR_CHECK(RequireNotUnprotected(lease->item()));
    ASR_TRY(const auto spool_lock, LockSpool(environment, vault.identity().id, item));
    if (keep_data) SendLastChanges(environment, vault, *lease, run);
    EndTracking(environment, lease->item());
    if (keep_data) {
      // In one step: nothing that was cut between two may later be finished by deleting the points.
      return run.RunTask("Keep recovery points", 0, [&](TaskProgress&) -> Status {
        ASR_CHECK(ForgetItem(environment, vault, item));
        return SetProtectionState(*lease, ProtectionState::kUnprotected);
      });
    }
    ASR_CHECK(run.RunTask("Stop protection", 0, [&](TaskProgress&) -> Status {
      const Status marked = SetProtectionState(*lease, ProtectionState::kDisablingProtection);
      // A vault that is full must still let go of what it holds.
      const bool full = !marked && marked.error().kind == ErrorKind::kNoSpace;
      if (!full) ASR_CHECK(marked);
      return ForgetItem(environment, vault, item);
    }));
    return run.RunTask("Remove replica", 0,
                       [&](TaskProgress&) { return vault.DeleteItem(item.id); });
  };
  return run.End(disable());
}

Result<Job> DeleteDamagedItem(Environment& environment, Vault& vault, const FoundItem& found) {
  const Item& item = found.item;
  ASR_CHECK(RequireNoTestFailover(environment, vault, item));
  ASR_TRY(JobRun run, JobRun::Start(environment, "DeleteItem", item.name, vault.name()));
  const Status removed = run.RunTask(
      "Remove replica", 0, [&](TaskProgress&) { return vault.DeleteDamagedItem(item.id); });
  if (removed) EndTrackingOfDamaged(environment, item);
  if (removed) RemoveChangesOfGoneItems(environment, vault);
  return run.End(removed);
}

Result<Job> DeleteItem(Environment& environment, Vault& vault, const Item& item) {
  ASR_CHECK(RequireUnprotected(item));
  ASR_CHECK(RequireNoTestFailover(environment, vault, item));
  ASR_TRY(JobRun run, JobRun::Start(environment, "DeleteItem", item.name, vault.name()));
  const auto remove = [&]() -> Status {
    ASR_TRY(const auto lease, vault.LeaseItem(item));
    ASR_CHECK(RequireUnprotected(lease->item()));
    ASR_TRY(const auto spool_lock, LockSpool(environment, vault.identity().id, item));
    // Of a machine that was away when another one ended the protection.
    ASR_CHECK(ForgetItem(environment, vault, item));
    return run.RunTask("Remove replica", 0,
                       [&](TaskProgress&) { return vault.DeleteItem(item.id); });
  };
  return run.End(remove());
}

}  // namespace asr
