#include "storage/image/vhd_format.h"

#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "storage/image/image_error.h"
#include "storage/image/vhd_footer.h"

namespace asr {
namespace {

constexpr std::string_view kDynamicHeaderCookie = "cxsparse";

namespace dynamic_header {  // offsets in the dynamic disk header; its signature comes first
constexpr std::size_t kNext = 8;
constexpr std::size_t kTableOffset = 16;
constexpr std::size_t kVersion = 24;
constexpr std::size_t kTableEntryCount = 28;
constexpr std::size_t kBlockBytes = 32;
constexpr std::size_t kChecksum = 36;
}  // namespace dynamic_header

// Writers use 512 KiB and 2 MiB. The lower limit bounds the memory that checking the table takes.
constexpr std::uint32_t kLeastBlockBytes = 256 * kKiB;
constexpr std::uint32_t kMostBlockBytes = 256 * kMiB;

// 64 TiB: no fixed VHD is larger on any platform, and sums of offsets stay far from overflow.
constexpr std::uint64_t kMostFixedBytes = 64 * kTiB;

Status CheckChecksum(ByteSpan bytes, std::size_t checksum_offset, std::string_view name) {
  const auto stored = LoadBig<std::uint32_t>(bytes, checksum_offset);
  const std::uint32_t computed = VhdChecksum(bytes, checksum_offset);
  if (stored == computed) return {};
  return Fail(
      CorruptImage(fmt::format("the checksum in the {} of the VHD is {:#010x}, its bytes "
                               "sum up to {:#010x}",
                               name, stored, computed)));
}

Status CheckVersion(std::uint32_t version, std::string_view name) {
  if (version == kVhdVersion) return {};
  return Fail(UnsupportedImage(fmt::format("the {} of the VHD has version {}.{}; known is 1.0",
                                           name, version >> 16, version & 0xFFFF),
                               "convert it with a current Hyper-V (Convert-VHD)"));
}

Status CheckSize(std::uint64_t size_bytes, VhdType type) {
  const std::uint64_t most = type == VhdType::kFixed ? kMostFixedBytes : kVhdMostDynamicBytes;
  if (size_bytes != 0 && size_bytes % kVhdSectorBytes == 0 && size_bytes <= most) return {};
  return Fail(CorruptImage(
      fmt::format("the footer of the VHD gives the disk {} bytes; a multiple of 512 from 512 to {} "
                  "is possible",
                  size_bytes, most)));
}

}  // namespace

bool IsVhdFooter(ByteSpan bytes) {
  return CarriesSignature(bytes, kVhdFooterCookie) &&
         LoadBig<std::uint32_t>(bytes, vhd_footer::kChecksum) ==
             VhdChecksum(bytes, vhd_footer::kChecksum);
}

Result<VhdFooterFields> ParseVhdFooter(ByteSpan bytes) {
  if (!CarriesSignature(bytes, kVhdFooterCookie)) {
    return Fail(CorruptImage("there is no VHD footer (signature `conectix`) at the file's end"));
  }
  ASR_CHECK(CheckChecksum(bytes, vhd_footer::kChecksum, "footer"));
  ASR_CHECK(CheckVersion(LoadBig<std::uint32_t>(bytes, vhd_footer::kVersion), "footer"));
  const auto type = LoadBig<std::uint32_t>(bytes, vhd_footer::kType);
  if (type < static_cast<std::uint32_t>(VhdType::kFixed) ||
      type > static_cast<std::uint32_t>(VhdType::kDifferencing)) {
    return Fail(CorruptImage(fmt::format(
        "the footer of the VHD gives disk type {}; 2 (fixed), 3 (dynamic) and 4 (differencing) "
        "exist",
        type)));
  }
  VhdFooterFields fields{
      .type = static_cast<VhdType>(type),
      .dynamic_header_offset_bytes = LoadBig<std::uint64_t>(bytes, vhd_footer::kDataOffset),
      .size_bytes = LoadBig<std::uint64_t>(bytes, vhd_footer::kCurrentSize),
      .unique_id = {}};
  std::memcpy(fields.unique_id.data(), &bytes[vhd_footer::kUniqueId], fields.unique_id.size());
  ASR_CHECK(CheckSize(fields.size_bytes, fields.type));
  return fields;
}

Result<VhdDynamicHeader> ParseVhdDynamicHeader(ByteSpan bytes) {
  if (!CarriesSignature(bytes, kDynamicHeaderCookie)) {
    return Fail(CorruptImage(
        "there is no dynamic disk header (signature `cxsparse`) where the VHD's footer says"));
  }
  ASR_CHECK(CheckChecksum(bytes, dynamic_header::kChecksum, "dynamic header"));
  ASR_CHECK(
      CheckVersion(LoadBig<std::uint32_t>(bytes, dynamic_header::kVersion), "dynamic header"));
  const VhdDynamicHeader header{
      .table_offset_bytes = LoadBig<std::uint64_t>(bytes, dynamic_header::kTableOffset),
      .table_entry_count = LoadBig<std::uint32_t>(bytes, dynamic_header::kTableEntryCount),
      .block_bytes = LoadBig<std::uint32_t>(bytes, dynamic_header::kBlockBytes)};
  if (!std::has_single_bit(header.block_bytes) || header.block_bytes < kVhdSectorBytes) {
    return Fail(CorruptImage(fmt::format(
        "the block size of the VHD is {}; it must be a power of two", header.block_bytes)));
  }
  if (header.block_bytes < kLeastBlockBytes || header.block_bytes > kMostBlockBytes) {
    return Fail(UnsupportedImage(
        fmt::format("the block size of the VHD is {}; 256 KiB to 256 MiB are supported",
                    header.block_bytes),
        "convert it to a VHDX (Convert-VHD, or qemu-img convert -O vhdx)"));
  }
  if (header.table_offset_bytes % kVhdSectorBytes != 0) {
    return Fail(
        CorruptImage(fmt::format("the block table of the VHD begins at offset {}, which is "
                                 "no multiple of 512",
                                 header.table_offset_bytes)));
  }
  return header;
}

std::array<std::byte, kVhdDynamicHeaderBytes> MakeVhdDynamicHeader(const VhdDynamicHeader& header) {
  std::array<std::byte, kVhdDynamicHeaderBytes> made{};
  const MutableByteSpan bytes(made);
  std::memcpy(made.data(), kDynamicHeaderCookie.data(), kDynamicHeaderCookie.size());
  StoreBig<std::uint64_t>(bytes, dynamic_header::kNext, kVhdNoOffset);
  StoreBig<std::uint64_t>(bytes, dynamic_header::kTableOffset, header.table_offset_bytes);
  StoreBig<std::uint32_t>(bytes, dynamic_header::kVersion, kVhdVersion);
  StoreBig<std::uint32_t>(bytes, dynamic_header::kTableEntryCount, header.table_entry_count);
  StoreBig<std::uint32_t>(bytes, dynamic_header::kBlockBytes, header.block_bytes);
  StoreBig<std::uint32_t>(bytes, dynamic_header::kChecksum,
                          VhdChecksum(made, dynamic_header::kChecksum));
  return made;
}

}  // namespace asr
