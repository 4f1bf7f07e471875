// Builds VHDX files for tests from [MS-VHDX] 8.0: dynamic, fixed, differencing. It shares nothing
// with the reader and the writer that it tests.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/disk_content.h"

namespace asr::testing {

class VhdxBuilder {
 public:
  using GuidBytes = std::array<std::uint8_t, 16>;

  static constexpr std::uint64_t kHeader1 = 64 * 1024;
  static constexpr std::uint64_t kHeader2 = 128 * 1024;
  static constexpr std::uint64_t kRegionTable1 = 192 * 1024;
  static constexpr std::uint64_t kRegionTable2 = 256 * 1024;
  static constexpr std::uint64_t kMetadataOffset = 1 * 1024 * 1024;
  static constexpr std::uint64_t kItemsOffset = kMetadataOffset + 64 * 1024;
  static constexpr std::uint64_t kTableOffset = 2 * 1024 * 1024;

  static constexpr GuidBytes kTableRegion = {0x66, 0x77, 0xC2, 0x2D, 0x23, 0xF6, 0x00, 0x42,
                                             0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08};
  static constexpr GuidBytes kMetadataRegion = {0x06, 0xA2, 0x7C, 0x8B, 0x90, 0x47, 0x9A, 0x4B,
                                                0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E};
  static constexpr GuidBytes kFileParameters = {0x37, 0x67, 0xA1, 0xCA, 0x36, 0xFA, 0x43, 0x4D,
                                                0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B};
  static constexpr GuidBytes kDiskSize = {0x24, 0x42, 0xA5, 0x2F, 0x1B, 0xCD, 0x76, 0x48,
                                          0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8};
  static constexpr GuidBytes kDiskId = {0xAB, 0x12, 0xCA, 0xBE, 0xE6, 0xB2, 0x23, 0x45,
                                        0x93, 0xEF, 0xC3, 0x09, 0xE0, 0x00, 0xC7, 0x46};
  static constexpr GuidBytes kLogicalSector = {0x1D, 0xBF, 0x41, 0x81, 0x6F, 0xA9, 0x09, 0x47,
                                               0xBA, 0x47, 0xF2, 0x33, 0xA8, 0xFA, 0xAB, 0x5F};
  static constexpr GuidBytes kPhysicalSector = {0xC7, 0x48, 0xA3, 0xCD, 0x5D, 0x44, 0x71, 0x44,
                                                0x9C, 0xC9, 0xE9, 0x88, 0x52, 0x51, 0xC5, 0x56};
  static constexpr GuidBytes kParentLocator = {0x2D, 0x5F, 0xD3, 0xA8, 0x0B, 0xB3, 0x4D, 0x45,
                                               0xAB, 0xF7, 0xD3, 0xD8, 0x48, 0x34, 0xAB, 0x0C};
  static constexpr GuidBytes kLocatorType = {0xB7, 0xEF, 0x4A, 0xB0, 0x9E, 0xD1, 0x81, 0x4A,
                                             0xB7, 0x89, 0x25, 0xB8, 0xE9, 0x44, 0x59, 0x13};
  static constexpr GuidBytes kIncompleteFile = {0xF0, 0x85, 0xCC, 0x71, 0x69, 0x1B, 0x28, 0x4E,
                                                0x95, 0x58, 0xC3, 0xBF, 0x83, 0xAE, 0x75, 0xD3};
  static constexpr GuidBytes kUnknown = {0xDE, 0xAD, 0xBE, 0xEF, 1, 2, 3, 4,
                                         5,    6,    7,    8,    9, 9, 9, 9};

  struct Region {
    GuidBytes guid{};
    std::uint64_t offset_bytes = 0;
    std::uint32_t length_bytes = 0;
    bool required = true;
  };

  struct Item {
    GuidBytes guid{};
    std::uint32_t flags = 4;  // 1 user, 2 virtual disk, 4 required
    std::vector<std::byte> value;
  };

  using LocatorEntries = std::vector<std::pair<std::u16string, std::u16string>>;

  // Blocks of 1 MiB and sectors of 512 bytes, both headers and region tables, the five items.
  explicit VhdxBuilder(const DiskContent& content, std::uint32_t block = 1024 * 1024,
                       std::uint32_t logical_sector = 512, bool is_fixed = false);

  // Makes it a child: what its pieces and zeros_here do not cover lies in the parent. Both are
  // whole logical sectors.
  void MakeChild(const LocatorEntries& entries);
  // The links that Hyper-V writes to a parent of that name beside the child.
  void MakeChildOf(const GuidBytes& parent_id, const std::u16string& name);

  // Writes the file: headers, metadata, block table, log, blocks from the last to the first. A
  // fixed disk has all its blocks, another those with data.
  void Write(const std::string& path) const;

  [[nodiscard]] std::vector<std::byte> Header(std::size_t index) const;
  [[nodiscard]] std::vector<std::byte> RegionTable() const;
  [[nodiscard]] std::uint64_t EntryIndex(std::uint64_t block) const;
  [[nodiscard]] std::uint64_t BitmapIndex(std::uint64_t chunk) const;
  [[nodiscard]] std::uint64_t table_bytes() const;    // whole MiB
  [[nodiscard]] std::uint64_t blocks_offset() const;  // where the first block lies
  [[nodiscard]] Item& ItemOf(const GuidBytes& guid);
  // "{D19E4A81-...}", as locators name a parent.
  [[nodiscard]] static std::u16string GuidText(const GuidBytes& guid);
  [[nodiscard]] static std::vector<std::byte> Locator(const LocatorEntries& entries);
  // A GUID of 16 such bytes.
  [[nodiscard]] static GuidBytes GuidOf(std::uint8_t byte);

  std::uint32_t block_bytes;
  std::uint32_t logical_sector_bytes;
  bool fixed;
  std::array<std::uint64_t, 2> sequence_numbers = {7, 6};
  std::vector<Region> regions;
  std::vector<Item> items;
  std::uint64_t state_of_absent_blocks = 0;
  bool last_block_is_cut = false;  // the file ends with the disk's last sector
  std::uint32_t log_bytes = 1024 * 1024;
  GuidBytes data_write_guid = GuidOf(0x11);  // by which children name it
  // States other than those that follow from the content. Of a block in state 6 what no piece
  // covers is zeros, of one in state 7 it is the parent's.
  std::map<std::uint64_t, std::uint64_t> block_states;
  std::vector<Extent> zeros_here;   // of a child: zeros that hide the parent
  bool bitmaps_come_first = false;  // before the payload blocks; else behind them
  // Bits of blocks in states 0 to 5, which nobody may ask, say "in this file".
  bool other_bits_lie = true;

  // Changes made before the checksum is taken.
  std::function<void(std::size_t index, MutableByteSpan header)> edit_header;
  std::function<void(MutableByteSpan table)> edit_region_table;
  std::map<std::uint64_t, std::uint64_t> table_edits;  // table index -> entry

 private:
  [[nodiscard]] std::uint64_t BlockCount() const;
  [[nodiscard]] std::uint64_t ChunkRatio() const;
  [[nodiscard]] Extent RangeOf(std::uint64_t block) const;  // clipped to the disk
  [[nodiscard]] std::vector<Extent> SectorsHere(std::uint64_t block) const;
  [[nodiscard]] std::uint64_t StateOf(std::uint64_t block) const;
  [[nodiscard]] std::vector<std::byte> Metadata() const;
  // The bits of chunks with a block in state 7. Those of blocks in other states lie.
  [[nodiscard]] std::map<std::uint64_t, std::vector<std::byte>> Bitmaps() const;
  void WriteBlock(const std::string& path, std::uint64_t block, std::uint64_t place) const;
  // Both return where the file ends.
  std::uint64_t WriteBlocks(const std::string& path) const;
  std::uint64_t WriteBitmaps(const std::string& path, std::uint64_t end) const;

  const DiskContent& content_;
  bool is_child_ = false;
};

// CRC-32C, bit by bit as its definition says.
[[nodiscard]] std::uint32_t CastagnoliCrc(ByteSpan bytes);
// Puts the checksum of a header, region table or log entry in its place.
void SealVhdxStructure(MutableByteSpan structure);

}  // namespace asr::testing
