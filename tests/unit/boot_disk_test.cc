#include "core/failover/boot_disk.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

namespace asr {
namespace {

// A disk in memory. Reads outside of it fail, as they would on a real one.
class SectorDisk : public Disk {
 public:
  SectorDisk(std::uint64_t size_bytes, std::uint32_t sector_bytes)
      : bytes(size_bytes), sector_bytes_(sector_bytes) {}

  ImageFormat format() const override { return ImageFormat::kRaw; }
  std::uint64_t size_bytes() const override { return bytes.size(); }
  std::uint32_t logical_sector_bytes() const override { return sector_bytes_; }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override {
    if (offset_bytes > bytes.size() || out.size() > bytes.size() - offset_bytes) {
      return Fail(ErrorKind::kInternal, ErrorCode::kInternal, "read outside the disk");
    }
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(offset_bytes);
    std::copy_n(begin, out.size(), out.begin());
    return {};
  }
  Result<std::vector<Extent>> AllocatedExtents(Extent range) const override {
    return std::vector<Extent>{range};
  }
  std::vector<BackingFile> files() const override { return {}; }

  std::vector<std::byte> bytes;

 private:
  std::uint32_t sector_bytes_;
};

constexpr unsigned char kEfiSystem[] = {0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11,
                                        0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B};
constexpr unsigned char kLinuxData[] = {0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47,
                                        0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4};
constexpr std::uint64_t kBootDiskBytes = 4 * kMiB;

std::uint32_t Crc(const std::byte* bytes, std::size_t size_bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes), size_bytes));
}

void Sign(SectorDisk& disk) { StoreLittle<std::uint16_t>(disk.bytes, 510, 0xAA55); }

void AddMbrPartition(SectorDisk& disk, int index, unsigned char type, bool active) {
  const std::size_t at = 446 + 16 * static_cast<std::size_t>(index);
  disk.bytes[at] =
      std::byte{active ? static_cast<unsigned char>(0x80) : static_cast<unsigned char>(0)};
  disk.bytes[at + 4] = std::byte{type};
  StoreLittle<std::uint32_t>(disk.bytes, at + 8, 1);
  StoreLittle<std::uint32_t>(disk.bytes, at + 12, 100);
}

void AddCode(SectorDisk& disk) { disk.bytes[0] = std::byte{0xEB}; }

struct GptLayout {
  std::uint32_t sector_bytes = 512;
  const unsigned char* type = kEfiSystem;
  std::uint64_t first_sector = 64;
  std::uint64_t last_sector = 127;
};

// Header and 128 entries; `at_end` makes the copy.
void AddGpt(SectorDisk& disk, const GptLayout& layout, bool at_end) {
  const std::uint64_t sectors = disk.bytes.size() / layout.sector_bytes;
  const std::uint64_t header_sector = at_end ? sectors - 1 : 1;
  const std::size_t table_sectors = 16384 / layout.sector_bytes;
  const std::uint64_t entries_sector = at_end ? sectors - 1 - table_sectors : 2;
  const MutableByteSpan entries =
      MutableByteSpan(disk.bytes).subspan(entries_sector * layout.sector_bytes, 16384);
  // The second entry, the first stays unused.
  std::memcpy(entries.data() + 128, layout.type, 16);
  StoreLittle<std::uint64_t>(entries, 128 + 32, layout.first_sector);
  StoreLittle<std::uint64_t>(entries, 128 + 40, layout.last_sector);
  const MutableByteSpan header =
      MutableByteSpan(disk.bytes).subspan(header_sector * layout.sector_bytes, layout.sector_bytes);
  std::memcpy(header.data(), "EFI PART", 8);
  StoreLittle<std::uint32_t>(header, 8, 0x00010000);
  StoreLittle<std::uint32_t>(header, 12, 92);
  StoreLittle<std::uint64_t>(header, 24, header_sector);
  StoreLittle<std::uint64_t>(header, 72, entries_sector);
  StoreLittle<std::uint32_t>(header, 80, 128);
  StoreLittle<std::uint32_t>(header, 84, 128);
  StoreLittle<std::uint32_t>(header, 88, Crc(entries.data(), entries.size()));
  StoreLittle<std::uint32_t>(header, 16, 0);
  StoreLittle<std::uint32_t>(header, 16, Crc(header.data(), 92));
}

SectorDisk GptDisk(const GptLayout& layout) {
  SectorDisk disk(kBootDiskBytes, layout.sector_bytes);
  Sign(disk);
  AddMbrPartition(disk, 0, 0xEE, false);
  AddGpt(disk, layout, false);
  AddGpt(disk, layout, true);
  return disk;
}

int Generation(const SectorDisk& disk) {
  const auto found = DetectBootDisk(disk);
  EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().Line());
  if (!found) return -1;
  EXPECT_FALSE(found->detail.empty());
  return found->generation;
}

TEST(BootDiskTest, MbrKinds) {
  struct Row {
    const char* what;
    bool is_signed, code, active;
    unsigned char type;
    int generation;
  };
  for (const Row& row :
       {Row{"empty", false, false, false, 0, 0}, Row{"code, unsigned", false, true, false, 0x83, 0},
        Row{"signed only", true, false, false, 0, 0},
        Row{"a data partition", true, false, false, 0x83, 0},
        Row{"an active partition", true, false, true, 0x83, 1},
        Row{"code", true, true, false, 0x83, 1},
        Row{"code without partitions", true, true, false, 0, 1},
        Row{"an EFI system partition", true, false, false, 0xEF, 2},
        Row{"EFI and code", true, true, false, 0xEF, 1}}) {
    SectorDisk disk(kBootDiskBytes, 512);
    if (row.is_signed) Sign(disk);
    if (row.code) AddCode(disk);
    AddMbrPartition(disk, 1, row.type, row.active);
    EXPECT_EQ(Generation(disk), row.generation) << row.what;
  }
}

TEST(BootDiskTest, GptWithAnEfiSystemPartitionInBothSectorSizes) {
  for (const std::uint32_t sector_bytes : {512u, 4096u}) {
    const GptLayout layout{.sector_bytes = sector_bytes};
    EXPECT_EQ(Generation(GptDisk(layout)), 2);
    EXPECT_EQ(DetectBootDisk(GptDisk(layout))->sector_bytes, sector_bytes);
  }
}

TEST(BootDiskTest, ATableInTheOtherSectorSizeIsFoundAndSaid) {
  // A raw image of a 4096-byte disk does not tell its sectors' size.
  SectorDisk disk(kBootDiskBytes, 512);
  disk.bytes = GptDisk({.sector_bytes = 4096}).bytes;
  EXPECT_EQ(Generation(disk), 2);
  EXPECT_EQ(DetectBootDisk(disk)->sector_bytes, 4096u);
}

TEST(BootDiskTest, GptWithBiosBootCode) {
  SectorDisk disk = GptDisk({.type = kLinuxData});
  EXPECT_EQ(Generation(disk), 0);
  AddCode(disk);
  EXPECT_EQ(Generation(disk), 1);
  const auto* bios_boot = reinterpret_cast<const unsigned char*>("Hah!IdontNeedEFI");
  EXPECT_EQ(Generation(GptDisk({.type = bios_boot})), 1);
}

TEST(BootDiskTest, EfiWinsOverBootCode) {
  SectorDisk disk = GptDisk({});
  AddCode(disk);
  EXPECT_EQ(Generation(disk), 2);
}

TEST(BootDiskTest, AStaleGptBehindAnOrdinaryMbrDoesNotCount) {
  SectorDisk disk = GptDisk({});
  AddCode(disk);
  AddMbrPartition(disk, 0, 0x83, true);
  EXPECT_EQ(Generation(disk), 1);
}

TEST(BootDiskTest, ADamagedHeaderIsReplacedByItsCopy) {
  SectorDisk disk = GptDisk({});
  disk.bytes[512 + 60] ^= std::byte{1};
  EXPECT_EQ(Generation(disk), 2);
  disk.bytes[kBootDiskBytes - 512 + 60] ^= std::byte{1};
  EXPECT_EQ(Generation(disk), 0);
}

TEST(BootDiskTest, DamagedEntriesAreReplacedByTheirCopy) {
  SectorDisk disk = GptDisk({});
  disk.bytes[1024 + 128] ^= std::byte{1};
  EXPECT_EQ(Generation(disk), 2);
  disk.bytes[kBootDiskBytes - 512 - 16384 + 5] ^= std::byte{1};
  EXPECT_EQ(Generation(disk), 0);
}

TEST(BootDiskTest, APartitionOutsideTheDiskDoesNotCount) {
  EXPECT_EQ(Generation(GptDisk({.first_sector = 64, .last_sector = 8191})), 2);
  EXPECT_EQ(Generation(GptDisk({.first_sector = 64, .last_sector = 8192})), 0);
  EXPECT_EQ(Generation(GptDisk({.first_sector = 65, .last_sector = 64})), 0);
  EXPECT_EQ(Generation(GptDisk({.first_sector = 64, .last_sector = ~0ULL})), 0);
}

// Each field of the header set to hostile values, its checksum made right again.
TEST(BootDiskTest, HostileFieldsNeverReadOutsideTheDisk) {
  for (const std::size_t field : {std::size_t{12}, std::size_t{24}, std::size_t{72},
                                  std::size_t{80}, std::size_t{84}, std::size_t{88}}) {
    for (const std::uint32_t value : {0u, 1u, 7u, 127u, 8191u, 8192u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
      SectorDisk disk = GptDisk({});
      for (const std::uint64_t sector : {std::uint64_t{1}, kBootDiskBytes / 512 - 1}) {
        const MutableByteSpan header = MutableByteSpan(disk.bytes).subspan(sector * 512, 512);
        StoreLittle<std::uint32_t>(header, field, value);
        StoreLittle<std::uint32_t>(header, 16, 0);
        const auto size = LoadLittle<std::uint32_t>(header, 12);
        const std::uint32_t crc = Crc(header.data(), std::min(size, 512u));
        StoreLittle<std::uint32_t>(header, 16, crc);
      }
      // A longer header is allowed, and each place is right for one of the two.
      const bool is_fine =
          (field == 12 && value == 127) || (field == 24 && (value == 1 || value == 8191));
      EXPECT_EQ(Generation(disk), is_fine ? 2 : 0) << field << " " << value;
    }
  }
}

TEST(BootDiskTest, RandomTablesNeverFail) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    SectorDisk disk = GptDisk({.sector_bytes = round % 2 == 0 ? 512u : 4096u});
    for (int flips = 0; flips < 4; ++flips) {
      disk.bytes[random() % 20480] ^= static_cast<std::byte>(1 + random() % 255);
    }
    ASSERT_NE(Generation(disk), -1);
  }
}

TEST(BootDiskTest, TinyDisks) {
  for (const std::uint64_t size : {512u, 1024u, 4096u, 8192u}) {
    SectorDisk disk(size, 512);
    Sign(disk);
    AddMbrPartition(disk, 0, 0xEE, false);
    EXPECT_EQ(Generation(disk), 0) << size;
  }
}

}  // namespace
}  // namespace asr
