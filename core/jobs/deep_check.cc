#include "core/jobs/deep_check.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/model/group_workers.h"

namespace asr {
namespace {

constexpr int kGroupsInFlight = 4;
// Between two announcements of what was found.
constexpr std::uint64_t kGroupsAtOnce = 128;
// A bad sector stays bad; a cable that was touched does not.
constexpr int kReads = 3;
// What a recovery point holds in place of bytes that nobody has any more.
constexpr std::string_view kLostText = "asr: the bytes of this chunk are lost\n";

// What is wrong with one group.
struct GroupDamage {
  std::uint64_t group = 0;
  std::uint64_t damaged = 0;     // a bit for each chunk
  std::uint64_t unreadable = 0;  // those of them that cannot be read
  ChunkRow row{};
};

std::uint64_t LengthOfGroup(const ItemDisk& disk, std::uint64_t group) {
  return std::min(kGroupBytes, PaddedDiskBytes(disk.size_bytes) - group * kGroupBytes);
}

std::uint64_t CountOf(std::uint64_t mask) {
  return static_cast<std::uint64_t>(std::popcount(mask));
}

// The disk under the vault has lost the bytes, in contrast to a passing trouble.
bool IsLost(const Status& read) {
  return !read && read.error().kind == ErrorKind::kIo && read.error().code == ErrorCode::kIo;
}

// The check of one disk.
class DeepCheck {
 public:
  DeepCheck(DiskReplica& replica, const Disk& source, DigestAlgorithm algorithm)
      : replica_(replica), source_(source), algorithm_(algorithm) {}

  Result<GroupDamage> Look(std::uint64_t group, const Digest& digest, AlignedBuffer& buffer);
  // Marks what was found; ascending by group.
  Status Mark(const std::vector<GroupDamage>& found);

  [[nodiscard]] const DeepFindings& findings() const { return findings_; }

 private:
  // Fills the buffer, zeros behind the end; returns which chunks cannot be read.
  Result<std::uint64_t> ReadGroup(std::uint64_t group, MutableByteSpan buffer);
  Result<bool> ReadChunk(std::uint64_t offset_bytes, MutableByteSpan chunk);
  Status StandIn(std::uint64_t offset_bytes, const Digest& digest);
  // False if the source does not hold the chunk as it was.
  Result<bool> TakeFromSource(std::uint64_t offset_bytes, const Digest& digest,
                              MutableByteSpan chunk);

  DiskReplica& replica_;
  const Disk& source_;
  DigestAlgorithm algorithm_;
  DeepFindings findings_;
};

Result<bool> DeepCheck::ReadChunk(std::uint64_t offset_bytes, MutableByteSpan chunk) {
  Status read;
  for (int i = 0; i < kReads; ++i) {
    read = replica_.Read(offset_bytes, chunk);
    if (!IsLost(read)) break;
  }
  if (IsLost(read)) return false;
  ASR_CHECK(read);
  return true;
}

Result<std::uint64_t> DeepCheck::ReadGroup(std::uint64_t group, MutableByteSpan buffer) {
  const std::uint64_t begin = group * kGroupBytes;
  const std::uint64_t length = LengthOfGroup(replica_.disk(), group);
  std::ranges::fill(buffer.subspan(length), std::byte{0});
  const Status whole = replica_.Read(begin, buffer.first(length));
  if (whole) return 0;
  if (!IsLost(whole)) return Fail(whole.error());
  std::uint64_t unreadable = 0;
  for (std::uint64_t offset = 0; offset < length; offset += kChunkBytes) {
    ASR_TRY(const bool read, ReadChunk(begin + offset, buffer.subspan(offset, kChunkBytes)));
    if (!read) unreadable |= std::uint64_t{1} << offset / kChunkBytes;
  }
  return unreadable;
}

Result<GroupDamage> DeepCheck::Look(std::uint64_t group, const Digest& digest,
                                    AlignedBuffer& buffer) {
  GroupDamage found{.group = group};
  const ChunkRow& row = found.row;
  ASR_CHECK(replica_.digests().ReadChunks(group, found.row));
  ASR_TRY(found.unreadable, ReadGroup(group, buffer.span()));
  found.damaged = found.unreadable;
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if (row[i].is_unknown() || (found.unreadable >> i & 1) != 0) continue;
    const ByteSpan chunk = buffer.span().subspan(i * kChunkBytes, kChunkBytes);
    if (ComputeChunkDigest(algorithm_, chunk) != row[i]) found.damaged |= std::uint64_t{1} << i;
  }
  // A group that contradicts its chunks: one of them is sent again, and with it comes the group's.
  const bool known = std::ranges::none_of(row, &Digest::is_unknown);
  if (found.damaged == 0 && known && !digest.is_unknown() &&
      ComputeGroupDigest(algorithm_, row) != digest) {
    found.damaged = 1;
  }
  return found;
}

Result<bool> DeepCheck::TakeFromSource(std::uint64_t offset_bytes, const Digest& digest,
                                       MutableByteSpan chunk) {
  std::ranges::fill(chunk, std::byte{0});
  if (digest.is_zero()) return true;
  if (digest.is_unknown() || offset_bytes >= source_.size_bytes()) return false;
  const std::uint64_t length =
      std::min<std::uint64_t>(kChunkBytes, source_.size_bytes() - offset_bytes);
  ASR_CHECK(source_.Read(offset_bytes, chunk.first(length)));
  return ComputeChunkDigest(algorithm_, chunk) == digest;
}

Status DeepCheck::StandIn(std::uint64_t offset_bytes, const Digest& digest) {
  AlignedBuffer chunk(kChunkBytes);
  ASR_TRY(const bool found, TakeFromSource(offset_bytes, digest, chunk.span()));
  if (!found) {
    ++findings_.lost_chunks;
    const ByteSpan text = AsBytes(kLostText);
    for (std::size_t i = 0; i < kChunkBytes; ++i) chunk.span()[i] = text[i % text.size()];
  }
  return replica_.KeepInstead(offset_bytes, chunk.span());
}

Status DeepCheck::Mark(const std::vector<GroupDamage>& found) {
  std::vector<ChangedChunks> changes;
  for (const GroupDamage& damage : found) {
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      if ((damage.unreadable >> i & 1) == 0) continue;
      ASR_CHECK(StandIn(damage.group * kGroupBytes + i * kChunkBytes, damage.row[i]));
    }
    findings_.unreadable_chunks += CountOf(damage.unreadable);
    findings_.damaged_bytes += CountOf(damage.damaged) * kChunkBytes;
    changes.push_back({.group = damage.group, .chunk_mask = damage.damaged});
  }
  return changes.empty() ? Status() : replica_.Prepare(changes);
}

}  // namespace

Result<DeepFindings> MarkDamagedChunks(DiskReplica& replica, const Disk& source,
                                       DigestAlgorithm algorithm, TaskProgress& progress,
                                       const std::stop_token& stop) {
  DeepCheck check(replica, source, algorithm);
  GroupWorkers workers(kGroupsInFlight, stop);
  const std::uint64_t group_count = GroupCount(replica.disk().size_bytes);
  for (std::uint64_t first = 0; first < group_count; first += kGroupsAtOnce) {
    std::vector<Digest> digests(std::min(kGroupsAtOnce, group_count - first));
    ASR_CHECK(replica.digests().ReadGroups(first, digests));
    std::mutex mutex;
    std::vector<GroupDamage> found;
    const Status read =
        workers.ForEach(digests.size(), [&](std::size_t i, AlignedBuffer& buffer) -> Status {
          ASR_TRY(const GroupDamage damage, check.Look(first + i, digests[i], buffer));
          progress.Advance(LengthOfGroup(replica.disk(), first + i));
          if (damage.damaged == 0) return {};
          const std::lock_guard lock(mutex);
          found.push_back(damage);
          return {};
        });
    std::ranges::sort(found, {}, &GroupDamage::group);
    ASR_CHECK(check.Mark(found));
    ASR_CHECK(read);
  }
  return check.findings();
}

}  // namespace asr
