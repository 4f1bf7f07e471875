// What would be lost with an item, and its points as JSON: shared by several verbs.
#pragma once

#include <string>

#include "cli/render.h"
#include "core/model/plan.h"
#include "core/vault/vault.h"

namespace asr {

// "deletes the replica of VM web (2 disks, 20.0 GiB) in vault main and its 12 recovery points".
[[nodiscard]] Result<std::string> NameLoss(Vault& vault, const Item& item);

// The same as steps.
[[nodiscard]] Result<Plan> PlanDeletion(Vault& vault, const Item& item);

// A point with its proof and hold.
[[nodiscard]] Result<Json> DescribePoint(Vault& vault, const Item& item, const RecoveryPoint& point,
                                         bool is_new, Timestamp now);

}  // namespace asr
