#include "core/vault/digest_table.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::string_view kMagic = "ASRDIGST";
constexpr std::uint32_t kTableVersion = 1;
constexpr std::uint64_t kHeaderBytes = 4096;
constexpr std::size_t kHeaderDiskBytesOffset = 24;
constexpr std::size_t kHeaderChecksumOffset = 32;
constexpr std::size_t kHeaderUsedBytes = 36;

constexpr std::uint64_t kDigestBytes = sizeof(Digest);
constexpr std::uint64_t kRowBytes = sizeof(ChunkRow);
constexpr std::uint64_t kGroupsPerSegment = 4096;
constexpr std::uint64_t kSegmentGroupBytes = kGroupsPerSegment * kDigestBytes;
constexpr std::uint64_t kSegmentBytes = kSegmentGroupBytes + kGroupsPerSegment * kRowBytes;
constexpr std::uint64_t kDigestsPerPage = kPageBytes / kDigestBytes;

// How many groups are read or changed at once: bounds memory at 256 rows of a KiB.
constexpr std::uint64_t kGroupsAtOnce = 256;

std::uint64_t SegmentOffset(std::uint64_t group) {
  return kHeaderBytes + group / kGroupsPerSegment * kSegmentBytes;
}

std::uint64_t GroupOffset(std::uint64_t group) {
  return SegmentOffset(group) + group % kGroupsPerSegment * kDigestBytes;
}

std::uint64_t RowOffset(std::uint64_t group) {
  return SegmentOffset(group) + kSegmentGroupBytes + group % kGroupsPerSegment * kRowBytes;
}

std::uint32_t AlgorithmNumber(DigestAlgorithm algorithm) {
  return algorithm == DigestAlgorithm::kSha256 ? 0 : 1;
}

std::vector<std::byte> MakeHeader(DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  std::vector<std::byte> header(kHeaderBytes);
  const MutableByteSpan bytes(header);
  std::ranges::copy(AsBytes(kMagic), header.begin());
  StoreLittle<std::uint32_t>(bytes, 8, kTableVersion);
  StoreLittle<std::uint32_t>(bytes, 12, AlgorithmNumber(algorithm));
  StoreLittle<std::uint32_t>(bytes, 16, static_cast<std::uint32_t>(kChunkBytes));
  StoreLittle<std::uint32_t>(bytes, 20, static_cast<std::uint32_t>(kGroupBytes));
  StoreLittle<std::uint64_t>(bytes, kHeaderDiskBytesOffset, disk_bytes);
  StoreLittle<std::uint32_t>(bytes, kHeaderChecksumOffset,
                             Crc32c(ByteSpan(header).first(kHeaderChecksumOffset)));
  return header;
}

Status CheckHeader(PageBlobReader& blob, DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  const auto expected = MakeHeader(algorithm, disk_bytes);
  std::vector<std::byte> found(kHeaderBytes);
  if (blob.size_bytes() >= DigestBlobBytes(disk_bytes)) ASR_CHECK(blob.Read(0, found));
  if (std::equal(found.begin(), found.begin() + kHeaderUsedBytes, expected.begin())) return {};
  if (blob.size_bytes() == DigestBlobBytes(disk_bytes) && IsZero(found)) {
    // Whoever made the blob died before its header was written: nothing was ever replicated.
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kBlobNotFound,
                          "the disk's digest blob was never finished"));
  }
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("the digest blob's header is not that of a disk of {} bytes",
                                    disk_bytes))
                  .WithCause("the blob was damaged, or belongs to another disk")
                  .WithAction("disable protection of the VM with --keep-data and enable it again"));
}

Status ReadGroupsOf(PageBlobReader& blob, std::uint64_t first, std::span<Digest> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t group = first + done;
    const auto count = static_cast<std::size_t>(
        std::min<std::uint64_t>(out.size() - done, kGroupsPerSegment - group % kGroupsPerSegment));
    ASR_CHECK(blob.Read(GroupOffset(group), std::as_writable_bytes(out.subspan(done, count))));
    done += count;
  }
  return {};
}

// Calls `visit(first, digests)` over all groups in windows; stops early when it returns false.
template <class Read, class Visit>
Result<bool> ForEachWindow(std::uint64_t group_count, const Read& read, const Visit& visit) {
  std::vector<Digest> window(kGroupsPerSegment);
  for (std::uint64_t first = 0; first < group_count; first += kGroupsPerSegment) {
    const auto count = static_cast<std::size_t>(std::min(kGroupsPerSegment, group_count - first));
    const std::span<Digest> digests = std::span(window).first(count);
    ASR_CHECK(read(first, digests));
    ASR_TRY(const bool go_on, visit(first, digests));
    if (!go_on) return false;
  }
  return true;
}

// Those of the `count` entries of `entry_bytes` each, the first of them at `begin`, that `extents`
// touch.
void MarkEntries(const std::vector<Extent>& extents, std::uint64_t begin, std::uint64_t entry_bytes,
                 std::vector<bool>& marks) {
  for (const Extent& extent : extents) {
    const std::uint64_t end = DivideRoundingUp(extent.end_bytes() - begin, entry_bytes);
    for (std::uint64_t i = (extent.offset_bytes - begin) / entry_bytes; i < end; ++i) {
      marks[i] = true;
    }
  }
}

}  // namespace

std::uint64_t DigestBlobBytes(std::uint64_t disk_bytes) {
  return kHeaderBytes + DivideRoundingUp(GroupCount(disk_bytes), kGroupsPerSegment) * kSegmentBytes;
}

DigestTableReader::DigestTableReader(std::unique_ptr<PageBlobReader> blob,
                                     std::uint64_t group_count)
    : blob_(std::move(blob)), group_count_(group_count) {}

Result<std::unique_ptr<DigestTableReader>> DigestTableReader::Open(
    std::unique_ptr<PageBlobReader> blob, DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  ASR_CHECK(CheckHeader(*blob, algorithm, disk_bytes));
  return std::unique_ptr<DigestTableReader>(
      new DigestTableReader(std::move(blob), GroupCount(disk_bytes)));
}

Status DigestTableReader::ReadGroups(std::uint64_t first, std::span<Digest> out) {
  return ReadGroupsOf(*blob_, first, out);
}

Status DigestTableReader::ReadChunks(std::uint64_t group, ChunkRow& out) {
  return blob_->Read(RowOffset(group), std::as_writable_bytes(std::span(out)));
}

Result<std::vector<bool>> DigestTableReader::GroupsIn(ExtentsOf extents_of, std::uint64_t first,
                                                      std::size_t count) {
  std::vector<bool> marks(count);
  ASR_TRY(const auto digests, ((*blob_).*extents_of)({GroupOffset(first), count * kDigestBytes}));
  MarkEntries(digests, GroupOffset(first), kDigestBytes, marks);
  ASR_TRY(const auto rows, ((*blob_).*extents_of)({RowOffset(first), count * kRowBytes}));
  MarkEntries(rows, RowOffset(first), kRowBytes, marks);
  return marks;
}

Result<std::vector<bool>> DigestTableReader::OwnGroups(std::uint64_t first, std::size_t count) {
  return GroupsIn(&PageBlobReader::OwnExtents, first, count);
}

Result<std::vector<bool>> DigestTableReader::FilledGroups(std::uint64_t first, std::size_t count) {
  return GroupsIn(&PageBlobReader::DataExtents, first, count);
}

std::vector<Extent> DigestTableReader::UnusedExtents() const {
  std::vector<Extent> extents{{kHeaderUsedBytes, kHeaderBytes - kHeaderUsedBytes}};
  const std::uint64_t rest = group_count_ % kGroupsPerSegment;
  if (rest == 0) return extents;
  const std::uint64_t segment = SegmentOffset(group_count_);
  extents.push_back({segment + rest * kDigestBytes, (kGroupsPerSegment - rest) * kDigestBytes});
  extents.push_back(
      {segment + kSegmentGroupBytes + rest * kRowBytes, (kGroupsPerSegment - rest) * kRowBytes});
  return extents;
}

Result<DigestTable> DigestTable::Create(BlobStore& store, const std::string& name,
                                        DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  ASR_TRY(auto blob, store.CreatePageBlob(name, DigestBlobBytes(disk_bytes)));
  ASR_CHECK(blob->Write(0, MakeHeader(algorithm, disk_bytes)));
  ASR_CHECK(blob->Flush());
  return DigestTable(std::move(blob), disk_bytes);
}

Result<DigestTable> DigestTable::Open(BlobStore& store, const std::string& name,
                                      DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  ASR_TRY(auto blob, store.OpenPageBlob(name));
  ASR_CHECK(CheckHeader(*blob, algorithm, disk_bytes));
  return DigestTable(std::move(blob), disk_bytes);
}

Status DigestTable::Grow(PageBlob& blob, DigestAlgorithm algorithm, std::uint64_t disk_bytes) {
  ASR_CHECK(blob.Resize(DigestBlobBytes(disk_bytes)));
  ASR_CHECK(blob.Flush());
  ASR_CHECK(blob.Write(0, MakeHeader(algorithm, disk_bytes)));
  return blob.Flush();
}

Result<std::optional<std::uint64_t>> DiskBytesOfTable(PageBlobReader& blob,
                                                      DigestAlgorithm algorithm) {
  std::vector<std::byte> found(kHeaderBytes);
  if (blob.size_bytes() < kHeaderBytes) return std::nullopt;
  ASR_CHECK(blob.Read(0, found));
  const auto disk_bytes = LoadLittle<std::uint64_t>(found, kHeaderDiskBytesOffset);
  const auto expected = MakeHeader(algorithm, disk_bytes);
  if (!std::equal(found.begin(), found.begin() + kHeaderUsedBytes, expected.begin())) {
    return std::nullopt;
  }
  return disk_bytes;
}

DigestTable::DigestTable(std::unique_ptr<PageBlob> blob, std::uint64_t disk_bytes)
    : blob_(std::move(blob)),
      group_count_(GroupCount(disk_bytes)),
      segments_(DivideRoundingUp(group_count_, kGroupsPerSegment)) {}

// Of all its groups, also those behind the disk's end. The mutex is held.
Result<std::span<Digest>> DigestTable::SegmentOf(std::uint64_t group) {
  Segment& segment = segments_[group / kGroupsPerSegment];
  if (segment.empty()) {
    Segment digests(kGroupsPerSegment);
    ASR_CHECK(blob_->Read(GroupOffset(AlignDown(group, kGroupsPerSegment)),
                          std::as_writable_bytes(std::span(digests))));
    segment = std::move(digests);
  }
  return std::span<Digest>(segment);
}

Status DigestTable::ReadGroups(std::uint64_t first, std::span<Digest> out) {
  const std::lock_guard lock(*mutex_);
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t group = first + done;
    const std::uint64_t skip = group % kGroupsPerSegment;
    const auto count = std::min<std::size_t>(out.size() - done, kGroupsPerSegment - skip);
    ASR_TRY(const std::span<Digest> segment, SegmentOf(group));
    std::ranges::copy(segment.subspan(skip, count), out.subspan(done).begin());
    done += count;
  }
  return {};
}

std::vector<Digest> DigestTable::KnownGroups() const {
  const std::lock_guard lock(*mutex_);
  std::vector<Digest> all;
  all.reserve(segments_.size() * kGroupsPerSegment);
  for (const Segment& segment : segments_) {
    if (segment.empty()) return {};
    all.insert(all.end(), segment.begin(), segment.end());
  }
  all.resize(group_count_);
  return all;
}

void DigestTable::AdoptGroups(std::span<const Digest> groups) {
  const std::lock_guard lock(*mutex_);
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const auto part = groups.subspan(i * kGroupsPerSegment);
    segments_[i].assign(
        part.begin(), part.begin() + std::min<std::ptrdiff_t>(std::ssize(part), kGroupsPerSegment));
    segments_[i].resize(kGroupsPerSegment);
  }
}

Status DigestTable::ReadChunks(std::uint64_t group, ChunkRow& out) {
  return blob_->Read(RowOffset(group), std::as_writable_bytes(std::span(out)));
}

// Reads both levels of groups [first, first + count), lets `update(digests, rows)` change them, and
// writes them back. The groups lie in one segment.
template <class Update>
Status DigestTable::UpdateGroups(std::uint64_t first, std::size_t count, const Update& update) {
  std::vector<ChunkRow> rows(count);
  ASR_CHECK(blob_->Read(RowOffset(first), std::as_writable_bytes(std::span(rows))));
  // Digests of groups share a page with their neighbours'.
  const std::uint64_t page_first = AlignDown(first, kDigestsPerPage);
  const std::uint64_t page_end = AlignUp(first + count, kDigestsPerPage);
  std::vector<Digest> digests(page_end - page_first);
  ASR_CHECK(ReadGroups(page_first, digests));
  update(std::span(digests).subspan(first - page_first, count), std::span(rows));
  // What is on its way is read again if it fails.
  const std::lock_guard lock(*mutex_);
  Segment segment = std::exchange(segments_[first / kGroupsPerSegment], {});
  ASR_CHECK(blob_->Write(RowOffset(first), std::as_bytes(std::span(rows))));
  ASR_CHECK(blob_->Write(GroupOffset(page_first), std::as_bytes(std::span(digests))));
  if (segment.empty()) return {};  // another update failed meanwhile: it is read again
  std::ranges::copy(digests,
                    segment.begin() + static_cast<std::ptrdiff_t>(page_first % kGroupsPerSegment));
  segments_[first / kGroupsPerSegment] = std::move(segment);
  return {};
}

namespace {

// Length of the run of neighbouring groups that begins at `begin` and lies in one segment.
template <class Entry>
std::size_t RunLength(std::span<const Entry> entries, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < entries.size() && end - begin < kGroupsAtOnce &&
         entries[end].group == entries[end - 1].group + 1 &&
         entries[end].group % kGroupsPerSegment != 0) {
    ++end;
  }
  return end - begin;
}

}  // namespace

Status DigestTable::MarkUnknown(std::span<const ChangedChunks> changes) {
  std::vector<Extent> touched;
  for (const ChangedChunks& change : changes) {
    AppendExtent(touched, {AlignDown(GroupOffset(change.group), kPageBytes), kPageBytes});
    AppendExtent(touched, {RowOffset(change.group), kRowBytes});
  }
  ASR_CHECK(blob_->Preserve(touched));
  for (std::size_t i = 0; i < changes.size();) {
    const std::size_t count = RunLength(changes, i);
    const auto run = changes.subspan(i, count);
    ASR_CHECK(UpdateGroups(run.front().group, count, [&](auto digests, auto rows) {
      for (std::size_t k = 0; k < count; ++k) {
        digests[k] = Digest::Unknown();
        for (std::size_t chunk = 0; chunk < kChunksPerGroup; ++chunk) {
          if ((run[k].chunk_mask >> chunk & 1) != 0) rows[k][chunk] = Digest::Unknown();
        }
      }
    }));
    i += count;
  }
  return blob_->Flush();
}

Status DigestTable::Store(std::span<const GroupDigests> all) {
  for (std::size_t i = 0; i < all.size();) {
    const std::size_t count = RunLength(all, i);
    const auto run = all.subspan(i, count);
    ASR_CHECK(UpdateGroups(run.front().group, count, [&](auto digests, auto rows) {
      for (std::size_t k = 0; k < count; ++k) {
        digests[k] = run[k].digest;
        rows[k] = run[k].chunks;
      }
    }));
    i += count;
  }
  return {};
}

Result<bool> TablesAgree(DigestTable& live, DigestTableReader& sealed, std::uint64_t disk_bytes) {
  std::vector<Digest> other(kGroupsPerSegment);
  return ForEachWindow(
      GroupCount(disk_bytes),
      [&](std::uint64_t first, std::span<Digest> out) { return live.ReadGroups(first, out); },
      [&](std::uint64_t first, std::span<Digest> digests) -> Result<bool> {
        const std::span<Digest> sealed_digests = std::span(other).first(digests.size());
        ASR_CHECK(sealed.ReadGroups(first, sealed_digests));
        return std::equal(digests.begin(), digests.end(), sealed_digests.begin()) &&
               std::none_of(digests.begin(), digests.end(),
                            [](const Digest& digest) { return digest.is_unknown(); });
      });
}

Result<bool> AllKnown(DigestTable& table, std::uint64_t disk_bytes) {
  return ForEachWindow(
      GroupCount(disk_bytes),
      [&](std::uint64_t first, std::span<Digest> out) { return table.ReadGroups(first, out); },
      [](std::uint64_t, std::span<Digest> digests) -> Result<bool> {
        return std::none_of(digests.begin(), digests.end(),
                            [](const Digest& digest) { return digest.is_unknown(); });
      });
}

}  // namespace asr
