#include "storage/hrl/hrl_format.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

// 2.2: offsets in the header.
constexpr std::size_t kVersion = 8;
constexpr std::size_t kCreated = 12;
constexpr std::size_t kCreator = 16;
constexpr std::size_t kCreatorVersion = 20;
constexpr std::size_t kOriginalBytes = 24;
constexpr std::size_t kCurrentBytes = 32;
constexpr std::size_t kHeaderChecksum = 40;
constexpr std::size_t kEnd = 44;
constexpr std::size_t kError = 52;
constexpr std::size_t kMetadataBytes = 56;
constexpr std::size_t kId = 60;
constexpr std::size_t kPreviousId = 76;
constexpr std::size_t kLastModified = 92;
constexpr std::size_t kEntryCount = 96;
constexpr std::size_t kFileType = 104;
constexpr std::size_t kDataWriteGuid = 110;

// 2.3: offsets in the header of a block.
constexpr std::size_t kPrevious = 0;
constexpr std::size_t kValidEntries = 8;
constexpr std::size_t kBlockChecksum = 12;

// 2.4: offsets in an entry.
constexpr std::size_t kDiskOffset = 0;
constexpr std::size_t kEntryChecksum = 8;
constexpr std::size_t kDataBytes = 12;
constexpr std::size_t kWritten = 16;
constexpr std::size_t kOperation = 20;
constexpr std::size_t kDataChecksum = 21;

// Nothing in a log can be mended.
constexpr std::string_view kAdvice =
    "do not apply it; bring it anew from where it came from, or have Hyper-V compare the disks: "
    "Resume-VMReplication VM -Resynchronize";

constexpr std::byte kWrite{1};
constexpr std::uint32_t kMostMetadataBytes = kMiB;
constexpr std::uint64_t kMostDiskBytes = 64 * kTiB;
constexpr std::chrono::sys_seconds kEpoch = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);

std::uint32_t ToSeconds(Timestamp time) {
  const auto since = std::chrono::floor<std::chrono::seconds>(time) - kEpoch;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(since.count(), 0, UINT32_MAX));
}

Timestamp FromSeconds(std::uint32_t seconds) { return kEpoch + std::chrono::seconds(seconds); }

std::uint64_t SumOfBytes(ByteSpan bytes) {
  std::uint64_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<std::uint64_t>(byte);
  return sum;
}

// The checksum without the four bytes that hold it.
std::uint32_t ChecksumOf(ByteSpan bytes, std::size_t checksum_offset) {
  const std::uint64_t sum = SumOfBytes(bytes) - SumOfBytes(bytes.subspan(checksum_offset, 4));
  return ~static_cast<std::uint32_t>(sum);
}

void Seal(MutableByteSpan bytes, std::size_t checksum_offset) {
  StoreLittle<std::uint32_t>(bytes, checksum_offset, ChecksumOf(bytes, checksum_offset));
}

bool IsIntact(ByteSpan bytes, std::size_t checksum_offset) {
  return LoadLittle<std::uint32_t>(bytes, checksum_offset) == ChecksumOf(bytes, checksum_offset);
}

Error UnsupportedLog(std::string what) {
  return MakeError(ErrorKind::kUnsupported, ErrorCode::kLogUnsupported, std::move(what))
      .WithCause("it was written by another program, or by a newer Windows")
      .WithAction(std::string(kAdvice));
}

Status CheckHeader(const HrlHeader& header) {
  if (header.version != kHrlVersion1 && header.version != kHrlVersion2) {
    return Fail(
        UnsupportedLog(fmt::format("the change log has version {:#x}, and {:#x} and {:#x} "
                                   "are read",
                                   header.version, kHrlVersion1, kHrlVersion2)));
  }
  if (header.file_type != 0) {
    return Fail(UnsupportedLog(
        fmt::format("the file has type {}, and only type 0 is a change log", header.file_type)));
  }
  if (header.metadata_bytes % kHrlSectorBytes == 0 && header.metadata_bytes != 0 &&
      header.metadata_bytes <= kMostMetadataBytes) {
    return {};
  }
  return Fail(
      CorruptLog(fmt::format("the change log gives metadata blocks of {} bytes: whole "
                             "sectors of {}, at most {} bytes",
                             header.metadata_bytes, kHrlSectorBytes, kMostMetadataBytes)));
}

}  // namespace

Error CorruptLog(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kLogCorrupt, std::move(what))
      .WithCause("the file was cut or damaged, or another program wrote to it")
      .WithAction(std::string(kAdvice));
}

std::uint32_t HrlChecksum(ByteSpan bytes) {
  // Eight bytes at a time, in four sums of 16 bits that are emptied before they overflow.
  constexpr std::uint64_t kEvenBytes = 0x00FF'00FF'00FF'00FF;
  constexpr std::size_t kWordsAtOnce = 128;
  std::uint64_t sum = 0;
  while (bytes.size() >= sizeof(std::uint64_t)) {
    const std::size_t words = std::min(bytes.size() / sizeof(std::uint64_t), kWordsAtOnce);
    std::uint64_t sums = 0;
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, &bytes[i * sizeof(word)], sizeof(word));
      sums += (word & kEvenBytes) + (word >> 8 & kEvenBytes);
    }
    for (int shift = 0; shift < 64; shift += 16) sum += sums >> shift & 0xFFFF;
    bytes = bytes.subspan(words * sizeof(std::uint64_t));
  }
  return ~static_cast<std::uint32_t>(sum + SumOfBytes(bytes));
}

void EncodeHrlHeader(const HrlHeader& header, MutableByteSpan out) {
  std::ranges::fill(out, std::byte{0});
  std::ranges::copy(AsBytes(kHrlCookie), out.begin());
  StoreLittle<std::uint32_t>(out, kVersion, header.version);
  StoreLittle<std::uint32_t>(out, kCreated, ToSeconds(header.created));
  std::ranges::copy(AsBytes(header.creator).first(4),
                    out.begin() + static_cast<std::ptrdiff_t>(kCreator));
  StoreLittle<std::uint32_t>(out, kCreatorVersion, header.creator_version);
  StoreLittle<std::uint64_t>(out, kOriginalBytes, header.original_bytes);
  StoreLittle<std::uint64_t>(out, kCurrentBytes, header.current_bytes);
  StoreLittle<std::uint64_t>(out, kEnd, header.end_bytes);
  StoreLittle<std::uint32_t>(out, kError, static_cast<std::uint32_t>(header.error));
  StoreLittle<std::uint32_t>(out, kMetadataBytes, header.metadata_bytes);
  StoreGuid(out, kId, header.id);
  StoreGuid(out, kPreviousId, header.previous_id);
  StoreLittle<std::uint32_t>(out, kLastModified, ToSeconds(header.last_modified));
  StoreLittle<std::uint64_t>(out, kEntryCount, header.entry_count);
  StoreLittle<std::uint32_t>(out, kFileType, header.file_type);
  if (header.version != kHrlVersion1) StoreGuid(out, kDataWriteGuid, header.data_write_guid);
  Seal(out.first(kHrlHeaderBytes), kHeaderChecksum);
}

Result<HrlHeader> DecodeHrlHeader(ByteSpan start, std::string& warning) {
  if (AsText(start.first(kHrlCookie.size())) != kHrlCookie) {
    return Fail(CorruptLog("the file does not begin with the signature `msctlog `"));
  }
  HrlHeader header;
  header.version = LoadLittle<std::uint32_t>(start, kVersion);
  header.created = FromSeconds(LoadLittle<std::uint32_t>(start, kCreated));
  header.creator = AsText(start.subspan(kCreator, 4));
  header.creator_version = LoadLittle<std::uint32_t>(start, kCreatorVersion);
  header.original_bytes = LoadLittle<std::uint64_t>(start, kOriginalBytes);
  header.current_bytes = LoadLittle<std::uint64_t>(start, kCurrentBytes);
  header.end_bytes = LoadLittle<std::uint64_t>(start, kEnd);
  header.error = static_cast<std::int32_t>(LoadLittle<std::uint32_t>(start, kError));
  header.metadata_bytes = LoadLittle<std::uint32_t>(start, kMetadataBytes);
  header.id = LoadGuid(start, kId);
  header.previous_id = LoadGuid(start, kPreviousId);
  header.last_modified = FromSeconds(LoadLittle<std::uint32_t>(start, kLastModified));
  header.entry_count = LoadLittle<std::uint64_t>(start, kEntryCount);
  header.file_type = LoadLittle<std::uint32_t>(start, kFileType);
  ASR_CHECK(CheckHeader(header));
  if (header.version != kHrlVersion1) header.data_write_guid = LoadGuid(start, kDataWriteGuid);
  if (IsIntact(start.first(kHrlHeaderBytes), kHeaderChecksum)) return header;
  const std::string problem =
      fmt::format("the checksum of the change log's header is {:#x} and should be {:#x}",
                  LoadLittle<std::uint32_t>(start, kHeaderChecksum),
                  ChecksumOf(start.first(kHrlHeaderBytes), kHeaderChecksum));
  if (header.is_ours()) return Fail(CorruptLog(problem));
  warning = problem;
  return header;
}

void EncodeHrlBlockHeader(const HrlBlockHeader& header, MutableByteSpan out) {
  std::ranges::fill(out, std::byte{0});
  StoreLittle<std::uint64_t>(out, kPrevious, header.distance_to_previous);
  StoreLittle<std::uint32_t>(out, kValidEntries, header.entry_count);
  Seal(out, kBlockChecksum);
}

Result<HrlBlockHeader> DecodeHrlBlockHeader(ByteSpan bytes, std::uint64_t place) {
  if (!IsIntact(bytes, kBlockChecksum)) {
    return Fail(CorruptLog(fmt::format(
        "the metadata block at offset {} of the change log has a wrong checksum", place)));
  }
  return HrlBlockHeader{.distance_to_previous = LoadLittle<std::uint64_t>(bytes, kPrevious),
                        .entry_count = LoadLittle<std::uint32_t>(bytes, kValidEntries)};
}

void EncodeHrlEntry(const HrlEntry& entry, MutableByteSpan out) {
  std::ranges::fill(out, std::byte{0});
  StoreLittle<std::uint64_t>(out, kDiskOffset, entry.disk.offset_bytes);
  StoreLittle<std::uint32_t>(out, kDataBytes, static_cast<std::uint32_t>(entry.disk.length_bytes));
  StoreLittle<std::uint32_t>(out, kWritten, ToSeconds(entry.written));
  out[kOperation] = kWrite;
  StoreLittle<std::uint32_t>(out, kDataChecksum, entry.data_checksum);
  Seal(out, kEntryChecksum);
}

Result<HrlEntry> DecodeHrlEntry(ByteSpan bytes, std::uint64_t place) {
  if (!IsIntact(bytes, kEntryChecksum)) {
    return Fail(CorruptLog(
        fmt::format("the entry at offset {} of the change log has a wrong checksum", place)));
  }
  const HrlEntry entry{.disk = {LoadLittle<std::uint64_t>(bytes, kDiskOffset),
                                LoadLittle<std::uint32_t>(bytes, kDataBytes)},
                       .written = FromSeconds(LoadLittle<std::uint32_t>(bytes, kWritten)),
                       .data_checksum = LoadLittle<std::uint32_t>(bytes, kDataChecksum)};
  if (bytes[kOperation] != kWrite) {
    return Fail(CorruptLog(
        fmt::format("the entry at offset {} of the change log has operation {}, and only 1, a "
                    "write, exists",
                    place, std::to_integer<int>(bytes[kOperation]))));
  }
  const Extent& disk = entry.disk;
  if (disk.length_bytes != 0 && disk.length_bytes % kHrlSectorBytes == 0 &&
      disk.offset_bytes % kHrlSectorBytes == 0 &&
      disk.offset_bytes <= kMostDiskBytes - disk.length_bytes) {
    return entry;
  }
  return Fail(
      CorruptLog(fmt::format("the entry at offset {} of the change log stands for {} bytes "
                             "at offset {} of the disk, which no disk has",
                             place, disk.length_bytes, disk.offset_bytes)));
}

}  // namespace asr
