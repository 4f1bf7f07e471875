#include "core/vault/unsealed.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "core/vault/layout.h"

namespace asr {

void AddUnsealed(std::span<const SnapshotId> snapshots, std::span<const PointId> sealed,
                 std::set<SnapshotId>& unsealed) {
  for (const SnapshotId& snapshot : snapshots) {
    const bool is_sealed = std::ranges::any_of(
        sealed, [&](const PointId& point) { return point.value == snapshot.value; });
    if (!is_sealed) unsealed.insert(snapshot);
  }
}

bool MayBeLostPoints(std::span<const PointId> sealed, const std::set<SnapshotId>& unsealed) {
  SnapshotId newest;
  for (const PointId& point : sealed) newest = std::max(newest, SnapshotId{point.value});
  const auto newer = std::ranges::count_if(
      unsealed, [&](const SnapshotId& snapshot) { return snapshot > newest; });
  return newer > 1 || std::ssize(unsealed) - newer > 1;
}

Result<std::set<SnapshotId>> FindLostPoints(Vault& vault, const Item& item) {
  // Snapshots before points: one that is sealed meanwhile is none of them.
  std::vector<SnapshotId> snapshots;
  for (const ItemDisk& disk : item.disks) {
    for (const std::string& blob :
         {layout::DiskBlob(item.id, disk.name), layout::DigestBlob(item.id, disk.name)}) {
      const auto of_blob = vault.store().ListSnapshots(blob);
      if (!of_blob && IsNotFound(of_blob.error())) continue;
      if (!of_blob) return Fail(of_blob.error());
      snapshots.insert(snapshots.end(), of_blob->begin(), of_blob->end());
    }
  }
  ASR_TRY(const auto points, vault.ListPointIds(item.id));
  std::set<SnapshotId> unsealed;
  AddUnsealed(snapshots, points, unsealed);
  const bool all_are_gone = points.empty() && item.state == ProtectionState::kProtected;
  if (all_are_gone || !MayBeLostPoints(points, unsealed)) unsealed.clear();
  return unsealed;
}

Result<bool> ForbidSeal(Vault& vault, const ItemId& item, const PointId& point) {
  BlobStore& store = vault.store();
  const std::string document = layout::PointDocument(item, point);
  // The mark first: without it an empty document is a damaged one.
  ASR_CHECK(store.Put(layout::DroppedMark(item, point), {}));
  const Status put = store.Put(document, {}, PutCondition::kIfAbsent);
  if (put) return true;
  if (put.error().code != ErrorCode::kBlobExists) return Fail(put.error());
  // One that was left before may be about to be replaced by who has read it: written anew, it is
  // another one.
  ASR_TRY(const std::string text, store.Get(document));
  if (text.empty()) {
    ASR_CHECK(store.Put(document, {}, PutCondition::kIfUnchanged));
    return true;
  }
  ASR_CHECK(store.Delete(layout::DroppedMark(item, point)));
  return false;
}

Result<bool> IsForbidden(Vault& vault, const ItemId& item, const PointId& point) {
  const auto text = vault.store().Get(layout::PointDocument(item, point));
  if (!text && IsNotFound(text.error())) return false;
  ASR_CHECK(text);
  return text->empty();
}

Status RemoveOldMarks(Vault& vault, const ItemId& item, const PointId& newest) {
  BlobStore& store = vault.store();
  const auto newest_time = ParseCompactTime(newest.value);
  ASR_TRY(const auto names, store.ListNames(layout::PointsPrefix(item)));
  for (const std::string& name : names) {
    const PointId point{layout::DroppedStem(name)};
    const auto time = ParseCompactTime(point.value);
    if (!time || !newest_time || *newest_time - *time < std::chrono::hours(24)) continue;
    const std::string document = layout::PointDocument(item, point);
    const auto text = store.Get(document);
    if (!text && !IsNotFound(text.error())) return Fail(text.error());
    if (text && text->empty()) ASR_CHECK(store.Delete(document));
    ASR_CHECK(store.Delete(layout::DroppedMark(item, point)));
  }
  return {};
}

}  // namespace asr
