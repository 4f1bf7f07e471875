// What every Disk must do, whatever the format of its image and whoever wrote it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "storage/image/disk.h"
#include "storage/image/image_writer.h"
#include "tests/support/disk_content.h"
#include "tests/support/disk_layers.h"
#include "tests/support/image_file.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using testing::DiskLayer;
using testing::ImageFileMaker;
using testing::ImageInMemory;
using testing::TempDir;
using testing::VhdBuilder;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;
using testing::VhdxLogEntry;

struct ImageKind {
  std::string name;
  std::string ending;
  ImageFormat format;
  std::uint32_t sector_bytes;
  std::function<void(const DiskContent&, const std::string& path)> build;
  std::size_t parents = 0;  // files that the content comes from, beside the image itself
};

void PrintTo(const ImageKind& kind, std::ostream* out) { *out << kind.name; }

void BuildRaw(const DiskContent& content, const std::string& path) {
  const ImageFileMaker file(path);
  for (const auto& [offset, piece] : content.pieces()) file.Put(offset, piece);
  file.Resize(content.size_bytes());
}

ImageKind Vhd(std::string name, std::uint32_t type, std::function<void(VhdBuilder&)> edit) {
  return {std::move(name), ".vhd", type == 2 ? ImageFormat::kVhdFixed : ImageFormat::kVhdDynamic,
          512, [type, edit](const DiskContent& content, const std::string& path) {
            VhdBuilder builder(content);
            builder.type = type;
            edit(builder);
            builder.Write(path);
          }};
}

ImageKind Vhdx(std::string name, std::uint32_t block_bytes, std::uint32_t sector_bytes, bool fixed,
               std::uint64_t absent_state) {
  return {std::move(name), ".vhdx", fixed ? ImageFormat::kVhdxFixed : ImageFormat::kVhdxDynamic,
          sector_bytes, [=](const DiskContent& content, const std::string& path) {
            VhdxBuilder builder(content, block_bytes, sector_bytes, fixed);
            builder.state_of_absent_blocks = absent_state;
            builder.Write(path);
          }};
}

ImageKind Written(std::string name, std::string format, ImageFormat image_format,
                  std::uint32_t sector_bytes) {
  return {std::move(name), "." + ImageEnding(format), image_format, sector_bytes,
          [=](const DiskContent& content, const std::string& path) {
            const auto writer =
                CreateImage(PosixFileSystem(), {.path = path,
                                                .format = format,
                                                .size_bytes = content.size_bytes(),
                                                .logical_sector_bytes = sector_bytes})
                    .value();
            for (const auto& [offset, piece] : content.pieces()) {
              testing::MustSucceed(writer->Write(offset, piece));
            }
            testing::MustSucceed(writer->Finish());
          }};
}

// "disk" for the leaf, "parent1", "parent2" below it, all beside it.
std::string LayerName(std::size_t level, const std::string& ending) {
  return (level == 0 ? "disk" : "parent" + std::to_string(level)) + ending;
}

// The base is a dynamic image, everything above it a child of the next.
ImageKind VhdxChain(std::string name, std::size_t levels, std::uint32_t sector_bytes) {
  const auto build = [=](const DiskContent& content, const std::string& path) {
    const std::vector<DiskLayer> layers = SpreadOverLayers(content, levels, sector_bytes);
    for (std::size_t level = 0; level < levels; ++level) {
      VhdxBuilder builder(layers[level].content, 1024 * 1024, sector_bytes);
      builder.data_write_guid = VhdxBuilder::GuidOf(static_cast<std::uint8_t>(0x30 + level));
      builder.zeros_here = layers[level].zeros;
      std::uint64_t state = 0;
      for (const Extent& hidden : layers[level].hidden) {
        for (std::uint64_t at = hidden.offset_bytes; at < hidden.end_bytes(); at += kMiB) {
          builder.block_states[at / kMiB] = 1 + state++ % 3;  // undefined, zero, unmapped
        }
      }
      if (level + 1 < levels) {
        const std::string parent = LayerName(level + 1, ".avhdx");
        builder.MakeChildOf(VhdxBuilder::GuidOf(static_cast<std::uint8_t>(0x31 + level)),
                            {parent.begin(), parent.end()});
      }
      builder.bitmaps_come_first = level == 1;
      builder.Write(JoinPath(ParentOf(path), LayerName(level, ".avhdx")));
    }
  };
  return {std::move(name), ".avhdx", ImageFormat::kVhdxDifferencing,
          sector_bytes,    build,    levels - 1};
}

ImageKind VhdChain(std::string name, std::size_t levels, std::uint32_t block_bytes,
                   bool as_windows) {
  const auto build = [=](const DiskContent& content, const std::string& path) {
    const std::vector<DiskLayer> layers = SpreadOverLayers(content, levels, 512);
    for (std::size_t level = 0; level < levels; ++level) {
      VhdBuilder builder(layers[level].content);
      builder.block_bytes = block_bytes;
      builder.unique_id = VhdBuilder::IdOf(static_cast<std::uint8_t>(0x30 + level));
      builder.zeros_here = layers[level].zeros;
      builder.zeros_here.insert(builder.zeros_here.end(), layers[level].hidden.begin(),
                                layers[level].hidden.end());
      if (level + 1 < levels) {
        const std::string parent = LayerName(level + 1, ".avhd");
        builder.locators_of_windows = as_windows;
        builder.MakeChildOf(VhdBuilder::IdOf(static_cast<std::uint8_t>(0x31 + level)),
                            {parent.begin(), parent.end()});
        if (!as_windows) builder.data_alignment_bytes = 512;
      }
      builder.Write(JoinPath(ParentOf(path), LayerName(level, ".avhd")));
    }
  };
  return {std::move(name), ".avhd", ImageFormat::kVhdDifferencing, 512, build, levels - 1};
}

// The host stopped before anything but the log was written: region tables, metadata, block table
// and some of the data are stale in their places.
void MakeLogDirty(const std::string& path, const VhdxBuilder& builder, std::uint32_t first_offset) {
  VhdxLogBuilder log(path);
  log.next_offset = first_offset;
  VhdxLogEntry structures;
  log.Undo({VhdxBuilder::kRegionTable1, 64 * kKiB}, structures);
  log.Undo({VhdxBuilder::kRegionTable2, 64 * kKiB}, structures);
  log.Undo({VhdxBuilder::kMetadataOffset, 128 * kKiB}, structures);
  log.Append(structures);
  log.Append({});
  VhdxLogEntry table;
  log.Undo({VhdxBuilder::kTableOffset, builder.table_bytes()}, table);
  log.Append(table);
  VhdxLogEntry data;
  for (std::uint64_t sector = 0; sector < 200; sector += 3) {
    log.Undo({builder.blocks_offset() + sector * 4096, 4096}, data);
  }
  log.Append(data);
}

ImageKind VhdxDirty(std::string name, std::uint32_t sector_bytes, std::uint32_t first_offset) {
  return {std::move(name), ".vhdx", ImageFormat::kVhdxDynamic, sector_bytes,
          [=](const DiskContent& content, const std::string& path) {
            const VhdxBuilder builder(content, 1024 * 1024, sector_bytes);
            builder.Write(path);
            MakeLogDirty(path, builder, first_offset);
          }};
}

// The bitmaps, too, are only in the child's log.
ImageKind VhdxDirtyChild() {
  const auto build = [](const DiskContent& content, const std::string& path) {
    const std::vector<DiskLayer> layers = SpreadOverLayers(content, 2, 512);
    VhdxBuilder parent(layers[1].content);
    parent.Write(JoinPath(ParentOf(path), LayerName(1, ".avhdx")));
    VhdxBuilder child(layers[0].content);
    child.zeros_here = layers[0].zeros;
    for (std::uint64_t block = 12; block < 18; ++block) child.block_states[block] = 2;
    child.log_bytes = 4 * 1024 * 1024;
    child.bitmaps_come_first = true;
    child.MakeChildOf(parent.data_write_guid, u"parent1.avhdx");
    child.Write(path);
    MakeLogDirty(path, child, 0);
  };
  return {"VhdxDirtyChild", ".avhdx", ImageFormat::kVhdxDifferencing, 512, build, 1};
}

// By QEMU itself, from a raw image.
ImageKind Qemu(std::string name, const std::string& options) {
  return {std::move(name), ".qcow2", ImageFormat::kQcow2, 512,
          [options](const DiskContent& content, const std::string& path) {
            BuildRaw(content, path + ".raw");
            const std::string command = fmt::format(
                "qemu-img convert -f raw -O qcow2 -o {0} {1}.raw {1} && rm {1}.raw", options, path);
            ASSERT_EQ(std::system(command.c_str()), 0) << command;
          }};
}

std::vector<ImageKind> AllKinds() {
  constexpr std::uint32_t kMi = 1024 * 1024;
  return {
      {"Raw", ".raw", ImageFormat::kRaw, 512, BuildRaw},
      Vhd("VhdFixed", 2, [](VhdBuilder&) {}),
      Vhd("VhdDynamic", 3, [](VhdBuilder&) {}),
      Vhd("VhdDynamicAsWindowsAligns", 3, [](VhdBuilder& b) { b.data_alignment_bytes = 4096; }),
      Vhd("VhdDynamicSmallBlocks", 3, [](VhdBuilder& b) { b.block_bytes = kMi / 2; }),
      Vhd("VhdDynamicShortFooter", 3, [](VhdBuilder& b) { b.footer_has_511_bytes = true; }),
      Vhd("VhdFixedShortFooter", 2, [](VhdBuilder& b) { b.footer_has_511_bytes = true; }),
      Vhd("VhdDynamicByFooterCopy", 3, [](VhdBuilder& b) { b.footer_is_missing = true; }),
      Vhdx("VhdxFixed", 32 * kMi, 512, true, 0),
      Vhdx("VhdxDynamic", kMi, 512, false, 0),
      Vhdx("VhdxDynamicZeroBlocks", 2 * kMi, 512, false, 2),
      Vhdx("VhdxDynamicUnmappedBlocks", 256 * kMi, 512, false, 3),
      Vhdx("Vhdx4k", kMi, 4096, false, 1),
      Vhdx("Vhdx4kFixed", 32 * kMi, 4096, true, 0),
      VhdxChain("VhdxChild", 2, 512),
      VhdxChain("VhdxChild4k", 2, 4096),
      VhdxChain("VhdxChainOf3", 3, 512),
      VhdChain("VhdChildAsWindowsWrites", 2, 2 * kMi, true),
      VhdChain("VhdChildSmallBlocks", 2, kMi / 2, false),
      VhdChain("VhdChainOf3", 3, 2 * kMi, true),
      VhdxDirty("VhdxDirtyLog", 512, 0),
      VhdxDirty("VhdxDirtyLogWrapped", 4096, kMi - 3 * 4096),
      VhdxDirtyChild(),
      Qemu("Qcow2SmallClusters", "cluster_size=4k"),
      Qemu("Qcow2Version2", "compat=0.10,cluster_size=4k"),
      Qemu("Qcow2ExtendedL2", "extended_l2=on,cluster_size=128k"),
      Written("WrittenQcow2", "qcow2", ImageFormat::kQcow2, 512),
      Written("WrittenRaw", "raw", ImageFormat::kRaw, 512),
      Written("WrittenVhd", "vhd", ImageFormat::kVhdFixed, 512),
      Written("WrittenVhdDynamic", "vhd-dynamic", ImageFormat::kVhdDynamic, 512),
      Written("WrittenVhdx", "vhdx", ImageFormat::kVhdxDynamic, 512),
      Written("WrittenVhdx4k", "vhdx", ImageFormat::kVhdxDynamic, 4096),
  };
}

class DiskConformanceTest : public ::testing::TestWithParam<ImageKind> {
 protected:
  // Data at both ends, over block boundaries and inside blocks; the size is no whole block.
  DiskContent SmallContent() const {
    const std::uint64_t sector = GetParam().sector_bytes;
    DiskContent content(21 * kMiB + 3 * sector);
    content.AddPiece(0, 3 * kMiB + sector);
    content.AddPiece(6 * kMiB - 2 * sector, 4 * sector);
    content.AddPiece(9 * kMiB + 64 * kKiB, 128 * kKiB);
    content.AddPiece(20 * kMiB + 512 * kKiB, 512 * kKiB + 3 * sector);
    return content;
  }

  std::unique_ptr<Disk> Open(const DiskContent& content) {
    path_ = directory_ / ("disk" + GetParam().ending);
    GetParam().build(content, path_);
    auto disk = OpenDisk(PosixFileSystem(), path_);
    EXPECT_TRUE(disk.has_value()) << disk.error().Line();
    return disk ? *std::move(disk) : nullptr;
  }

  TempDir directory_;
  std::string path_;
};

TEST_P(DiskConformanceTest, TellsWhatItIs) {
  const auto disk = Open(SmallContent());
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(disk->format(), GetParam().format);
  EXPECT_EQ(disk->logical_sector_bytes(), GetParam().sector_bytes);
  EXPECT_EQ(disk->size_bytes(), SmallContent().size_bytes());
  const std::vector<Disk::BackingFile> files = disk->files();
  ASSERT_EQ(files.size(), 1 + GetParam().parents);
  EXPECT_EQ(files[0].path, path_);
  for (std::size_t level = 0; level < files.size(); ++level) {
    EXPECT_EQ(BaseName(files[level].path), LayerName(level, GetParam().ending));
    EXPECT_EQ(files[level].stamp, PosixFileSystem().Stat(files[level].path).value());
  }
}

TEST_P(DiskConformanceTest, HoldsTheContent) {
  const DiskContent content = SmallContent();
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(DifferenceFrom(content, *disk), "");
  AlignedBuffer whole(content.size_bytes());
  ASSERT_TRUE(disk->Read(0, whole.span()).has_value());
  EXPECT_TRUE(std::ranges::equal(whole.span(), content.Bytes(0, content.size_bytes())));
}

TEST_P(DiskConformanceTest, HoldsLargeSparseContent) {
  // Past the first chunk of a VHDX with sectors of 512 bytes (4 GiB) and of 4096 bytes (32 GiB).
  DiskContent content(33 * kGiB + 3 * kMiB);
  content.AddPiece(4 * kGiB - 64 * kKiB, 128 * kKiB);
  content.AddPiece(8 * kGiB, 64 * kKiB);
  content.AddPiece(32 * kGiB - 64 * kKiB, 128 * kKiB);
  content.AddPiece(33 * kGiB + 2 * kMiB, kMiB);
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(DifferenceFrom(content, *disk), "");
}

TEST_P(DiskConformanceTest, ReadsAnyOffsetAndLength) {
  const DiskContent content = SmallContent();
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  std::mt19937_64 random(7);
  std::vector<std::byte> out(2 * kMiB + kMiB / 2);
  for (int i = 0; i < 60; ++i) {
    const std::uint64_t offset = random() % content.size_bytes();
    const std::uint64_t most = std::min<std::uint64_t>(out.size(), content.size_bytes() - offset);
    const MutableByteSpan read = MutableByteSpan(out).first(random() % (most + 1));
    ASSERT_TRUE(disk->Read(offset, read).has_value());
    ASSERT_TRUE(std::ranges::equal(read, content.Bytes(offset, read.size())))
        << offset << " + " << read.size();
  }
}

TEST_P(DiskConformanceTest, ReadsToTheEndAndNoFurther) {
  const DiskContent content = SmallContent();
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  std::vector<std::byte> last(1);
  EXPECT_TRUE(disk->Read(content.size_bytes() - 1, last).has_value());
  EXPECT_EQ(last, content.Bytes(content.size_bytes() - 1, 1));
  EXPECT_TRUE(disk->Read(content.size_bytes(), {}).has_value());
  EXPECT_FALSE(disk->Read(content.size_bytes(), last).has_value());
  EXPECT_FALSE(disk->Read(~std::uint64_t{0}, last).has_value());
  std::vector<std::byte> two(2);
  EXPECT_FALSE(disk->Read(content.size_bytes() - 1, two).has_value());
}

TEST_P(DiskConformanceTest, ExtentsLeaveHolesOut) {
  const DiskContent content = SmallContent();
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  std::uint64_t in_pieces = 0;
  for (const auto& [offset, piece] : content.pieces()) in_pieces += piece.size();
  std::uint64_t in_extents = 0;
  const std::vector<Extent> extents = disk->AllocatedExtents({0, disk->size_bytes()}).value();
  for (const Extent& extent : extents) in_extents += extent.length_bytes;
  EXPECT_GE(in_extents, in_pieces);
  // The host's file system keeps holes in units of 4 KiB. QEMU's own images have clusters of 64 KiB
  // and tell nothing smaller: each of four pieces may begin and end inside one.
  const bool has_clusters = GetParam().format == ImageFormat::kQcow2;
  EXPECT_LE(in_extents, in_pieces + (has_clusters ? 8 : 1) * 64 * kKiB);
}

TEST_P(DiskConformanceTest, ExtentsOfWindowsAreThoseOfTheWhole) {
  const auto disk = Open(SmallContent());
  ASSERT_NE(disk, nullptr);
  const std::vector<Extent> whole = disk->AllocatedExtents({0, ~std::uint64_t{0}}).value();
  std::vector<Extent> joined;
  constexpr std::uint64_t kWindowBytes = 1'234'567;
  for (std::uint64_t offset = 0; offset < disk->size_bytes(); offset += kWindowBytes) {
    const std::vector<Extent> window = disk->AllocatedExtents({offset, kWindowBytes}).value();
    for (const Extent& extent : window) {
      EXPECT_GE(extent.offset_bytes, offset);
      EXPECT_LE(extent.end_bytes(), offset + kWindowBytes);
      AppendExtent(joined, extent);
    }
  }
  EXPECT_EQ(joined, whole);
  EXPECT_TRUE(disk->AllocatedExtents({disk->size_bytes(), kMiB}).value().empty());
}

TEST_P(DiskConformanceTest, ServesSeveralThreads) {
  const DiskContent content = SmallContent();
  const auto disk = Open(content);
  ASSERT_NE(disk, nullptr);
  const std::vector<std::byte> expected = content.Bytes(0, content.size_bytes());
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      AlignedBuffer buffer(kMiB);
      for (int i = 0; i < 50; ++i) {
        const std::uint64_t offset = AlignDown<std::uint64_t>(random() % (20 * kMiB), 512);
        const bool read = disk->Read(offset, buffer.span()).has_value();
        if (!read || std::memcmp(&expected[offset], buffer.span().data(), kMiB) != 0) ++wrong;
        if (!disk->AllocatedExtents({offset, kMiB})) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(DiskConformanceTest, ReadsBlocksThatAreNotThereWithoutAnyIo) {
  const ImageFormat format = GetParam().format;
  if (format != ImageFormat::kVhdDynamic && format != ImageFormat::kVhdxDynamic) return;
  DiskContent content(600 * kMiB);
  content.AddPiece(0, 64 * kKiB);
  ASSERT_NE(Open(content), nullptr);
  ImageInMemory memory(path_);
  const auto disk = OpenDisk(memory, path_).value();
  std::vector<std::byte> out(4 * kMiB, std::byte{1});
  const std::uint64_t read_before = memory.bytes_read();
  ASSERT_TRUE(disk->Read(300 * kMiB, out).has_value());
  EXPECT_TRUE(IsZero(out));
  EXPECT_EQ(memory.bytes_read(), read_before);
}

TEST_P(DiskConformanceTest, SaysSoWhenTheFileIsCutWhileItIsOpen) {
  const auto disk = Open(SmallContent());
  ASSERT_NE(disk, nullptr);
  testing::ResizeFile(path_, kMiB);
  std::vector<std::byte> out(disk->size_bytes());
  const Status read = disk->Read(0, out);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kImageChanged);
  EXPECT_FALSE(disk->AllocatedExtents({0, kMiB}).has_value());
}

INSTANTIATE_TEST_SUITE_P(Images, DiskConformanceTest, ::testing::ValuesIn(AllKinds()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace asr
