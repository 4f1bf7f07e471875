// Builds change logs for tests from [MS-HRL] v20240423, as Hyper-V would write them. It shares
// nothing with the reader and the writer that it tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/bytes.h"

namespace asr::testing {

class HrlBuilder {
 public:
  struct Write {
    std::uint64_t disk_offset = 0;
    std::vector<std::byte> data;
    bool has_data_checksum = false;
    std::uint8_t operation = 1;
  };

  std::uint32_t version = 0x00020000;
  std::string creator = "ct  ";
  std::uint32_t metadata_bytes = 4096;
  std::uint32_t seconds = 539842380;  // since 2000: the example of the specification
  std::vector<std::byte> id = std::vector<std::byte>(16, std::byte{0x57});
  std::vector<std::byte> previous_id = std::vector<std::byte>(16, std::byte{0xA8});
  std::vector<std::byte> data_write_guid = std::vector<std::byte>(16, std::byte{0xB9});
  std::uint32_t file_type = 0;
  bool is_closed = true;
  bool header_checksum_is_right = true;
  bool begins_with_an_empty_block = true;
  std::vector<std::vector<Write>> blocks;

  [[nodiscard]] std::vector<std::byte> Bytes() const;
};

// 2.6, as the specification's own lines say it; four bytes are left out.
[[nodiscard]] std::uint32_t HrlSum(ByteSpan bytes, std::size_t ignored_offset);

}  // namespace asr::testing
