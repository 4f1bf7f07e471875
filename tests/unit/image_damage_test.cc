// Damaged images are refused or read right: never a crash, a hang, or other bytes.
#include <gtest/gtest.h>

#include <set>

#include "storage/image/disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using testing::ImageInMemory;
using testing::TempDir;
using testing::VhdBuilder;
using testing::VhdxBuilder;

// Fields that no checksum covers and that still make sense after the damage may give another disk;
// there it is enough that everything can be read, or is refused.
enum class Promise { kRightOrRefused, kReadOrRefused };

class ImageDamageTest : public ::testing::Test {
 protected:
  ImageDamageTest() {
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(3 * kMiB - 32 * kKiB, 64 * kKiB);
  }

  void Load(const std::string& path) {
    path_ = path;
    image_ = std::make_unique<ImageInMemory>(path);
    ASSERT_EQ(DifferenceFrom(content_, *OpenDisk(*image_, path_).value()), "");
  }

  void ExpectHeld(Promise promise, const std::string& what) {
    const auto disk = OpenDisk(*image_, path_);
    if (!disk) {
      EXPECT_FALSE(disk.error().message.empty());
      EXPECT_NE(disk.error().code, ErrorCode::kInternal) << disk.error().Line();
      return;
    }
    ++opened_;
    if (promise == Promise::kRightOrRefused) {
      EXPECT_EQ(DifferenceFrom(content_, **disk), "") << what;
      return;
    }
    ASSERT_LE((*disk)->size_bytes(), 64 * kTiB) << what;
    std::vector<std::byte> out(std::min((*disk)->size_bytes(), 8 * kMiB));
    EXPECT_TRUE((*disk)->Read(0, out).has_value()) << what;
    EXPECT_TRUE((*disk)->AllocatedExtents({0, kGiB}).has_value()) << what;
  }

  // One bit and all bits of each byte of the range, one byte after another.
  void FlipEach(Extent range, std::uint64_t step, Promise promise) {
    for (std::uint64_t at = range.offset_bytes; at < range.end_bytes(); at += step) {
      std::byte& byte = image_->bytes()[at];
      for (const std::byte mask : {static_cast<std::byte>(1 << (at % 8)), std::byte{0xFF}}) {
        byte ^= mask;
        ExpectHeld(promise, "byte " + std::to_string(at) + " flipped");
        byte ^= mask;
        if (HasFailure()) return;
      }
    }
  }

  void CutEverywhere(const std::set<std::uint64_t>& interesting) {
    std::set<std::uint64_t> lengths = {0, 1, 511, 512, 513};
    for (std::uint64_t length = 0; length < image_->bytes().size(); length += 64 * kKiB) {
      lengths.insert(length);
    }
    for (const std::uint64_t length : interesting) {
      for (std::uint64_t near = length - 2; near < length + 3; ++near) lengths.insert(near);
    }
    // From long to short: each cut shortens the last one further.
    for (auto length = lengths.rbegin(); length != lengths.rend(); ++length) {
      if (*length >= image_->bytes().size()) continue;
      image_->bytes().resize(*length);
      ExpectHeld(Promise::kRightOrRefused, "cut to " + std::to_string(*length));
    }
  }

  DiskContent content_{5 * kMiB};
  TempDir directory_;
  std::string path_;
  std::unique_ptr<ImageInMemory> image_;
  int opened_ = 0;
};

TEST_F(ImageDamageTest, VhdxHeadersFlipped) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  Load(directory_ / "disk.vhdx");
  FlipEach({0, 8}, 1, Promise::kRightOrRefused);
  for (const std::uint64_t header : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    FlipEach({header, 96}, 1, Promise::kRightOrRefused);
    FlipEach({header + 96, 4000}, 97, Promise::kRightOrRefused);
  }
  EXPECT_GT(opened_, 0);  // the other header is intact
}

TEST_F(ImageDamageTest, VhdxRegionTablesFlipped) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  Load(directory_ / "disk.vhdx");
  for (const std::uint64_t table : {VhdxBuilder::kRegionTable1, VhdxBuilder::kRegionTable2}) {
    FlipEach({table, 96}, 1, Promise::kRightOrRefused);
    FlipEach({table + 96, 64 * kKiB - 96}, 3001, Promise::kRightOrRefused);
  }
}

TEST_F(ImageDamageTest, VhdxMetadataFlipped) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  Load(directory_ / "disk.vhdx");
  FlipEach({VhdxBuilder::kMetadataOffset, 8}, 1, Promise::kRightOrRefused);
  FlipEach({VhdxBuilder::kMetadataOffset + 8, 32 + 6 * 32}, 1, Promise::kReadOrRefused);
  FlipEach({VhdxBuilder::kItemsOffset, 48}, 1, Promise::kReadOrRefused);
}

TEST_F(ImageDamageTest, VhdxBlockTableFlipped) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  Load(directory_ / "disk.vhdx");
  FlipEach({VhdxBuilder::kTableOffset, 7 * 8}, 1, Promise::kReadOrRefused);
}

TEST_F(ImageDamageTest, VhdxCut) {
  VhdxBuilder builder(content_);
  builder.Write(directory_ / "disk.vhdx");
  Load(directory_ / "disk.vhdx");
  CutEverywhere({VhdxBuilder::kHeader1, VhdxBuilder::kHeader1 + 4096, VhdxBuilder::kHeader2,
                 VhdxBuilder::kRegionTable1, VhdxBuilder::kRegionTable2, kMiB,
                 VhdxBuilder::kItemsOffset, VhdxBuilder::kTableOffset, builder.blocks_offset(),
                 image_->bytes().size()});
}

TEST_F(ImageDamageTest, VhdDynamicFlipped) {
  VhdBuilder builder(content_);
  builder.Write(directory_ / "disk.vhd");
  Load(directory_ / "disk.vhd");
  FlipEach({0, 512}, 7, Promise::kRightOrRefused);  // a copy, unread while the footer is intact
  FlipEach({VhdBuilder::kHeaderOffset, 1024}, 1, Promise::kRightOrRefused);
  FlipEach({VhdBuilder::kTableOffset, 16}, 1, Promise::kReadOrRefused);
  FlipEach({image_->bytes().size() - 512, 512}, 1, Promise::kRightOrRefused);
  EXPECT_GT(opened_, 0);  // the footer has a copy
}

TEST_F(ImageDamageTest, VhdDynamicCut) {
  VhdBuilder builder(content_);
  builder.Write(directory_ / "disk.vhd");
  Load(directory_ / "disk.vhd");
  CutEverywhere({512, 1536, VhdBuilder::kTableOffset + 12, 2048, image_->bytes().size() - 512,
                 image_->bytes().size()});
  EXPECT_GT(opened_, 0);
}

TEST_F(ImageDamageTest, VhdFixedFlippedAndCut) {
  VhdBuilder builder(content_);
  builder.type = 2;
  builder.Write(directory_ / "disk.vhd");
  Load(directory_ / "disk.vhd");
  FlipEach({image_->bytes().size() - 512, 512}, 1, Promise::kRightOrRefused);
  CutEverywhere({image_->bytes().size() - 512, image_->bytes().size()});
}

}  // namespace
}  // namespace asr
