#include "core/points/roll_back.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "core/model/group_workers.h"
#include "storage/base/crc64.h"
#include "storage/base/stop.h"

namespace asr {
namespace {

// Between two commits: bounds what is held of rows, and what is done again after a crash.
constexpr std::uint64_t kGroupsOfAWindow = 128;
constexpr int kGroupsInFlight = 8;

// One disk on its way back.
class RollBack {
 public:
  RollBack(SealedDisk& point, DiskReplica& replica, DigestAlgorithm algorithm,
           const std::stop_token& stop)
      : point_(point),
        replica_(replica),
        algorithm_(algorithm),
        workers_(kGroupsInFlight, stop),
        chunk_(kChunkBytes) {}

  // Groups [first, first + count). Returns the bytes written or cleared.
  Result<std::uint64_t> RunWindow(std::uint64_t first, std::uint64_t count) {
    ASR_CHECK(Compare(first, count));
    if (rows_.empty()) return 0;
    if (!changes_.empty()) ASR_CHECK(replica_.Prepare(changes_));
    std::atomic<std::uint64_t> bytes = 0;
    ASR_CHECK(workers_.ForEach(rows_.size(), [&](std::size_t i, AlignedBuffer& buffer) -> Status {
      ASR_TRY(const std::uint64_t done, CopyGroup(rows_[i], changes_[i].chunk_mask, buffer.span()));
      bytes += done;
      return {};
    }));
    ASR_CHECK(replica_.Commit(rows_));
    return bytes.load();
  }

 private:
  // Fills rows_ with the point's digests of the groups that differ, and changes_ with their chunks.
  Status Compare(std::uint64_t first, std::uint64_t count) {
    rows_.clear();
    changes_.clear();
    std::vector<Digest> sealed(count);
    std::vector<Digest> live(count);
    // The disk has grown since, perhaps: behind the point's end are zeros.
    const std::uint64_t sealed_count = GroupCount(point_.size_bytes());
    const std::uint64_t shared = sealed_count - std::min(sealed_count, first);
    const auto both = static_cast<std::size_t>(std::min(count, shared));
    ASR_CHECK(point_.digests().ReadGroups(first, std::span(sealed).first(both)));
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
    if (row.group >= GroupCount(point_.size_bytes())) return {};
    ASR_CHECK(point_.digests().ReadChunks(row.group, row.chunks));
    if (std::ranges::none_of(row.chunks, &Digest::is_unknown)) return {};
    const std::uint64_t begin = row.group * kGroupBytes;
    const std::uint64_t disk_bytes = point_.size_bytes();
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      const std::uint64_t offset = begin + i * kChunkBytes;
      row.chunks[i] = Digest::Zero();
      if (row.digest.is_zero() || offset >= disk_bytes) continue;
      std::ranges::fill(chunk_.span(), std::byte{0});
      ASR_CHECK(
          point_.Read(offset, chunk_.span().first(std::min(kChunkBytes, disk_bytes - offset))));
      row.chunks[i] = ComputeChunkDigest(algorithm_, chunk_.span());
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

  // Returns the bytes written or cleared.
  Result<std::uint64_t> CopyGroup(const GroupDigests& row, std::uint64_t mask,
                                  MutableByteSpan buffer) {
    std::uint64_t bytes = 0;
    std::uint64_t chunk = 0;
    while (chunk < kChunksPerGroup) {
      const std::uint64_t first = chunk++;
      if ((mask >> first & 1) == 0) continue;
      const bool has_data = HasData(row, first);
      while (chunk < kChunksPerGroup && (mask >> chunk & 1) != 0 &&
             HasData(row, chunk) == has_data) {
        ++chunk;
      }
      const std::uint64_t end = std::min(row.group * kGroupBytes + chunk * kChunkBytes,
                                         has_data ? disk_bytes() : padded_bytes());
      const std::uint64_t begin = row.group * kGroupBytes + first * kChunkBytes;
      if (begin >= end) continue;  // behind the disk's end; both are zeros
      const Extent run{begin, end - begin};
      ASR_CHECK(has_data ? CopyRun(row, run, buffer) : replica_.Clear(run));
      bytes += run.length_bytes;
    }
    return bytes;
  }

  // Neighbouring chunks, all with data, are read and checked; the vault's storage then takes them
  // from the point, or they are written.
  Status CopyRun(const GroupDigests& row, Extent run, MutableByteSpan buffer) {
    const MutableByteSpan bytes = buffer.first(run.length_bytes);
    ASR_CHECK(point_.Read(run.offset_bytes, bytes));
    const MutableByteSpan chunks = buffer.first(AlignUp(run.length_bytes, kChunkBytes));
    std::ranges::fill(chunks.subspan(run.length_bytes), std::byte{0});
    const std::uint64_t first = (run.offset_bytes - row.group * kGroupBytes) / kChunkBytes;
    for (std::uint64_t i = 0; i < chunks.size() / kChunkBytes; ++i) {
      const Digest digest =
          ComputeChunkDigest(algorithm_, chunks.subspan(i * kChunkBytes, kChunkBytes));
      if (digest != row.chunks[first + i]) return Fail(Damaged(run.offset_bytes + i * kChunkBytes));
    }
    ASR_TRY(const bool is_copied, replica_.CopyFrom(point_.point(), run, Crc64(bytes)));
    return is_copied ? Status() : replica_.Write(run.offset_bytes, bytes);
  }

  [[nodiscard]] bool HasData(const GroupDigests& row, std::uint64_t chunk) const {
    return !row.chunks[chunk].is_zero() &&
           row.group * kGroupBytes + chunk * kChunkBytes < disk_bytes();
  }
  [[nodiscard]] std::uint64_t disk_bytes() const { return replica_.disk().size_bytes; }
  [[nodiscard]] std::uint64_t padded_bytes() const { return PaddedDiskBytes(disk_bytes()); }

  SealedDisk& point_;
  DiskReplica& replica_;
  DigestAlgorithm algorithm_;
  GroupWorkers workers_;
  AlignedBuffer chunk_;
  std::vector<GroupDigests> rows_;
  std::vector<ChangedChunks> changes_;
};

}  // namespace

Result<std::uint64_t> RollBackDisk(SealedDisk& point, DiskReplica& replica,
                                   DigestAlgorithm algorithm,
                                   const std::function<void(std::uint64_t bytes)>& on_progress,
                                   const std::stop_token& stop) {
  RollBack roll_back(point, replica, algorithm, stop);
  const std::uint64_t group_count = GroupCount(replica.disk().size_bytes);
  std::uint64_t total_bytes = 0;
  for (std::uint64_t first = 0; first < group_count; first += kGroupsOfAWindow) {
    ASR_CHECK(CheckStop(stop));
    ASR_TRY(const std::uint64_t bytes,
            roll_back.RunWindow(first, std::min(kGroupsOfAWindow, group_count - first)));
    if (bytes > 0) on_progress(bytes);
    total_bytes += bytes;
  }
  ASR_CHECK(replica.digests().Flush());
  return total_bytes;
}

}  // namespace asr
