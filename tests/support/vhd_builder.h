// Builds VHD files for tests from the Virtual Hard Disk Image Format Specification 1.0: fixed,
// dynamic, differencing. It shares nothing with the reader and the writer that it tests.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/disk_content.h"

namespace asr::testing {

class VhdBuilder {
 public:
  static constexpr std::uint64_t kHeaderOffset = 512;
  static constexpr std::uint64_t kTableOffset = 1536;     // of a dynamic disk
  static constexpr std::uint32_t kRelative = 0x57327275;  // "W2ru"
  static constexpr std::uint32_t kAbsolute = 0x57326B75;  // "W2ku"

  using UniqueId = std::array<std::uint8_t, 16>;

  struct Locator {
    std::uint32_t platform = 0;
    std::u16string path;  // in the file: UTF-16, little-endian
  };

  // What a child says of its parent. An empty name and no locators are possible.
  struct Parent {
    UniqueId unique_id{};
    std::u16string name;
    std::vector<Locator> locators;
  };

  explicit VhdBuilder(const DiskContent& content) : content_(content) {}

  // Makes it a child: what its pieces and zeros_here do not cover lies in the parent. Both are
  // whole sectors.
  void MakeChild(Parent parent);
  // The locators that Windows writes for a parent of that name beside the child.
  void MakeChildOf(const UniqueId& parent_id, const std::u16string& name);

  // Writes the file. Blocks with data lie in it from the last to the first.
  void Write(const std::string& path) const;

  // 512-byte footer and 1024-byte dynamic header, checksums included.
  [[nodiscard]] std::vector<std::byte> Footer() const;
  [[nodiscard]] std::vector<std::byte> DynamicHeader() const;
  [[nodiscard]] std::uint32_t block_count() const;
  // An id of 16 such bytes.
  [[nodiscard]] static UniqueId IdOf(std::uint8_t byte);

  std::uint32_t type = 3;  // 2 fixed, 3 dynamic, 4 differencing
  std::uint32_t block_bytes = 2 * 1024 * 1024;
  bool footer_has_511_bytes = false;
  bool footer_is_missing = false;
  std::uint64_t data_alignment_bytes = 512;  // Windows: 4096
  UniqueId unique_id = IdOf(0x5A);           // by which children name it
  std::vector<Extent> zeros_here;            // of a child: zeros that hide the parent
  std::set<std::uint32_t> empty_blocks;      // of a child: in the file, yet all its bits are 0
  // Locators as Windows writes them: on pages of 4 KiB, their space given in bytes. The
  // specification: one after another behind the header, the space given in sectors.
  bool locators_of_windows = true;
  bool locators_end_with_nul = false;

  // Changes made before the checksum is taken.
  std::function<void(MutableByteSpan footer)> edit_footer;
  std::function<void(MutableByteSpan header)> edit_header;
  std::map<std::uint32_t, std::uint32_t> table_edits;  // block -> sector

 private:
  struct PlacedLocator {
    std::uint64_t offset_bytes = 0;
    std::uint32_t space = 0;
    std::vector<std::byte> data;
  };

  void WriteDynamic(const std::string& path) const;
  void WriteBlock(const std::string& path, std::uint32_t block, std::uint64_t data) const;
  [[nodiscard]] Extent RangeOf(std::uint32_t block) const;
  [[nodiscard]] std::vector<Extent> SectorsHere(std::uint32_t block) const;
  [[nodiscard]] bool IsHere(std::uint32_t block) const;
  [[nodiscard]] std::uint64_t table_offset() const;
  [[nodiscard]] std::uint64_t table_bytes() const;
  [[nodiscard]] std::vector<PlacedLocator> PlaceLocators() const;
  [[nodiscard]] std::uint64_t FirstBlockOffset() const;

  const DiskContent& content_;
  Parent parent_;
};

}  // namespace asr::testing
