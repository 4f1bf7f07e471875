#include "core/points/roll_back.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "storage/base/stop.h"

namespace asr {
namespace {

// Between two commits: bounds what is held of rows, and what is done again after a crash.
constexpr std::uint64_t kGroupsAtOnce = 128;

// One disk on its way back.
class RollBack {
 public:
  RollBack(SealedDisk& point, DiskReplica& replica, DigestAlgorithm algorithm)
      : point_(point), replica_(replica), algorithm_(algorithm), buffer_(kChunkBytes) {}

  // Groups [first, first + count). Returns the bytes written or cleared.
  Result<std::uint64_t> RunWindow(std::uint64_t first, std::uint64_t count) {
    ASR_CHECK(Compare(first, count));
    if (rows_.empty()) return 0;
    if (!changes_.empty()) ASR_CHECK(replica_.Prepare(changes_));
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (std::uint64_t chunk = 0; chunk < kChunksPerGroup; ++chunk) {
        if ((changes_[i].chunk_mask >> chunk & 1) == 0) continue;
        ASR_TRY(const std::uint64_t written, CopyChunk(rows_[i], chunk));
        bytes += written;
      }
    }
    ASR_CHECK(replica_.Commit(rows_));
    return bytes;
  }

 private:
  // Fills rows_ with the point's digests of the groups that differ, and changes_ with their chunks.
  Status Compare(std::uint64_t first, std::uint64_t count) {
    rows_.clear();
    changes_.clear();
    std::vector<Digest> sealed(count);
    std::vector<Digest> live(count);
    ASR_CHECK(point_.digests().ReadGroups(first, sealed));
    ASR_CHECK(replica_.digests().ReadGroups(first, live));
    for (std::uint64_t i = 0; i < count; ++i) {
      if (sealed[i].is_zero() && live[i].is_zero()) continue;
      GroupDigests row{.group = first + i, .digest = sealed[i], .chunks = {}};
      ChunkRow now;
      ASR_CHECK(ReadSealedRow(row));
      ASR_CHECK(replica_.digests().ReadChunks(row.group, now));
      ChangedChunks change{.group = row.group, .chunk_mask = 0};
      for (std::uint64_t chunk = 0; chunk < kChunksPerGroup; ++chunk) {
        if (row.chunks[chunk] != now[chunk]) change.chunk_mask |= std::uint64_t{1} << chunk;
      }
      if (change.chunk_mask == 0 && sealed[i] == live[i]) continue;
      rows_.push_back(row);
      changes_.push_back(change);
    }
    return {};
  }

  // A power loss may have left "unknown" in the row of a group that is known: the group decides.
  Status ReadSealedRow(GroupDigests& row) {
    ASR_CHECK(point_.digests().ReadChunks(row.group, row.chunks));
    if (std::ranges::none_of(row.chunks, &Digest::is_unknown)) return {};
    const std::uint64_t begin = row.group * kGroupBytes;
    const std::uint64_t disk_bytes = replica_.disk().size_bytes;
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      const std::uint64_t offset = begin + i * kChunkBytes;
      row.chunks[i] = Digest::Zero();
      if (row.digest.is_zero() || offset >= disk_bytes) continue;
      std::ranges::fill(buffer_.span(), std::byte{0});
      ASR_CHECK(
          point_.Read(offset, buffer_.span().first(std::min(kChunkBytes, disk_bytes - offset))));
      row.chunks[i] = ComputeChunkDigest(algorithm_, buffer_.span());
    }
    if (row.digest.is_zero() || ComputeGroupDigest(algorithm_, row.chunks) == row.digest) return {};
    return Fail(Damaged(begin));
  }

  [[nodiscard]] Error Damaged(std::uint64_t offset) const {
    return MakeError(ErrorKind::kCorrupt, ErrorCode::kPointCorrupt,
                     fmt::format("disk {} of the recovery point is damaged at offset {}",
                                 replica_.disk().name.value, offset))
        .WithCause("the vault's storage lost or changed bytes")
        .WithAction(
            "have the disk sent again, with asr resync and --now --deep; or look for a "
            "point that is whole, with asr points verify");
  }

  Result<std::uint64_t> CopyChunk(const GroupDigests& row, std::uint64_t chunk) {
    const std::uint64_t offset = row.group * kGroupBytes + chunk * kChunkBytes;
    const std::uint64_t padded_bytes = PaddedDiskBytes(replica_.disk().size_bytes);
    if (offset >= padded_bytes) return 0;  // behind the disk's end; both are zeros
    const std::uint64_t disk_bytes = replica_.disk().size_bytes;
    const std::uint64_t length =
        offset < disk_bytes ? std::min(kChunkBytes, disk_bytes - offset) : 0;
    if (row.chunks[chunk].is_zero() || length == 0) {
      const Extent range{offset, std::min(kChunkBytes, padded_bytes - offset)};
      ASR_CHECK(replica_.Clear(range));
      return range.length_bytes;
    }
    const MutableByteSpan bytes = buffer_.span();
    std::ranges::fill(bytes, std::byte{0});
    ASR_CHECK(point_.Read(offset, bytes.first(length)));
    if (ComputeChunkDigest(algorithm_, bytes) == row.chunks[chunk]) {
      ASR_CHECK(replica_.Write(offset, bytes.first(length)));
      return length;
    }
    return Fail(Damaged(offset));
  }

  SealedDisk& point_;
  DiskReplica& replica_;
  DigestAlgorithm algorithm_;
  AlignedBuffer buffer_;
  std::vector<GroupDigests> rows_;
  std::vector<ChangedChunks> changes_;
};

}  // namespace

Result<std::uint64_t> RollBackDisk(SealedDisk& point, DiskReplica& replica,
                                   DigestAlgorithm algorithm,
                                   const std::function<void(std::uint64_t bytes)>& on_progress,
                                   const std::stop_token& stop) {
  RollBack roll_back(point, replica, algorithm);
  const std::uint64_t group_count = GroupCount(replica.disk().size_bytes);
  std::uint64_t total_bytes = 0;
  for (std::uint64_t first = 0; first < group_count; first += kGroupsAtOnce) {
    ASR_CHECK(CheckStop(stop));
    ASR_TRY(const std::uint64_t bytes,
            roll_back.RunWindow(first, std::min(kGroupsAtOnce, group_count - first)));
    if (bytes > 0) on_progress(bytes);
    total_bytes += bytes;
  }
  ASR_CHECK(replica.digests().Flush());
  return total_bytes;
}

}  // namespace asr
