// The initial replication of a VM, part of enabling its protection.
#pragma once

#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/jobs/seed.h"
#include "core/model/virtual_machine.h"
#include "core/vault/item_lease.h"
#include "core/vault/vault.h"

namespace asr {

[[nodiscard]] Status SetProtectionState(ItemLease& lease, ProtectionState state);

// Sends all disks of `vm` to the replica of the lease's item, beginning with `seeds` where there
// are some, and seals the first point. A VM that is started or stopped meanwhile is looked at once
// more; what was sent stays.
[[nodiscard]] Status ReplicateFirstTime(Environment& environment, Vault& vault,
                                        const VirtualMachine& vm, const std::vector<Seed>& seeds,
                                        ItemLease& lease, JobRun& run);

}  // namespace asr
