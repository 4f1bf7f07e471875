#include "core/jobs/update_item.h"

#include <utility>

#include "core/jobs/test_failover.h"

namespace asr {
namespace {

Result<Item> Changed(Item item, const TargetSettings& changes) {
  ASR_CHECK(SettingsOfTest(item, item.settings, changes));
  item.target.Take(changes);
  return item;
}

}  // namespace

Result<Item> UpdateItem(Vault& vault, const Item& item, const TargetSettings& changes) {
  ASR_TRY(const Item wanted, Changed(item, changes));
  if (wanted == item) return item;
  ASR_TRY(const auto lease, vault.LeaseItem(item));
  ASR_TRY(Item changed, Changed(lease->item(), changes));
  ASR_CHECK(lease->PutItem(changed));
  return changed;
}

}  // namespace asr
