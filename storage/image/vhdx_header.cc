#include "storage/image/vhdx_header.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

using Bytes = std::vector<std::byte>;

bool IsIntact(ByteSpan structure, std::string_view signature) {
  constexpr std::size_t kChecksumOffset = 4;  // in headers and region tables alike
  if (AsText(structure.first(signature.size())) != signature) return false;
  constexpr std::array<std::byte, 4> kNoChecksum{};
  const std::uint32_t before = Crc32c(kNoChecksum, Crc32c(structure.first(kChecksumOffset)));
  return LoadLittle<std::uint32_t>(structure, kChecksumOffset) ==
         Crc32c(structure.subspan(kChecksumOffset + kNoChecksum.size()), before);
}

VhdxHeader ParseHeader(ByteSpan bytes) {
  return {.sequence_number = LoadLittle<std::uint64_t>(bytes, vhdx_header::kSequenceNumber),
          .data_write_guid = LoadGuid(bytes, vhdx_header::kDataWriteGuid),
          .log_guid = LoadGuid(bytes, vhdx_header::kLogGuid),
          .log_version = LoadLittle<std::uint16_t>(bytes, vhdx_header::kLogVersion),
          .version = LoadLittle<std::uint16_t>(bytes, vhdx_header::kVersion),
          .log = {LoadLittle<std::uint64_t>(bytes, vhdx_header::kLogOffset),
                  LoadLittle<std::uint32_t>(bytes, vhdx_header::kLogLength)}};
}

Result<VhdxHeader> ChooseHeader(ByteSpan first, ByteSpan second,
                                std::vector<std::string>& remarks) {
  const bool first_intact = IsIntact(first, kVhdxHeaderSignature);
  const bool second_intact = IsIntact(second, kVhdxHeaderSignature);
  if (!first_intact && !second_intact) {
    return Fail(CorruptImage("both headers of the VHDX (offsets 65536 and 131072) are damaged"));
  }
  if (!first_intact || !second_intact) {
    // Which one was the newer is not known: a writer that is killed leaves one of them torn.
    remarks.push_back(fmt::format("its {} header is damaged; the other one is used",
                                  first_intact ? "second" : "first"));
    return ParseHeader(first_intact ? first : second);
  }
  const VhdxHeader one = ParseHeader(first);
  const VhdxHeader two = ParseHeader(second);
  if (one.sequence_number == two.sequence_number &&
      std::memcmp(first.data(), second.data(), kVhdxHeaderBytes) != 0) {
    return Fail(CorruptImage(
        fmt::format("the two headers of the VHDX differ, yet both carry sequence number {}",
                    one.sequence_number)));
  }
  return one.sequence_number >= two.sequence_number ? one : two;
}

Status CheckRegion(const Guid& guid, Extent region, std::uint64_t file_bytes) {
  if (region.offset_bytes % kVhdxAlignment == 0 && region.length_bytes % kVhdxAlignment == 0 &&
      region.offset_bytes >= kVhdxAlignment && region.length_bytes > 0 &&
      region.offset_bytes <= file_bytes &&
      file_bytes - region.offset_bytes >= region.length_bytes) {
    return {};
  }
  return Fail(CorruptImage(fmt::format(
      "region {} of the VHDX has offset {} and length {}: it must be made of whole MiB inside the "
      "file of {} bytes, behind the first",
      GuidText(guid), region.offset_bytes, region.length_bytes, file_bytes)));
}

// The bytes of the first intact table.
Result<Bytes> ReadRegionTable(File& file, std::vector<std::string>& remarks) {
  Bytes table(kVhdxRegionTableBytes);
  for (const std::uint64_t offset : kVhdxRegionTableOffsets) {
    ASR_CHECK(file.ReadAt(offset, table));
    if (IsIntact(table, kVhdxRegionSignature)) return table;
    remarks.push_back(fmt::format("its region table at offset {} is damaged", offset));
  }
  return Fail(
      CorruptImage("both region tables of the VHDX (offsets 196608 and 262144) are damaged"));
}

}  // namespace

Result<VhdxHeader> ReadVhdxHeader(File& file, std::vector<std::string>& remarks) {
  Bytes first(kVhdxHeaderBytes);
  Bytes second(kVhdxHeaderBytes);
  ASR_CHECK(file.ReadAt(kVhdxHeaderOffsets[0], first));
  ASR_CHECK(file.ReadAt(kVhdxHeaderOffsets[1], second));
  ASR_TRY(const VhdxHeader header, ChooseHeader(first, second, remarks));
  if (header.version != 1) {
    return Fail(UnsupportedImage(fmt::format("the VHDX has version {}; known is 1", header.version),
                                 "convert it with the Hyper-V that wrote it (Convert-VHD)"));
  }
  return header;
}

Result<VhdxRegions> ReadVhdxRegions(File& file, std::uint64_t file_bytes,
                                    std::vector<std::string>& remarks) {
  ASR_TRY(const Bytes bytes, ReadRegionTable(file, remarks));
  const auto count = LoadLittle<std::uint32_t>(bytes, vhdx_region::kEntryCount);
  if (count > kVhdxMostTableEntries) {
    return Fail(CorruptImage(fmt::format("the region table of the VHDX has {} entries; {} fit",
                                         count, kVhdxMostTableEntries)));
  }
  VhdxRegions regions;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan entry = ByteSpan(bytes).subspan(
        vhdx_region::kEntries + i * vhdx_region::kEntryBytes, vhdx_region::kEntryBytes);
    const Guid guid = LoadGuid(entry, vhdx_region::kGuid);
    const Extent region{LoadLittle<std::uint64_t>(entry, vhdx_region::kOffset),
                        LoadLittle<std::uint32_t>(entry, vhdx_region::kLength)};
    ASR_CHECK(CheckRegion(guid, region, file_bytes));
    regions.all.push_back(region);
    const bool required =
        (LoadLittle<std::uint32_t>(entry, vhdx_region::kFlags) & vhdx_region::kRequired) != 0;
    Extent* known = guid == vhdx_region::kTable      ? &regions.table
                    : guid == vhdx_region::kMetadata ? &regions.metadata
                                                     : nullptr;
    if (known == nullptr && required) {
      return Fail(UnsupportedImage(
          fmt::format("the VHDX needs region {}, which is not known here", GuidText(guid)),
          "convert it with the Hyper-V that wrote it (Convert-VHD)"));
    }
    if (known == nullptr) continue;
    if (known->length_bytes != 0) {
      return Fail(CorruptImage(fmt::format("the VHDX has two regions of kind {}", GuidText(guid))));
    }
    *known = region;
  }
  if (regions.table.length_bytes == 0 || regions.metadata.length_bytes == 0) {
    return Fail(CorruptImage("the VHDX has no block table or no metadata region"));
  }
  return regions;
}

}  // namespace asr
