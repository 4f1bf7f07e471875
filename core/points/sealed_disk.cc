#include "core/points/sealed_disk.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/vault/layout.h"

namespace asr {

SealedDisk::SealedDisk(PointId point, PointDisk disk, std::unique_ptr<PageBlobReader> pages,
                       std::unique_ptr<DigestTableReader> digests)
    : point_(std::move(point)),
      disk_(std::move(disk)),
      pages_(std::move(pages)),
      digests_(std::move(digests)) {}

Result<std::unique_ptr<SealedDisk>> SealedDisk::Open(Vault& vault, const RecoveryPoint& point,
                                                     const PointDisk& disk) {
  const SnapshotId snapshot{point.id.value};
  ASR_TRY(auto pages,
          vault.store().OpenPageBlobReader(layout::DiskBlob(point.item, disk.name), snapshot));
  ASR_TRY(auto table,
          vault.store().OpenPageBlobReader(layout::DigestBlob(point.item, disk.name), snapshot));
  ASR_TRY(auto digests,
          DigestTableReader::Open(std::move(table), vault.identity().algorithm, disk.size_bytes));
  return std::unique_ptr<SealedDisk>(
      new SealedDisk(point.id, disk, std::move(pages), std::move(digests)));
}

Status SealedDisk::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  return pages_->Read(offset_bytes, out);
}

Result<std::vector<Extent>> SealedDisk::AllocatedExtents(Extent range) const {
  const std::uint64_t end = std::min(range.end_bytes(), size_bytes());
  const std::uint64_t first = range.offset_bytes / kGroupBytes;
  std::vector<Digest> groups(DivideRoundingUp(end, kGroupBytes) - first);
  ASR_CHECK(digests_->ReadGroups(first, groups));
  std::vector<Extent> extents;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].is_zero()) continue;
    ChunkRow chunks;
    ASR_CHECK(digests_->ReadChunks(first + i, chunks));
    for (std::uint64_t k = 0; k < kChunksPerGroup; ++k) {
      if (chunks[k].is_zero()) continue;
      const std::uint64_t chunk = (first + i) * kGroupBytes + k * kChunkBytes;
      const std::uint64_t from = std::max(chunk, range.offset_bytes);
      const std::uint64_t to = std::min(chunk + kChunkBytes, end);
      if (from < to) AppendExtent(extents, {from, to - from});
    }
  }
  return extents;
}

}  // namespace asr
