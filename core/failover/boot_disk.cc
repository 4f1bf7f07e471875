#include "core/failover/boot_disk.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>

#include "storage/base/bytes.h"

namespace asr {
namespace {

// The master boot record: UEFI 2.10, 5.2.1.
constexpr std::size_t kMbrBytes = 512;
constexpr std::size_t kMbrCodeBytes = 440;
constexpr std::size_t kMbrEntriesOffset = 446;
constexpr std::size_t kMbrEntryBytes = 16;
constexpr std::size_t kMbrSignatureOffset = 510;
constexpr std::byte kActive{0x80};
constexpr std::byte kTypeProtective{0xEE};
constexpr std::byte kTypeEfiSystem{0xEF};

// The GUID partition table: UEFI 2.10, 5.3.2 and 5.3.3.
constexpr std::string_view kGptSignature = "EFI PART";
constexpr std::uint32_t kLeastHeaderBytes = 92;
constexpr std::uint32_t kLeastEntryBytes = 128;
constexpr std::uint64_t kMostEntriesBytes = kMiB;  // 8,192 partitions; the usual 128 take 16 KiB

using Guid = std::array<unsigned char, 16>;
// C12A7328-F81F-11D2-BA4B-00A0C93EC93B
constexpr Guid kEfiSystem = {0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11,
                             0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B};
// 21686148-6449-6E6F-744E-656564454649, where GRUB keeps what does not fit before a partition.
constexpr Guid kBiosBoot = {'H', 'a', 'h', '!', 'I', 'd', 'o', 'n',
                            't', 'N', 'e', 'e', 'd', 'E', 'F', 'I'};

std::uint32_t Crc32(ByteSpan bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

struct Mbr {
  bool is_signed = false;
  bool has_code = false;
  bool has_active = false;
  bool has_protective = false;
  bool has_efi_system = false;
};

Result<Mbr> ReadMbr(const Disk& disk) {
  Mbr mbr;
  std::array<std::byte, kMbrBytes> storage{};
  if (disk.size_bytes() < kMbrBytes) return mbr;
  ASR_CHECK(disk.Read(0, storage));
  const ByteSpan sector(storage);
  mbr.is_signed = LoadLittle<std::uint16_t>(sector, kMbrSignatureOffset) == 0xAA55;
  if (!mbr.is_signed) return mbr;
  mbr.has_code = !IsZero(sector.first(kMbrCodeBytes));
  for (std::size_t i = 0; i < 4; ++i) {
    const ByteSpan entry = sector.subspan(kMbrEntriesOffset + i * kMbrEntryBytes, kMbrEntryBytes);
    const std::byte type = entry[4];
    if (type == std::byte{0}) continue;
    mbr.has_active |= entry[0] == kActive;
    mbr.has_protective |= type == kTypeProtective;
    mbr.has_efi_system |= type == kTypeEfiSystem;
  }
  return mbr;
}

struct Gpt {
  std::uint32_t sector_bytes = 0;
  bool has_efi_system = false;
  bool has_bios_boot = false;
};

bool HasType(ByteSpan entry, const Guid& type) {
  return std::memcmp(entry.data(), type.data(), type.size()) == 0;
}

// The partition of an entry lies on the disk.
bool IsInside(ByteSpan entry, std::uint64_t sectors) {
  const auto first = LoadLittle<std::uint64_t>(entry, 32);
  const auto last = LoadLittle<std::uint64_t>(entry, 40);
  return first <= last && last < sectors;
}

struct EntryTable {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint32_t entry_bytes = 0;
  std::uint32_t checksum = 0;
};

// Checks the header that should lie in sector `index`; nullopt if it is none.
std::optional<EntryTable> CheckHeader(std::vector<std::byte>& header, std::uint64_t index,
                                      std::uint64_t sectors) {
  const ByteSpan bytes(header);
  if (AsText(bytes.first(kGptSignature.size())) != kGptSignature) return std::nullopt;
  const auto header_bytes = LoadLittle<std::uint32_t>(bytes, 12);
  if (header_bytes < kLeastHeaderBytes || header_bytes > bytes.size()) return std::nullopt;
  const auto checksum = LoadLittle<std::uint32_t>(bytes, 16);
  StoreLittle<std::uint32_t>(header, 16, 0);
  if (Crc32(bytes.first(header_bytes)) != checksum) return std::nullopt;
  if (LoadLittle<std::uint64_t>(bytes, 24) != index) return std::nullopt;

  const auto first_entry_sector = LoadLittle<std::uint64_t>(bytes, 72);
  const std::uint64_t count = LoadLittle<std::uint32_t>(bytes, 80);
  const auto entry_bytes = LoadLittle<std::uint32_t>(bytes, 84);
  if (entry_bytes < kLeastEntryBytes || entry_bytes % 8 != 0) return std::nullopt;
  if (count == 0 || count > kMostEntriesBytes / entry_bytes) return std::nullopt;
  if (first_entry_sector < 2 || first_entry_sector >= sectors) return std::nullopt;
  return EntryTable{.offset_bytes = first_entry_sector * bytes.size(),
                    .size_bytes = count * entry_bytes,
                    .entry_bytes = entry_bytes,
                    .checksum = LoadLittle<std::uint32_t>(bytes, 88)};
}

// The table whose header lies in sector `index`; nullopt if there is none, or none that is whole.
Result<std::optional<Gpt>> ReadGptAt(const Disk& disk, std::uint32_t sector_bytes,
                                     std::uint64_t index) {
  const std::uint64_t sectors = disk.size_bytes() / sector_bytes;
  if (index == 0 || index >= sectors) return std::nullopt;
  std::vector<std::byte> header(sector_bytes);
  ASR_CHECK(disk.Read(index * sector_bytes, header));
  const auto table = CheckHeader(header, index, sectors);
  if (!table || table->size_bytes > disk.size_bytes() - table->offset_bytes) return std::nullopt;
  std::vector<std::byte> entries(table->size_bytes);
  ASR_CHECK(disk.Read(table->offset_bytes, entries));
  if (Crc32(entries) != table->checksum) return std::nullopt;

  Gpt gpt{.sector_bytes = sector_bytes};
  for (std::size_t at = 0; at < entries.size(); at += table->entry_bytes) {
    const ByteSpan entry = ByteSpan(entries).subspan(at, kLeastEntryBytes);
    if (!IsInside(entry, sectors)) continue;
    gpt.has_efi_system |= HasType(entry, kEfiSystem);
    gpt.has_bios_boot |= HasType(entry, kBiosBoot);
  }
  return gpt;
}

Result<std::optional<Gpt>> ReadGpt(const Disk& disk) {
  const std::uint32_t own = disk.logical_sector_bytes() == 4096 ? 4096 : 512;
  const std::uint32_t other = own == 512 ? 4096 : 512;
  for (const std::uint32_t sector_bytes : {own, other}) {
    const std::uint64_t last = disk.size_bytes() / sector_bytes;
    for (const std::uint64_t index : {std::uint64_t{1}, last == 0 ? 0 : last - 1}) {
      ASR_TRY(const auto gpt, ReadGptAt(disk, sector_bytes, index));
      if (gpt) return gpt;
    }
  }
  return std::nullopt;
}

BootDisk JudgeGpt(const Gpt& gpt, bool has_code) {
  BootDisk found{.generation = 0, .sector_bytes = gpt.sector_bytes, .detail = {}};
  if (gpt.has_efi_system) {
    found.generation = 2;
    found.detail = "GPT with an EFI system partition";
  } else if (has_code || gpt.has_bios_boot) {
    found.generation = 1;
    found.detail = "GPT with BIOS boot code";
  } else {
    found.detail = "GPT without an EFI system partition or boot code";
  }
  return found;
}

BootDisk JudgeMbr(const Mbr& mbr, std::uint32_t sector_bytes) {
  BootDisk found{.generation = 0, .sector_bytes = sector_bytes, .detail = {}};
  if (!mbr.is_signed) {
    found.detail = "no boot sector";
  } else if (mbr.has_code || mbr.has_active) {
    found.generation = 1;
    found.detail = "MBR with boot code or an active partition";
  } else if (mbr.has_efi_system) {
    found.generation = 2;
    found.detail = "MBR with an EFI system partition";
  } else {
    found.detail = "MBR without boot code or an active partition";
  }
  return found;
}

}  // namespace

Result<BootDisk> DetectBootDisk(const Disk& disk) {
  ASR_TRY(const Mbr mbr, ReadMbr(disk));
  if (!mbr.is_signed || !mbr.has_protective) return JudgeMbr(mbr, disk.logical_sector_bytes());
  ASR_TRY(const auto gpt, ReadGpt(disk));
  if (gpt) return JudgeGpt(*gpt, mbr.has_code);
  return BootDisk{
      .generation = mbr.has_code ? 1 : 0,
      .sector_bytes = disk.logical_sector_bytes(),
      .detail = fmt::format("a damaged GPT, {} boot code", mbr.has_code ? "with" : "without")};
}

}  // namespace asr
