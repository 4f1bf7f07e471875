#include "core/transfer/make_equal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "tests/support/memory_disk.h"

namespace asr {
namespace {

using testing::MemoryDisk;

constexpr DigestAlgorithm kAlgorithm = DigestAlgorithm::kSha256;

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

  ByteSpan bytes() const { return bytes_; }
  std::atomic<std::uint64_t> written_bytes = 0;
  std::atomic<std::uint64_t> cleared_bytes = 0;
  std::atomic<std::int64_t> writes_until_failure = -1;
  int prepare_calls = 0;

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

void ExpectEqual(const MemoryDisk& source, const StrictTarget& target) {
  EXPECT_TRUE(std::equal(source.bytes().begin(), source.bytes().end(), target.bytes().begin()));
  EXPECT_TRUE(IsZero(target.bytes().subspan(source.size_bytes())));
}

std::unique_ptr<MemoryDisk> RandomDisk(std::uint64_t size_bytes, std::uint64_t seed) {
  auto disk = std::make_unique<MemoryDisk>(size_bytes);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 40; ++i) disk->ChangeSomething(random);
  return disk;
}

TEST(MakeEqualTest, EmptyTargetGetsAllDataAndNoZeros) {
  // An odd size: the last group, chunk and block are cut short.
  const auto source = RandomDisk(19 * kMiB + 3 * 512, 1);
  StrictTarget target(source->size_bytes());
  const auto stats = MakeEqual(*source, target, {.algorithm = kAlgorithm});
  ASSERT_TRUE(stats) << stats.error().Line();
  ExpectEqual(*source, target);
  EXPECT_EQ(target.cleared_bytes, 0U);
  EXPECT_EQ(stats->bytes_sent, target.written_bytes);
  EXPECT_EQ(stats->bytes_sent + stats->bytes_zero + stats->bytes_skipped, source->size_bytes());
  EXPECT_EQ(target.prepare_calls, 1) << "new data is announced at once";
}

TEST(MakeEqualTest, SecondPassSendsOnlyWhatChanged) {
  const auto source = RandomDisk(32 * kMiB, 2);
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  target.written_bytes = 0;

  source->bytes()[5 * kMiB] ^= std::byte{1};
  const auto stats = MakeEqual(*source, target, {});
  ASSERT_TRUE(stats);
  ExpectEqual(*source, target);
  EXPECT_EQ(target.written_bytes, kChunkBytes);

  target.written_bytes = 0;
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  EXPECT_EQ(target.written_bytes, 0U);
}

TEST(MakeEqualTest, DiscardedDataIsCleared) {
  const auto source = RandomDisk(16 * kMiB, 3);
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  target.written_bytes = 0;
  std::ranges::fill(source->bytes(), std::byte{0});
  const auto stats = MakeEqual(*source, target, {});
  ASSERT_TRUE(stats);
  ExpectEqual(*source, target);
  EXPECT_EQ(target.written_bytes, 0U);
  EXPECT_EQ(stats->bytes_read, 0U) << "holes are never read";
  EXPECT_GT(stats->bytes_cleared, 0U);
}

TEST(MakeEqualTest, UnknownChunksAreAlwaysSentOrCleared) {
  const auto source = RandomDisk(16 * kMiB, 4);
  std::ranges::fill(MutableByteSpan(source->bytes()).subspan(8 * kMiB, kGroupBytes), std::byte{0});
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  target.Spoil(0, 3);
  target.Spoil(2, 5);  // a hole of the source
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  ExpectEqual(*source, target);
}

TEST(MakeEqualTest, InterruptedTransferGoesOnAndEndsEqual) {
  std::mt19937_64 random(5);
  const auto source = RandomDisk(24 * kMiB, 5);
  StrictTarget target(source->size_bytes());
  bool finished = false;
  for (int failure = 0; failure < 200 && !finished; ++failure) {
    target.writes_until_failure = failure;
    finished = MakeEqual(*source, target, {.groups_in_flight = 3}).has_value();
    if (!finished) source->ChangeSomething(random);
  }
  ASSERT_TRUE(finished);
  ExpectEqual(*source, target);
}

TEST(MakeEqualTest, WhatWasSentBeforeAStopIsNotSentAgain) {
  const auto source = RandomDisk(32 * kMiB, 9);
  std::ranges::fill(source->bytes(), std::byte{9});
  StrictTarget target(source->size_bytes());
  std::stop_source stop;
  ASSERT_FALSE(MakeEqual(*source, target,
                         {.groups_in_flight = 1,
                          .on_progress = [&](const TransferStats&) { stop.request_stop(); },
                          .stop = stop.get_token()}));
  EXPECT_EQ(target.written_bytes, kGroupBytes);
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  ExpectEqual(*source, target);
  EXPECT_EQ(target.written_bytes, source->size_bytes());
}

TEST(MakeEqualTest, ReadErrorOfTheSourceEndsIt) {
  const auto source = RandomDisk(16 * kMiB, 6);
  source->before_read = [](Extent range) -> Status {
    if (range.offset_bytes < 8 * kMiB) return {};
    return Fail(ErrorKind::kIo, ErrorCode::kIo, "medium error");
  };
  StrictTarget target(source->size_bytes());
  const auto stats = MakeEqual(*source, target, {});
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.error().message, "medium error");
}

TEST(MakeEqualTest, StopsOnRequest) {
  const auto source = RandomDisk(16 * kMiB, 7);
  StrictTarget target(source->size_bytes());
  std::stop_source stop;
  stop.request_stop();
  const auto stats = MakeEqual(*source, target, {.stop = stop.get_token()});
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(target.written_bytes, 0U);
}

TEST(MakeEqualTest, ProgressSumsUpToTheResult) {
  const auto source = RandomDisk(20 * kMiB, 8);
  StrictTarget target(source->size_bytes());
  std::mutex mutex;
  TransferStats sum;
  const auto add = [&](const TransferStats& done) {
    const std::lock_guard lock(mutex);
    sum += done;
  };
  const auto stats = MakeEqual(*source, target, {.on_progress = add});
  ASSERT_TRUE(stats);
  EXPECT_EQ(sum, *stats);
  EXPECT_EQ(sum.bytes_read, AllocatedBytes(*source).value());
}

}  // namespace
}  // namespace asr
