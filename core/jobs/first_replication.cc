#include "core/jobs/first_replication.h"

#include <memory>
#include <utility>

#include "core/jobs/hosts.h"
#include "core/jobs/item_snapshot.h"
#include "core/jobs/replication.h"

namespace asr {
Status SetProtectionState(ItemLease& lease, ProtectionState state) {
  Item item = lease.item();
  item.state = state;
  return lease.PutItem(std::move(item));
}

Status ReplicateFirstTime(Environment& environment, Vault& vault, const VirtualMachine& vm,
                          const std::vector<Seed>& seeds, ItemLease& lease, JobRun& run) {
  const Item& item = lease.item();
  std::unique_ptr<SourceSnapshot> source;
  Replicas replicas;
  VmPowerState power_state = vm.power_state;  // of `source`
  const auto take_snapshot = [&]() -> Status {
    return run.RunTask("Take snapshot", 0, [&](TaskProgress&) -> Status {
      // Hours may have gone by.
      ASR_TRY(const VirtualMachine now, FindVm(environment, vm.host + "/" + vm.name));
      power_state = now.power_state;
      ASR_TRY(source, SnapshotOf(environment, item, now));
      return {};
    });
  };
  // Seeds may take hours: the view of the VM's disks begins after them, but what would keep it from
  // being taken is found before.
  const auto prepare = [&](TaskProgress&) -> Status {
    ASR_TRY(auto snapshot, SnapshotOf(environment, item, vm));
    if (seeds.empty()) source = std::move(snapshot);
    ASR_TRY(replicas, OpenReplicas(vault, lease, /*create=*/true));
    return SetProtectionState(lease, ProtectionState::kInitialReplicationInProgress);
  };
  ASR_CHECK(run.RunTask(seeds.empty() ? "Take snapshot" : "Prepare replica", 0, prepare));
  if (!seeds.empty()) ASR_CHECK(FillFromSeeds(environment, vault, replicas, seeds, run));
  const auto pass_once = [&]() -> Status {
    if (source == nullptr) ASR_CHECK(take_snapshot());
    ReplicationPass pass{environment, vault, lease, item, *source, replicas, run};
    const auto seal = [&]() -> Status {
      ASR_TRY(const std::uint64_t changed_bytes,
              ReplicateDisks(pass, "Initial replication of disk"));
      ASR_CHECK(SealPass(pass, changed_bytes));
      return {};
    };
    Status sealed = seal();
    if (!sealed) return Fail(source->Explain(std::move(sealed).error()));
    return {};
  };
  for (int i = 1;; ++i) {
    Status sealed = pass_once();
    if (sealed ||
        !IsWorthAnotherPass(environment, vm.host + "/" + vm.name, power_state, i, sealed.error())) {
      return sealed;
    }
    source.reset();
  }
}

}  // namespace asr
