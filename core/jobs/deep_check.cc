#include "core/jobs/deep_check.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/model/group_workers.h"

namespace asr {
namespace {

constexpr int kGroupsInFlight = 4;
// Between two announcements of what was found.
constexpr std::uint64_t kGroupsAtOnce = 128;
// A bad sector stays bad; a cable that was touched does not.
constexpr int kReads = 3;
// Before bytes are given up, the device gets this long to come back.
constexpr double kReadAgainSeconds = 3;
// More than this share of what was looked at together, and more than so many chunks: that is no
// lost sector, but a device in trouble.
constexpr std::uint64_t kMostUnreadableShare = 4;
constexpr std::uint64_t kFewChunks = 64;
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
  DeepCheck(DiskReplica& replica, const Disk& source, DigestAlgorithm algorithm, Clock& clock)
      : replica_(replica), source_(source), algorithm_(algorithm), clock_(clock) {}

  Result<GroupDamage> Look(std::uint64_t group, const Digest& digest, AlignedBuffer& buffer);
  // Marks what was found; ascending by group.
  Status Mark(std::vector<GroupDamage> found, std::uint64_t groups_looked_at);

  [[nodiscard]] const DeepFindings& findings() const { return findings_; }

 private:
  // Fills the buffer, zeros behind the end; returns which chunks cannot be read.
  Result<std::uint64_t> ReadGroup(std::uint64_t group, MutableByteSpan buffer);
  Result<bool> ReadChunk(std::uint64_t offset_bytes, MutableByteSpan chunk);
  // Looks once more, after a pause, at what could not be read.
  Status LookAgain(std::vector<GroupDamage>& found, std::uint64_t groups_looked_at);
  // Older points get the chunk's bytes from the source. If it has others: nothing for bytes that
  // are only wrong, which may be mended otherwise; a text for those that cannot be read.
  Status StandIn(std::uint64_t offset_bytes, const Digest& digest, bool is_unreadable);
  // False if the source does not hold the chunk as it was.
  Result<bool> TakeFromSource(std::uint64_t offset_bytes, const Digest& digest,
                              MutableByteSpan chunk);

  DiskReplica& replica_;
  const Disk& source_;
  DigestAlgorithm algorithm_;
  Clock& clock_;
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

Status DeepCheck::LookAgain(std::vector<GroupDamage>& found, std::uint64_t groups_looked_at) {
  std::uint64_t count = 0;
  for (const GroupDamage& damage : found) count += CountOf(damage.unreadable);
  if (count == 0) return {};
  clock_.SleepSeconds(kReadAgainSeconds);
  AlignedBuffer chunk(kChunkBytes);
  for (GroupDamage& damage : found) {
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      const std::uint64_t bit = std::uint64_t{1} << i;
      if ((damage.unreadable & bit) == 0) continue;
      ASR_TRY(const bool read,
              ReadChunk(damage.group * kGroupBytes + i * kChunkBytes, chunk.span()));
      if (!read) continue;
      --count;
      damage.unreadable &= ~bit;
      const Digest& digest = damage.row[i];
      if (digest.is_unknown() || ComputeChunkDigest(algorithm_, chunk.span()) == digest) {
        damage.damaged &= ~bit;
      }
    }
  }
  std::erase_if(found, [](const GroupDamage& damage) { return damage.damaged == 0; });
  if (count <= kFewChunks || count <= groups_looked_at * kChunksPerGroup / kMostUnreadableShare) {
    return {};
  }
  return Fail(
      MakeError(ErrorKind::kIo, ErrorCode::kIo,
                fmt::format("{} of {} chunks of 64 KiB of the replica of disk {} cannot be read",
                            count, groups_looked_at * kChunksPerGroup, replica_.disk().name.value))
          .WithCause("the device under the vault fails as a whole, or is away")
          .WithAction("look after the device first; nothing was given up or changed")
          .Retryable());
}

Status DeepCheck::StandIn(std::uint64_t offset_bytes, const Digest& digest, bool is_unreadable) {
  AlignedBuffer chunk(kChunkBytes);
  ASR_TRY(const bool found, TakeFromSource(offset_bytes, digest, chunk.span()));
  if (!found && !is_unreadable) return {};
  if (!found) {
    ++findings_.lost_chunks;
    const ByteSpan text = AsBytes(kLostText);
    for (std::size_t i = 0; i < kChunkBytes; ++i) chunk.span()[i] = text[i % text.size()];
  }
  return replica_.KeepInstead(offset_bytes, chunk.span());
}

Status DeepCheck::Mark(std::vector<GroupDamage> found, std::uint64_t groups_looked_at) {
  ASR_CHECK(LookAgain(found, groups_looked_at));
  std::vector<ChangedChunks> changes;
  for (const GroupDamage& damage : found) {
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      if ((damage.damaged >> i & 1) == 0) continue;
      ASR_CHECK(StandIn(damage.group * kGroupBytes + i * kChunkBytes, damage.row[i],
                        (damage.unreadable >> i & 1) != 0));
    }
    findings_.unreadable_chunks += CountOf(damage.unreadable);
    findings_.damaged_bytes += CountOf(damage.damaged) * kChunkBytes;
    changes.push_back({.group = damage.group, .chunk_mask = damage.damaged});
  }
  return changes.empty() ? Status() : replica_.Prepare(changes);
}

}  // namespace

Result<DeepFindings> MarkDamagedChunks(DiskReplica& replica, const Disk& source,
                                       DigestAlgorithm algorithm, Clock& clock,
                                       TaskProgress& progress, const std::stop_token& stop) {
  DeepCheck check(replica, source, algorithm, clock);
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
    ASR_CHECK(check.Mark(std::move(found), digests.size()));
    ASR_CHECK(read);
  }
  return check.findings();
}

}  // namespace asr
