#include "core/jobs/update_item.h"

#include <utility>

#include "core/jobs/test_failover.h"

namespace asr {
namespace {

Result<Item> Changed(Item item, const TargetChanges& changes) {
  for (const TargetSetting setting : changes.unset) item.target.Unset(setting);
  ASR_CHECK(SettingsOfTest(item, item.settings, changes.set));
  item.target.Take(changes.set);
  return item;
}

}  // namespace

Result<Plan> PlanUpdate(const Item& item, const TargetChanges& changes) {
  ASR_CHECK(Changed(item, changes));
  Plan plan;
  plan.steps.push_back({.step = "Change target settings", .item = item.name, .disk = ""});
  return plan;
}

Result<Item> UpdateItem(Vault& vault, const Item& item, const TargetChanges& changes) {
  ASR_TRY(const Item wanted, Changed(item, changes));
  if (wanted == item) return item;
  ASR_TRY(const auto lease, vault.LeaseItem(item));
  ASR_TRY(Item changed, Changed(lease->item(), changes));
  ASR_CHECK(lease->PutItem(changed));
  return changed;
}

}  // namespace asr
