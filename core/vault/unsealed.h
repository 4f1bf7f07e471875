// Snapshots that no point's document names.
#pragma once

#include <set>
#include <span>

#include "core/model/point.h"
#include "core/vault/vault.h"
#include "storage/blob/blob_store.h"

namespace asr {

// Adds those of `snapshots` that none of `sealed` has.
void AddUnsealed(std::span<const SnapshotId> snapshots, std::span<const PointId> sealed,
                 std::set<SnapshotId>& unsealed);

// True if a crash cannot have left all of `unsealed`, so that they may be points whose documents
// are lost. One seal that was cut leaves one that is newer than all points, one removal that was
// cut one that is older than the newest; both are dropped before the next begins.
[[nodiscard]] bool MayBeLostPoints(std::span<const PointId> sealed,
                                   const std::set<SnapshotId>& unsealed);

// All snapshots of the item without a document, if MayBeLostPoints; else none. None either of a
// protected item without any point, whose snapshots nobody may drop. Needs no lease.
[[nodiscard]] Result<std::set<SnapshotId>> FindLostPoints(Vault& vault, const Item& item);

// Before the snapshots of a point without a document are dropped: its writer may be cut off just
// before it writes the document, and must not do so later. True if it cannot any more; false if it
// has done so meanwhile. Leaves an empty document and a mark that says why, which lists of points
// pass over. For the item's writer.
[[nodiscard]] Result<bool> ForbidSeal(Vault& vault, const ItemId& item, const PointId& point);

// True if the point's document is what ForbidSeal left. Its writer may replace it as it is now.
[[nodiscard]] Result<bool> IsForbidden(Vault& vault, const ItemId& item, const PointId& point);

// Removes those that are a day older than `newest`: by now nobody comes that late.
[[nodiscard]] Status RemoveOldMarks(Vault& vault, const ItemId& item, const PointId& newest);

}  // namespace asr
