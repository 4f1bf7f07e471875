// Differencing VHDXs: how a parent is found, who may be one, and what the whole chain reads as.
#include <fmt/format.h>

#include "storage/base/text.h"
#include "tests/support/image_chain_fixture.h"
#include "tests/support/image_file.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr {
namespace {

using testing::DiskContent;
using ::testing::HasSubstr;
using testing::ImageChainTest;
using testing::kChainDiskBytes;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;
using testing::VhdxLogEntry;

constexpr VhdxBuilder::GuidBytes kVhdxParentId = {0xD1, 0x9E, 0x4A, 0x81, 1, 2,  3,  4,
                                                  5,    6,    7,    8,    9, 10, 11, 12};
const std::u16string kVhdxParentText = u"{814A9ED1-0201-0403-0506-0708090A0B0C}";

class VhdxChainTest : public ImageChainTest {
 protected:
  std::string WriteParent(const std::string& name = "parent.vhdx") {
    VhdxBuilder parent(parent_content_);
    parent.data_write_guid = kVhdxParentId;
    parent.Write(Place(name));
    return directory_ / name;
  }

  void WriteChild(const std::string& name, const VhdxBuilder::LocatorEntries& entries) {
    VhdxBuilder child(child_content_);
    child.MakeChild(entries);
    child.Write(Place(name));
  }

  // A child without data of its own, by these links.
  void ExpectFindsParent(const VhdxBuilder::LocatorEntries& paths, const std::string& child,
                         const std::string& folder = "") {
    VhdxBuilder::LocatorEntries entries = {{u"parent_linkage", kVhdxParentText}};
    entries.insert(entries.end(), paths.begin(), paths.end());
    WriteChild(child, entries);
    ExpectRead(child, parent_content_, folder);
    std::filesystem::remove(directory_ / child);
  }

  // The parent's content with one block replaced.
  DiskContent WithBlockOf(std::uint64_t block, std::vector<std::byte> bytes) {
    DiskContent content(kChainDiskBytes);
    for (std::uint64_t other = 0; other < kChainDiskBytes / kMiB; ++other) {
      content.AddBytes(other * kMiB,
                       other == block ? bytes : parent_content_.Bytes(other * kMiB, kMiB));
    }
    return content;
  }

  // By reading everything: the content holds zeros in pieces.
  void ExpectBytes(const std::string& name, const DiskContent& content) {
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    ASSERT_EQ((*disk)->size_bytes(), content.size_bytes());
    std::vector<std::byte> read(content.size_bytes());
    testing::MustSucceed((*disk)->Read(0, read));
    EXPECT_TRUE(read == content.Bytes(0, content.size_bytes()));
  }
};

TEST_F(VhdxChainTest, EachBlockStateShowsOrHidesTheParent) {
  WriteParent();
  for (const std::uint64_t state : {0u, 1u, 2u, 3u, 5u}) {
    SCOPED_TRACE(state);
    const std::string name = fmt::format("child{}.avhdx", state);
    child_content_ = DiskContent(kChainDiskBytes);
    child_content_.AddPiece(5 * kMiB + 4096, 4096);  // a block in state 7: there is a bitmap
    VhdxBuilder child(child_content_);
    child.block_states[3] = state;
    child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
    child.Write(directory_ / name);
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    std::vector<std::byte> block(kMiB);
    testing::MustSucceed((*disk)->Read(3 * kMiB, block));
    const bool shows_parent = state == 0;
    EXPECT_TRUE(block == (shows_parent ? parent_content_.Bytes(3 * kMiB, kMiB)
                                       : std::vector<std::byte>(kMiB)));
    const std::size_t extents = (*disk)->AllocatedExtents({3 * kMiB, kMiB}).value().size();
    EXPECT_EQ(extents, shows_parent ? 1u : 0u);
  }
}

// Such a place is reserved, or that of data that was there before.
TEST_F(VhdxChainTest, TheSpecifiedPlaceOfAnAbsentBlockMeansNothing) {
  WriteParent();
  child_content_.AddPiece(0, kMiB);
  std::vector<std::byte> zeros(kMiB);
  for (const std::uint64_t state : {1u, 2u, 3u}) {
    SCOPED_TRACE(state);
    const std::string name = fmt::format("child{}.avhdx", state);
    VhdxBuilder child(child_content_);
    child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
    child.block_states[0] = 2;
    child.table_edits = {{child.EntryIndex(2), child.blocks_offset() | state},
                         {child.EntryIndex(3), 900 * kGiB | 0}};
    child.Write(directory_ / name);
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    std::vector<std::byte> block(kMiB, std::byte{1});
    testing::MustSucceed((*disk)->Read(2 * kMiB, block));
    EXPECT_TRUE(block == zeros);
    testing::MustSucceed((*disk)->Read(3 * kMiB, block));
    EXPECT_TRUE(block == parent_content_.Bytes(3 * kMiB, kMiB));
  }
}

TEST_F(VhdxChainTest, ABlockThatIsFullyPresentHasNoUseForItsBitmap) {
  WriteParent();
  child_content_.AddPiece(2 * kMiB + 512, 512);
  child_content_.AddPiece(5 * kMiB + 512, 512);
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.block_states[2] = 6;  // its bits say that all of it is in the parent
  child.Write(directory_ / "child.avhdx");
  DiskContent expected = WithBlockOf(2, child_content_.Bytes(2 * kMiB, kMiB));
  const std::vector<std::byte> sector = child_content_.Bytes(5 * kMiB + 512, 512);
  const auto disk = OpenDisk(PosixFileSystem(), directory_ / "child.avhdx");
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  std::vector<std::byte> block(kMiB);
  testing::MustSucceed((*disk)->Read(2 * kMiB, block));
  EXPECT_TRUE(block == expected.Bytes(2 * kMiB, kMiB));
  std::vector<std::byte> read(512);
  testing::MustSucceed((*disk)->Read(5 * kMiB + 512, read));
  EXPECT_TRUE(read == sector);
}

TEST_F(VhdxChainTest, BitsCountFromTheLeastSignificant) {
  WriteParent();
  std::vector<std::byte> block = parent_content_.Bytes(2 * kMiB, kMiB);
  for (const std::uint64_t sector : {0u, 9u, 10u, 15u, 100u, 2047u}) {
    child_content_.AddPiece(2 * kMiB + sector * 512, 512);
    const std::vector<std::byte> bytes = child_content_.Bytes(2 * kMiB + sector * 512, 512);
    std::ranges::copy(bytes, block.begin() + static_cast<long>(sector * 512));
  }
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.Write(directory_ / "child.avhdx");
  ExpectBytes("child.avhdx", WithBlockOf(2, block));
}

TEST_F(VhdxChainTest, WithSectorsOf4KiBABitStandsFor4KiB) {
  VhdxBuilder parent(parent_content_, kMiB, 4096);
  parent.data_write_guid = kVhdxParentId;
  parent.Write(directory_ / "parent.vhdx");
  std::vector<std::byte> block = parent_content_.Bytes(2 * kMiB, kMiB);
  for (const std::uint64_t sector : {1u, 8u, 255u}) {
    child_content_.AddPiece(2 * kMiB + sector * 4096, 4096);
    const std::vector<std::byte> bytes = child_content_.Bytes(2 * kMiB + sector * 4096, 4096);
    std::ranges::copy(bytes, block.begin() + static_cast<long>(sector * 4096));
  }
  VhdxBuilder child(child_content_, kMiB, 4096);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.Write(directory_ / "child.avhdx");
  ExpectBytes("child.avhdx", WithBlockOf(2, block));
}

TEST_F(VhdxChainTest, APartiallyPresentBlockNeedsABitmapInTheFile) {
  WriteParent();
  child_content_.AddPiece(2 * kMiB, 512);
  int files = 0;
  const VhdxBuilder plain(child_content_);
  // Absent; past the end of the file; over a block; in the headers; no state of a bitmap.
  for (const std::uint64_t entry : {std::uint64_t{0}, kTiB | 6, plain.blocks_offset() | 6,
                                    std::uint64_t{6}, (plain.blocks_offset() + kMiB) | 7}) {
    SCOPED_TRACE(entry);
    const std::string name = fmt::format("child{}.avhdx", files++);
    VhdxBuilder child(child_content_);
    child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
    child.table_edits = {{child.BitmapIndex(0), entry}};
    child.Write(directory_ / name);
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
    ASSERT_FALSE(disk.has_value());
    EXPECT_EQ(disk.error().code, ErrorCode::kImageCorrupt) << disk.error().Line();
  }
}

TEST_F(VhdxChainTest, AChildMayBeLargerThanItsParent) {
  parent_content_.AddPiece(kChainDiskBytes - 512, 512);
  WriteParent();
  child_content_ = DiskContent(kChainDiskBytes + 3 * kMiB + 512);
  child_content_.AddPiece(kChainDiskBytes + 512, 512);  // its block is all past the parent's end
  child_content_.AddPiece(kChainDiskBytes - 2048, 512);
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.Write(directory_ / "child.avhdx");
  DiskContent expected(child_content_.size_bytes());
  for (const auto& [offset, piece] : parent_content_.pieces()) expected.AddBytes(offset, piece);
  for (const auto& [offset, piece] : child_content_.pieces()) expected.AddBytes(offset, piece);
  ExpectRead("child.avhdx", expected);
  ExpectBytes("child.avhdx", expected);
}

TEST_F(VhdxChainTest, AFixedDiskMayBeAParent) {
  VhdxBuilder parent(parent_content_, kMiB, 512, true);
  parent.data_write_guid = kVhdxParentId;
  parent.Write(directory_ / "parent.vhdx");
  WriteChild("child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u".\\parent.vhdx"}});
  ExpectRead("child.avhdx", parent_content_);
}

TEST_F(VhdxChainTest, AParentsLogIsReplayedToo) {
  const std::string path = WriteParent();
  VhdxLogBuilder log(path);
  VhdxLogEntry entry;
  log.Undo({VhdxBuilder::kTableOffset, 4096}, entry);
  log.Append(entry);
  WriteChild("child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u"parent.vhdx"}});
  ExpectRead("child.avhdx", parent_content_);
}

TEST_F(VhdxChainTest, GuidsAreComparedAsSuch) {
  WriteParent();
  std::u16string lower = kVhdxParentText;
  for (char16_t& letter : lower) {
    if (letter >= u'A' && letter <= u'F') letter = static_cast<char16_t>(letter + 32);
  }
  WriteChild("child.avhdx", {{u"parent_linkage", lower}, {u"relative_path", u".\\parent.vhdx"}});
  ExpectRead("child.avhdx", parent_content_);
}

TEST_F(VhdxChainTest, EitherLinkageMayNameTheParent) {
  WriteParent();
  const std::u16string other = VhdxBuilder::GuidText(VhdxBuilder::GuidOf(0x99));
  const std::u16string none = VhdxBuilder::GuidText({});
  const std::pair<std::u16string, std::u16string> path = {u"relative_path", u".\\parent.vhdx"};
  WriteChild("second.avhdx",
             {{u"parent_linkage", other}, {u"parent_linkage2", kVhdxParentText}, path});
  ExpectRead("second.avhdx", parent_content_);
  WriteChild("none.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"parent_linkage2", none}, path});
  ExpectRead("none.avhdx", parent_content_);
}

// Windows 11 writes a second linkage of zeros, which means none: not a parent without an id.
TEST_F(VhdxChainTest, ALinkageOfZerosMatchesNobody) {
  VhdxBuilder parent(parent_content_);
  parent.data_write_guid = {};
  parent.Write(directory_ / "parent.vhdx");
  WriteChild("child.avhdx", {{u"parent_linkage", kVhdxParentText},
                             {u"parent_linkage2", VhdxBuilder::GuidText({})},
                             {u"relative_path", u".\\parent.vhdx"}});
  ExpectBroken("child.avhdx", ErrorKind::kCorrupt);
}

TEST_F(VhdxChainTest, AWrongIdNamesBothFilesAndBothIds) {
  const VhdxBuilder::GuidBytes wanted = VhdxBuilder::GuidOf(0x99);
  const std::string parent = WriteParent();
  VhdxBuilder child(child_content_);
  child.MakeChildOf(wanted, u"parent.vhdx");
  child.Write(directory_ / "child.avhdx");
  ExpectBroken("child.avhdx", ErrorKind::kCorrupt);
  const std::string line = AsciiLowerCase(ErrorOf("child.avhdx").Line());
  EXPECT_THAT(line, HasSubstr(AsciiLowerCase(parent)));
  EXPECT_THAT(line, HasSubstr("99999999-9999-9999-9999-999999999999"));
  EXPECT_THAT(line, HasSubstr("814a9ed1-0201-0403-0506-0708090a0b0c"));
}

TEST_F(VhdxChainTest, AMissingParentIsNamedWithWhereItWasLookedFor) {
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"gone.vhdx");
  child.Write(directory_ / "child.avhdx");
  ExpectBroken("child.avhdx", ErrorKind::kCorrupt);
  EXPECT_THAT(ErrorOf("child.avhdx").Line(), HasSubstr(directory_ / "gone.vhdx"));
}

TEST_F(VhdxChainTest, ParentsAreFoundByWindowsPaths) {
  WriteParent("Vm/Base Disk.vhdx");
  ExpectFindsParent({{u"relative_path", u".\\Base Disk.vhdx"}}, "Vm/child.avhdx");
  ExpectFindsParent({{u"relative_path", u"Base Disk.vhdx"}}, "Vm/child.avhdx");
  ExpectFindsParent({{u"relative_path", u".\\BASE disk.VHDX"}}, "Vm/child.avhdx");
  ExpectFindsParent({{u"relative_path", u"..\\Base Disk.vhdx"}}, "Vm/snapshots/child.avhdx", "Vm");
  ExpectFindsParent({{u"relative_path", u"..\\..\\vm\\base disk.vhdx"}},
                    "Other/snapshots/child.avhdx", ".");
  ExpectFindsParent({{u"relative_path", u".\\vm\\Base Disk.vhdx"}}, "child.avhdx");
}

// A copy from before the damage may carry the same id, and older data.
TEST_F(VhdxChainTest, ACopyBesideTheChildDoesNotStandInForADamagedParent) {
  const std::string parent = WriteParent("vm/base/disk.vhdx");
  WriteParent("vm/disk.vhdx");
  WriteChild("vm/child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u".\\base\\disk.vhdx"}});
  EXPECT_TRUE(OpenDisk(PosixFileSystem(), directory_ / "vm/child.avhdx").has_value());
  testing::OverwriteFile(parent, 0, AsBytes("no image"));
  const auto disk = OpenDisk(PosixFileSystem(), directory_ / "vm/child.avhdx");
  ASSERT_FALSE(disk.has_value());
  EXPECT_THAT(disk.error().Line(), HasSubstr(parent));
}

TEST_F(VhdxChainTest, APathOfAnotherMachineStandsForItsNameBesideTheChild) {
  WriteParent("vm/parent.vhdx");
  ExpectFindsParent({{u"absolute_win32_path", u"C:\\Users\\Public\\Disks\\parent.vhdx"}},
                    "vm/child.avhdx");
  ExpectFindsParent({{u"absolute_win32_path", u"\\\\server\\share\\PARENT.VHDX"}},
                    "vm/child.avhdx");
  ExpectFindsParent(
      {{u"volume_path", u"\\\\?\\Volume{4c5b2a70-0000-0000-0000-100000000000}\\vm\\parent.vhdx"}},
      "vm/child.avhdx");
  ExpectFindsParent({{u"relative_path", u".\\moved\\parent.vhdx"}}, "vm/child.avhdx");
  ExpectFindsParent(
      {{u"absolute_win32_path", u"C:\\gone.vhdx"}, {u"relative_path", u"parent.vhdx"}},
      "vm/child.avhdx");
}

TEST_F(VhdxChainTest, NamesMayHoldAnyLetters) {
  WriteParent("Gr\u00F6\u00DFe \U0001F4BE.vhdx");
  ExpectFindsParent({{u"relative_path", u".\\Gr\u00F6\u00DFe \U0001F4BE.vhdx"}}, "child.avhdx");
}

TEST_F(VhdxChainTest, AParentOutsideOfTheFolderIsRefused) {
  WriteParent("outside.vhdx");
  for (const std::u16string& path :
       {std::u16string(u"..\\outside.vhdx"), std::u16string(u".\\..\\..\\outside.vhdx"),
        std::u16string(u"sub\\..\\..\\outside.vhdx")}) {
    const std::string name =
        path.find(u"..\\..\\outside") == 2 ? "vm/deep/child.avhdx" : "vm/child.avhdx";
    std::filesystem::create_directories(directory_ / "vm/sub");
    WriteChild(name, {{u"parent_linkage", kVhdxParentText}, {u"relative_path", path}});
    ExpectBroken(name, ErrorKind::kUnsupported, "vm");
    std::filesystem::remove(directory_ / name);
  }
  WriteChild("vm/child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u"..\\outside.vhdx"}});
  ExpectBroken("vm/child.avhdx", ErrorKind::kUnsupported);  // the child's own directory
  ExpectRead("vm/child.avhdx", parent_content_, ".");
}

TEST_F(VhdxChainTest, ASymbolicLinkLeadsNotOutOfTheFolder) {
  const std::string outside = WriteParent("outside.vhdx");
  std::filesystem::create_directories(directory_ / "vm");
  std::filesystem::create_symlink(outside, directory_ / "vm/parent.vhdx");
  WriteChild("vm/child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u".\\parent.vhdx"}});
  ExpectBroken("vm/child.avhdx", ErrorKind::kUnsupported, "vm");
  std::filesystem::create_directory_symlink(directory_.path(), directory_ / "vm/up");
  WriteChild("vm/other.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u".\\up\\outside.vhdx"}});
  ExpectBroken("vm/other.avhdx", ErrorKind::kUnsupported, "vm");
}

// A folder of a like name is another one.
TEST_F(VhdxChainTest, AFolderIsMoreThanThePrefixOfAPath) {
  WriteParent("vm2/parent.vhdx");
  WriteChild("vm/child.avhdx",
             {{u"parent_linkage", kVhdxParentText}, {u"relative_path", u"..\\vm2\\parent.vhdx"}});
  ExpectBroken("vm/child.avhdx", ErrorKind::kUnsupported, "vm");
}

TEST_F(VhdxChainTest, AParentWithOtherSectorsIsRefused) {
  WriteParent();
  child_content_ = DiskContent(kChainDiskBytes);
  VhdxBuilder child(child_content_, kMiB, 4096);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.Write(directory_ / "child.avhdx");
  const Error error = ErrorOf("child.avhdx");
  EXPECT_EQ(error.code, ErrorCode::kImageChainBroken) << error.Line();
  EXPECT_THAT(error.Line(), HasSubstr("512"));
  EXPECT_THAT(error.Line(), HasSubstr("4096"));
}

TEST_F(VhdxChainTest, LoopsAreRefused) {
  VhdxBuilder self(child_content_);
  self.MakeChildOf(self.data_write_guid, u"self.avhdx");
  self.Write(directory_ / "self.avhdx");
  ExpectBroken("self.avhdx", ErrorKind::kCorrupt);
  for (const auto& [name, parent] :
       {std::pair<const char*, const char16_t*>{"one.avhdx", u"two.avhdx"},
        {"two.avhdx", u"three.avhdx"},
        {"three.avhdx", u"two.avhdx"}}) {
    VhdxBuilder link(child_content_);
    link.MakeChildOf(link.data_write_guid, parent);
    link.Write(directory_ / name);
  }
  ExpectBroken("one.avhdx", ErrorKind::kCorrupt);
}

// 256 files are a chain; more are a trap.
TEST_F(VhdxChainTest, ChainsAreNoDeeperThan256) {
  const DiskContent empty(kMiB);
  DiskContent base(kMiB);
  base.AddPiece(4096, 4096);
  constexpr int kFiles = 258;
  for (int level = 0; level < kFiles; ++level) {
    VhdxBuilder link(level == 0 ? base : empty);
    if (level > 0) {
      const std::string parent = fmt::format("{}.avhdx", level - 1);
      link.MakeChildOf(link.data_write_guid, {parent.begin(), parent.end()});
    }
    link.Write(directory_ / fmt::format("{}.avhdx", level));
  }
  ExpectRead("255.avhdx", base);
  ExpectBroken("257.avhdx", ErrorKind::kCorrupt);
}

TEST_F(VhdxChainTest, LocatorsThatCannotBeAreRefused) {
  WriteParent();
  const VhdxBuilder::LocatorEntries entries = {{u"parent_linkage", kVhdxParentText},
                                               {u"relative_path", u".\\parent.vhdx"}};
  const auto refused = [&](const std::function<void(std::vector<std::byte>&)>& edit) {
    VhdxBuilder child(child_content_);
    child.MakeChild(entries);
    edit(child.ItemOf(VhdxBuilder::kParentLocator).value);
    std::filesystem::remove(directory_ / "child.avhdx");
    child.Write(directory_ / "child.avhdx");
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / "child.avhdx");
    ASSERT_FALSE(disk.has_value());
    EXPECT_TRUE(disk.error().kind == ErrorKind::kCorrupt ||
                disk.error().kind == ErrorKind::kUnsupported)
        << disk.error().Line();
  };
  refused([](auto& item) { item[0] ^= std::byte{1}; });                           // another type
  refused([](auto& item) { StoreLittle<std::uint16_t>(item, 18, 0xFFFF); });      // entries
  refused([](auto& item) { StoreLittle<std::uint16_t>(item, 18, 0); });           // no linkage
  refused([](auto& item) { StoreLittle<std::uint32_t>(item, 20, 0xFFFFFFFE); });  // a key's place
  refused([](auto& item) { StoreLittle<std::uint32_t>(item, 24, 1 << 20); });     // a value's
  refused([](auto& item) { StoreLittle<std::uint16_t>(item, 28, 0); });           // an empty key
  refused([](auto& item) { StoreLittle<std::uint16_t>(item, 30, 0xFFFF); });      // its length
  refused([](auto& item) { StoreLittle<std::uint16_t>(item, 30, 75); });          // half a letter
  refused([](auto& item) { item.resize(10); });
  refused([](auto& item) { item.clear(); });
}

TEST_F(VhdxChainTest, AChildWithoutALocatorIsRefused) {
  WriteParent();
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  child.items.pop_back();
  child.Write(directory_ / "child.avhdx");
  EXPECT_EQ(ErrorOf("child.avhdx").kind, ErrorKind::kCorrupt);
}

TEST_F(VhdxChainTest, TheTableOfAChildHasABitmapForItsLastChunk) {
  WriteParent();
  VhdxBuilder child(child_content_);
  child.MakeChildOf(kVhdxParentId, u"parent.vhdx");
  // A MiB of table has 131072 entries: enough for these blocks and the bitmaps between them, but
  // not for the whole last chunk.
  StoreLittle<std::uint64_t>(child.ItemOf(VhdxBuilder::kDiskSize).value, 0, 126'977 * kMiB);
  child.Write(directory_ / "child.avhdx");
  EXPECT_EQ(ErrorOf("child.avhdx").code, ErrorCode::kImageCorrupt);
}

}  // namespace
}  // namespace asr
