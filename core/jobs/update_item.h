// What is set for a VM at the target.
#pragma once

#include <vector>

#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/model/virtual_machine.h"
#include "core/vault/vault.h"

namespace asr {

struct TargetChanges {
  std::vector<TargetSetting> unset = {};  // first
  TargetSettings set = {};                // the parts that it has
};

// kState if a port shall be reached while the network is none.
[[nodiscard]] Result<Plan> PlanUpdate(const Item& item, const TargetChanges& changes);

// The item with these changes; what they do not name keeps its value. Written only if that is a
// change. Errors as PlanUpdate.
[[nodiscard]] Result<Item> UpdateItem(Vault& vault, const Item& item, const TargetChanges& changes);

}  // namespace asr
