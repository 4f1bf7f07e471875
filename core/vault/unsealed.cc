#include "core/vault/unsealed.h"

#include <algorithm>
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

}  // namespace asr
