// Damaged images are refused or read right: never a crash, a hang, or other bytes.
#include "tests/support/image_damage_fixture.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"

namespace asr::testing {
namespace {

class PlainImageDamageTest : public ImageDamageTest {
 protected:
  PlainImageDamageTest() {
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(3 * kMiB - 32 * kKiB, 64 * kKiB);
  }

  void LoadVhdx() {
    VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
    Load(directory_ / "disk.vhdx");
  }
  void LoadVhd(std::uint32_t type) {
    VhdBuilder builder(content_);
    builder.type = type;
    builder.Write(directory_ / "disk.vhd");
    Load(directory_ / "disk.vhd");
  }
};

TEST_F(PlainImageDamageTest, VhdxHeadersFlipped) {
  LoadVhdx();
  FlipEach({0, 1024}, Promise::kRightOrRefused);
  for (const std::uint64_t header : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    FlipEach({header, 4096}, Promise::kRightOrRefused);
  }
  EXPECT_GT(opened_, 0);  // the other header is intact
}

TEST_F(PlainImageDamageTest, VhdxRegionTablesFlipped) {
  LoadVhdx();
  for (const std::uint64_t table : {VhdxBuilder::kRegionTable1, VhdxBuilder::kRegionTable2}) {
    FlipEach({table, 16 + 3 * 32}, Promise::kRightOrRefused);
    FlipEach({table, 64 * kKiB}, Promise::kRightOrRefused, EachOf(61));
  }
  EXPECT_GT(opened_, 0);
}

TEST_F(PlainImageDamageTest, VhdxMetadataFlipped) {
  LoadVhdx();
  constexpr std::uint64_t kTableBytes = 8 + 32 + 6 * 32;  // an entry more than there is
  FlipEach({VhdxBuilder::kMetadataOffset, 8}, Promise::kRightOrRefused);
  FlipEach({VhdxBuilder::kMetadataOffset + 8, kTableBytes - 8}, Promise::kReadOrRefused);
  FlipEach({VhdxBuilder::kMetadataOffset + kTableBytes, 64 * kKiB - kTableBytes},
           Promise::kRightOrRefused, EachOf(97));
  FlipEach({VhdxBuilder::kItemsOffset, 48}, Promise::kReadOrRefused);
}

TEST_F(PlainImageDamageTest, VhdxBlockTableFlipped) {
  LoadVhdx();
  FlipEach({VhdxBuilder::kTableOffset, 7 * 8}, Promise::kReadOrRefused);
}

TEST_F(PlainImageDamageTest, VhdxCut) {
  LoadVhdx();
  const std::uint64_t end = image_->bytes().size();
  CutEverywhere({{0, 1024},
                 {VhdxBuilder::kHeader1, 4096},
                 {VhdxBuilder::kHeader2, 4096},
                 {VhdxBuilder::kRegionTable1, 64 * kKiB},
                 {VhdxBuilder::kRegionTable2, 64 * kKiB},
                 {VhdxBuilder::kMetadataOffset, 64 * kKiB + 256},
                 {VhdxBuilder::kTableOffset, 256},
                 {VhdxBuilder(content_).blocks_offset() - 2, 4},
                 {end - 2, 2}});
}

TEST_F(PlainImageDamageTest, VhdDynamicFlipped) {
  LoadVhd(3);
  FlipEach({0, 512}, Promise::kRightOrRefused);  // a copy, unread while the footer is intact
  FlipEach({VhdBuilder::kHeaderOffset, 1024}, Promise::kRightOrRefused);
  FlipEach({VhdBuilder::kTableOffset, 512}, Promise::kReadOrRefused);
  FlipEach({image_->bytes().size() - 512, 512}, Promise::kRightOrRefused);
  EXPECT_GT(opened_, 0);  // the footer has a copy
}

TEST_F(PlainImageDamageTest, VhdDynamicCut) {
  LoadVhd(3);
  CutEverywhere({{0, 2048 + 512}, {image_->bytes().size() - 1024, 1024}});
  EXPECT_GT(opened_, 0);
}

TEST_F(PlainImageDamageTest, VhdFixedFlippedAndCut) {
  LoadVhd(2);
  FlipEach({image_->bytes().size() - 512, 512}, Promise::kRightOrRefused);
  CutEverywhere({{0, 1024}, {image_->bytes().size() - 1024, 1024}});
}

}  // namespace
}  // namespace asr::testing
