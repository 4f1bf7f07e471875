#include "cli/item_texts.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/json_values.h"
#include "cli/text_format.h"
#include "core/vault/item_documents.h"

namespace asr {

Result<std::string> NameLoss(Vault& vault, const Item& item) {
  ASR_TRY(const auto points, vault.ListPointIds(item.id));
  std::uint64_t bytes = 0;
  for (const ItemDisk& disk : item.disks) bytes += disk.size_bytes;
  return fmt::format(
      "deletes the replica of VM {} ({} disks, {}) in vault {} and its {} recovery "
      "points",
      item.name, item.disks.size(), HumanBytes(bytes), vault.name(), points.size());
}

Result<Plan> PlanDeletion(Vault& vault, const Item& item) {
  ASR_TRY(const auto points, vault.ListPointIds(item.id));
  Plan plan;
  plan.steps.push_back({.step = fmt::format("Delete {} recovery points", points.size()),
                        .item = item.name,
                        .disk = ""});
  for (const ItemDisk& disk : item.disks) {
    plan.steps.push_back({.step = "Delete replica of disk",
                          .item = item.name,
                          .disk = disk.name.value,
                          .bytes = disk.size_bytes});
  }
  return plan;
}

Result<Json> DescribePoint(Vault& vault, const Item& item, const RecoveryPoint& point, bool is_new,
                           Timestamp now) {
  ASR_TRY(auto view, vault.Documents(item.id, ViewDepth::kAll));
  ASR_TRY(const auto pins, view.ListPins(now));
  ASR_TRY(auto proof, view.ReadProof(point.id));
  const bool held = std::ranges::any_of(
      pins.pins, [&](const Pin& pin) { return pin.is_hold() && pin.point == point.id; });
  return PointJson(
      point, {.vm_name = item.name, .is_new = is_new, .held = held, .proof = std::move(proof)});
}

}  // namespace asr
