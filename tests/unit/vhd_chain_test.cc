// Differencing VHDs: how a parent is found, who may be one, and what the whole chain reads as.
#include "storage/base/text.h"
#include "tests/support/image_chain_fixture.h"
#include "tests/support/image_file.h"
#include "tests/support/qemu_lock.h"
#include "tests/support/vhd_builder.h"

namespace asr {
namespace {

using testing::DiskContent;
using ::testing::HasSubstr;
using testing::ImageChainTest;
using testing::kChainDiskBytes;
using testing::VhdBuilder;

class VhdChainTest : public ImageChainTest {
 protected:
  static constexpr VhdBuilder::UniqueId kParentId = {0xD1, 0x9E, 0x4A, 0x81, 1, 2,  3,  4,
                                                     5,    6,    7,    8,    9, 10, 11, 12};

  std::string WriteParent(const std::string& name = "parent.vhd", std::uint32_t type = 3) {
    VhdBuilder parent(parent_content_);
    parent.type = type;
    parent.unique_id = kParentId;
    parent.Write(Place(name));
    return directory_ / name;
  }

  VhdBuilder Child() {
    VhdBuilder child(child_content_);
    child.unique_id = VhdBuilder::IdOf(0x66);
    return child;
  }

  void ExpectFindsParent(const VhdBuilder& child, const std::string& name = "child.avhd",
                         const std::string& folder = "") {
    child.Write(Place(name));
    ExpectRead(name, parent_content_, folder);
    std::filesystem::remove(directory_ / name);
  }

  void ExpectBytes(const std::string& name, const std::vector<std::byte>& bytes) {
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    ASSERT_EQ((*disk)->size_bytes(), bytes.size());
    std::vector<std::byte> read(bytes.size());
    testing::MustSucceed((*disk)->Read(0, read));
    EXPECT_TRUE(read == bytes);
  }
};

TEST_F(VhdChainTest, BitsCountFromTheMostSignificant) {
  WriteParent();
  std::vector<std::byte> expected = parent_content_.Bytes(0, kChainDiskBytes);
  // In one byte of the bitmap: ones and zeros, mixed; then the block's ends.
  for (const std::uint64_t sector : {8u, 11u, 12u, 15u, 4095u, 4096u}) {
    child_content_.AddPiece(2 * kMiB + sector * 512, 512);
    const std::vector<std::byte> bytes = child_content_.Bytes(2 * kMiB + sector * 512, 512);
    std::ranges::copy(bytes, expected.begin() + static_cast<long>(2 * kMiB + sector * 512));
  }
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.Write(directory_ / "child.avhd");
  ExpectBytes("child.avhd", expected);
}

TEST_F(VhdChainTest, ZerosInTheChildHideTheParent) {
  WriteParent();
  std::vector<std::byte> expected = parent_content_.Bytes(0, kChainDiskBytes);
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  for (const Extent& zeros : {Extent{0, 1024}, Extent{2 * kMiB, 2 * kMiB}}) {
    child.zeros_here.push_back(zeros);
    std::fill_n(expected.begin() + static_cast<long>(zeros.offset_bytes), zeros.length_bytes,
                std::byte{0});
  }
  child.Write(directory_ / "child.avhd");
  ExpectBytes("child.avhd", expected);
}

TEST_F(VhdChainTest, ABlockWithoutSectorsShowsTheParent) {
  WriteParent();
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.empty_blocks = {0, 1, 3};
  ExpectFindsParent(child);
}

TEST_F(VhdChainTest, BlockSizesOfParentAndChildMayDiffer) {
  WriteParent();
  child_content_.AddPiece(3 * kMiB, 512);
  VhdBuilder child = Child();
  child.block_bytes = 512 * 1024;
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.Write(directory_ / "child.avhd");
  std::vector<std::byte> expected = parent_content_.Bytes(0, kChainDiskBytes);
  std::ranges::copy(child_content_.Bytes(3 * kMiB, 512), expected.begin() + 3 * kMiB);
  ExpectBytes("child.avhd", expected);
}

TEST_F(VhdChainTest, AChildMayBeLargerThanItsParent) {
  parent_content_.AddPiece(kChainDiskBytes - 512, 512);
  WriteParent();
  child_content_ = DiskContent(kChainDiskBytes + 3 * kMiB);
  child_content_.AddPiece(kChainDiskBytes + 512, 512);
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.empty_blocks = {5};
  child.Write(directory_ / "child.avhd");
  DiskContent expected(child_content_.size_bytes());
  for (const auto& [offset, piece] : parent_content_.pieces()) expected.AddBytes(offset, piece);
  for (const auto& [offset, piece] : child_content_.pieces()) expected.AddBytes(offset, piece);
  ExpectRead("child.avhd", expected);
}

TEST_F(VhdChainTest, AFixedDiskMayBeAParent) {
  WriteParent("parent.vhd", 2);
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  ExpectFindsParent(child);
}

TEST_F(VhdChainTest, LocatorsAreReadAsWindowsAndAsTheSpecificationWriteThem) {
  WriteParent();
  for (const bool of_windows : {true, false}) {
    for (const bool with_nul : {true, false}) {
      VhdBuilder child = Child();
      child.MakeChildOf(kParentId, u"parent.vhd");
      child.locators_of_windows = of_windows;
      child.locators_end_with_nul = with_nul;
      ExpectFindsParent(child);
    }
  }
}

TEST_F(VhdChainTest, AnyOfTheNamesFindsTheParent) {
  WriteParent("vm/parent.vhd");
  const std::u16string gone = u"C:\\gone\\gone.vhd";
  const std::vector<VhdBuilder::Parent> parents = {
      {kParentId, gone, {{VhdBuilder::kRelative, u".\\parent.vhd"}}},
      {kParentId, gone, {{VhdBuilder::kRelative, u".\\PARENT.VHD"}}},
      {kParentId, gone, {{VhdBuilder::kAbsolute, u"D:\\vm\\parent.vhd"}}},
      {kParentId, u"D:\\vm\\parent.vhd", {}},
      {kParentId, u"parent.vhd", {}},
      {kParentId, gone, {{VhdBuilder::kAbsolute, gone}, {VhdBuilder::kRelative, u"parent.vhd"}}},
      {kParentId,
       gone,
       {{VhdBuilder::kRelative, u"..\\gone.vhd"}, {VhdBuilder::kAbsolute, u"E:\\parent.vhd"}}},
      // What a Mac wrote besides says nothing to us.
      {kParentId, u"parent.vhd", {{0x4D616358, u"file://localhost/parent.vhd"}}}};
  for (std::size_t i = 0; i < parents.size(); ++i) {
    SCOPED_TRACE(i);
    VhdBuilder child = Child();
    child.MakeChild(parents[i]);
    ExpectFindsParent(child, "vm/child.avhd");
  }
  VhdBuilder child = Child();
  child.MakeChild({kParentId, gone, {{VhdBuilder::kRelative, u"..\\parent.vhd"}}});
  ExpectFindsParent(child, "vm/snapshots/child.avhd", "vm");
}

// Windows writes 0 into the child, and copying changes the parent's.
TEST_F(VhdChainTest, TheParentsTimeMeansNothing) {
  WriteParent();
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.edit_header = [](MutableByteSpan header) { StoreBig<std::uint32_t>(header, 56, 123'456); };
  ExpectFindsParent(child);
}

TEST_F(VhdChainTest, AWrongIdNamesBothFilesAndBothIds) {
  const std::string parent = WriteParent();
  VhdBuilder child = Child();
  child.MakeChildOf(VhdBuilder::IdOf(0x99), u"parent.vhd");
  child.Write(directory_ / "child.avhd");
  ExpectBroken("child.avhd", ErrorKind::kCorrupt);
  std::string line = AsciiLowerCase(ErrorOf("child.avhd").Line());
  EXPECT_THAT(line, HasSubstr(AsciiLowerCase(parent)));
  std::erase(line, '-');
  EXPECT_THAT(line, HasSubstr(std::string(32, '9')));
  EXPECT_THAT(line, HasSubstr("d19e4a810102030405060708090a0b0c"));
}

TEST_F(VhdChainTest, AMissingParentIsNamedWithWhereItWasLookedFor) {
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"gone.vhd");
  child.Write(directory_ / "child.avhd");
  ExpectBroken("child.avhd", ErrorKind::kCorrupt);
  EXPECT_THAT(ErrorOf("child.avhd").Line(), HasSubstr(directory_ / "gone.vhd"));
}

TEST_F(VhdChainTest, AParentOutsideOfTheFolderIsRefused) {
  WriteParent("outside.vhd");
  VhdBuilder child = Child();
  child.MakeChild({kParentId, u"", {{VhdBuilder::kRelative, u"..\\outside.vhd"}}});
  child.Write(Place("vm/child.avhd"));
  ExpectBroken("vm/child.avhd", ErrorKind::kUnsupported);
  ExpectBroken("vm/child.avhd", ErrorKind::kUnsupported, "vm");
  std::filesystem::create_symlink(directory_ / "outside.vhd", directory_ / "vm/parent.vhd");
  VhdBuilder other = Child();
  other.MakeChildOf(kParentId, u"parent.vhd");
  other.Write(directory_ / "vm/other.avhd");
  ExpectBroken("vm/other.avhd", ErrorKind::kUnsupported, "vm");
}

TEST_F(VhdChainTest, AParentThatLooksDamagedWhileSomebodyWritesToItIsInUse) {
  const std::string parent = WriteParent();
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.Write(directory_ / "child.avhd");
  testing::ResizeFile(parent, 1000);
  EXPECT_EQ(ErrorOf("child.avhd").kind, ErrorKind::kCorrupt);
  const testing::QemuLock writer(parent);
  EXPECT_EQ(ErrorOf("child.avhd").code, ErrorCode::kImageInUse);
}

// As a VM's folder is that was copied together beside the original.
TEST_F(VhdChainTest, AParentOutsideDoesNotHideTheOneInTheFolder) {
  WriteParent("parent.vhd");
  WriteParent("vm/parent.vhd");
  VhdBuilder child = Child();
  child.MakeChild({kParentId, u"", {{VhdBuilder::kRelative, u"..\\parent.vhd"}}});
  ExpectFindsParent(child, "vm/child.avhd", "vm");
  // Nor does what cannot be looked into there.
  std::filesystem::create_symlink("loop", directory_ / "loop");
  child.MakeChild({kParentId, u"", {{VhdBuilder::kRelative, u"..\\loop\\parent.vhd"}}});
  ExpectFindsParent(child, "vm/child.avhd", "vm");
  std::filesystem::remove(directory_ / "vm/parent.vhd");
  child.Write(directory_ / "vm/child.avhd");
  ExpectBroken("vm/child.avhd", ErrorKind::kUnsupported, "vm");
}

TEST_F(VhdChainTest, APlaceInsideThatCannotBeLookedAtEndsTheSearch) {
  WriteParent("vm/parent.vhd");
  std::filesystem::create_symlink("loop", directory_ / "vm/loop");
  VhdBuilder child = Child();
  child.MakeChild({kParentId, u"", {{VhdBuilder::kRelative, u".\\loop\\parent.vhd"}}});
  child.Write(directory_ / "vm/child.avhd");
  const auto disk = OpenDisk(PosixFileSystem(), directory_ / "vm/child.avhd");
  ASSERT_FALSE(disk.has_value());
  EXPECT_EQ(disk.error().kind, ErrorKind::kIo) << disk.error().Line();
}

TEST_F(VhdChainTest, LoopsAreRefused) {
  VhdBuilder self = Child();
  self.MakeChildOf(self.unique_id, u"self.avhd");
  self.Write(directory_ / "self.avhd");
  ExpectBroken("self.avhd", ErrorKind::kCorrupt);
}

TEST_F(VhdChainTest, LocatorsOutsideOfTheFileAreNotFollowed) {
  WriteParent();
  for (const std::uint64_t offset : {std::uint64_t{1} << 40, ~std::uint64_t{0} - 8}) {
    VhdBuilder child = Child();
    child.MakeChild({kParentId, u"", {{VhdBuilder::kRelative, u".\\parent.vhd"}}});
    child.edit_header = [&](MutableByteSpan header) {
      StoreBig<std::uint64_t>(header, 576 + 16, offset);
    };
    std::filesystem::remove(directory_ / "child.avhd");
    child.Write(directory_ / "child.avhd");
    EXPECT_EQ(ErrorOf("child.avhd").kind, ErrorKind::kCorrupt);
  }
}

TEST_F(VhdChainTest, ABlockThatOverlapsTheTableIsRefused) {
  WriteParent();
  child_content_.AddPiece(0, 512);
  VhdBuilder child = Child();
  child.MakeChildOf(kParentId, u"parent.vhd");
  child.table_edits = {{1, 8 * 2}};
  child.Write(directory_ / "child.avhd");
  EXPECT_EQ(ErrorOf("child.avhd").code, ErrorCode::kImageCorrupt);
}

// The parent could be found all the same, by the name in the header.
TEST_F(VhdChainTest, ABlockThatOverlapsALocatorIsRefused) {
  WriteParent();
  child_content_.AddPiece(0, 512);
  VhdBuilder child = Child();
  child.MakeChild({kParentId, u"parent.vhd", {{VhdBuilder::kRelative, u".\\parent.vhd"}}});
  child.Write(directory_ / "child.avhd");
  EXPECT_TRUE(OpenDisk(PosixFileSystem(), directory_ / "child.avhd").has_value());
  // Into the one block, which ends where the footer begins.
  const std::uint64_t inside = testing::FileSize(directory_ / "child.avhd") - 512 - kMiB;
  child.edit_header = [&](MutableByteSpan header) {
    StoreBig<std::uint64_t>(header, 576 + 16, inside);
  };
  child.Write(Place("vm/child.avhd"));
  WriteParent("vm/parent.vhd");
  const Error error = ErrorOf("vm/child.avhd");
  EXPECT_EQ(error.code, ErrorCode::kImageCorrupt);
  EXPECT_THAT(error.Line(), HasSubstr(std::to_string(inside)));
}

}  // namespace
}  // namespace asr
