#include "core/points/disk_comparison.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "core/model/item.h"

namespace asr {
namespace {

// 512 MiB of disk; divides the groups of a digest blob's segment.
constexpr std::uint64_t kGroupsAtOnce = 128;
// Of each group in flight, so much at once.
constexpr std::uint64_t kBufferBytes = kMiB;
// What is compared with zeros at a time.
constexpr std::uint64_t kZeroPieceBytes = kMiB;

constexpr std::uint64_t kAllChunks = ~std::uint64_t{0};

std::uint64_t BytesOf(std::uint64_t chunk_mask) {
  return static_cast<std::uint64_t>(std::popcount(chunk_mask)) * kChunkBytes;
}

// Bit i of mask g: `extents` touch chunk i of group first + g.
std::vector<std::uint64_t> MasksOf(const std::vector<Extent>& extents, std::uint64_t first,
                                   std::size_t count) {
  std::vector<std::uint64_t> masks(count);
  for (const Extent& extent : extents) {
    const std::uint64_t end = DivideRoundingUp(extent.end_bytes(), kChunkBytes);
    for (std::uint64_t chunk = extent.offset_bytes / kChunkBytes; chunk < end; ++chunk) {
      masks[chunk / kChunksPerGroup - first] |= 1ULL << chunk % kChunksPerGroup;
    }
  }
  return masks;
}

}  // namespace

DiskComparison::DiskComparison(const SealedDisk& disk, const SealedDisk* newer,
                               DigestAlgorithm algorithm, const VerifyOptions& options)
    : disk_(disk),
      newer_(newer),
      algorithm_(algorithm),
      options_(options),
      padded_bytes_(PaddedDiskBytes(disk.size_bytes())) {}

void DiskComparison::NoteChunk(std::uint64_t offset_bytes) {
  const std::lock_guard lock(mutex_);
  if (damage_->chunk_count == 0 || offset_bytes < damage_->first_offset) {
    damage_->first_offset = offset_bytes;
  }
  ++damage_->chunk_count;
}

void DiskComparison::NoteProblem(std::string problem) {
  const std::lock_guard lock(mutex_);
  if (damage_->problem.empty()) damage_->problem = std::move(problem);
}

Status DiskComparison::Run(const VhdFooter& footer, DiskDamage& damage) {
  damage_ = &damage;
  if (disk_.pages().size_bytes() != padded_bytes_ + kVhdFooterBytes) {
    NoteProblem(fmt::format("its image has {} bytes, {} are right", disk_.pages().size_bytes(),
                            padded_bytes_ + kVhdFooterBytes));
    return {};
  }
  const std::uint64_t table_bytes = disk_.digests().blob().size_bytes();
  if (table_bytes != DigestBlobBytes(disk_.size_bytes())) {
    NoteProblem(fmt::format("its digest blob has {} bytes, {} are right", table_bytes,
                            DigestBlobBytes(disk_.size_bytes())));
    return {};
  }
  const std::uint64_t groups = disk_.digests().group_count();
  GroupWorkers workers(options_.groups_in_flight, options_.stop, kBufferBytes);
  for (std::uint64_t first = 0; first < groups; first += kGroupsAtOnce) {
    ASR_TRY(const auto work, PlanWindow(first, std::min(kGroupsAtOnce, groups - first)));
    ASR_CHECK(workers.ForEach(work.size(), [&](std::size_t i, AlignedBuffer& buffer) {
      return CompareGroup(work[i], buffer.span());
    }));
  }
  return CompareRest(footer);
}

Result<std::uint64_t> DiskComparison::BytesToRead() {
  std::uint64_t bytes = 0;
  const std::uint64_t groups = disk_.digests().group_count();
  for (std::uint64_t first = 0; first < groups; first += kGroupsAtOnce) {
    ASR_TRY(const auto work, PlanWindow(first, std::min(kGroupsAtOnce, groups - first)));
    for (const GroupWork& group : work) {
      const std::uint64_t rows = newer_ == nullptr ? 1 : 2;
      bytes += rows * sizeof(ChunkRow) + sizeof(Digest);
      bytes += BytesOf(group.chunk_mask & group.data_mask);
    }
  }
  ASR_TRY(const RestWork rest, PlanRest());
  if (rest.footer) bytes += kVhdFooterBytes;
  for (const Extent& extent : rest.unused) bytes += extent.length_bytes;
  return bytes;
}

// Groups that are not in the answer are right: they are shared with `newer`, or all zeros.
Result<std::vector<DiskComparison::GroupWork>> DiskComparison::PlanWindow(std::uint64_t first,
                                                                          std::size_t count) {
  const std::uint64_t begin = first * kGroupBytes;
  const Extent range{begin, std::min(begin + count * kGroupBytes, padded_bytes_) - begin};
  ASR_TRY(const auto data, disk_.pages().DataExtents(range));
  const auto data_masks = MasksOf(data, first, count);
  std::vector<std::uint64_t> own_masks(count, kAllChunks);
  std::vector<bool> digests;
  if (newer_ == nullptr) {
    ASR_TRY(digests, disk_.digests().FilledGroups(first, count));
  } else {
    ASR_TRY(const auto own, disk_.pages().OwnExtents(range));
    own_masks = MasksOf(own, first, count);
    ASR_TRY(digests, disk_.digests().OwnGroups(first, count));
  }
  std::vector<GroupWork> work;
  for (std::size_t i = 0; i < count; ++i) {
    const bool zeros = newer_ == nullptr && data_masks[i] == 0;
    if (!digests[i] && (zeros || own_masks[i] == 0)) continue;
    work.push_back({.group = first + i, .chunk_mask = own_masks[i], .data_mask = data_masks[i]});
  }
  return work;
}

Status DiskComparison::CompareGroup(const GroupWork& work, MutableByteSpan buffer) {
  ASR_TRY(const ChunkRow row, ReadRow(work.group));
  if (std::ranges::any_of(row, &Digest::is_unknown)) return CompareWhole(work, buffer);
  ASR_TRY(const std::uint64_t different, DifferentFromNewer(work.group, row));
  const std::uint64_t mask = work.chunk_mask | different;
  // Bytes behind the disk's end are part of the last chunk: they are zeros, or it is damaged.
  ASR_TRY(const ChunkRow found, DigestChunks(work.group, mask & work.data_mask, buffer));
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if ((mask >> i & 1) != 0 && found[i] != row[i]) {
      NoteChunk(work.group * kGroupBytes + i * kChunkBytes);
    }
  }
  return {};
}

// A power loss may have left "unknown" in the row of a group that is known: the group decides.
Status DiskComparison::CompareWhole(const GroupWork& work, MutableByteSpan buffer) {
  Digest digest;
  ASR_CHECK(disk_.digests().ReadGroups(work.group, {&digest, 1}));
  if (digest.is_unknown()) return {};  // noted already
  ASR_TRY(const ChunkRow found, DigestChunks(work.group, work.data_mask, buffer));
  if (ComputeGroupDigest(algorithm_, found) != digest) NoteChunk(work.group * kGroupBytes);
  return {};
}

Result<ChunkRow> DiskComparison::ReadRow(std::uint64_t group) {
  ChunkRow row{};
  Digest digest;
  ASR_CHECK(disk_.digests().ReadChunks(group, row));
  ASR_CHECK(disk_.digests().ReadGroups(group, {&digest, 1}));
  options_.on_read(sizeof(row) + sizeof(digest));
  const bool whole = std::ranges::none_of(row, &Digest::is_unknown);
  if (digest.is_unknown() || (whole && ComputeGroupDigest(algorithm_, row) != digest)) {
    NoteProblem(fmt::format("the digests of the {} MiB at offset {} {}", kGroupBytes / kMiB,
                            group * kGroupBytes,
                            digest.is_unknown() ? "are unknown" : "do not agree with each other"));
  }
  return row;
}

Result<std::uint64_t> DiskComparison::DifferentFromNewer(std::uint64_t group, const ChunkRow& row) {
  if (newer_ == nullptr || group >= newer_->digests().group_count()) return kAllChunks;
  ChunkRow other{};
  ASR_CHECK(newer_->digests().ReadChunks(group, other));
  options_.on_read(sizeof(other));
  std::uint64_t mask = 0;
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if (row[i] != other[i]) mask |= 1ULL << i;
  }
  return mask;
}

Result<ChunkRow> DiskComparison::DigestChunks(std::uint64_t group, std::uint64_t mask,
                                              MutableByteSpan buffer) {
  ChunkRow found{};
  const std::uint64_t most = buffer.size() / kChunkBytes;
  for (std::uint64_t i = 0; i < kChunksPerGroup;) {
    const std::uint64_t first = i;
    while (i < kChunksPerGroup && i - first < most && (mask >> i & 1) != 0) ++i;
    if (i == first) {
      ++i;
      continue;
    }
    const MutableByteSpan bytes = buffer.first((i - first) * kChunkBytes);
    ASR_CHECK(disk_.pages().Read(group * kGroupBytes + first * kChunkBytes, bytes));
    options_.on_read(bytes.size());
    for (std::uint64_t k = first; k < i; ++k) {
      found[k] =
          ComputeChunkDigest(algorithm_, bytes.subspan((k - first) * kChunkBytes, kChunkBytes));
    }
  }
  return found;
}

// Of `range`, what is not known to be right already.
Result<std::vector<Extent>> DiskComparison::Unread(PageBlobReader& blob, Extent range) const {
  if (newer_ == nullptr) return std::vector<Extent>{range};
  return blob.OwnExtents(range);
}

Result<DiskComparison::RestWork> DiskComparison::PlanRest() {
  RestWork work;
  ASR_TRY(const auto footer, Unread(disk_.pages(), {padded_bytes_, kVhdFooterBytes}));
  work.footer = !footer.empty();
  PageBlobReader& table = disk_.digests().blob();
  for (const Extent& unused : disk_.digests().UnusedExtents()) {
    ASR_TRY(const auto unread, Unread(table, unused));
    for (const Extent& extent : unread) {
      ASR_TRY(const auto data, table.DataExtents(extent));
      work.unused.insert(work.unused.end(), data.begin(), data.end());
    }
  }
  return work;
}

Status DiskComparison::CompareRest(const VhdFooter& footer) {
  ASR_TRY(const RestWork work, PlanRest());
  if (work.footer) {
    VhdFooter found{};
    ASR_CHECK(disk_.pages().Read(padded_bytes_, found));
    options_.on_read(found.size());
    if (found != footer) NoteProblem("the footer of its VHD is not the right one");
  }
  std::vector<std::byte> buffer(kZeroPieceBytes);
  for (const Extent& extent : work.unused) {
    for (std::uint64_t at = extent.offset_bytes; at < extent.end_bytes();) {
      const auto piece =
          std::span(buffer).first(std::min(kZeroPieceBytes, extent.end_bytes() - at));
      ASR_CHECK(disk_.digests().blob().Read(at, piece));
      options_.on_read(piece.size());
      if (!IsZero(piece)) NoteProblem("its digest blob holds something where it must be zeros");
      at += piece.size();
    }
  }
  return {};
}

}  // namespace asr
