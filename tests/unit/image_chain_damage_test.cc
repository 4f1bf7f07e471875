// Damage to the images of a chain, and to a log that must be replayed.
#include "tests/support/disk_layers.h"
#include "tests/support/image_damage_fixture.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr::testing {
namespace {

class ChainDamageTest : public ImageDamageTest {
 protected:
  ChainDamageTest() {
    content_ = DiskContent(20 * kMiB);
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(3 * kMiB - 32 * kKiB, 64 * kKiB);
    layers_ = SpreadOverLayers(content_, 2, 512);
  }

  void WriteVhdx() {
    VhdxBuilder parent(layers_[1].content);
    parent.data_write_guid = VhdxBuilder::GuidOf(1);
    parent.Write(parent_vhdx_);
    VhdxBuilder child(layers_[0].content);
    child.zeros_here = layers_[0].zeros;
    for (const Extent& hidden : layers_[0].hidden) child.zeros_here.push_back(hidden);
    child.MakeChildOf(VhdxBuilder::GuidOf(1), u"parent.vhdx");
    for (const VhdxBuilder::Item& item : child.items) child_items_bytes_ += item.value.size();
    child.Write(child_vhdx_);
  }

  void WriteVhd() {
    VhdBuilder parent(layers_[1].content);
    parent.unique_id = VhdBuilder::IdOf(1);
    parent.Write(parent_vhd_);
    VhdBuilder child(layers_[0].content);
    child.zeros_here = layers_[0].zeros;
    for (const Extent& hidden : layers_[0].hidden) child.zeros_here.push_back(hidden);
    child.MakeChildOf(VhdBuilder::IdOf(1), u"parent.vhd");
    child.Write(child_vhd_);
  }

  std::vector<DiskLayer> layers_;
  std::string parent_vhdx_ = directory_ / "parent.vhdx";
  std::string child_vhdx_ = directory_ / "child.avhdx";
  std::string parent_vhd_ = directory_ / "parent.vhd";
  std::string child_vhd_ = directory_ / "child.avhd";
  std::uint64_t child_items_bytes_ = 0;
};

TEST_F(ChainDamageTest, VhdxChildFlipped) {
  WriteVhdx();
  Load(child_vhdx_);
  for (const std::uint64_t header : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    FlipEach({header, 96}, Promise::kRightOrRefused);
  }
  FlipEach({VhdxBuilder::kMetadataOffset, 8 + 32 + 7 * 32}, Promise::kReadOrRefused);
  FlipEach({VhdxBuilder::kItemsOffset, child_items_bytes_}, Promise::kReadOrRefused);
  FlipEach({VhdxBuilder::kTableOffset, 21 * 8}, Promise::kReadOrRefused);
}

TEST_F(ChainDamageTest, VhdxParentFlipped) {
  WriteVhdx();
  Load(parent_vhdx_, child_vhdx_);
  FlipEach({0, 8}, Promise::kRightOrRefused);
  for (const std::uint64_t header : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    FlipEach({header, 96}, Promise::kRightOrRefused);
  }
  FlipEach({VhdxBuilder::kRegionTable1, 96}, Promise::kRightOrRefused);
  FlipEach({VhdxBuilder::kTableOffset, 20 * 8}, Promise::kReadOrRefused);
}

TEST_F(ChainDamageTest, VhdxChildCut) {
  WriteVhdx();
  Load(child_vhdx_);
  const std::uint64_t end = image_->bytes().size();
  CutEverywhere({{VhdxBuilder::kItemsOffset, child_items_bytes_ + 16},
                 {VhdxBuilder::kTableOffset, 256},
                 {end - 2, 2}});
}

TEST_F(ChainDamageTest, VhdxParentCut) {
  WriteVhdx();
  Load(parent_vhdx_, child_vhdx_);
  CutEverywhere({{image_->bytes().size() - 2, 2}});
}

TEST_F(ChainDamageTest, VhdChildFlipped) {
  WriteVhd();
  Load(child_vhd_);
  FlipEach({0, 512}, Promise::kRightOrRefused);
  FlipEach({VhdBuilder::kHeaderOffset, 1024}, Promise::kRightOrRefused);
  // Locators have no checksum; behind them lies the block table.
  FlipEach({1536, 16 * kKiB}, Promise::kReadOrRefused, EachOf(37));
  FlipEach({image_->bytes().size() - 512, 512}, Promise::kRightOrRefused);
  EXPECT_GT(opened_, 0);
}

TEST_F(ChainDamageTest, VhdParentFlippedAndCut) {
  WriteVhd();
  Load(parent_vhd_, child_vhd_);
  FlipEach({VhdBuilder::kHeaderOffset, 1024}, Promise::kRightOrRefused);
  FlipEach({image_->bytes().size() - 512, 512}, Promise::kRightOrRefused);
  CutEverywhere({{0, 2048 + 512}, {image_->bytes().size() - 1024, 1024}});
}

TEST_F(ChainDamageTest, VhdChildCut) {
  WriteVhd();
  Load(child_vhd_);
  CutEverywhere({{0, 2048 + 512}, {image_->bytes().size() - 1024, 1024}});
}

class LogDamageTest : public ImageDamageTest {
 protected:
  // Of three entries the first holds the block table, and the last one nothing that is not there.
  LogDamageTest() {
    content_.AddPiece(0, 64 * kKiB);
    content_.AddPiece(3 * kMiB - 32 * kKiB, 64 * kKiB);
    VhdxBuilder builder(content_);
    builder.Write(path_);
    VhdxLogBuilder log(path_);
    VhdxLogEntry table;
    log.Undo({VhdxBuilder::kTableOffset, kVhdxLogSectorBytes}, table);
    log.Append(table);
    VhdxLogEntry metadata;
    log.Undo({VhdxBuilder::kItemsOffset, kVhdxLogSectorBytes}, metadata);
    log.Append(metadata);
    last_entry_ = log.log().offset_bytes + log.next_offset;
    // The entry would be replayed last, so that it repeats what is there by then.
    VhdxLogEntry again;
    again.sectors = table.sectors;
    log.Append(again);
    end_ = log.log().offset_bytes + log.next_offset;
    begin_ = log.log().offset_bytes;
  }

  std::string path_ = directory_ / "disk.vhdx";
  std::uint64_t begin_ = 0;
  std::uint64_t last_entry_ = 0;
  std::uint64_t end_ = 0;
};

// What lies in the entries before the last one is needed; a torn last one was never promised.
TEST_F(LogDamageTest, FlippedBeforeTheLastEntryIsRefused) {
  Load(path_);
  FlipEach({begin_, last_entry_ - begin_}, Promise::kRightOrRefused, EachOf(7));
  EXPECT_EQ(opened_, 0);
}

TEST_F(LogDamageTest, FlippedInTheLastEntryIsIgnored) {
  Load(path_);
  FlipEach({last_entry_, end_ - last_entry_}, Promise::kRightOrRefused, EachOf(7));
  EXPECT_GE(opened_, static_cast<int>(2 * (end_ - last_entry_) / EachOf(7)));
}

TEST_F(LogDamageTest, CutInsideTheLog) {
  Load(path_);
  CutEverywhere({{begin_, end_ - begin_}});
}

}  // namespace
}  // namespace asr::testing
