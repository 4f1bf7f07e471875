// Builds VHD files for tests from the Virtual Hard Disk Image Format Specification 1.0. It shares
// nothing with the reader and the writer that it tests.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/disk_content.h"

namespace asr::testing {

class VhdBuilder {
 public:
  static constexpr std::uint64_t kHeaderOffset = 512;
  static constexpr std::uint64_t kTableOffset = 1536;

  explicit VhdBuilder(const DiskContent& content) : content_(content) {}

  // Writes the file. Blocks with data lie in it from the last to the first.
  void Write(const std::string& path) const;

  // 512-byte footer and 1024-byte dynamic header, checksums included.
  [[nodiscard]] std::vector<std::byte> Footer() const;
  [[nodiscard]] std::vector<std::byte> DynamicHeader() const;
  [[nodiscard]] std::uint32_t block_count() const;

  std::uint32_t type = 3;  // 2 fixed, 3 dynamic
  std::uint32_t block_bytes = 2 * 1024 * 1024;
  bool footer_has_511_bytes = false;
  bool footer_is_missing = false;
  std::uint64_t data_alignment_bytes = 512;  // Windows: 4096

  // Changes made before the checksum is taken.
  std::function<void(MutableByteSpan footer)> edit_footer;
  std::function<void(MutableByteSpan header)> edit_header;
  std::map<std::uint32_t, std::uint32_t> table_edits;  // block -> sector

 private:
  void WriteDynamic(const std::string& path) const;

  const DiskContent& content_;
};

}  // namespace asr::testing
