// Disk images that other programs wrote, and what other programs read of ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "storage/image/disk.h"
#include "storage/image/image_writer.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_file.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr {
namespace {

using testing::CommandOutput;
using testing::DiskContent;
using ::testing::HasSubstr;
using testing::MustSucceed;
using testing::RunShell;
using testing::TempDir;

constexpr std::uint32_t kMi = 1024 * 1024;

void ExpectSucceeds(const std::string& command) {
  const CommandOutput outcome = RunShell(command);
  EXPECT_EQ(outcome.exit_code, 0) << command << "\n" << outcome.text;
}

std::unique_ptr<Disk> MustOpen(const std::string& path, const std::string& format = "") {
  auto disk = OpenDisk(PosixFileSystem(), path, format);
  EXPECT_TRUE(disk.has_value()) << disk.error().Line();
  return disk ? *std::move(disk) : nullptr;
}

std::string DifferenceIn(const Disk& left, const Disk& right, const std::vector<Extent>& extents) {
  AlignedBuffer one(4 * kMiB);
  AlignedBuffer other(4 * kMiB);
  for (const Extent& extent : extents) {
    for (std::uint64_t offset = extent.offset_bytes; offset < extent.end_bytes();) {
      const std::size_t count = std::min<std::uint64_t>(extent.end_bytes() - offset, 4 * kMiB);
      MustSucceed(left.Read(offset, one.span().first(count)));
      MustSucceed(right.Read(offset, other.span().first(count)));
      if (std::memcmp(one.span().data(), other.span().data(), count) != 0) {
        return fmt::format("the disks differ in {} + {}", offset, count);
      }
      offset += count;
    }
  }
  return "";
}

// Empty if both disks hold the same: what is in an extent of either is compared.
std::string Difference(const Disk& left, const Disk& right) {
  if (left.size_bytes() != right.size_bytes()) {
    return fmt::format("{} bytes against {}", left.size_bytes(), right.size_bytes());
  }
  for (std::uint64_t offset = 0; offset < left.size_bytes(); offset += kGiB) {
    for (const Disk* disk : {&left, &right}) {
      const std::vector<Extent> extents = disk->AllocatedExtents({offset, kGiB}).value();
      std::string difference = DifferenceIn(left, right, extents);
      if (!difference.empty()) return difference;
    }
  }
  return "";
}

// QEMU sizes some creators' VHDs by their geometry; a guest of Hyper-V never sees that size.
std::string QemuImage(const std::string& path) {
  if (!path.ends_with(".vhd")) return "driver=vhdx,file.filename=" + path;
  return "driver=vpc,force_size_calc=current_size,file.filename=" + path;
}

void ExpectReadAsQemuDoes(const std::string& path, const std::string& raw_path) {
  ExpectSucceeds(
      fmt::format("qemu-img convert --image-opts -O raw {} {}", QemuImage(path), raw_path));
  const auto disk = MustOpen(path);
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(Difference(*disk, *MustOpen(raw_path)), "");
}

struct QemuCase {
  std::string name;
  std::string format;  // QEMU's word
  std::string options;
};

void PrintTo(const QemuCase& qemu_case, std::ostream* out) { *out << qemu_case.name; }

class FromQemuTest : public ::testing::TestWithParam<QemuCase> {
 protected:
  TempDir directory_;
};

TEST_P(FromQemuTest, ReadsWhatQemuWrote) {
  const QemuCase& qemu = GetParam();
  const std::string path = directory_ / (qemu.format == "vpc" ? "disk.vhd" : "disk.vhdx");
  ExpectSucceeds(
      fmt::format("qemu-img create -q -f {} -o {} {} 300M", qemu.format, qemu.options, path));
  ExpectSucceeds(fmt::format(
      "qemu-io -f {} -c 'write -P 0x11 0 64k' -c 'write -P 0x22 100M 3M' -c 'write -P 0x33 2097k "
      "1k' -c 'write -P 0x44 299M 1M' -c 'write -z 101M 64k' -c 'write -P 0x55 64513k 129k' {}",
      qemu.format, path));
  ExpectReadAsQemuDoes(path, directory_ / "disk.raw");
}

INSTANTIATE_TEST_SUITE_P(
    Images, FromQemuTest,
    ::testing::Values(QemuCase{"VhdDynamic", "vpc", "subformat=dynamic"},
                      QemuCase{"VhdDynamicExact", "vpc", "subformat=dynamic,force_size=on"},
                      QemuCase{"VhdFixed", "vpc", "subformat=fixed"},
                      QemuCase{"VhdFixedExact", "vpc", "subformat=fixed,force_size=on"},
                      QemuCase{"VhdxDynamic", "vhdx", "subformat=dynamic"},
                      QemuCase{"VhdxDynamic1M", "vhdx", "subformat=dynamic,block_size=1M"},
                      QemuCase{"VhdxDynamic256M", "vhdx", "subformat=dynamic,block_size=256M"},
                      QemuCase{"VhdxNotPresent", "vhdx", "subformat=dynamic,block_state_zero=off"},
                      QemuCase{"VhdxFixed", "vhdx", "subformat=fixed,block_size=2M"}),
    [](const auto& parameter) { return parameter.param.name; });

class LargeFromQemuTest : public ::testing::Test {
 protected:
  TempDir directory_;
};

TEST_F(LargeFromQemuTest, ReadsPastChunksOfALargeVhdx) {
  const std::string path = directory_ / "disk.vhdx";
  ExpectSucceeds("qemu-img create -q -f vhdx -o subformat=dynamic,block_size=1M " + path + " 20G");
  ExpectSucceeds(
      "qemu-io -f vhdx -c 'write -P 1 4095M 2M' -c 'write -P 2 8G 64k' -c 'write -P 3 20479M 1M' " +
      path);
  ExpectReadAsQemuDoes(path, directory_ / "disk.raw");
}

TEST_F(LargeFromQemuTest, OpensTheLargestVhdxThatQemuMakes) {
  const std::string path = directory_ / "disk.vhdx";
  ExpectSucceeds("qemu-img create -q -f vhdx " + path + " 64T");
  const auto disk = MustOpen(path);
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(disk->size_bytes(), 64 * kTiB);
  EXPECT_TRUE(disk->AllocatedExtents({0, 64 * kTiB}).value().empty());
}

// Shows the disk in an image as a file, through libvhdi and FUSE; gone when destroyed.
class LibvhdiMount {
 public:
  LibvhdiMount(const std::string& image, std::string directory) : directory_(std::move(directory)) {
    MustSucceed(PosixFileSystem().CreateDirectories(directory_));
    ExpectSucceeds(fmt::format("vhdimount {} {}", image, directory_));
  }
  ~LibvhdiMount() {
    ExpectSucceeds(
        fmt::format("fusermount -u {0} || fusermount3 -u {0} || umount {0}", directory_));
  }
  LibvhdiMount(const LibvhdiMount&) = delete;
  LibvhdiMount& operator=(const LibvhdiMount&) = delete;

  // Of a chain of `images`: its leaf, which comes last.
  [[nodiscard]] std::string disk_path(int images = 1) const {
    return JoinPath(directory_, fmt::format("vhdi{}", images));
  }

 private:
  std::string directory_;
};

class ToOthersTest : public ::testing::Test {
 protected:
  ToOthersTest() {
    content_.AddPiece(0, 5 * kMiB + 512);
    content_.AddPiece(64 * kMiB - 4096, 8192);
    content_.AddPiece(200 * kMiB, kMiB + 512);
  }

  std::string WriteOurs(const std::string& name, const std::string& format,
                        std::uint32_t sector_bytes = 512) {
    const std::string path = directory_ / name;
    const auto writer =
        CreateImage(PosixFileSystem(), {path, format, content_.size_bytes(), sector_bytes}).value();
    for (const auto& [offset, piece] : content_.pieces()) {
      MustSucceed(writer->Write(offset, piece));
    }
    MustSucceed(writer->Finish());
    return path;
  }

  // Through the file that libvhdi shows the disk as.
  void ExpectReadByLibvhdi(const std::string& path) {
    EXPECT_EQ(RunShell("vhdiinfo " + path).exit_code, 0);
    const LibvhdiMount mount(path, directory_ / "mount");
    const auto disk = MustOpen(mount.disk_path(), "raw");
    ASSERT_NE(disk, nullptr);
    EXPECT_EQ(testing::DifferenceFrom(content_, *disk), "");
  }

  DiskContent content_{200 * kMiB + 2 * kMiB};
  TempDir directory_;
};

TEST_F(ToOthersTest, QemuReadsOurVhdx) {
  const std::string raw = WriteOurs("disk.raw", "raw");
  const std::string vhdx = WriteOurs("disk.vhdx", "vhdx");
  ExpectSucceeds(fmt::format("qemu-img compare -f raw -F vhdx {} {}", raw, vhdx));
  ExpectSucceeds("qemu-img check -f vhdx " + vhdx);
  ExpectSucceeds(
      fmt::format("qemu-img convert -f vhdx -O raw {} {}", vhdx, directory_ / "back.raw"));
  EXPECT_EQ(testing::DifferenceFrom(content_, *MustOpen(directory_ / "back.raw")), "");
}

// QEMU changes the file: its log, headers and table must be good for writing too.
TEST_F(ToOthersTest, QemuWritesIntoOurVhdx) {
  const std::string vhdx = WriteOurs("disk.vhdx", "vhdx");
  ExpectSucceeds("qemu-io -f vhdx -c 'write -P 7 100M 1M' -c 'write -P 8 0 64k' " + vhdx);
  ExpectSucceeds("qemu-img check -f vhdx " + vhdx);
  ExpectReadAsQemuDoes(vhdx, directory_ / "disk.raw");
  std::vector<std::byte> out(1);
  MustSucceed(MustOpen(vhdx)->Read(100 * kMiB, out));
  EXPECT_EQ(out[0], std::byte{7});
}

TEST_F(ToOthersTest, QemuReadsOurFixedVhdAtItsWholeSize) {
  const std::string raw = WriteOurs("disk.raw", "raw");
  const std::string vhd = WriteOurs("disk.vhd", "vhd");
  ExpectSucceeds(fmt::format("qemu-img compare -f raw -F vpc {} {}", raw, vhd));
  EXPECT_THAT(RunShell("qemu-img info -f vpc --output=json " + vhd).text,
              HasSubstr(fmt::format("\"virtual-size\": {}", content_.size_bytes())));
}

TEST_F(ToOthersTest, QemuReadsOurDynamicVhdAtItsWholeSize) {
  const std::string raw = WriteOurs("disk.raw", "raw");
  const std::string vhd = WriteOurs("disk.vhd", "vhd-dynamic");
  ExpectSucceeds(fmt::format("qemu-img compare -f raw -F vpc {} {}", raw, vhd));
  EXPECT_THAT(RunShell("qemu-img info -f vpc --output=json " + vhd).text,
              HasSubstr(fmt::format("\"virtual-size\": {}", content_.size_bytes())));
}

TEST_F(ToOthersTest, QemuWritesIntoOurDynamicVhd) {
  const std::string vhd = WriteOurs("disk.vhd", "vhd-dynamic");
  ExpectSucceeds("qemu-io -f vpc -c 'write -P 7 101M 2M' -c 'write -P 8 0 64k' " + vhd);
  ExpectReadAsQemuDoes(vhd, directory_ / "disk.raw");
  std::vector<std::byte> out(1);
  MustSucceed(MustOpen(vhd)->Read(102 * kMiB, out));
  EXPECT_EQ(out[0], std::byte{7});
}

TEST_F(ToOthersTest, QemuReadsTheLargestDynamicVhdOfOurs) {
  const std::string path = directory_ / "disk.vhd";
  const std::uint64_t size = 2040 * kGiB;
  const auto writer = CreateImage(PosixFileSystem(), {path, "vhd-dynamic", size, 512}).value();
  MustSucceed(writer->Write(size - 512, std::vector<std::byte>(512, std::byte{9})));
  MustSucceed(writer->Finish());
  EXPECT_THAT(RunShell("qemu-img info -f vpc --output=json " + path).text,
              HasSubstr(fmt::format("\"virtual-size\": {}", size)));
  const CommandOutput read =
      RunShell(fmt::format("qemu-io -r -f vpc -c 'read -P 9 {} 512' {}", size - 512, path));
  EXPECT_EQ(read.exit_code, 0) << read.text;
  EXPECT_THAT(read.text, ::testing::Not(HasSubstr("failed")));
}

TEST_F(ToOthersTest, QemuReadsTheLargestVhdxOfOurs) {
  const std::string path = directory_ / "disk.vhdx";
  const auto writer = CreateImage(PosixFileSystem(), {path, "vhdx", 64 * kTiB, 512}).value();
  MustSucceed(writer->Write(64 * kTiB - 512, std::vector<std::byte>(512, std::byte{9})));
  MustSucceed(writer->Finish());
  ExpectSucceeds(fmt::format("qemu-img check -f vhdx {}", path));
  EXPECT_THAT(
      RunShell(fmt::format("qemu-io -r -f vhdx -c 'read -P 9 {} 512' {}", 64 * kTiB - 512, path))
          .text,
      ::testing::Not(HasSubstr("failed")));
}

TEST_F(ToOthersTest, LibvhdiReadsOurVhdx) { ExpectReadByLibvhdi(WriteOurs("disk.vhdx", "vhdx")); }

TEST_F(ToOthersTest, LibvhdiReadsOurVhdxWith4kSectors) {
  content_ = DiskContent(204 * kMiB);
  content_.AddPiece(0, 5 * kMiB + 4096);
  content_.AddPiece(64 * kMiB - 4096, 8192);
  ExpectReadByLibvhdi(WriteOurs("disk.vhdx", "vhdx", 4096));
}

TEST_F(ToOthersTest, LibvhdiReadsOurFixedVhd) { ExpectReadByLibvhdi(WriteOurs("disk.vhd", "vhd")); }

TEST_F(ToOthersTest, LibvhdiReadsOurDynamicVhd) {
  ExpectReadByLibvhdi(WriteOurs("disk.vhd", "vhd-dynamic"));
}

// The builders that the other tests lean on are themselves held against QEMU and libvhdi.
TEST_F(ToOthersTest, QemuReadsWhatTheTestsBuild) {
  const std::string raw = WriteOurs("disk.raw", "raw");
  testing::VhdxBuilder(content_, 2 * kMi).Write(directory_ / "dynamic.vhdx");
  testing::VhdxBuilder(content_, 32 * kMi, 512, true).Write(directory_ / "fixed.vhdx");
  testing::VhdBuilder(content_).Write(directory_ / "dynamic.vhd");
  for (const std::string name : {"dynamic.vhdx", "fixed.vhdx", "dynamic.vhd"}) {
    ExpectSucceeds(fmt::format("qemu-img compare --image-opts driver=raw,file.filename={} {}", raw,
                               QemuImage(directory_ / name)));
  }
}

// Round the end of the ring QEMU takes one entry only: of more it replays the wrong ones.
TEST_F(ToOthersTest, QemuReplaysTheLogThatTheTestsBuild) {
  const std::string raw = WriteOurs("disk.raw", "raw");
  const testing::VhdxBuilder builder(content_, 2 * kMi);
  for (const bool goes_round : {false, true}) {
    SCOPED_TRACE(goes_round);
    const std::string path = directory_ / (goes_round ? "round.vhdx" : "dirty.vhdx");
    builder.Write(path);
    testing::VhdxLogBuilder log(path);
    if (goes_round) log.next_offset = kMi - 5 * 4096;
    testing::VhdxLogEntry entry;
    log.Undo({testing::VhdxBuilder::kRegionTable1, 64 * kKiB}, entry);
    log.Undo({testing::VhdxBuilder::kRegionTable2, 64 * kKiB}, entry);
    log.Undo({testing::VhdxBuilder::kMetadataOffset, 128 * kKiB}, entry);
    if (!goes_round) log.Append(std::exchange(entry, {}));
    log.Undo({testing::VhdxBuilder::kTableOffset, 64 * kKiB}, entry);
    log.Undo({builder.blocks_offset(), 64 * kKiB}, entry);
    log.Append(entry);
    const auto ours = MustOpen(path);
    ASSERT_NE(ours, nullptr);
    EXPECT_EQ(testing::DifferenceFrom(content_, *ours), "");
    ExpectSucceeds("qemu-img check -r all -f vhdx " + path);
    ExpectSucceeds(fmt::format("qemu-img compare -f raw -F vhdx {} {}", raw, path));
  }
}

// What libvhdi is known to get wrong is left out: blocks of zeros that hide the parent, bits of
// blocks that are not there, and bytes of a VHD's bitmap with ones and zeros in them.
class ChainToLibvhdiTest : public ::testing::Test {
 protected:
  ChainToLibvhdiTest() {
    parent_.AddPiece(0, 64 * kKiB);
    parent_.AddPiece(2 * kMiB, 4 * kMiB);
    child_.AddPiece(3 * kMiB + 4096, 8192);
    child_.AddPiece(10 * kMiB, kMiB);
    whole_.AddPiece(0, 64 * kKiB);
    whole_.AddBytes(2 * kMiB, parent_.Bytes(2 * kMiB, kMiB + 4096));
    whole_.AddPiece(3 * kMiB + 4096, 8192);
    whole_.AddBytes(3 * kMiB + 3 * 4096, parent_.Bytes(3 * kMiB + 3 * 4096, 3 * kMiB - 3 * 4096));
    whole_.AddPiece(10 * kMiB, kMiB);
  }

  // By libvhdi and by us: the builder and the reader were not made for each other.
  void ExpectBothRead(const std::string& path) {
    const auto ours = MustOpen(path);
    ASSERT_NE(ours, nullptr);
    EXPECT_EQ(testing::DifferenceFrom(whole_, *ours), "");
    const LibvhdiMount mount(path, directory_ / "mount");
    const auto theirs = MustOpen(mount.disk_path(2), "raw");
    ASSERT_NE(theirs, nullptr);
    EXPECT_EQ(testing::DifferenceFrom(whole_, *theirs), "");
  }

  DiskContent parent_{16 * kMiB};
  DiskContent child_{16 * kMiB};
  DiskContent whole_{16 * kMiB};
  TempDir directory_;
};

TEST_F(ChainToLibvhdiTest, DifferencingVhdx) {
  for (const std::uint32_t sector_bytes : {512u, 4096u}) {
    SCOPED_TRACE(sector_bytes);
    const std::u16string name = sector_bytes == 512 ? u"parent.vhdx" : u"parent4k.vhdx";
    testing::VhdxBuilder parent(parent_, kMi, sector_bytes);
    parent.Write(directory_ / std::string(name.begin(), name.end()));
    testing::VhdxBuilder child(child_, kMi, sector_bytes);
    child.data_write_guid = testing::VhdxBuilder::GuidOf(0x66);
    child.other_bits_lie = false;
    child.MakeChildOf(parent.data_write_guid, name);
    child.Write(directory_ / fmt::format("child{}.vhdx", sector_bytes));
    ExpectBothRead(directory_ / fmt::format("child{}.vhdx", sector_bytes));
  }
}

TEST_F(ChainToLibvhdiTest, DifferencingVhd) {
  // It takes the size from the field of the original one.
  const auto tell_size = [](MutableByteSpan footer) {
    StoreBig<std::uint64_t>(footer, 40, 16 * kMiB);
  };
  testing::VhdBuilder parent(parent_);
  parent.edit_footer = tell_size;
  parent.Write(directory_ / "parent.vhd");
  testing::VhdBuilder child(child_);
  child.edit_footer = tell_size;
  child.unique_id = testing::VhdBuilder::IdOf(0x66);
  child.MakeChildOf(parent.unique_id, u"parent.vhd");
  child.Write(directory_ / "child.vhd");
  ExpectBothRead(directory_ / "child.vhd");
}

// Images that Windows and others wrote, where they are at hand: their README names the digests.
class FixtureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("ASR_FIXTURES");
    fixtures_ = given != nullptr ? given : ASR_SOURCE_DIR "/../shared/fixtures";
    if (!Exists(PosixFileSystem(), fixtures_)) GTEST_SKIP() << "no images at " << fixtures_;
  }

  // Decompressed into the test's directory.
  std::string Unpack(const std::string& name) {
    const std::string packed = JoinPath(fixtures_, name);
    std::string plain = directory_ / BaseName(name.substr(0, name.rfind('.')));
    const char* tool = name.ends_with(".bz2") ? "bzip2" : "gzip";
    ExpectSucceeds(fmt::format("{} -dc {} | dd of={} bs=64k conv=sparse iflag=fullblock", tool,
                               packed, plain));
    return plain;
  }

  std::string DigestOf(const Disk& disk) {
    const std::string result = directory_ / "digest";
    std::FILE* pipe = ::popen(("openssl dgst -sha256 -r > " + result).c_str(), "w");
    AlignedBuffer buffer(4 * kMiB);
    for (std::uint64_t offset = 0; offset < disk.size_bytes(); offset += buffer.size_bytes()) {
      const MutableByteSpan piece = buffer.span().first(
          std::min<std::uint64_t>(buffer.size_bytes(), disk.size_bytes() - offset));
      MustSucceed(disk.Read(offset, piece));
      EXPECT_EQ(std::fwrite(piece.data(), 1, piece.size(), pipe), piece.size());
    }
    EXPECT_EQ(::pclose(pipe), 0);
    return ReadWholeFile(PosixFileSystem(), result).value().substr(0, 64);
  }

  void ExpectDigest(const std::string& name, const std::string& digest) {
    const auto disk = MustOpen(Unpack(name));
    ASSERT_NE(disk, nullptr);
    EXPECT_EQ(DigestOf(*disk), digest);
  }

  void ExpectRefused(const std::string& path, ErrorCode code) {
    const auto disk = OpenDisk(PosixFileSystem(), path);
    ASSERT_FALSE(disk.has_value());
    EXPECT_EQ(disk.error().code, code) << disk.error().Line();
  }

  std::string fixtures_;
  TempDir directory_;
};

TEST_F(FixtureTest, DynamicVhdxOfHyperV) {
  ExpectDigest("qemu-iotests/iotest-dynamic-1G.vhdx.bz2",
               "d3d112d8dab7fd360609f7d5a7b769904b7a2a7d7b6b8c535f65a23293c05478");
}

TEST_F(FixtureTest, EqualHeadersOfDisk2vhd) {
  ExpectDigest("qemu-iotests/test-disk2vhd.vhdx.bz2",
               "96d964042be9b58dda1725567abfb0cf9fd8380e2118754afa979c2ad445938a");
}

TEST_F(FixtureTest, VhdOfDisk2vhd) {
  ExpectDigest("qemu-iotests/d2v-zerofilled.vhd.bz2",
               "1ba076be94a8a64541c25aae8d5a5f8b0da758c3797af597e03acb431ff8d143");
}

TEST_F(FixtureTest, VhdsHaveTheirCurrentSizeNotThatOfTheGeometry) {
  for (const char* name : {"hyperv2012r2-dynamic.vhd.bz2", "virtualpc-dynamic.vhd.bz2"}) {
    const auto disk = MustOpen(Unpack(std::string("qemu-iotests/") + name));
    ASSERT_NE(disk, nullptr);
    EXPECT_EQ(disk->size_bytes(), 136'365'211'648u) << name;
    EXPECT_TRUE(disk->AllocatedExtents({0, disk->size_bytes()}).value().empty()) << name;
  }
}

TEST_F(FixtureTest, VhdxsOfWindows) {
  for (const char* name : {"btrfs", "lvm2", "swap", "xfs", "xfs5"}) {
    SCOPED_TRACE(name);
    const std::string path = Unpack(fmt::format("discutils/{}.vhdx.gz", name));
    ExpectReadAsQemuDoes(path, path + ".raw");
  }
}

TEST_F(FixtureTest, VhdOfDfvfs) {
  const std::string path = directory_ / "ext2.vhd";
  ExpectSucceeds(fmt::format("cp {} {}", JoinPath(fixtures_, "dfvfs/ext2.vhd"), path));
  ExpectReadAsQemuDoes(path, directory_ / "ext2.raw");
}

TEST_F(FixtureTest, ADirtyLogIsReplayedAndTheFileLeftAlone) {
  const std::string path = Unpack("qemu-iotests/iotest-dirtylog-10G-4M.vhdx.bz2");
  const std::string before = ReadWholeFile(PosixFileSystem(), path, kGiB).value();
  const auto disk = MustOpen(path);
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(DigestOf(*disk), "179cefe8b0587f123393eedf2aa7aa8d25798591178e6bc3950a09762f38f96f");
  EXPECT_EQ(ReadWholeFile(PosixFileSystem(), path, kGiB).value(), before);
}

TEST_F(FixtureTest, AChildOfWindowsNamesTheParentThatIsNotThere) {
  const auto disk = OpenDisk(PosixFileSystem(), JoinPath(fixtures_, "dfvfs/fat-differential.vhd"));
  ASSERT_FALSE(disk.has_value());
  EXPECT_EQ(disk.error().code, ErrorCode::kImageChainBroken) << disk.error().Line();
  EXPECT_THAT(disk.error().Line(), ::testing::HasSubstr("fat-parent.vhd"));
}

TEST_F(FixtureTest, WrongChecksumsAreRefused) {
  ExpectRefused(JoinPath(fixtures_, "dfvfs/image.vhd"), ErrorCode::kImageCorrupt);
  ExpectRefused(JoinPath(fixtures_, "dfvfs/image-differential.vhd"), ErrorCode::kImageCorrupt);
}

}  // namespace
}  // namespace asr
