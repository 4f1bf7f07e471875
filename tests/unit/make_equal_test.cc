#include "core/transfer/make_equal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <span>

#include "tests/support/memory_disk.h"
#include "tests/support/strict_target.h"

namespace asr {
namespace {

using testing::ExpectEqual;
using testing::kAlgorithm;
using testing::MemoryDisk;
using testing::RandomDisk;
using testing::StrictTarget;

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

// As a hypervisor tells it: in pieces of any size, clipped to the window.
ChangedExtents Only(std::vector<Extent> changed) {
  return [changed = std::move(changed)](Extent window) -> Result<std::vector<Extent>> {
    std::vector<Extent> inside;
    for (const Extent& extent : changed) {
      const std::uint64_t from = std::max(extent.offset_bytes, window.offset_bytes);
      const std::uint64_t to = std::min(extent.end_bytes(), window.end_bytes());
      if (from < to) AppendExtent(inside, {from, to - from});
    }
    return inside;
  };
}

TEST(MakeEqualTest, WhatDidNotChangeIsNotRead) {
  const auto source = RandomDisk(40 * kMiB, 5);
  const std::span<std::byte> bytes(source->bytes());
  // What surrounds each change holds data: of a chunk that changed in part, all is needed.
  std::ranges::fill(bytes.subspan(30 * kMiB, 4 * kChunkBytes), std::byte{7});
  std::ranges::fill(bytes.subspan(5 * kMiB, kChunkBytes), std::byte{8});
  std::ranges::fill(bytes.subspan(9 * kMiB, 2 * kChunkBytes), std::byte{9});
  std::ranges::fill(bytes.subspan(source->size_bytes() - kChunkBytes, kChunkBytes), std::byte{6});
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {.algorithm = kAlgorithm}));
  target.written_bytes = target.cleared_bytes = 0;
  // One byte; the end of one chunk and the beginning of the next; zeros; the last of the disk; and
  // one that is said to have changed and did not.
  bytes[5 * kMiB + 70] ^= std::byte{1};
  for (std::size_t i = 0; i < 20; ++i) bytes[9 * kMiB + kChunkBytes - 10 + i] ^= std::byte{3};
  std::ranges::fill(bytes.subspan(30 * kMiB, 4 * kChunkBytes), std::byte{0});
  bytes[source->size_bytes() - 1] ^= std::byte{1};
  const auto stats = MakeEqual(*source, target,
                               {.algorithm = kAlgorithm,
                                .changed = Only({{5 * kMiB + 70, 1},
                                                 {9 * kMiB + kChunkBytes - 10, 20},
                                                 {20 * kMiB, 4096},
                                                 {30 * kMiB, 4 * kChunkBytes},
                                                 {source->size_bytes() - 512, 512}})});
  ASSERT_TRUE(stats) << stats.error().Line();
  ExpectEqual(*source, target);
  EXPECT_EQ(target.written_bytes, 4 * kChunkBytes);
  EXPECT_EQ(target.cleared_bytes, 4 * kChunkBytes);
  EXPECT_LE(stats->bytes_read, 9 * kChunkBytes);
  EXPECT_EQ(stats->bytes_sent + stats->bytes_zero + stats->bytes_skipped, source->size_bytes());
}

TEST(MakeEqualTest, WhatIsSaidNotToHaveChangedStaysAsTheTargetHasIt) {
  const auto source = RandomDisk(16 * kMiB, 6);
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {.algorithm = kAlgorithm}));
  const auto before = RandomDisk(16 * kMiB, 6);
  source->bytes()[3 * kMiB] ^= std::byte{1};
  const auto stats =
      MakeEqual(*source, target, {.algorithm = kAlgorithm, .changed = Only({{9 * kMiB, kMiB}})});
  ASSERT_TRUE(stats);
  ExpectEqual(*before, target);
  EXPECT_LE(stats->bytes_read, kMiB);
}

TEST(MakeEqualTest, AHypervisorThatCannotTellFailsThePass) {
  const auto source = RandomDisk(8 * kMiB, 7);
  StrictTarget target(source->size_bytes());
  const auto stats =
      MakeEqual(*source, target, {.changed = [](Extent) -> Result<std::vector<Extent>> {
        return Fail(ErrorKind::kIo, ErrorCode::kIo, "the bitmap is gone");
      }});
  ASSERT_FALSE(stats);
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

TEST(MakeEqualTest, AFillLeavesTheDataThatIsThere) {
  const auto source = RandomDisk(16 * kMiB, 6);
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  const auto guess = RandomDisk(16 * kMiB, 7);
  target.written_bytes = 0;
  const auto filled = MakeEqual(*guess, target, {.only_fills = true});
  ASSERT_TRUE(filled) << filled.error().Line();
  // Of the guess, what lies where the source has nothing.
  const auto is_zero = [](ByteSpan chunk) {
    return std::ranges::all_of(chunk, [](std::byte byte) { return byte == std::byte{0}; });
  };
  std::uint64_t expected_bytes = 0;
  for (std::uint64_t at = 0; at < source->size_bytes(); at += kChunkBytes) {
    const ByteSpan chunk = ByteSpan(source->bytes()).subspan(at, kChunkBytes);
    const MutableByteSpan guessed = MutableByteSpan(guess->bytes()).subspan(at, kChunkBytes);
    if (!is_zero(chunk)) {
      std::ranges::copy(chunk, guessed.begin());
    } else if (!is_zero(guessed)) {
      expected_bytes += kChunkBytes;
    }
  }
  ExpectEqual(*guess, target);
  EXPECT_GT(expected_bytes, 0U) << "nothing was filled";
  EXPECT_EQ(target.written_bytes, expected_bytes);
}

TEST(MakeEqualTest, AFillDoesAwayWithUnknownChunks) {
  const auto source = RandomDisk(8 * kMiB, 8);
  StrictTarget target(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, target, {}));
  target.Spoil(0, 3);
  target.Spoil(1, 5);
  ASSERT_TRUE(MakeEqual(*source, target, {.only_fills = true}));
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

// A process that dies has sent in vain only what it sent since the last commit.
TEST(MakeEqualTest, WhatWasSentIsCommittedAtTheInterval) {
  const auto source = RandomDisk(32 * kMiB, 10);
  std::ranges::fill(source->bytes(), std::byte{9});
  StrictTarget seldom(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, seldom, {}));
  EXPECT_EQ(seldom.commit_calls, 1);
  StrictTarget often(source->size_bytes());
  ASSERT_TRUE(MakeEqual(*source, often,
                        {.groups_in_flight = 1, .commit_interval = std::chrono::milliseconds(0)}));
  ExpectEqual(*source, often);
  EXPECT_EQ(often.commit_calls, 8);
  EXPECT_EQ(often.written_bytes, source->size_bytes());
}

TEST(MakeEqualTest, WhatAnEarlierRunSentCountsAsResumed) {
  const auto source = RandomDisk(32 * kMiB, 11);
  std::ranges::fill(source->bytes(), std::byte{9});
  StrictTarget target(source->size_bytes());
  target.writes_until_failure = 3;
  ASSERT_FALSE(MakeEqual(*source, target, {.groups_in_flight = 1}));
  target.writes_until_failure = -1;
  const auto stats = MakeEqual(*source, target, {.resumes = true});
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->bytes_resumed, 3 * kGroupBytes);
  EXPECT_EQ(stats->bytes_sent, source->size_bytes() - 3 * kGroupBytes);
  const auto later = MakeEqual(*source, target, {});
  ASSERT_TRUE(later);
  EXPECT_EQ(later->bytes_resumed, 0U) << "a pass of its own found it equal";
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
