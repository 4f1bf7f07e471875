// Names for what stands in a Hyper-V Replica Log ([MS-HRL] v20240423, section 2; man/asr-hrl.5),
// shared by reader and writer. All numbers are little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/base/guid.h"
#include "storage/base/result.h"

namespace asr {

inline constexpr std::string_view kHrlCookie = "msctlog ";
inline constexpr std::string_view kHrlCreator = "asr ";  // of logs that we write
inline constexpr std::uint32_t kHrlVersion1 = 0x0001'0000;
inline constexpr std::uint32_t kHrlVersion2 = 0x0002'0000;
inline constexpr std::size_t kHrlHeaderBytes = 4096;
inline constexpr std::uint32_t kHrlMetadataBytes = 4096;  // of a block, as we write it
inline constexpr std::size_t kHrlBlockHeaderBytes = 32;
inline constexpr std::size_t kHrlEntryBytes = 32;
inline constexpr std::uint64_t kHrlSectorBytes = 512;

// 2.2
struct HrlHeader {
  std::uint32_t version = kHrlVersion2;
  Timestamp created{};                             // to the second
  Timestamp last_modified{};                       // the same
  std::string creator = std::string(kHrlCreator);  // four characters
  std::uint32_t creator_version = 0;
  std::uint64_t original_bytes = 0;
  std::uint64_t current_bytes = 0;
  std::uint64_t end_bytes = 0;  // 0: it was not closed
  std::int32_t error = 0;
  std::uint32_t metadata_bytes = kHrlMetadataBytes;
  Guid id{};
  Guid previous_id{};
  std::uint64_t entry_count = 0;
  std::uint32_t file_type = 0;
  Guid data_write_guid{};

  [[nodiscard]] bool is_closed() const { return end_bytes != 0; }
  [[nodiscard]] bool is_ours() const { return creator == kHrlCreator; }
};

// 2.4. One write.
struct HrlEntry {
  Extent disk;                      // where the data belongs
  std::uint64_t file_offset = 0;    // where it lies in the log
  Timestamp written{};              // to the second
  std::uint32_t data_checksum = 0;  // 0: none
};

// 2.3
struct HrlBlockHeader {
  std::uint64_t distance_to_previous = 0;  // 0: this is the first
  std::uint32_t entry_count = 0;
};

// 2.6: the one's complement of the sum of all bytes.
[[nodiscard]] std::uint32_t HrlChecksum(ByteSpan bytes);

// `out` has kHrlHeaderBytes; the checksum is set.
void EncodeHrlHeader(const HrlHeader& header, MutableByteSpan out);
// Into `warning` goes what is wrong with the header and does not matter. Errors: kCorrupt
// (kLogCorrupt), kUnsupported (kLogUnsupported). `start` has kHrlHeaderBytes.
[[nodiscard]] Result<HrlHeader> DecodeHrlHeader(ByteSpan start, std::string& warning);

// `out` has kHrlBlockHeaderBytes and kHrlEntryBytes.
void EncodeHrlBlockHeader(const HrlBlockHeader& header, MutableByteSpan out);
void EncodeHrlEntry(const HrlEntry& entry, MutableByteSpan out);
// `place`: where in the log the bytes lie, for the message. The file offset of an entry is the
// caller's to find. Errors: kCorrupt (kLogCorrupt).
[[nodiscard]] Result<HrlBlockHeader> DecodeHrlBlockHeader(ByteSpan bytes, std::uint64_t place);
[[nodiscard]] Result<HrlEntry> DecodeHrlEntry(ByteSpan bytes, std::uint64_t place);

// For reader and decoder: a log that breaks its format.
[[nodiscard]] Error CorruptLog(std::string what);

}  // namespace asr
