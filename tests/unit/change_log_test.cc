// A delta through a change log ends as one without it, and a log that is not what was logged is
// found.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/changes/change_log.h"
#include "core/transfer/apply_log.h"
#include "core/transfer/make_equal.h"
#include "core/transfer/spool_target.h"
#include "tests/support/fake_clock.h"
#include "tests/support/image_file.h"
#include "tests/support/strict_target.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ExpectEqual;
using testing::FakeClock;
using testing::kAlgorithm;
using testing::MemoryDisk;
using testing::MustSucceed;
using testing::RandomDisk;
using testing::StrictTarget;
using testing::TempDir;

constexpr std::uint64_t kLoggedDiskBytes = 19 * kMiB + 3 * 512;  // its last chunk is cut short
constexpr ChangeLogWriter::Limits kNoLimit{.most_bytes = kTiB, .space_bytes = kTiB};

class ChangeLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChangeLogWriter> Create(const ChangeLogWriter::Limits& limits = kNoLimit) {
    return ChangeLogWriter::Create(fs_, path_, {.id = id_}, kAlgorithm, limits).value();
  }

  // A target that holds `source`, then changes of the source.
  void Prepare(std::uint64_t seed) {
    source_ = RandomDisk(kLoggedDiskBytes, seed);
    target_ = std::make_unique<StrictTarget>(kLoggedDiskBytes);
    ASSERT_TRUE(MakeEqual(*source_, *target_, {.algorithm = kAlgorithm}));
    std::mt19937_64 random(seed + 100);
    for (int i = 0; i < 10; ++i) source_->ChangeSomething(random);
    source_->bytes().back() = std::byte{7};
  }

  DiskDigest Log() {
    const auto writer = Create();
    SpoolTarget spool(*target_, *writer, clock_);
    const std::uint64_t written_before = target_->written_bytes;
    const auto stats = MakeEqual(*source_, spool, {.algorithm = kAlgorithm});
    EXPECT_TRUE(stats) << stats.error().Line();
    EXPECT_EQ(target_->written_bytes, written_before);
    logged_ = *stats;
    MustSucceed(writer->Close({}, clock_.Now()));
    return spool.TakeDiskDigest();
  }

  Result<TransferStats> Apply() {
    ASR_TRY(const ChangeLog log, ChangeLog::Open(fs_, path_, kAlgorithm));
    return ApplyLog(log, kLoggedDiskBytes, *target_, {.algorithm = kAlgorithm});
  }

  ErrorCode CodeOfApply() {
    const auto applied = Apply();
    return applied ? ErrorCode::kInternal : applied.error().code;
  }

  FileSystem& fs_ = PosixFileSystem();
  FakeClock clock_;
  TempDir directory_;
  std::string path_ = directory_ / "disk.raw.hrl";
  Guid id_{std::byte{9}};
  std::unique_ptr<MemoryDisk> source_;
  std::unique_ptr<StrictTarget> target_;
  TransferStats logged_;
};

TEST_F(ChangeLogTest, AppliedItMakesTheTargetEqual) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prepare(seed);
    const DiskDigest announced = Log();
    EXPECT_NE(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
    const auto applied = Apply();
    ASSERT_TRUE(applied) << applied.error().Line();
    ExpectEqual(*source_, *target_);
    EXPECT_EQ(applied->bytes_sent, logged_.bytes_sent);
    EXPECT_EQ(applied->bytes_cleared, logged_.bytes_cleared);
    EXPECT_EQ(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
    MustSucceed(RemoveChangeLog(fs_, path_));
  }
}

TEST_F(ChangeLogTest, AppliedAgainAfterAnyInterruptionItEndsTheSame) {
  bool whole = false;
  for (std::int64_t writes = 0; !whole; ++writes) {
    Prepare(3);
    const DiskDigest announced = Log();
    target_->writes_until_failure = writes;
    const auto applied = Apply();
    target_->writes_until_failure = -1;
    if (applied) {
      EXPECT_GE(writes, 3);
      whole = true;
      ExpectEqual(*source_, *target_);
      continue;
    }
    EXPECT_EQ(applied.error().code, ErrorCode::kIo);
    EXPECT_NE(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
    ASSERT_TRUE(Apply());
    ASSERT_TRUE(Apply());
    ExpectEqual(*source_, *target_);
    EXPECT_EQ(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
    MustSucceed(RemoveChangeLog(fs_, path_));
  }
}

TEST_F(ChangeLogTest, WhatAnInterruptedApplicationSentIsNotSentAgain) {
  // Which groups are whole when it breaks is for the scheduler to say.
  std::uint64_t resumed_bytes = 0;
  for (std::int64_t writes = 1;; ++writes) {
    Prepare(3);
    Log();
    const std::uint64_t before = target_->written_bytes;
    target_->writes_until_failure = writes;
    const bool was_whole = Apply().has_value();
    target_->writes_until_failure = -1;
    const auto rest = Apply();
    ASSERT_TRUE(rest) << rest.error().Line();
    ExpectEqual(*source_, *target_);
    EXPECT_EQ(rest->bytes_resumed + rest->bytes_sent, logged_.bytes_sent);
    // A group in which it broke may be sent again, the others are not.
    EXPECT_GE(target_->written_bytes - before, rest->bytes_sent + rest->bytes_resumed);
    resumed_bytes += was_whole ? 0 : rest->bytes_resumed;
    const std::uint64_t cleared = target_->cleared_bytes;
    const std::uint64_t written = target_->written_bytes;
    ASSERT_TRUE(Apply());
    EXPECT_EQ(target_->written_bytes, written);
    EXPECT_EQ(target_->cleared_bytes, cleared);
    MustSucceed(RemoveChangeLog(fs_, path_));
    if (was_whole) break;
  }
  EXPECT_GT(resumed_bytes, 0U);
}

// A chunk that an interrupted pass left unknown is logged, whatever its bytes are.
TEST_F(ChangeLogTest, UnknownChunksAreLoggedToo) {
  Prepare(4);
  target_->Spoil(1, 5);
  const DiskDigest announced = Log();
  ASSERT_TRUE(Apply());
  ExpectEqual(*source_, *target_);
  EXPECT_EQ(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
}

// The target changes behind the log's back: then the whole is not what was announced.
TEST_F(ChangeLogTest, ATargetThatMovedOnIsTold) {
  Prepare(5);
  const DiskDigest announced = Log();
  MemoryDisk other(kLoggedDiskBytes);
  other.bytes() = source_->bytes();
  other.bytes()[18 * kMiB] ^= std::byte{1};
  ASSERT_TRUE(MakeEqual(other, *target_, {.algorithm = kAlgorithm}));
  ASSERT_TRUE(Apply());
  // Unless the log holds that very chunk.
  EXPECT_EQ(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits() == announced.bits(),
            std::ranges::equal(source_->bytes(), target_->bytes().first(kLoggedDiskBytes)));
}

TEST_F(ChangeLogTest, NothingToLogIsAnEmptyLog) {
  source_ = RandomDisk(kLoggedDiskBytes, 6);
  target_ = std::make_unique<StrictTarget>(kLoggedDiskBytes);
  ASSERT_TRUE(MakeEqual(*source_, *target_, {.algorithm = kAlgorithm}));
  const auto writer = Create();
  SpoolTarget spool(*target_, *writer, clock_);
  ASSERT_TRUE(MakeEqual(*source_, spool, {.algorithm = kAlgorithm}));
  EXPECT_EQ(writer->entry_count(), 0);
  EXPECT_EQ(spool.TakeDiskDigest().bits(), ReadDiskDigest(*target_, kLoggedDiskBytes)->bits());
}

TEST_F(ChangeLogTest, ALogOverALimitEndsThePass) {
  Prepare(7);
  for (const ErrorCode code : {ErrorCode::kLogTooLarge, ErrorCode::kNoSpace}) {
    const bool over_half = code == ErrorCode::kLogTooLarge;
    const auto writer = Create(
        {.most_bytes = over_half ? 64 * kKiB : kTiB, .space_bytes = over_half ? kTiB : 64 * kKiB});
    SpoolTarget spool(*target_, *writer, clock_);
    const auto stats = MakeEqual(*source_, spool, {.algorithm = kAlgorithm});
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error().code, code) << stats.error().Line();
    ASSERT_TRUE(spool.log_error().has_value());
    EXPECT_EQ(spool.log_error()->code, code);
    MustSucceed(RemoveChangeLog(fs_, path_));
  }
}

// The process died between the two levels of the digests: nothing differs, and yet the group must
// become known again.
TEST_F(ChangeLogTest, AnUnknownGroupOfKnownChunksIsLogged) {
  source_ = RandomDisk(kLoggedDiskBytes, 10);
  target_ = std::make_unique<StrictTarget>(kLoggedDiskBytes);
  ASSERT_TRUE(MakeEqual(*source_, *target_, {.algorithm = kAlgorithm}));
  target_->ForgetGroup(2);
  const DiskDigest announced = Log();
  ASSERT_TRUE(Apply());
  ExpectEqual(*source_, *target_);
  EXPECT_EQ(ReadDiskDigest(*target_, kLoggedDiskBytes)->bits(), announced.bits());
}

TEST_F(ChangeLogTest, OnlyItsOwnerMayReadIt) {
  Prepare(11);
  Log();
  for (const std::string& path : {path_, DigestPathOf(path_)}) {
    const auto permissions = std::filesystem::status(path).permissions();
    EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << path;
  }
}

TEST_F(ChangeLogTest, OfTwoEntriesForAChunkTheLaterWins) {
  target_ = std::make_unique<StrictTarget>(kLoggedDiskBytes);
  const auto writer = Create();
  const std::vector<std::byte> old(2 * kChunkBytes, std::byte{1});
  const std::vector<std::byte> fresh(kChunkBytes, std::byte{2});
  const Digest old_digest = ComputeChunkDigest(kAlgorithm, ByteSpan(old).first(kChunkBytes));
  ASSERT_TRUE(writer->Append(kGroupBytes, old, clock_.Now()));
  ASSERT_TRUE(writer->Append(kGroupBytes, fresh, clock_.Now()));
  ASSERT_TRUE(writer->AppendZeros({kGroupBytes + kChunkBytes, kChunkBytes}, clock_.Now()));
  MustSucceed(writer->AppendDigests(
      std::vector{old_digest, old_digest, ComputeChunkDigest(kAlgorithm, fresh), Digest::Zero()}));
  MustSucceed(writer->Close({}, clock_.Now()));
  ASSERT_TRUE(Apply());
  EXPECT_TRUE(std::ranges::equal(target_->bytes().subspan(kGroupBytes, kChunkBytes), fresh));
  EXPECT_TRUE(IsZero(target_->bytes().subspan(kGroupBytes + kChunkBytes, kChunkBytes)));
}

TEST_F(ChangeLogTest, EntriesThatAreNoWholeChunksOfTheDiskAreRefused) {
  for (const Extent& extent :
       {Extent{512, kChunkBytes}, Extent{0, 512}, Extent{kLoggedDiskBytes - 3 * 512, 2 * 512},
        Extent{20 * kMiB, kChunkBytes}}) {
    target_ = std::make_unique<StrictTarget>(kLoggedDiskBytes);
    const auto writer = Create();
    ASSERT_TRUE(writer->AppendZeros(extent, clock_.Now()));
    MustSucceed(writer->AppendDigests(std::vector<Digest>(2)));
    MustSucceed(writer->Close({}, clock_.Now()));
    EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt) << extent.offset_bytes;
    MustSucceed(RemoveChangeLog(fs_, path_));
  }
}

// Bytes that changed places have the same sum: only the digests tell.
TEST_F(ChangeLogTest, DamagedDataIsFoundByItsDigests) {
  Prepare(8);
  Log();
  const auto log = ChangeLog::Open(fs_, path_, kAlgorithm).value();
  for (std::size_t block = 0; block < log.entries().block_count(); ++block) {
    const auto entries = log.entries().ReadBlock(block).value();
    for (const HrlEntry& entry : entries) {
      std::vector<std::byte> pair(2);
      MustSucceed(log.entries().ReadData(entry, 0, pair));
      if (pair[0] == pair[1]) continue;
      testing::OverwriteFile(path_, entry.file_offset, std::vector{pair[1], pair[0]});
      MustSucceed(log.entries().VerifyData(entry));
      Prepare(8);  // a target that has nothing of the log yet
      EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
      testing::OverwriteFile(path_, entry.file_offset, pair);
    }
  }
  ASSERT_TRUE(Apply());
  ExpectEqual(*source_, *target_);
}

TEST_F(ChangeLogTest, DigestsOfAnotherLogOrCutOnesAreRefused) {
  Prepare(9);
  Log();
  const std::string digests = DigestPathOf(path_);
  const std::uint64_t size_bytes = testing::FileSize(digests);
  testing::ResizeFile(digests, size_bytes - 1);
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
  testing::ResizeFile(digests, 31);
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
  MustSucceed(fs_.RemoveFile(digests));
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
  // Somebody put a pipe or a directory there.
  ASSERT_EQ(::mkfifo(digests.c_str(), 0600), 0);
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
  MustSucceed(fs_.RemoveFile(digests));
  MustSucceed(fs_.CreateDirectories(digests));
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
  MustSucceed(fs_.RemoveEmptyDirectory(digests));

  MustSucceed(RemoveChangeLog(fs_, path_));
  Log();
  testing::OverwriteFile(digests, 8, std::vector{std::byte{1}});
  EXPECT_EQ(CodeOfApply(), ErrorCode::kLogCorrupt);
}

}  // namespace
}  // namespace asr
