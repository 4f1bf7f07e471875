// What this machine keeps of an item to go on while its vault cannot be read: to schedule it, to
// log what changes in its VM, and to tell how it is.
#pragma once

#include <string>

#include "core/model/item.h"
#include "core/model/policy.h"
#include "core/vault/vault.h"

namespace asr {

struct ItemView {
  VaultIdentity vault;
  Item item;
  Policy policy;
};

// As ItemSchedule::view holds it.
[[nodiscard]] std::string ItemViewToJson(const ItemView& view);
// kCorrupt or kUnsupported if it is none of this version.
[[nodiscard]] Result<ItemView> ItemViewFromJson(const std::string& text);

}  // namespace asr
