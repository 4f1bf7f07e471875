// Puts an item's live disks back to its newest recovery point: what a pass that was cut has sent is
// undone. An unplanned failover begins with it.
#pragma once

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/job.h"
#include "core/model/plan.h"
#include "core/vault/vault.h"

namespace asr {

// kNotFound (kPointNotFound) if there is no point.
[[nodiscard]] Result<Job> RollBackItem(Environment& environment, Vault& vault, const Item& item);
[[nodiscard]] Result<Plan> PlanRollBack(Vault& vault, const Item& item);

}  // namespace asr
