#include "storage/image/image_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "storage/base/checksum.h"
#include "storage/image/disk.h"
#include "storage/image/vhdx_format.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_file.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using testing::TempDir;

class ImageWriterTest : public ::testing::Test {
 protected:
  ErrorKind KindOf(const NewImage& image) {
    const auto writer = CreateImage(PosixFileSystem(), image);
    return writer ? ErrorKind::kInternal : writer.error().kind;
  }

  TempDir directory_;
};

TEST_F(ImageWriterTest, RefusesDisksThatCannotBe) {
  const std::string path = directory_ / "disk";
  EXPECT_EQ(KindOf({path, "qcow", kGiB, 512}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhd", kGiB, 4096}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "qcow2", kGiB, 4096}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhd-dynamic", kGiB, 4096}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhd-dynamic", 2040 * kGiB + 512, 512}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhdx", kGiB, 1024}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhdx", kGiB + 512, 4096}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "vhdx", 0, 512}), ErrorKind::kUsage);
  EXPECT_EQ(KindOf({path, "raw", 65 * kTiB, 512}), ErrorKind::kUsage);
  EXPECT_FALSE(Exists(PosixFileSystem(), path));
}

TEST_F(ImageWriterTest, LeavesAFileThatExistsAlone) {
  testing::ImageFileMaker(directory_ / "disk.raw").Put(0, AsBytes("mine"));
  EXPECT_EQ(KindOf({directory_ / "disk.raw", "raw", kMiB, 512}), ErrorKind::kState);
  EXPECT_EQ(testing::FileSize(directory_ / "disk.raw"), 4u);
}

TEST_F(ImageWriterTest, RefusesWritesOutsideTheDisk) {
  const auto writer =
      CreateImage(PosixFileSystem(), {directory_ / "disk.vhdx", "vhdx", kMiB, 512}).value();
  const std::vector<std::byte> bytes(1024);
  EXPECT_FALSE(writer->Write(kMiB - 512, bytes).has_value());
  EXPECT_FALSE(writer->Write(~std::uint64_t{511}, bytes).has_value());
  EXPECT_FALSE(writer->Write(100, bytes).has_value());
  EXPECT_FALSE(writer->Write(0, ByteSpan(bytes).first(100)).has_value());
}

TEST_F(ImageWriterTest, IsNoImageBeforeItIsFinished) {
  for (const std::string format : {"vhd", "vhd-dynamic", "vhdx"}) {
    const std::string path = directory_ / (format + "." + ImageEnding(format));
    const auto writer = CreateImage(PosixFileSystem(), {path, format, 64 * kMiB, 512}).value();
    testing::MustSucceed(writer->Write(0, std::vector<std::byte>(4096, std::byte{1})));
    EXPECT_FALSE(OpenDisk(PosixFileSystem(), path).has_value());
    testing::MustSucceed(writer->Finish());
    EXPECT_TRUE(OpenDisk(PosixFileSystem(), path).has_value());
  }
}

TEST_F(ImageWriterTest, AnEmptyDiskTakesNoSpaceWhateverItsSize) {
  for (const std::string format : {"raw", "vhd", "vhd-dynamic", "vhdx"}) {
    const std::string path = directory_ / (format + "." + ImageEnding(format));
    // ext4 keeps files below 16 TiB.
    const std::uint64_t size = format == "vhdx"          ? 64 * kTiB
                               : format == "vhd-dynamic" ? 2040 * kGiB
                                                         : 8 * kTiB;
    const auto writer = CreateImage(PosixFileSystem(), {path, format, size, 512}).value();
    testing::MustSucceed(writer->Finish());
    EXPECT_LE(PosixFileSystem().Stat(path).value().allocated_bytes, 10 * kMiB) << format;
    EXPECT_EQ(OpenDisk(PosixFileSystem(), path).value()->size_bytes(), size);
  }
}

TEST_F(ImageWriterTest, WritesFromSeveralThreadsAllArrive) {
  DiskContent content(300 * kMiB);
  for (std::uint64_t offset = 0; offset < content.size_bytes(); offset += 5 * kMiB) {
    content.AddPiece(offset, 128 * kKiB);
  }
  for (const std::string format : {"raw", "vhd", "vhd-dynamic", "vhdx"}) {
    const std::string path = directory_ / (format + "." + ImageEnding(format));
    const auto writer =
        CreateImage(PosixFileSystem(), {path, format, content.size_bytes(), 512}).value();
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (std::uint64_t part = 0; part < 4; ++part) {
      threads.emplace_back([&, part] {
        for (const auto& [offset, piece] : content.pieces()) {
          if (offset / (5 * kMiB) % 4 != part) continue;
          if (!writer->Write(offset, piece)) ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(failed, 0);
    testing::MustSucceed(writer->Finish());
    EXPECT_EQ(DifferenceFrom(content, *OpenDisk(PosixFileSystem(), path).value()), "") << format;
  }
}

// In a dynamic VHD blocks are numbered by sectors of 32 bits, the bitmaps between them count too.
TEST_F(ImageWriterTest, TheLargestDynamicVhdHoldsItsLastSector) {
  DiskContent content(2040 * kGiB);
  content.AddPiece(0, 4096);
  content.AddPiece(content.size_bytes() - 512, 512);
  const std::string path = directory_ / "disk.vhd";
  const auto writer =
      CreateImage(PosixFileSystem(), {path, "vhd-dynamic", content.size_bytes(), 512}).value();
  for (const auto& [offset, piece] : content.pieces()) {
    testing::MustSucceed(writer->Write(offset, piece));
  }
  testing::MustSucceed(writer->Finish());
  EXPECT_EQ(DifferenceFrom(content, *OpenDisk(PosixFileSystem(), path).value()), "");
  EXPECT_LE(testing::FileSize(path), 10 * kMiB);
}

// As the specification lays them out; the checksums are sums of the other bytes.
TEST_F(ImageWriterTest, ADynamicVhdIsOneToTheSpecification) {
  const std::string path = directory_ / "disk.vhd";
  const auto writer = CreateImage(PosixFileSystem(), {path, "vhd-dynamic", 5 * kMiB, 512}).value();
  testing::MustSucceed(writer->Write(4 * kMiB, std::vector<std::byte>(512, std::byte{1})));
  testing::MustSucceed(writer->Finish());
  const std::vector<std::byte> file = testing::ImageInMemory(path).bytes();
  ASSERT_EQ(file.size(), 4096u + 2 * kMiB + 512);
  const ByteSpan footer = ByteSpan(file).last(512);
  EXPECT_TRUE(std::ranges::equal(footer, ByteSpan(file).first(512)));
  EXPECT_EQ(LoadBig<std::uint64_t>(footer, 16), 512u);  // the dynamic header
  EXPECT_EQ(AsText(footer.subspan(28, 4)), "win ");     // creator, decides whose size counts
  EXPECT_EQ(LoadBig<std::uint64_t>(footer, 48), 5 * kMiB);
  EXPECT_EQ(LoadBig<std::uint32_t>(footer, 60), 3u);
  const ByteSpan header = ByteSpan(file).subspan(512, 1024);
  EXPECT_EQ(AsText(header.first(8)), "cxsparse");
  EXPECT_EQ(LoadBig<std::uint64_t>(header, 8), ~std::uint64_t{0});
  EXPECT_EQ(LoadBig<std::uint64_t>(header, 16), 1536u);  // the block table
  EXPECT_EQ(LoadBig<std::uint32_t>(header, 24), 0x00010000u);
  EXPECT_EQ(LoadBig<std::uint32_t>(header, 28), 3u);
  EXPECT_EQ(LoadBig<std::uint32_t>(header, 32), 2 * kMiB);
  const ByteSpan table = ByteSpan(file).subspan(1536, 512);
  EXPECT_EQ(ToHex(table.first(16)),
            "ffffffff"
            "ffffffff"
            "00000007"
            "ffffffff");
  // The bitmap in sector 7, then the data, on a page.
  EXPECT_EQ(std::ranges::count(ByteSpan(file).subspan(7 * 512, 512), std::byte{0xFF}), 512);
  EXPECT_EQ(std::ranges::count(ByteSpan(file).subspan(4096, 1024), std::byte{1}), 512);
}

// What a writer that never finished left is found again where it belongs, whatever was written in
// which order, and the rest can be written.
TEST_F(ImageWriterTest, GoesOnWithAnUnfinishedFile) {
  DiskContent content(200 * kMiB + 512);
  for (std::uint64_t offset = 0; offset < content.size_bytes(); offset += 23 * kMiB) {
    content.AddPiece(offset, 128 * kKiB);
  }
  std::vector<Extent> data;
  for (const auto& [offset, piece] : content.pieces()) data.push_back({offset, piece.size()});
  for (const std::string format : {"raw", "vhd", "vhd-dynamic", "vhdx"}) {
    SCOPED_TRACE(format);
    ASSERT_TRUE(CanContinueImage(format));
    const NewImage image{directory_ / (format + "." + ImageEnding(format)), format,
                         content.size_bytes(), 512, data};
    {
      const auto writer = ContinueImage(PosixFileSystem(), image).value();
      const auto& pieces = content.pieces();
      for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
        if (piece->first < 50 * kMiB) continue;
        testing::MustSucceed(writer->Write(piece->first, piece->second));
      }
    }
    const auto writer = ContinueImage(PosixFileSystem(), image).value();
    const auto written = writer->WrittenExtents({0, content.size_bytes()}).value();
    for (const auto& [offset, piece] : content.pieces()) {
      const bool is_found = std::ranges::any_of(written, [offset = offset](const Extent& extent) {
        return extent.offset_bytes <= offset && offset < extent.end_bytes();
      });
      EXPECT_EQ(is_found, offset >= 50 * kMiB) << offset;
      std::vector<std::byte> held(piece.size());
      testing::MustSucceed(writer->Read(offset, held));
      EXPECT_EQ(std::ranges::equal(held, piece), is_found) << offset;
    }
    const auto& [dropped, its_bytes] = *content.pieces().rbegin();
    testing::MustSucceed(writer->Discard({dropped, its_bytes.size()}));
    std::vector<std::byte> zeros(its_bytes.size(), std::byte{1});
    testing::MustSucceed(writer->Read(dropped, zeros));
    EXPECT_TRUE(std::ranges::all_of(zeros, [](std::byte b) { return b == std::byte{0}; }));
    testing::MustSucceed(writer->Write(dropped, its_bytes));
    for (const auto& [offset, piece] : content.pieces()) {
      if (offset < 50 * kMiB) testing::MustSucceed(writer->Write(offset, piece));
    }
    testing::MustSucceed(writer->Finish());
    const auto disk = OpenDisk(PosixFileSystem(), image.path).value();
    EXPECT_EQ(DifferenceFrom(content, *disk), "");
  }
}

TEST_F(ImageWriterTest, GoesOnWithNoLink) {
  testing::ImageFileMaker(directory_ / "other").Put(0, AsBytes("somebody's"));
  std::filesystem::create_symlink(directory_ / "other", directory_ / "disk.raw");
  EXPECT_FALSE(ContinueImage(PosixFileSystem(), {directory_ / "disk.raw", "raw", kMiB, 512}));
  EXPECT_EQ(testing::FileSize(directory_ / "other"), 10u);
}

}  // namespace
}  // namespace asr
