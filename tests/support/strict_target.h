// A target of transfers in memory, and disks to send to it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "core/transfer/transfer_target.h"
#include "tests/support/memory_disk.h"

namespace asr::testing {

inline constexpr DigestAlgorithm kAlgorithm = DigestAlgorithm::kSha256;

// A target in memory that holds the transfer to its contract: pages change only after they were
// announced, and digests are noted only for what is there.
class StrictTarget : public TransferTarget {
 public:
  explicit StrictTarget(std::uint64_t size_bytes)
      : bytes_(AlignUp(size_bytes, kGroupBytes)), groups_(GroupCount(size_bytes)) {
    for (std::size_t i = 0; i < groups_.size(); ++i) groups_[i].group = i;
  }

  Status ReadGroups(std::uint64_t first, std::span<Digest> out) override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = groups_[first + i].digest;
    return {};
  }
  Status ReadChunks(std::uint64_t group, ChunkRow& out) override {
    const std::lock_guard lock(mutex_);
    out = groups_[group].chunks;
    return {};
  }
  Status Prepare(std::span<const ChangedChunks> changes) override {
    const std::lock_guard lock(mutex_);
    ++prepare_calls;
    std::uint64_t last = 0;
    for (const ChangedChunks& change : changes) {
      EXPECT_GE(change.group, last);
      last = change.group;
      groups_[change.group].digest = Digest::Unknown();
      for (std::size_t i = 0; i < kChunksPerGroup; ++i) {
        if ((change.chunk_mask >> i & 1) != 0) {
          groups_[change.group].chunks[i] = Digest::Unknown();
        }
      }
    }
    return {};
  }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    ExpectAnnounced({offset_bytes, bytes.size()});
    if (writes_until_failure == 0) {
      return Fail(ErrorKind::kIo, ErrorCode::kIo, "the link broke");
    }
    --writes_until_failure;
    written_bytes += bytes.size();
    std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(offset_bytes));
    return {};
  }
  Status Clear(Extent range) override {
    ExpectAnnounced(range);
    cleared_bytes += range.length_bytes;
    std::ranges::fill(MutableByteSpan(bytes_).subspan(range.offset_bytes, range.length_bytes),
                      std::byte{0});
    return {};
  }
  Status Commit(std::span<const GroupDigests> groups) override {
    ++commit_calls;
    for (const GroupDigests& group : groups) {
      for (std::size_t i = 0; i < kChunksPerGroup; ++i) {
        const ByteSpan chunk =
            ByteSpan(bytes_).subspan(group.group * kGroupBytes + i * kChunkBytes, kChunkBytes);
        EXPECT_EQ(group.chunks[i], ComputeChunkDigest(kAlgorithm, chunk));
      }
      groups_[group.group] = group;
    }
    return {};
  }

  // Says of a chunk that nothing is known, and spoils its bytes.
  void Spoil(std::uint64_t group, std::size_t chunk) {
    groups_[group].digest = Digest::Unknown();
    groups_[group].chunks[chunk] = Digest::Unknown();
    bytes_[group * kGroupBytes + chunk * kChunkBytes] ^= std::byte{1};
  }

  // Only the group's own digest is unknown, the chunks' are not.
  void ForgetGroup(std::uint64_t group) { groups_[group].digest = Digest::Unknown(); }

  ByteSpan bytes() const { return bytes_; }
  std::atomic<std::uint64_t> written_bytes = 0;
  std::atomic<std::uint64_t> cleared_bytes = 0;
  std::atomic<std::int64_t> writes_until_failure = -1;
  int prepare_calls = 0;
  int commit_calls = 0;

 private:
  void ExpectAnnounced(Extent range) {
    const std::lock_guard lock(mutex_);
    for (std::uint64_t at = range.offset_bytes; at < range.end_bytes(); at += kChunkBytes) {
      EXPECT_TRUE(groups_[at / kGroupBytes].chunks[at % kGroupBytes / kChunkBytes].is_unknown());
    }
  }

  std::mutex mutex_;
  std::vector<std::byte> bytes_;
  std::vector<GroupDigests> groups_;
};

inline void ExpectEqual(const MemoryDisk& source, const StrictTarget& target) {
  EXPECT_TRUE(std::equal(source.bytes().begin(), source.bytes().end(), target.bytes().begin()));
  EXPECT_TRUE(IsZero(target.bytes().subspan(source.size_bytes())));
}

// Forty random changes of an empty disk.
inline std::unique_ptr<MemoryDisk> RandomDisk(std::uint64_t size_bytes, std::uint64_t seed) {
  auto disk = std::make_unique<MemoryDisk>(size_bytes);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 40; ++i) disk->ChangeSomething(random);
  return disk;
}

}  // namespace asr::testing
