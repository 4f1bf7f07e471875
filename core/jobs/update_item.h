// What is set for a VM at the target.
#pragma once

#include "core/model/item.h"
#include "core/vault/vault.h"

namespace asr {

// The item with the parts that `changes` sets; the others keep their value. Written only if that is
// a change. kState if a port shall be reached while the network is none.
[[nodiscard]] Result<Item> UpdateItem(Vault& vault, const Item& item,
                                      const TargetSettings& changes);

}  // namespace asr
