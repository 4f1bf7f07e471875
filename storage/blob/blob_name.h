// The rules that names and ranges obey in every store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/blob/blob_store.h"

namespace asr {

// True for what a store keeps for itself: segments that begin with '.', end in ".undo" or hold
// ".tmp-". No blob has such a segment in its name.
[[nodiscard]] bool IsReservedSegment(std::string_view segment);

// kUsage (kBlobName) for a name that no blob can have.
[[nodiscard]] Status CheckBlobName(std::string_view name);
// The same for the beginning of a name: empty, "items/", "items/web-".
[[nodiscard]] Status CheckBlobPrefix(std::string_view prefix);
// A snapshot's id is one segment.
[[nodiscard]] Status CheckSnapshotId(const SnapshotId& id);

// kInternal (kBlobRange) unless `range` lies inside `size_bytes`.
[[nodiscard]] Status CheckInside(std::string_view name, Extent range, std::uint64_t size_bytes);
// The same, and offset and length are multiples of kPageBytes.
[[nodiscard]] Status CheckPages(std::string_view name, Extent range, std::uint64_t size_bytes);
[[nodiscard]] Status CheckPageBlobSize(std::string_view name, std::uint64_t size_bytes);

// The errors that all stores give in the same words.
[[nodiscard]] Error BlobNotFound(std::string_view name);
[[nodiscard]] Error BlobExists(std::string_view name);
[[nodiscard]] Error BlobChanged(std::string_view name);
[[nodiscard]] Error SnapshotNotFound(std::string_view name, const SnapshotId& id);
[[nodiscard]] Error SnapshotOutOfOrder(std::string_view name, const SnapshotId& id,
                                       const SnapshotId& newest);

}  // namespace asr
