#include "core/jobs/deep_check.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <vector>

#include "core/model/group_workers.h"

namespace asr {
namespace {

constexpr int kGroupsInFlight = 4;
// Between two announcements of what was found.
constexpr std::uint64_t kGroupsAtOnce = 128;

std::uint64_t LengthOfGroup(const ItemDisk& disk, std::uint64_t group) {
  return std::min(kGroupBytes, PaddedDiskBytes(disk.size_bytes) - group * kGroupBytes);
}

// Chunks of the group that are known, but hold something else.
Result<std::uint64_t> DamagedChunks(DiskReplica& replica, DigestAlgorithm algorithm,
                                    std::uint64_t group, const Digest& digest,
                                    AlignedBuffer& buffer) {
  ChunkRow row;
  ASR_CHECK(replica.digests().ReadChunks(group, row));
  const std::uint64_t length = LengthOfGroup(replica.disk(), group);
  ASR_CHECK(replica.Read(group * kGroupBytes, buffer.span().first(length)));
  std::ranges::fill(buffer.span().subspan(length), std::byte{0});
  std::uint64_t mask = 0;
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if (row[i].is_unknown()) continue;
    const ByteSpan chunk = buffer.span().subspan(i * kChunkBytes, kChunkBytes);
    if (ComputeChunkDigest(algorithm, chunk) != row[i]) mask |= std::uint64_t{1} << i;
  }
  // A group that contradicts its chunks: one of them is sent again, and with it comes the group's.
  const bool known = std::ranges::none_of(row, &Digest::is_unknown);
  if (mask == 0 && known && !digest.is_unknown() && ComputeGroupDigest(algorithm, row) != digest)
    mask = 1;
  return mask;
}

}  // namespace

Result<std::uint64_t> MarkDamagedChunks(DiskReplica& replica, DigestAlgorithm algorithm,
                                        TaskProgress& progress, const std::stop_token& stop) {
  GroupWorkers workers(kGroupsInFlight, stop);
  const std::uint64_t group_count = GroupCount(replica.disk().size_bytes);
  std::uint64_t damaged_bytes = 0;
  for (std::uint64_t first = 0; first < group_count; first += kGroupsAtOnce) {
    std::vector<Digest> digests(std::min(kGroupsAtOnce, group_count - first));
    ASR_CHECK(replica.digests().ReadGroups(first, digests));
    std::mutex mutex;
    std::vector<ChangedChunks> damaged;
    const Status read =
        workers.ForEach(digests.size(), [&](std::size_t i, AlignedBuffer& buffer) -> Status {
          ASR_TRY(const std::uint64_t mask,
                  DamagedChunks(replica, algorithm, first + i, digests[i], buffer));
          progress.Advance(LengthOfGroup(replica.disk(), first + i));
          if (mask == 0) return {};
          const std::lock_guard lock(mutex);
          damaged.push_back({.group = first + i, .chunk_mask = mask});
          return {};
        });
    std::ranges::sort(damaged, {}, &ChangedChunks::group);
    if (!damaged.empty()) ASR_CHECK(replica.Prepare(damaged));
    for (const ChangedChunks& change : damaged) {
      damaged_bytes += static_cast<std::uint64_t>(std::popcount(change.chunk_mask)) * kChunkBytes;
    }
    ASR_CHECK(read);
  }
  return damaged_bytes;
}

}  // namespace asr
