// Reading a VHDX whose log holds changes that are not yet in their place. The file is never
// written: what the log says is laid over it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "storage/image/disk.h"
#include "tests/support/image_file.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using testing::FileSize;
using ::testing::HasSubstr;
using testing::ImageInMemory;
using testing::OverwriteFile;
using testing::ResizeFile;
using testing::TempDir;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;
using testing::VhdxLogEntry;

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kSector = testing::kVhdxLogSectorBytes;

class VhdxLogTest : public ::testing::Test {
 protected:
  VhdxLogTest() {
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(5 * kMiB, 64 * kKiB);
    builder_.Write(path_);
    first_block_ = builder_.blocks_offset() + kMiB;  // blocks lie from the last to the first
  }

  // An entry whose replay makes the disk right again.
  VhdxLogEntry UndoneTable(const VhdxLogBuilder& log) const {
    VhdxLogEntry entry;
    log.Undo({VhdxBuilder::kTableOffset, kSector}, entry);
    return entry;
  }
  // An entry that must not be replayed: it takes all blocks away and fills the first one's place.
  VhdxLogEntry Poison() const {
    VhdxLogEntry entry;
    entry.zeros = {{VhdxBuilder::kTableOffset, kSector}};
    entry.sectors[first_block_] = Bytes(kSector, std::byte{0xBB});
    return entry;
  }
  VhdxLogEntry Rewritten(std::byte value) const {
    VhdxLogEntry entry;
    entry.sectors[first_block_] = Bytes(kSector, value);
    return entry;
  }

  void ExpectRead() const {
    const Bytes before = ImageInMemory(path_).bytes();
    const auto disk = OpenDisk(PosixFileSystem(), path_);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    EXPECT_EQ(DifferenceFrom(content_, **disk), "");
    EXPECT_TRUE(ImageInMemory(path_).bytes() == before) << "the file was changed";
  }
  void ExpectFirstByte(std::byte value) const {
    const auto disk = OpenDisk(PosixFileSystem(), path_);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    Bytes sector(kSector);
    testing::MustSucceed((*disk)->Read(0, sector));
    EXPECT_EQ(sector, Bytes(kSector, value));
  }
  void ExpectRefused() const {
    const Bytes before = ImageInMemory(path_).bytes();
    const auto disk = OpenDisk(PosixFileSystem(), path_);
    ASSERT_FALSE(disk.has_value());
    EXPECT_EQ(disk.error().code, ErrorCode::kImageDirtyLog) << disk.error().Line();
    EXPECT_EQ(disk.error().kind, ErrorKind::kCorrupt) << disk.error().Line();
    EXPECT_THAT(disk.error().Line(), HasSubstr(path_));
    EXPECT_FALSE(disk.error().action.empty());
    EXPECT_TRUE(ImageInMemory(path_).bytes() == before) << "the file was changed";
  }

  TempDir directory_;
  std::string path_ = directory_ / "disk.vhdx";
  DiskContent content_{8 * kMiB};
  VhdxBuilder builder_{content_};
  std::uint64_t first_block_ = 0;
};

TEST_F(VhdxLogTest, ReplaysTheTable) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  ExpectRead();
}

TEST_F(VhdxLogTest, ReplaysRegionTablesAndMetadata) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry;
  log.Undo({VhdxBuilder::kRegionTable1, 64 * kKiB}, entry);
  log.Undo({VhdxBuilder::kRegionTable2, 64 * kKiB}, entry);
  log.Undo({VhdxBuilder::kMetadataOffset, 128 * kKiB}, entry);
  log.Append(entry);
  ExpectRead();
}

TEST_F(VhdxLogTest, ReplaysDataWithItsFirstEightAndLastFourBytes) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry;
  log.Undo({first_block_, 64 * kKiB}, entry);
  EXPECT_EQ(entry.sectors.size(), 16u);
  log.Append(entry);
  ExpectRead();
}

TEST_F(VhdxLogTest, ReplaysZerosOverWhatIsThere) {
  VhdxLogBuilder log(path_);
  OverwriteFile(path_, first_block_ + 128 * kKiB, Bytes(5 * kSector, std::byte{0xDD}));
  VhdxLogEntry entry;
  entry.zeros = {{first_block_ + 128 * kKiB, 5 * kSector}};
  log.Append(entry);
  ExpectRead();
}

TEST_F(VhdxLogTest, LaterEntriesWinOverEarlierOnes) {
  VhdxLogBuilder log(path_);
  log.Append(Rewritten(std::byte{1}));
  VhdxLogEntry zeros;
  zeros.zeros = {{first_block_ - kSector, 3 * kSector}};
  log.Append(zeros);
  ExpectFirstByte(std::byte{0});
  log.Append(Rewritten(std::byte{2}));
  ExpectFirstByte(std::byte{2});
}

TEST_F(VhdxLogTest, AnEntryMayHaveMoreDescriptorsThanItsFirstSectorHolds) {
  builder_.log_bytes = 4 * kMiB;
  const std::string path = directory_ / "large.vhdx";
  builder_.Write(path);
  path_ = path;
  VhdxLogBuilder log(path_);
  for (const std::size_t count : {126u, 127u, 254u, 255u}) {
    VhdxLogEntry entry = UndoneTable(log);
    const std::uint64_t unused = builder_.blocks_offset() + 512 * kKiB;
    for (std::uint64_t i = entry.sectors.size(); i < count; ++i) {
      entry.zeros.push_back({unused + i % 100 * kSector, kSector});
    }
    log.Append(entry);
    ExpectRead();
    OverwriteFile(path_, VhdxBuilder::kTableOffset, entry.sectors.begin()->second);
  }
}

TEST_F(VhdxLogTest, EntriesGoRoundTheEndOfTheRing) {
  for (const std::uint64_t left : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{5}}) {
    VhdxLogBuilder log(path_);
    log.next_offset = static_cast<std::uint32_t>(kMiB - left * kSector);
    VhdxLogEntry first;
    log.Undo({first_block_, 2 * kSector}, first);
    log.Append(first);  // a sector of header and descriptors, two of data
    const VhdxLogEntry second = UndoneTable(log);
    log.Append(second);
    ExpectRead();
    for (const auto& [offset, sector] : first.sectors) OverwriteFile(path_, offset, sector);
    for (const auto& [offset, sector] : second.sectors) OverwriteFile(path_, offset, sector);
    OverwriteFile(path_, log.log().offset_bytes, Bytes(kMiB));
  }
}

TEST_F(VhdxLogTest, ReplayBeginsAtTheTailOfTheHead) {
  VhdxLogBuilder log(path_);
  log.Append(Poison());  // old: long since in its place, and changed again
  const std::uint32_t tail = log.next_offset;
  VhdxLogEntry entry = UndoneTable(log);
  entry.tail = tail;
  log.Append(entry);
  VhdxLogEntry head;
  head.tail = tail;
  log.Append(head);
  ExpectRead();
}

TEST_F(VhdxLogTest, AnEntryWithoutDescriptorsIsOne) {
  VhdxLogBuilder log(path_);
  log.Append({});
  ExpectRead();
  log.Append(UndoneTable(log));
  log.Append({});
  ExpectRead();
}

TEST_F(VhdxLogTest, TheGreatestSequenceNumberRules) {
  for (const bool poison_first : {false, true}) {
    VhdxLogBuilder right(path_, 5000);
    VhdxLogBuilder old(path_, 3000);
    right.next_offset = poison_first ? 512 * 1024 : 0;
    old.next_offset = poison_first ? 0 : 512 * 1024;
    old.Append(Poison());
    old.Append(Poison());
    const VhdxLogEntry entry = UndoneTable(right);
    right.Append(entry);
    ExpectRead();
    OverwriteFile(path_, VhdxBuilder::kTableOffset, entry.sectors.begin()->second);
    OverwriteFile(path_, right.log().offset_bytes, Bytes(kMiB));
  }
}

TEST_F(VhdxLogTest, SequenceNumbersUseAll64Bits) {
  VhdxLogBuilder log(path_, 0xFFFFFFFF);
  VhdxLogEntry entry;
  log.Undo({first_block_, 2 * kSector}, entry);
  log.Append(entry);
  log.Append(UndoneTable(log));  // its number is 2^32
  ExpectRead();
}

// What a host that stopped in the middle of an entry leaves behind.
TEST_F(VhdxLogTest, ATornLastEntryIsIgnored) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  const std::uint32_t torn = log.Append(Poison());
  OverwriteFile(path_, log.log().offset_bytes + torn + kSector, Bytes(kSector));
  ExpectRead();
}

TEST_F(VhdxLogTest, AnEntryWithAWrongChecksumIsIgnored) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  const std::uint32_t torn = log.Append(Poison());
  OverwriteFile(path_, log.log().offset_bytes + torn + 4, Bytes(4, std::byte{0x42}));
  ExpectRead();
}

struct EntryDamage {
  const char* name;
  std::function<void(MutableByteSpan entry)> edit;
};

// Of an entry like Poison(): its header, a zero descriptor at 64, a data descriptor at 96, data at
// 4096. Each but for this is a whole entry, with a right checksum.
std::vector<EntryDamage> Damages() {
  const auto set32 = [](std::size_t at, std::uint32_t value) {
    return [=](MutableByteSpan entry) { StoreLittle(entry, at, value); };
  };
  const auto set64 = [](std::size_t at, std::uint64_t value) {
    return [=](MutableByteSpan entry) { StoreLittle(entry, at, value); };
  };
  return {{"signature", set32(0, 0)},
          {"length of 0", set32(8, 0)},
          {"length of a descriptor", set32(8, 96)},
          {"length past its data", set32(8, 3 * 4096)},
          {"length over the ring", set32(8, 0xFFFFF000)},
          {"tail between sectors", set32(12, 100)},
          {"tail outside the ring", set32(12, 1 << 20)},
          {"number of 0", set64(16, 0)},
          {"number of another run", set64(16, 7)},
          {"descriptor count", set32(24, 0xFFFFFFFF)},
          {"descriptor missing", set32(24, 3)},
          {"another log's", set64(32, 1)},
          {"descriptor signature", set32(64, 0)},
          {"zero descriptor's number", set64(88, 7)},
          {"data descriptor's number", set64(120, 7)},
          {"place between sectors", set64(112, 4 * kMiB + 512)},
          {"zeros between sectors", set64(80, 4 * kMiB + 512)},
          {"zeros of half a sector", set64(72, 512)},
          {"data signature", set32(4096, 0)},
          {"data's number, high", set32(4100, 7)},
          {"data's number, low", set32(8188, 7)}};
}

TEST_F(VhdxLogTest, ADamagedLastEntryIsIgnored) {
  const Bytes right = ImageInMemory(path_).bytes();
  for (const EntryDamage& damage : Damages()) {
    SCOPED_TRACE(damage.name);
    OverwriteFile(path_, 0, right);
    VhdxLogBuilder log(path_);
    log.Append(UndoneTable(log));
    VhdxLogEntry damaged = Poison();
    damaged.edit = damage.edit;
    log.Append(damaged);
    ExpectRead();
  }
}

TEST_F(VhdxLogTest, ALogWithoutAWholeEntryIsRefused) {
  {
    const VhdxLogBuilder log(path_);
    ExpectRefused();
  }
  const Bytes dirty = ImageInMemory(path_).bytes();
  for (const EntryDamage& damage : Damages()) {
    SCOPED_TRACE(damage.name);
    OverwriteFile(path_, 0, dirty);
    VhdxLogBuilder log(path_);
    VhdxLogEntry damaged = Poison();
    damaged.edit = damage.edit;
    log.Append(damaged);
    ExpectRefused();
  }
}

TEST_F(VhdxLogTest, AGapInTheSequenceEndsIt) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  ++log.next_sequence_number;
  log.Append(Poison());  // its tail lies in the run before the gap
  ExpectRead();
}

TEST_F(VhdxLogTest, ARunThatLacksItsTailIsRefused) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry = Poison();
  entry.tail = 512 * 1024;
  log.Append(entry);
  ExpectRefused();
}

// Headers are never logged, and an entry cannot overwrite the log that it is in.
TEST_F(VhdxLogTest, EntriesForPlacesThatAreNeverLoggedAreNotReplayed) {
  for (const std::uint64_t place :
       {std::uint64_t{0}, VhdxBuilder::kHeader1, VhdxBuilder::kHeader2,
        VhdxBuilder::kTableOffset + builder_.table_bytes() + 512 * kKiB}) {
    SCOPED_TRACE(place);
    VhdxLogBuilder log(path_);
    VhdxLogEntry entry;
    entry.sectors[place] = Bytes(kSector, std::byte{1});
    log.Append(entry);
    ExpectRefused();
    entry.sectors.clear();
    entry.zeros = {{place, kSector}};
    log.next_offset = 0;
    log.Append(entry);
    ExpectRefused();
  }
}

TEST_F(VhdxLogTest, ZerosOfImpossibleLengthsAreRefused) {
  for (const std::uint64_t length : {~std::uint64_t{4095}, std::uint64_t{1} << 63, kTiB * 1024}) {
    SCOPED_TRACE(length);
    VhdxLogBuilder log(path_);
    VhdxLogEntry entry;
    entry.zeros = {{first_block_, length}};
    log.Append(entry);
    EXPECT_FALSE(OpenDisk(PosixFileSystem(), path_).has_value());
  }
}

TEST_F(VhdxLogTest, WithoutALogGuidNothingIsReplayed) {
  VhdxLogBuilder log(path_);
  log.Append(Poison());
  log.EditHeaders([](MutableByteSpan header) { std::memset(&header[48], 0, 16); });
  ExpectRead();
  // Then its version means nothing either.
  log.EditHeaders([](MutableByteSpan header) { StoreLittle<std::uint16_t>(header, 64, 1); });
  ExpectRead();
}

TEST_F(VhdxLogTest, AnotherLogVersionIsRefused) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  log.EditHeaders([](MutableByteSpan header) { StoreLittle<std::uint16_t>(header, 64, 1); });
  const auto disk = OpenDisk(PosixFileSystem(), path_);
  ASSERT_FALSE(disk.has_value());
  EXPECT_THAT(disk.error().Line(), HasSubstr("version 1"));
}

TEST_F(VhdxLogTest, TheCurrentHeaderSaysWhichLogItIs) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  // The older header, the second, has no log.
  Bytes header = builder_.Header(1);
  OverwriteFile(path_, VhdxBuilder::kHeader2, header);
  ExpectRead();
}

TEST_F(VhdxLogTest, AFileShorterThanTheHeadSaysIsRefused) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry = UndoneTable(log);
  entry.flushed_file_offset = FileSize(path_) + kMiB;
  entry.last_file_offset = FileSize(path_) + kMiB;
  log.Append(entry);
  ExpectRefused();
}

TEST_F(VhdxLogTest, OnlyTheHeadSaysHowLongTheFileIs) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry = UndoneTable(log);
  entry.flushed_file_offset = FileSize(path_) + kMiB;
  log.Append(entry);
  log.Append({});
  ExpectRead();
}

TEST_F(VhdxLogTest, TheFileGrowsToWhatTheHeadSays) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry = UndoneTable(log);
  log.Undo({first_block_, 64 * kKiB}, entry);
  const std::uint64_t whole = FileSize(path_);
  ASSERT_EQ(whole, first_block_ + kMiB);
  ResizeFile(path_, first_block_);
  entry.flushed_file_offset = first_block_;
  entry.last_file_offset = whole;
  log.Append(entry);
  ExpectRead();
  EXPECT_EQ(FileSize(path_), first_block_);
}

TEST_F(VhdxLogTest, WhatIsReplayedPastTheEndGrowsTheFileToo) {
  VhdxLogBuilder log(path_);
  VhdxLogEntry entry = UndoneTable(log);
  log.Undo({first_block_, 64 * kKiB}, entry);
  ResizeFile(path_, first_block_);
  entry.zeros.push_back({first_block_ + 64 * kKiB, kMiB - 64 * kKiB});
  entry.flushed_file_offset = first_block_;
  entry.last_file_offset = first_block_;
  log.Append(entry);
  ExpectRead();
}

// What is missing then is no zeros, though a replayed file may be longer than the file itself.
TEST_F(VhdxLogTest, ADirtyFileThatIsCutWhileItIsOpenIsNotReadAsZeros) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  const auto disk = OpenDisk(PosixFileSystem(), path_);
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  ResizeFile(path_, first_block_);
  Bytes sector(kSector);
  const Status read = (*disk)->Read(0, sector);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kImageChanged) << read.error().Line();
}

TEST_F(VhdxLogTest, ADirtyFileKeepsItsStamp) {
  VhdxLogBuilder log(path_);
  log.Append(UndoneTable(log));
  const FileStamp before = PosixFileSystem().Stat(path_).value();
  const auto disk = OpenDisk(PosixFileSystem(), path_);
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  EXPECT_EQ((*disk)->files()[0].stamp, before);
  EXPECT_EQ(PosixFileSystem().Stat(path_).value(), before);
}

}  // namespace
}  // namespace asr
