// Enable and disable protection.
#pragma once

#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/seed.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/vault/vault.h"

namespace asr {

struct EnableRequest {
  std::string vm;  // "NAME" or "HOST/NAME"
  std::string policy;
  std::vector<std::string> excluded_disks = {};
  SeedRequest seed = {};
};

[[nodiscard]] Result<Plan> PlanEnable(Environment& environment, Vault& vault,
                                      const EnableRequest& request);

// Checks, creates the item, replicates its disks for the first time, seals the first point,
// finalizes. On an unfinished item it goes on where it was, with the seeds that are given now, if
// any; kState (kItemExists) on a protected VM.
// An error is returned where no job could be started; otherwise the job, which holds its own error.
[[nodiscard]] Result<Job> EnableProtection(Environment& environment, Vault& vault,
                                           const EnableRequest& request);

// Removes the replica, or keeps it as an Unprotected item whose points can still be restored.
[[nodiscard]] Result<Job> DisableProtection(Environment& environment, Vault& vault,
                                            const Item& item, bool keep_data);

// Deletes all that is left of an item whose document cannot be read (`found.damage`).
[[nodiscard]] Result<Job> DeleteDamagedItem(Environment& environment, Vault& vault,
                                            const FoundItem& found);

// Deletes what an Unprotected item kept. kState for any other.
[[nodiscard]] Result<Job> DeleteItem(Environment& environment, Vault& vault, const Item& item);

}  // namespace asr
