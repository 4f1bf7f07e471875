// The fixed part of a VHDX file: its two headers and two region tables ([MS-VHDX] 2.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/vhdx_format.h"

namespace asr {

struct VhdxHeader {
  std::uint64_t sequence_number = 0;
  Guid data_write_guid{};  // changes before the guest's data do; children name their parent by it
  Guid log_guid{};         // all zero: the log is empty
  std::uint16_t log_version = 0;
  std::uint16_t version = 0;
  Extent log;
};

// The header in force: the one with a good checksum and the greater sequence number. Two headers of
// one number are fine only if they are the same bytes, as disk2vhd writes them. Damage to the other
// one is remarked upon.
// Errors: kCorrupt, kUnsupported (another version), kIo.
[[nodiscard]] Result<VhdxHeader> ReadVhdxHeader(File& file, std::vector<std::string>& remarks);

struct VhdxRegions {
  Extent table;  // of blocks (BAT)
  Extent metadata;
  std::vector<Extent> all;  // these two and what optional regions there are
};

// From the first region table, or, with a remark, the second if the first is damaged. Each region
// is aligned to a MiB and lies inside the file of `file_bytes`; whether they overlap is not checked
// here. Errors: kCorrupt, kUnsupported (an unknown region that is required), kIo.
[[nodiscard]] Result<VhdxRegions> ReadVhdxRegions(File& file, std::uint64_t file_bytes,
                                                  std::vector<std::string>& remarks);

}  // namespace asr
