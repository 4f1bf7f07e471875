// Which files a qcow2 image may build on. Nothing here needs QEMU: what is refused never gets
// there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>

#include "storage/image/disk.h"
#include "storage/image/qcow2_chain.h"
#include "tests/support/image_file.h"
#include "tests/support/qcow2_builder.h"
#include "tests/support/qemu_lock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Qcow2Builder;
using testing::TempDir;

class Qcow2ChainTest : public ::testing::Test {
 protected:
  Qcow2ChainTest() { testing::MustSucceed(fs_.CreateDirectories(directory_ / "vm")); }

  void Build(const std::string& name, const std::string& backing = "",
             const std::string& format = "qcow2") {
    Qcow2Builder builder;
    builder.cluster_bits = 9;
    builder.disk_bytes = kMiB;
    if (!backing.empty()) builder.SetBacking(backing, format);
    builder.Write(directory_ / name);
  }

  Result<std::vector<Qcow2Link>> Walk(const std::string& name) {
    const OpenImage open = [this](const ImagePlace& place) -> Result<ImageFile> {
      ImageFile image{.path = place.path, .stamp = {}, .size_bytes = 0, .file = nullptr};
      ASR_TRY(image.file, fs_.Open(place.canonical, {.no_links = true}));
      ASR_TRY(image.stamp, image.file->Stat());
      image.size_bytes = image.stamp.size_bytes;
      return image;
    };
    ASR_TRY(ImageFile leaf, open({directory_ / name, directory_ / name}));
    ASR_TRY(const std::string folder, fs_.Canonical(directory_ / "vm"));
    return WalkQcow2Chain(fs_, std::move(leaf), folder, open);
  }

  void PutNumber(const std::string& name, std::uint64_t offset_bytes, std::uint64_t value) {
    std::vector<std::byte> bytes(8);
    StoreBig<std::uint64_t>(bytes, 0, value);
    testing::OverwriteFile(directory_ / name, offset_bytes, bytes);
  }

  // By the one door that everybody uses.
  void ExpectRefused(const std::string& name, ErrorKind kind, const std::string& words) {
    const auto disk = OpenDisk(fs_, directory_ / name, "", directory_ / "vm");
    ASSERT_FALSE(disk.has_value());
    EXPECT_EQ(disk.error().kind, kind) << disk.error().Line();
    EXPECT_THAT(disk.error().Line(), HasSubstr(words));
    EXPECT_FALSE(disk.error().action.empty());
  }

  FileSystem& fs_ = PosixFileSystem();
  TempDir directory_;
};

TEST_F(Qcow2ChainTest, NamesAreTakenFromTheDirectoryOfTheirImage) {
  testing::MustSucceed(fs_.CreateDirectories(directory_ / "vm/old"));
  Build("vm/leaf.qcow2", "old/middle.img");
  Build("vm/old/middle.img", "../base, of all.img", "raw");
  testing::ImageFileMaker(directory_ / "vm/base, of all.img").Resize(kMiB);
  const auto chain = Walk("vm/leaf.qcow2");
  ASSERT_TRUE(chain.has_value()) << chain.error().Line();
  ASSERT_EQ(chain->size(), 3U);
  EXPECT_EQ((*chain)[1].image.path, directory_ / "vm/old/middle.img");
  EXPECT_FALSE((*chain)[1].is_raw);
  EXPECT_TRUE((*chain)[2].is_raw);
  EXPECT_EQ((*chain)[2].image.stamp, fs_.Stat(directory_ / "vm/base, of all.img").value());
}

TEST_F(Qcow2ChainTest, RefusesFilesOutsideOfTheFolder) {
  testing::ImageFileMaker(directory_ / "secret").Resize(kMiB);
  Build("vm/absolute.qcow2", directory_ / "secret", "raw");
  Build("vm/relative.qcow2", "../secret", "raw");
  Build("vm/linked.qcow2", "link", "raw");
  ASSERT_EQ(::symlink("../secret", (directory_ / "vm/link").c_str()), 0);
  for (const char* name : {"vm/absolute.qcow2", "vm/relative.qcow2", "vm/linked.qcow2"}) {
    ExpectRefused(name, ErrorKind::kUnsupported, "lies outside of");
  }
}

TEST_F(Qcow2ChainTest, RefusesAFileOutsideInTheSecondLinkToo) {
  testing::ImageFileMaker(directory_ / "secret").Resize(kMiB);
  Build("vm/leaf.qcow2", "middle.qcow2");
  Build("vm/middle.qcow2", "../secret", "raw");
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kUnsupported, "lies outside of");
}

TEST_F(Qcow2ChainTest, RefusesLoops) {
  Build("vm/self.qcow2", "self.qcow2");
  ExpectRefused("vm/self.qcow2", ErrorKind::kCorrupt, "one of its own children");
  Build("vm/a.qcow2", "b.qcow2");
  Build("vm/b.qcow2", "hard.qcow2");
  ASSERT_EQ(::link((directory_ / "vm/a.qcow2").c_str(), (directory_ / "vm/hard.qcow2").c_str()), 0);
  ExpectRefused("vm/a.qcow2", ErrorKind::kCorrupt, "one of its own children");
}

TEST_F(Qcow2ChainTest, EndsAt256Images) {
  for (int i = 0; i < 257; ++i) {
    Build(fmt::format("vm/{}.qcow2", i), i == 256 ? "" : fmt::format("{}.qcow2", i + 1));
  }
  EXPECT_EQ(Walk("vm/1.qcow2").value().size(), 256U);
  ExpectRefused("vm/0.qcow2", ErrorKind::kCorrupt, "more than 256 images");
}

TEST_F(Qcow2ChainTest, NamesTheBackingFileThatIsNotThere) {
  Build("vm/leaf.qcow2", "gone.qcow2");
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kCorrupt, "vm/gone.qcow2, which does not exist");
}

// The whole path of another machine is of no use here, wherever the file lies now.
TEST_F(Qcow2ChainTest, AnAbsoluteNameThatLeadsNowhereIsToBeChanged) {
  Build("vm/leaf.qcow2", "/srv/gone/base.img", "raw");
  const auto chain = Walk("vm/leaf.qcow2");
  ASSERT_FALSE(chain.has_value());
  EXPECT_THAT(chain.error().action,
              HasSubstr("qemu-img rebase -u -F raw -b base.img " + (directory_ / "vm/leaf.qcow2")));
}

// A running VM's image is never called corrupt, nor anybody told to repair it.
TEST_F(Qcow2ChainTest, InUseComesBeforeAllThatIsWrong) {
  Build("vm/leaf.qcow2", "middle.qcow2");
  Build("vm/middle.qcow2", "base.img", "raw");
  testing::ImageFileMaker(directory_ / "vm/base.img").Resize(1000);
  for (const char* name : {"vm/leaf.qcow2", "vm/middle.qcow2"}) {
    testing::ResizeFile(directory_ / name, 600);
  }
  for (const char* name : {"vm/leaf.qcow2", "vm/middle.qcow2", "vm/base.img"}) {
    {
      const testing::QemuLock writer(directory_ / name);
      ExpectRefused("vm/leaf.qcow2", ErrorKind::kBusy, std::string(name) + " is in use");
    }
    ExpectRefused("vm/leaf.qcow2", ErrorKind::kCorrupt, "");
    if (std::string(name) != "vm/base.img") testing::ResizeFile(directory_ / name, 4 * 512);
  }
}

TEST_F(Qcow2ChainTest, ARawBackingFileIsMadeOfSectors) {
  Build("vm/leaf.qcow2", "base.img", "raw");
  testing::ImageFileMaker(directory_ / "vm/base.img").Resize(1000);
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kCorrupt, "1000 bytes");
}

TEST_F(Qcow2ChainTest, AFormatIsWhatTheImageSaysNotWhatTheFileLooksLike) {
  Build("vm/guest.img", "../secret", "raw");
  Build("vm/leaf.qcow2", "guest.img", "raw");
  EXPECT_EQ(Walk("vm/leaf.qcow2").value().size(), 2U);
  testing::ImageFileMaker(directory_ / "vm/plain.img").Resize(kMiB);
  Build("vm/other.qcow2", "plain.img", "qcow2");
  ExpectRefused("vm/other.qcow2", ErrorKind::kCorrupt, "signature");
}

TEST_F(Qcow2ChainTest, AFileThatWasCutIsFound) {
  Build("vm/leaf.qcow2");
  // Inside its last cluster: behind the L1 table, which has 32 entries, and inside of it.
  testing::ResizeFile(directory_ / "vm/leaf.qcow2", 3 * 512 + 256);
  EXPECT_TRUE(Walk("vm/leaf.qcow2").has_value());
  testing::ResizeFile(directory_ / "vm/leaf.qcow2", 3 * 512 + 255);
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kCorrupt, "L1 table");
  testing::ResizeFile(directory_ / "vm/leaf.qcow2", 512);
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kCorrupt, "refcount table");
}

// A host that lost power leaves refcounts of clusters that were never written, and mapped nowhere.
TEST_F(Qcow2ChainTest, RefcountsPastTheFilesEndDoNotMatter) {
  Build("vm/leaf.qcow2");
  PutNumber("vm/leaf.qcow2", 2 * 512 + 8, 0x0001'0001'0001'0001);
  EXPECT_TRUE(Walk("vm/leaf.qcow2").has_value());
}

TEST_F(Qcow2ChainTest, AnImageWhoseWriterWasKilledIsReadWithARemark) {
  Build("vm/leaf.qcow2");
  EXPECT_TRUE(Walk("vm/leaf.qcow2")->front().image.remarks.empty());
  PutNumber("vm/leaf.qcow2", 72, 1);
  const auto chain = Walk("vm/leaf.qcow2");
  ASSERT_TRUE(chain.has_value()) << chain.error().Line();
  EXPECT_THAT(chain->front().image.remarks, ElementsAre(HasSubstr("lazy_refcounts")));
}

// QEMU would read all that they map as zeros.
TEST_F(Qcow2ChainTest, TablesThatLeadOutOfTheFileAreFound) {
  Build("vm/l1.qcow2");
  PutNumber("vm/l1.qcow2", 40, std::uint64_t{1} << 40);
  ExpectRefused("vm/l1.qcow2", ErrorKind::kCorrupt, "L1 table");
  Build("vm/l2.qcow2");
  for (const std::uint64_t place : {std::uint64_t{1} << 40, std::uint64_t{4 * 512}}) {
    PutNumber("vm/l2.qcow2", 3 * 512 + 8, std::uint64_t{1} << 63 | place);
    ExpectRefused("vm/l2.qcow2", ErrorKind::kCorrupt, "entry 1 of the L1 table");
  }
}

// An L2 table in cluster 4 and a cluster of the disk in cluster 5, to which `entry` leads.
TEST_F(Qcow2ChainTest, ClustersOfTheDiskThatAreNotInTheFileAreFound) {
  constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
  constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;
  const auto build = [&](std::uint64_t entry, std::uint64_t file_bytes) {
    std::filesystem::remove(directory_ / "vm/disk.qcow2");
    Build("vm/disk.qcow2");
    PutNumber("vm/disk.qcow2", 3 * 512 + 8, kCopied | 4 * 512);
    PutNumber("vm/disk.qcow2", 4 * 512 + 3 * 8, entry);
    testing::ResizeFile(directory_ / "vm/disk.qcow2", file_bytes);
  };
  const auto expect_refused = [&] {
    // The second L2 table, its fourth entry.
    ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt,
                  "for offset " + std::to_string((64 + 3) * 512) + " of the disk");
  };
  build(kCopied | 5 * 512, 6 * 512);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  build(kCopied | 5 * 512, 6 * 512 - 1);
  expect_refused();
  build(kCopied | std::uint64_t{1} << 50, 6 * 512);
  expect_refused();
  build(kCopied | std::uint64_t{1} << 50 | 1, 6 * 512);  // reads as zeros
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());

  // Of clusters of 512 bytes, bit 61 says that there is a second sector.
  build(kCompressed | (5 * 512 + 100), 5 * 512 + 101);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  build(kCompressed | (5 * 512 + 100), 5 * 512 + 100);
  expect_refused();
  build(kCompressed | std::uint64_t{1} << 61 | (5 * 512 + 100), 6 * 512 + 1);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  build(kCompressed | std::uint64_t{1} << 61 | (5 * 512 + 100), 6 * 512);
  expect_refused();
}

TEST_F(Qcow2ChainTest, OfExtendedEntriesOnlySubclustersInUseMustBeInTheFile) {
  const auto build = [&](std::uint64_t subclusters, std::uint64_t file_bytes) {
    Qcow2Builder builder;
    builder.cluster_bits = 14;
    builder.incompatible_features = 1U << 4U;
    builder.disk_bytes = kMiB;
    std::filesystem::remove(directory_ / "vm/disk.qcow2");
    builder.Write(directory_ / "vm/disk.qcow2");
    constexpr std::uint64_t kCluster = 16 * kKiB;
    PutNumber("vm/disk.qcow2", 3 * kCluster, 4 * kCluster);
    PutNumber("vm/disk.qcow2", 4 * kCluster + 16, 5 * kCluster);
    PutNumber("vm/disk.qcow2", 4 * kCluster + 24, subclusters);
    testing::ResizeFile(directory_ / "vm/disk.qcow2", file_bytes);
  };
  constexpr std::uint64_t kPlace = 5 * 16 * kKiB;
  build(0x5, kPlace + 3 * 512);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  build(0x5, kPlace + 3 * 512 - 1);
  ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt, "for offset 16384 of the disk");
  build(std::uint64_t{0x5} << 32U, kPlace);  // subclusters that read as zeros
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
}

// The bit that makes of a cluster another one, whose bytes would be read.
TEST_F(Qcow2ChainTest, NoTwoClustersOfTheFileAreOne) {
  constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
  const auto build = [&](std::uint64_t second_table, std::uint64_t entry) {
    std::filesystem::remove(directory_ / "vm/disk.qcow2");
    Build("vm/disk.qcow2");
    PutNumber("vm/disk.qcow2", 3 * 512, kCopied | 4 * 512);
    PutNumber("vm/disk.qcow2", 3 * 512 + 8, second_table);
    PutNumber("vm/disk.qcow2", 4 * 512, kCopied | 5 * 512);
    PutNumber("vm/disk.qcow2", 4 * 512 + 8, entry);
    testing::ResizeFile(directory_ / "vm/disk.qcow2", 7 * 512);
  };
  build(0, kCopied | 6 * 512);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  for (std::uint64_t cluster = 0; cluster < 6; ++cluster) {
    build(0, kCopied | cluster * 512);
    ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt,
                  fmt::format("for offset 512 of the disk lies at offset {}", cluster * 512));
    build(kCopied | cluster * 512, 0);
    ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt, "");
  }
  build(0, kCopied | 5 * 512 | 1);  // zeros that keep their cluster for later
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
  build(0, std::uint64_t{1} << 62 | 5 * 512);  // compressed
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
}

TEST_F(Qcow2ChainTest, RefcountsLieInClustersOfTheirOwn) {
  Build("vm/disk.qcow2");
  PutNumber("vm/disk.qcow2", 512 + 8, 2 * 512);
  ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt, "entry 1 of the refcount table");
  PutNumber("vm/disk.qcow2", 512 + 8, 400 * 512);  // a leak past the file's end
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
}

TEST_F(Qcow2ChainTest, AClusterBeginsAtAMultipleOfItsSize) {
  Qcow2Builder builder;
  builder.cluster_bits = 12;
  builder.disk_bytes = kMiB;
  builder.Write(directory_ / "vm/disk.qcow2");
  PutNumber("vm/disk.qcow2", 3 * 4096, 4 * 4096);
  PutNumber("vm/disk.qcow2", 4 * 4096 + 8, 5 * 4096 + 512);
  testing::ResizeFile(directory_ / "vm/disk.qcow2", 8 * 4096);
  ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt,
                "for offset 4096 of the disk lies at offset 20992, which is no multiple of 4096");
}

// Bit 63 says that one entry has the cluster to itself: there is one, and it is not compressed.
TEST_F(Qcow2ChainTest, AClusterOfItsOwnThatIsNoneIsFound) {
  constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
  Build("vm/disk.qcow2");
  PutNumber("vm/disk.qcow2", 3 * 512, kCopied);
  ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt, "entry 0 of the L1 table");
  PutNumber("vm/disk.qcow2", 3 * 512, kCopied | 4 * 512);
  testing::ResizeFile(directory_ / "vm/disk.qcow2", 6 * 512);
  for (const std::uint64_t entry : {std::uint64_t{0}, std::uint64_t{1} << 62 | 5 * 512}) {
    PutNumber("vm/disk.qcow2", 4 * 512 + 8, kCopied | entry);
    ExpectRefused("vm/disk.qcow2", ErrorKind::kCorrupt, "for offset 512 of the disk");
  }
}

// Of holes: what the file has allocated costs time and memory, not what its tables say.
TEST_F(Qcow2ChainTest, AHugeFileOfHolesIsReadAtOnce) {
  Qcow2Builder builder;
  builder.cluster_bits = 21;
  builder.disk_bytes = 64 * kTiB;
  builder.Write(directory_ / "vm/disk.qcow2");
  constexpr std::uint64_t kCluster = 2 * kMiB;
  std::vector<std::byte> table(builder.disk_bytes / (kCluster / 8 * kCluster) * 8);
  for (std::uint64_t i = 0; i * 8 < table.size(); ++i) {
    StoreBig<std::uint64_t>(table, i * 8, (1'000'000 + 1000 * i) * kCluster);
  }
  testing::OverwriteFile(directory_ / "vm/disk.qcow2", 3 * kCluster, table);
  testing::ResizeFile(directory_ / "vm/disk.qcow2", 2'000'000 * kCluster);
  EXPECT_TRUE(Walk("vm/disk.qcow2").has_value());
}

TEST_F(Qcow2ChainTest, NoFileIsOpenedThatIsNoImage) {
  ASSERT_EQ(::mkfifo((directory_ / "vm/pipe").c_str(), 0600), 0);
  Build("vm/leaf.qcow2", "pipe", "raw");
  ExpectRefused("vm/leaf.qcow2", ErrorKind::kUnsupported, "neither a file nor a block device");
}

}  // namespace
}  // namespace asr
