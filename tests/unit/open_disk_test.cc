// Which format an image is opened as.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/image/disk.h"
#include "tests/support/image_file.h"
#include "tests/support/qemu_lock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"

namespace asr {
namespace {

using testing::DiskContent;
using testing::ImageFileMaker;
using testing::TempDir;
using testing::VhdBuilder;
using testing::VhdxBuilder;

class OpenDiskTest : public ::testing::Test {
 protected:
  OpenDiskTest() { content_.AddPiece(0, 4096); }

  ErrorCode CodeOf(const std::string& name, const std::string& declared = "") {
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name, declared);
    if (disk) return ErrorCode::kInternal;
    EXPECT_FALSE(disk.error().action.empty() && disk.error().kind != ErrorKind::kNotFound);
    return disk.error().code;
  }

  DiskContent content_{2 * kMiB};
  TempDir directory_;
};

TEST_F(OpenDiskTest, TheEndingDecides) {
  VhdBuilder(content_).Write(directory_ / "a.VHD");
  VhdBuilder(content_).Write(directory_ / "b.avhd");
  VhdxBuilder(content_).Write(directory_ / "c.vhdx");
  VhdxBuilder(content_).Write(directory_ / "d.AVHDX");
  for (const char* name : {"a.VHD", "b.avhd", "c.vhdx", "d.AVHDX"}) {
    EXPECT_TRUE(OpenDisk(PosixFileSystem(), directory_ / name).has_value()) << name;
  }
}

TEST_F(OpenDiskTest, TheEndingIsHeldAgainstTheSignature) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhd");
  VhdBuilder(content_).Write(directory_ / "disk.vhdx");
  EXPECT_EQ(CodeOf("disk.vhd"), ErrorCode::kImageCorrupt);
  EXPECT_EQ(CodeOf("disk.vhdx"), ErrorCode::kImageCorrupt);
}

TEST_F(OpenDiskTest, RawIsRawWhateverTheGuestWroteIntoIt) {
  VhdxBuilder(content_).Write(directory_ / "disk.raw");
  const auto disk = OpenDisk(PosixFileSystem(), directory_ / "disk.raw").value();
  EXPECT_EQ(disk->format(), ImageFormat::kRaw);
  EXPECT_EQ(disk->size_bytes(), testing::FileSize(directory_ / "disk.raw"));
}

TEST_F(OpenDiskTest, OtherEndingsNeedADeclaration) {
  VhdxBuilder(content_).Write(directory_ / "disk.img");
  EXPECT_EQ(CodeOf("disk.img"), ErrorCode::kImageUnknownFormat);
  EXPECT_EQ(OpenDisk(PosixFileSystem(), directory_ / "disk.img", "vhdx").value()->format(),
            ImageFormat::kVhdxDynamic);
  EXPECT_EQ(OpenDisk(PosixFileSystem(), directory_ / "disk.img", "raw").value()->format(),
            ImageFormat::kRaw);
  EXPECT_EQ(CodeOf("disk.img", "vmdk"), ErrorCode::kImageUnknownFormat);
  EXPECT_EQ(CodeOf("disk.img", "vhd"), ErrorCode::kImageCorrupt);
}

// What somebody is copying there just now.
TEST_F(OpenDiskTest, AnImageThatLooksDamagedWhileSomebodyWritesToItIsInUse) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  VhdBuilder(content_).Write(directory_ / "disk.vhd");
  VhdBuilder(content_).Write(directory_ / "disk.raw");
  for (const char* name : {"disk.vhdx", "disk.vhd", "disk.raw"}) {
    testing::ResizeFile(directory_ / name, 600);
    {
      const testing::QemuLock writer(directory_ / name);
      const auto disk = OpenDisk(PosixFileSystem(), directory_ / name);
      ASSERT_FALSE(disk.has_value());
      EXPECT_EQ(disk.error().code, ErrorCode::kImageInUse) << disk.error().Line();
      EXPECT_EQ(disk.error().kind, ErrorKind::kBusy);
      EXPECT_TRUE(disk.error().retryable);
    }
    EXPECT_EQ(CodeOf(name), ErrorCode::kImageCorrupt);
  }
}

TEST_F(OpenDiskTest, ADeclarationMustAgreeWithTheEnding) {
  VhdxBuilder(content_).Write(directory_ / "disk.vhdx");
  EXPECT_EQ(CodeOf("disk.vhdx", "raw"), ErrorCode::kImageUnknownFormat);
  EXPECT_TRUE(OpenDisk(PosixFileSystem(), directory_ / "disk.vhdx", "vhdx").has_value());
}

TEST_F(OpenDiskTest, Qcow2CarriesItsSignature) {
  const ImageFileMaker file(directory_ / "disk.qcow2");
  file.Resize(kMiB);
  EXPECT_EQ(CodeOf("disk.qcow2"), ErrorCode::kImageCorrupt);
  file.Put(0, AsBytes("QFI\xFB"));
  EXPECT_EQ(CodeOf("disk.qcow2"), ErrorCode::kImageUnsupported);  // version 0
}

TEST_F(OpenDiskTest, RefusesWhatIsNoFile) {
  EXPECT_EQ(CodeOf("missing.raw"), ErrorCode::kFileNotFound);
  ASSERT_TRUE(PosixFileSystem().CreateDirectories(directory_ / "directory.raw").has_value());
  EXPECT_EQ(CodeOf("directory.raw"), ErrorCode::kImageUnsupported);
}

TEST_F(OpenDiskTest, RawIsMadeOfSectors) {
  const ImageFileMaker file(directory_ / "disk.raw");
  EXPECT_EQ(CodeOf("disk.raw"), ErrorCode::kImageCorrupt);
  file.Resize(1000);
  EXPECT_EQ(CodeOf("disk.raw"), ErrorCode::kImageCorrupt);
  file.Resize(1024);
  EXPECT_TRUE(OpenDisk(PosixFileSystem(), directory_ / "disk.raw").has_value());
}

TEST(ImageFormatTest, HasNames) {
  EXPECT_EQ(FormatName(ImageFormat::kVhdFixed), "vhd");
  EXPECT_EQ(FormatName(ImageFormat::kVhdxDynamic), "vhdx");
}

}  // namespace
}  // namespace asr
