#include "storage/image/vhd_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/image/disk.h"
#include "storage/image/vhd_footer.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using ::testing::HasSubstr;
using testing::ImageInMemory;
using testing::TempDir;
using testing::VhdBuilder;

TEST(VhdFooterTest, BytesAreThoseOfTheSpecification) {
  Bits128 unique_id;
  unique_id.fill(std::byte{0xAB});
  const VhdFooter footer = MakeFixedVhdFooter(127 * kGiB, unique_id, 0x31A2B3C4);
  EXPECT_EQ(ToHex(ByteSpan(footer).first(85)),
            "636f6e6563746978"  // conectix
            "00000002"
            "00010000"          // features, version
            "ffffffffffffffff"  // no dynamic header
            "31a2b3c4"          // created
            "77696e20"
            "000a0000"
            "5769326b"  // win , 10.0, Wi2k
            "0000001fc0000000"
            "0000001fc0000000"  // original and current size
            "fefe10ff"          // 65278 cylinders, 16 heads, 255 sectors
            "00000002"          // fixed
            "ffffe00d"          // checksum
            "abababababababababababababababab"
            "00");  // no saved state
  EXPECT_TRUE(IsZero(ByteSpan(footer).subspan(85)));
}

TEST(VhdFooterTest, SameArgumentsGiveSameBytes) {
  EXPECT_EQ(MakeFixedVhdFooter(kGiB, {}, 1), MakeFixedVhdFooter(kGiB, {}, 1));
}

// By hand for 20 and 200 MiB; Windows writes the values for 127 GiB.
TEST(VhdFooterTest, GeometryFollowsTheAppendix) {
  EXPECT_EQ(ComputeVhdGeometry(20 * kMiB), (VhdGeometry{602, 4, 17}));
  EXPECT_EQ(ComputeVhdGeometry(200 * kMiB), (VhdGeometry{825, 16, 31}));
  EXPECT_EQ(ComputeVhdGeometry(127 * kGiB), (VhdGeometry{65278, 16, 255}));
  EXPECT_EQ(ComputeVhdGeometry(64 * kTiB), (VhdGeometry{65535, 16, 255}));
}

TEST(VhdFooterTest, ReadsBackWhatWasWritten) {
  Bits128 unique_id;
  unique_id.fill(std::byte{7});
  const VhdFooterFields fields = ParseVhdFooter(MakeFixedVhdFooter(3 * kGiB, unique_id, 1)).value();
  EXPECT_EQ(fields.type, VhdType::kFixed);
  EXPECT_EQ(fields.size_bytes, 3 * kGiB);
  EXPECT_EQ(fields.unique_id, unique_id);
}

class VhdOpenTest : public ::testing::Test {
 protected:
  VhdOpenTest() {
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(5 * kMiB, 64 * kKiB);
  }

  Result<std::unique_ptr<Disk>> Open(const VhdBuilder& builder) {
    const std::string path = directory_ / ("disk" + std::to_string(++files_) + ".vhd");
    builder.Write(path);
    return OpenDisk(PosixFileSystem(), path);
  }

  void ExpectRefused(const VhdBuilder& builder, ErrorCode code, const std::string& text) {
    const auto disk = Open(builder);
    ASSERT_FALSE(disk.has_value()) << text;
    EXPECT_EQ(disk.error().code, code) << disk.error().Line();
    EXPECT_THAT(disk.error().Line(), HasSubstr(text));
    EXPECT_FALSE(disk.error().action.empty());
  }

  DiskContent content_{8 * kMiB};
  VhdBuilder builder_{content_};
  TempDir directory_;
  int files_ = 0;
};

TEST_F(VhdOpenTest, RefusesAChildThatDoesNotNameItsParent) {
  builder_.type = 4;
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "whose child it is");
}

TEST_F(VhdOpenTest, RefusesTypesThatDoNotExist) {
  builder_.type = 5;
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "disk type 5");
}

TEST_F(VhdOpenTest, RefusesAnotherVersion) {
  builder_.edit_footer = [](MutableByteSpan footer) {
    StoreBig<std::uint32_t>(footer, 12, 0x00020000);
  };
  ExpectRefused(builder_, ErrorCode::kImageUnsupported, "version 2.0");
}

TEST_F(VhdOpenTest, RefusesImpossibleSizes) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, 8 * kMiB + 1, 2041 * kGiB, ~std::uint64_t{511}}) {
    builder_.edit_footer = [size](MutableByteSpan footer) {
      StoreBig<std::uint64_t>(footer, 48, size);
    };
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "gives the disk");
  }
}

TEST_F(VhdOpenTest, RefusesADynamicHeaderOutsideTheFile) {
  for (const std::uint64_t offset : {std::uint64_t{0}, kGiB, ~std::uint64_t{0} - 100}) {
    builder_.edit_footer = [offset](MutableByteSpan footer) {
      StoreBig<std::uint64_t>(footer, 16, offset);
    };
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "dynamic header");
  }
}

TEST_F(VhdOpenTest, RefusesABlockTableThatDoesNotFit) {
  builder_.edit_header = [](MutableByteSpan header) { StoreBig<std::uint32_t>(header, 28, 3); };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "has 3 entries");
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1024}}) {
    builder_.edit_header = [offset](MutableByteSpan header) {
      StoreBig<std::uint64_t>(header, 16, offset);
    };
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlaps its headers");
  }
  builder_.edit_header = [](MutableByteSpan header) {
    StoreBig<std::uint64_t>(header, 16, ~std::uint64_t{511});
  };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "passes the end");
  builder_.edit_header = [](MutableByteSpan header) { StoreBig<std::uint64_t>(header, 16, 1537); };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "no multiple of 512");
}

TEST_F(VhdOpenTest, TakesABlockTableLongerThanTheDisk) {
  builder_.edit_header = [](MutableByteSpan header) {
    StoreBig<std::uint32_t>(header, 28, 1'000'000);
  };
  const auto disk = Open(builder_);
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  EXPECT_EQ(DifferenceFrom(content_, **disk), "");
}

TEST_F(VhdOpenTest, RefusesBlockSizesThatAreNone) {
  for (const std::uint32_t block_bytes : {0u, 3u * 1024 * 1024, 0xFFFFFFFFu}) {
    builder_.edit_header = [block_bytes](MutableByteSpan header) {
      StoreBig<std::uint32_t>(header, 32, block_bytes);
    };
    ExpectRefused(builder_, ErrorCode::kImageCorrupt, "power of two");
  }
  builder_.edit_header = [](MutableByteSpan header) { StoreBig<std::uint32_t>(header, 32, 4096); };
  ExpectRefused(builder_, ErrorCode::kImageUnsupported, "block size");
}

TEST_F(VhdOpenTest, RefusesBlocksThatOverlapOrLieOutside) {
  builder_.table_edits = {{1, 0}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlaps the header, table");
  builder_.table_edits = {{1, 3}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlaps the header, table");
  builder_.table_edits = {{1, 5}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "overlap");
  builder_.table_edits = {{1, 0xFFFFFFFE}};
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "block 1 lies at offset");
}

TEST_F(VhdOpenTest, RefusesAFileThatEndsInsideABlock) {
  const std::string path = directory_ / "cut.vhd";
  builder_.footer_is_missing = true;
  builder_.Write(path);
  ImageInMemory memory(path);
  memory.bytes().resize(memory.bytes().size() - 512);
  const auto disk = OpenDisk(memory, path);
  ASSERT_FALSE(disk.has_value());
  EXPECT_EQ(disk.error().code, ErrorCode::kImageCorrupt);
}

TEST_F(VhdOpenTest, TheFooterAtTheEndRulesOverItsCopy) {
  const std::string path = directory_ / "disk.vhd";
  builder_.Write(path);
  ImageInMemory memory(path);
  DiskContent larger(512 * kMiB);
  VhdBuilder other(larger);
  other.type = 2;
  const std::vector<std::byte> copy = other.Footer();
  std::ranges::copy(copy, memory.bytes().begin());
  EXPECT_EQ(OpenDisk(memory, path).value()->size_bytes(), content_.size_bytes());
}

TEST_F(VhdOpenTest, AFooterThatTheGuestWroteIntoAFixedDiskCountsForNothing) {
  const std::string path = directory_ / "disk.vhd";
  builder_.type = 2;
  builder_.Write(path);
  ImageInMemory memory(path);
  const std::vector<std::byte> footer = builder_.Footer();
  std::ranges::copy(footer, memory.bytes().begin());
  EXPECT_TRUE(OpenDisk(memory, path).has_value());
  memory.bytes().resize(memory.bytes().size() - 512);  // now only the guest's own is left
  EXPECT_FALSE(OpenDisk(memory, path).has_value());
}

TEST_F(VhdOpenTest, RefusesAFixedDiskLongerThanItsFile) {
  builder_.type = 2;
  builder_.edit_footer = [](MutableByteSpan footer) {
    StoreBig<std::uint64_t>(footer, 48, 8 * kMiB + 512);
  };
  ExpectRefused(builder_, ErrorCode::kImageCorrupt, "the file holds");
}

}  // namespace
}  // namespace asr
