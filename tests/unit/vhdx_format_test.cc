#include "storage/image/vhdx_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "storage/base/checksum.h"
#include "storage/image/disk.h"
#include "storage/image/file_claims.h"
#include "tests/support/image_file.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhdx_builder.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using ::testing::HasSubstr;
using testing::ImageInMemory;
using testing::TempDir;
using testing::VhdxBuilder;

TEST(VhdxFormatTest, ChecksumIsCastagnoli) {
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xE3069283);
  EXPECT_EQ(Crc32c(AsBytes("456789"), Crc32c(AsBytes("123"))), 0xE3069283);
}

TEST(VhdxFormatTest, GuidsLieMixedEndianInTheFile) {
  const Guid guid = GuidFromText("2dc27766-F623-4200-9D64-115E9BFD4A08");
  EXPECT_EQ(ToHex(guid), "6677c22d23f600429d64115e9bfd4a08");
  EXPECT_EQ(GuidText(guid), "2dc27766-f623-4200-9d64-115e9bfd4a08");
}

TEST(VhdxFormatTest, ChunkRatioFollowsTheSectorSize) {
  EXPECT_EQ(ShapeVhdxTable(kTiB, 32 * kMiB, 512).blocks_a_chunk, 128u);
  EXPECT_EQ(ShapeVhdxTable(kTiB, 32 * kMiB, 4096).blocks_a_chunk, 1024u);
  EXPECT_EQ(ShapeVhdxTable(kTiB, 256 * kMiB, 512).blocks_a_chunk, 16u);
}

TEST(VhdxFormatTest, TableHasABitmapEntryBetweenChunks) {
  EXPECT_EQ(ShapeVhdxTable(4 * kGiB, kMiB, 512).entry_count(false), 4096u);
  EXPECT_EQ(ShapeVhdxTable(4 * kGiB + 512, kMiB, 512).entry_count(false), 4098u);
  EXPECT_EQ(ShapeVhdxTable(64 * kTiB, kMiB, 512).entry_count(false), (64u << 20) + (16u << 10) - 1);
  // With a parent, every chunk has one.
  EXPECT_EQ(ShapeVhdxTable(4 * kGiB, kMiB, 512).entry_count(true), 4097u);
  EXPECT_EQ(ShapeVhdxTable(4 * kGiB + 512, kMiB, 512).entry_count(true), 8194u);
}

TEST(FileClaimsTest, RefusesWhatIsTakenOrOutside) {
  FileClaims claims(200 * kMiB, kMiB);
  EXPECT_TRUE(claims.Claim({0, kMiB}));
  EXPECT_TRUE(claims.Claim({2 * kMiB, 150 * kMiB}));
  EXPECT_TRUE(claims.Claim({kMiB, 1}));
  EXPECT_FALSE(claims.Claim({kMiB + 512, 1}));
  EXPECT_FALSE(claims.Claim({151 * kMiB, 2 * kMiB}));
  EXPECT_TRUE(claims.Claim({153 * kMiB, 47 * kMiB}));
  EXPECT_FALSE(claims.Claim({200 * kMiB, 1}));
  EXPECT_FALSE(claims.Claim({~std::uint64_t{0}, 2}));
}

class VhdxOpenTest : public ::testing::Test {
 protected:
  VhdxOpenTest() {
    content_.AddPiece(64 * kKiB, 64 * kKiB);
    content_.AddPiece(5 * kMiB, 64 * kKiB);
  }

  std::string Build(const VhdxBuilder& builder) {
    const std::string path = directory_ / ("disk" + std::to_string(++files_) + ".vhdx");
    builder.Write(path);
    return path;
  }

  void ExpectRefused(FileSystem& fs, const std::string& path, ErrorCode code,
                     const std::string& text) {
    const auto disk = OpenDisk(fs, path);
    ASSERT_FALSE(disk.has_value()) << text;
    EXPECT_EQ(disk.error().code, code) << disk.error().Line();
    EXPECT_THAT(disk.error().Line(), HasSubstr(text));
    EXPECT_FALSE(disk.error().action.empty());
  }
  void ExpectRefused(const VhdxBuilder& builder, ErrorCode code, const std::string& text) {
    ExpectRefused(PosixFileSystem(), Build(builder), code, text);
  }
  void ExpectRead(const VhdxBuilder& builder) {
    const auto disk = OpenDisk(PosixFileSystem(), Build(builder));
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    EXPECT_EQ(DifferenceFrom(content_, **disk), "");
  }

  DiskContent content_{8 * kMiB};
  VhdxBuilder builder_{content_};
  TempDir directory_;
  int files_ = 0;
};

TEST_F(VhdxOpenTest, TheHeaderWithTheGreaterNumberRules) {
  for (const std::size_t current : {0u, 1u}) {
    builder_.sequence_numbers = {current == 0 ? 9u : 4u, 5};
    // The other header has a log to replay: taking it would be found out.
    builder_.edit_header = [current](std::size_t index, MutableByteSpan header) {
      if (index != current) header[48] = std::byte{1};
    };
    ExpectRead(builder_);
  }
}

TEST_F(VhdxOpenTest, ADamagedHeaderLeavesTheOther) {
  for (const std::uint64_t damaged : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    ImageInMemory memory(Build(builder_));
    memory.bytes()[damaged + 100] ^= std::byte{1};
    const auto disk = OpenDisk(memory, memory.path());
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    EXPECT_EQ(DifferenceFrom(content_, **disk), "");
  }
  ImageInMemory memory(Build(builder_));
  memory.bytes()[VhdxBuilder::kHeader1 + 100] ^= std::byte{1};
  memory.bytes()[VhdxBuilder::kHeader2 + 100] ^= std::byte{1};
  ExpectRefused(memory, memory.path(), ErrorCode::kImageCorrupt, "both headers");
}

TEST_F(VhdxOpenTest, EqualNumbersNeedEqualHeaders) {
  builder_.sequence_numbers = {3, 3};
  ExpectRead(builder_);
  builder_.edit_header = [](std::size_t index, MutableByteSpan header) {
    header[16] = static_cast<std::byte>(index);
  };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "sequence number 3");
}

TEST_F(VhdxOpenTest, RefusesALogWithoutEntriesThatMustBeReplayed) {
  builder_.edit_header = [](std::size_t, MutableByteSpan header) { header[48] = std::byte{1}; };
  ExpectRefused(builder_, ErrorCode::kImageDirtyLog, "log");
}

TEST_F(VhdxOpenTest, RefusesAnotherVersion) {
  builder_.edit_header = [](std::size_t, MutableByteSpan header) {
    StoreLittle<std::uint16_t>(header, 66, 2);
  };
  ExpectRefused(builder_, ErrorCode::kImageUnsupported, "version 2");
}

TEST_F(VhdxOpenTest, RefusesALogThatLiesOnSomethingElse) {
  for (const std::uint64_t offset :
       {std::uint64_t{0}, VhdxBuilder::kMetadataOffset, kTiB, ~std::uint64_t{0} - kMiB + 1}) {
    builder_.edit_header = [offset](std::size_t, MutableByteSpan header) {
      StoreLittle<std::uint64_t>(header, 72, offset);
    };
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlaps another one or passes");
  }
  builder_.edit_header = [](std::size_t, MutableByteSpan header) {
    StoreLittle<std::uint64_t>(header, 72, 3 * kMiB + 4096);
  };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "whole MiB");
}

TEST_F(VhdxOpenTest, ADamagedRegionTableLeavesTheOther) {
  ImageInMemory memory(Build(builder_));
  memory.bytes()[VhdxBuilder::kRegionTable1 + 20] ^= std::byte{1};
  const auto disk = OpenDisk(memory, memory.path());
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  EXPECT_EQ(DifferenceFrom(content_, **disk), "");
  memory.bytes()[VhdxBuilder::kRegionTable2 + 20] ^= std::byte{1};
  ExpectRefused(memory, memory.path(), ErrorCode::kImageCorrupt, "both region tables");
}

TEST_F(VhdxOpenTest, UnknownRegionsAreFineUnlessRequired) {
  builder_.regions.push_back({VhdxBuilder::kUnknown, builder_.blocks_offset() - kMiB, kMiB, false});
  builder_.edit_header = [](std::size_t, MutableByteSpan header) {  // its MiB was the log's
    StoreLittle<std::uint32_t>(header, 68, 0);
    StoreLittle<std::uint64_t>(header, 72, 0);
  };
  ExpectRead(builder_);
  builder_.regions.back().required = true;
  ExpectRefused(builder_, ErrorCode::kImageUnsupported, "needs region efbeadde-");
}

TEST_F(VhdxOpenTest, KnownRegionsNeedNotBeMarkedRequired) {
  for (VhdxBuilder::Region& region : builder_.regions) region.required = false;
  ExpectRead(builder_);
}

TEST_F(VhdxOpenTest, RefusesRegionsInTheWrongPlace) {
  for (const std::uint64_t offset :
       {std::uint64_t{0}, 2 * kMiB + 512, kTiB, ~std::uint64_t{0} - kMiB + 1}) {
    VhdxBuilder builder(content_);
    builder.regions[1].offset_bytes = offset;
    ExpectRefused(builder, ErrorCode::kImageCorrupt, "whole MiB inside the file");
  }
  VhdxBuilder overlapping(content_);
  overlapping.regions[1].offset_bytes = VhdxBuilder::kMetadataOffset;
  ExpectRefused(overlapping, ErrorCode::kImageCorrupt, "overlaps");
  VhdxBuilder twice(content_);
  twice.regions.push_back(twice.regions[1]);
  ExpectRefused(twice, ErrorCode::kImageCorrupt, "two regions");
  VhdxBuilder without(content_);
  without.regions.pop_back();
  ExpectRefused(without, ErrorCode::kImageCorrupt, "no block table");
  VhdxBuilder many(content_);
  many.edit_region_table = [](MutableByteSpan table) {
    StoreLittle<std::uint32_t>(table, 8, 2048);
  };
  ExpectRefused(many, ErrorCode::kImageCorrupt, "2048 entries");
}

TEST_F(VhdxOpenTest, UnknownMetadataIsFineUnlessRequired) {
  builder_.items.push_back({VhdxBuilder::kUnknown, 0, {}});
  // A user's item may carry the id of a system item: it is another item.
  builder_.items.push_back({VhdxBuilder::kDiskSize, 1, {std::byte{1}}});
  ExpectRead(builder_);
  builder_.items.push_back({VhdxBuilder::kUnknown, 5, {}});
  ExpectRefused(builder_, ErrorCode::kImageUnsupported, "needs metadata item efbeadde-");
}

TEST_F(VhdxOpenTest, RefusesAnUnfinishedFile) {
  builder_.items.push_back({VhdxBuilder::kIncompleteFile, 4, {}});
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "unfinished");
}

TEST_F(VhdxOpenTest, RefusesAChildThatDoesNotNameItsParent) {
  builder_.ItemOf(VhdxBuilder::kFileParameters).value[4] = std::byte{2};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "parent locator");
}

TEST_F(VhdxOpenTest, RefusesMetadataThatIsMissingTwiceThereOrOfTheWrongLength) {
  for (const auto& guid :
       {VhdxBuilder::kFileParameters, VhdxBuilder::kDiskSize, VhdxBuilder::kLogicalSector}) {
    VhdxBuilder missing(content_);
    missing.ItemOf(guid).guid = VhdxBuilder::kUnknown;
    missing.ItemOf(VhdxBuilder::kUnknown).flags = 0;
    ExpectRefused(missing, ErrorCode::kImageCorrupt, "is missing");
    VhdxBuilder longer(content_);
    longer.ItemOf(guid).value.push_back(std::byte{0});
    ExpectRefused(longer, ErrorCode::kImageCorrupt, "is missing");
    VhdxBuilder twice(content_);
    twice.items.push_back(twice.ItemOf(guid));
    ExpectRefused(twice, ErrorCode::kImageCorrupt, "stands twice");
  }
}

TEST_F(VhdxOpenTest, RefusesMetadataOutsideItsRegion) {
  for (const std::uint32_t offset : {0u, 65535u, 1024u * 1024 - 4, 0xFFFFFFFFu}) {
    ImageInMemory memory(Build(builder_));
    StoreLittle<std::uint32_t>(memory.bytes(), VhdxBuilder::kMetadataOffset + 32 + 16, offset);
    StoreLittle<std::uint32_t>(memory.bytes(), VhdxBuilder::kMetadataOffset + 32 + 20, 8);
    ExpectRefused(memory, memory.path(), ErrorCode::kImageCorrupt, "outside the region");
  }
  ImageInMemory memory(Build(builder_));
  StoreLittle<std::uint32_t>(memory.bytes(), VhdxBuilder::kMetadataOffset + 32 + 16, 64 * 1024 + 5);
  ExpectRefused(memory, memory.path(), ErrorCode::kImageCorrupt, "overlap");
}

TEST_F(VhdxOpenTest, RefusesValuesThatMakeNoSense) {
  for (const std::uint32_t block_bytes : {0u, 512u * 1024, 3u * 1024 * 1024, 512u * 1024 * 1024}) {
    VhdxBuilder builder(content_);
    StoreLittle(MutableByteSpan(builder.ItemOf(VhdxBuilder::kFileParameters).value), 0,
                block_bytes);
    ExpectRefused(builder, ErrorCode::kImageCorrupt, "block size");
  }
  for (const std::uint64_t size :
       {std::uint64_t{0}, 8 * kMiB + 1, 65 * kTiB, ~std::uint64_t{511}}) {
    VhdxBuilder builder(content_);
    StoreLittle(MutableByteSpan(builder.ItemOf(VhdxBuilder::kDiskSize).value), 0, size);
    ExpectRefused(builder, ErrorCode::kImageCorrupt, "gives the disk");
  }
  for (const std::uint32_t sector : {0u, 1u, 1024u, 0x80000000u}) {
    VhdxBuilder builder(content_);
    StoreLittle(MutableByteSpan(builder.ItemOf(VhdxBuilder::kLogicalSector).value), 0, sector);
    ExpectRefused(builder, ErrorCode::kImageCorrupt, "logical sector");
  }
}

TEST_F(VhdxOpenTest, RefusesATableTooSmallForTheDisk) {
  // 64 TiB in blocks of 1 MiB need far more than the one MiB of table that is there.
  StoreLittle(MutableByteSpan(builder_.ItemOf(VhdxBuilder::kDiskSize).value), 0, 64 * kTiB);
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "room for 131072 entries");
}

TEST_F(VhdxOpenTest, AbsentBlocksAreZerosWhateverTheirPlaceSays) {
  for (const std::uint64_t state : {0u, 1u, 2u, 3u, 5u}) {
    builder_.state_of_absent_blocks = builder_.blocks_offset() | state;
    ExpectRead(builder_);
  }
}

TEST_F(VhdxOpenTest, RefusesStatesThatAreNone) {
  for (const std::uint64_t state : {4u, 7u}) {
    builder_.table_edits = {{2, builder_.blocks_offset() | state}};
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "block 2 of the VHDX has state");
  }
  builder_.table_edits = {{2, (builder_.blocks_offset() + 8 * kMiB) | 0x86}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "reserved bits");
}

TEST_F(VhdxOpenTest, RefusesBlocksThatOverlapOrLieOutside) {
  for (const std::uint64_t place : {std::uint64_t{0}, VhdxBuilder::kMetadataOffset,
                                    VhdxBuilder::kTableOffset, builder_.blocks_offset()}) {
    builder_.table_edits = {{2, place | 6}};
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlaps a header, a region or another");
  }
  builder_.table_edits = {{2, 0xFFFF'FFFF'FFF0'0006}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "but the file ends at");
}

TEST_F(VhdxOpenTest, TheLastBlockMayBeCutBehindTheDiskAndNotBefore) {
  DiskContent content(7 * kMiB + 64 * kKiB);
  content.AddPiece(7 * kMiB, 64 * kKiB);
  VhdxBuilder builder(content);
  builder.last_block_is_cut = true;
  const std::string path = Build(builder);
  EXPECT_EQ(DifferenceFrom(content, *OpenDisk(PosixFileSystem(), path).value()), "");
  testing::ResizeFile(path, testing::FileSize(path) - 512);
  ExpectRefused(PosixFileSystem(), path, ErrorCode::kImageCorrupt, "but the file ends at");
}

// A disk of 64 TiB in blocks of 1 MiB has a table of 512 MiB; nothing of it is here but one block.
TEST_F(VhdxOpenTest, OpensTheLargestDiskAtOnce) {
  DiskContent content(64 * kTiB);
  VhdxBuilder builder(content);
  const std::uint64_t last_entry = builder.EntryIndex(64 * kTiB / kMiB - 1);
  const std::string path = directory_ / "large.vhdx";
  const std::uint64_t log_offset = builder.blocks_offset() - kMiB;
  builder.edit_header = [log_offset](std::size_t, MutableByteSpan header) {
    StoreLittle<std::uint64_t>(header, 72, log_offset);
  };
  builder.block_bytes = 256 * 1024 * 1024;  // so that few are looked at; the metadata says 1 MiB
  builder.Write(path);
  const std::uint64_t place = log_offset + kMiB;
  testing::ResizeFile(path, place + kMiB);
  std::vector<std::byte> entry(8);
  StoreLittle<std::uint64_t>(entry, 0, place | 6);
  testing::OverwriteFile(path, VhdxBuilder::kTableOffset + last_entry * 8, entry);
  testing::OverwriteFile(path, place + kMiB - 4, AsBytes("last"));

  const auto begin = std::chrono::steady_clock::now();
  const auto disk = OpenDisk(PosixFileSystem(), path);
  const auto took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  EXPECT_LT(took, std::chrono::milliseconds(50));
  std::vector<std::byte> out(4);
  ASSERT_TRUE((*disk)->Read(64 * kTiB - 4, out).has_value());
  EXPECT_EQ(AsText(out), "last");
}

}  // namespace
}  // namespace asr
