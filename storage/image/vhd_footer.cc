#include "storage/image/vhd_footer.h"

#include <algorithm>
#include <cstring>

#include "storage/image/vhd_format.h"

namespace asr {

std::uint32_t VhdChecksum(ByteSpan structure, std::size_t checksum_offset) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < structure.size(); ++i) {
    if (i >= checksum_offset && i < checksum_offset + 4) continue;
    sum += std::to_integer<std::uint32_t>(structure[i]);
  }
  return ~sum;
}

VhdGeometry ComputeVhdGeometry(std::uint64_t size_bytes) {
  constexpr std::uint64_t kMostSectors = 65535ULL * 16 * 255;
  const std::uint64_t sectors = std::min(size_bytes / kVhdSectorBytes, kMostSectors);
  std::uint64_t sectors_per_track = 17;
  std::uint64_t heads = 0;
  std::uint64_t cylinders_times_heads = 0;
  if (sectors >= 65535ULL * 16 * 63) {
    sectors_per_track = 255;
    heads = 16;
    cylinders_times_heads = sectors / sectors_per_track;
  } else {
    cylinders_times_heads = sectors / sectors_per_track;
    heads = std::max<std::uint64_t>(4, (cylinders_times_heads + 1023) / 1024);
    if (cylinders_times_heads >= heads * 1024 || heads > 16) {
      sectors_per_track = 31;
      heads = 16;
      cylinders_times_heads = sectors / sectors_per_track;
    }
    if (cylinders_times_heads >= heads * 1024) {
      sectors_per_track = 63;
      heads = 16;
      cylinders_times_heads = sectors / sectors_per_track;
    }
  }
  return {.cylinders = static_cast<std::uint16_t>(cylinders_times_heads / heads),
          .heads = static_cast<std::uint8_t>(heads),
          .sectors_per_track = static_cast<std::uint8_t>(sectors_per_track)};
}

namespace {

VhdFooter MakeVhdFooter(const VhdFooterFields& fields, std::uint32_t created_seconds) {
  constexpr std::uint32_t kReservedFeature = 2;  // "must always be set to 1"
  constexpr std::uint32_t kCreatorVersion = 0x000A0000;
  VhdFooter footer{};
  const MutableByteSpan bytes(footer);
  const VhdGeometry geometry = ComputeVhdGeometry(fields.size_bytes);
  std::memcpy(&footer[vhd_footer::kCookie], kVhdFooterCookie.data(), kVhdFooterCookie.size());
  StoreBig<std::uint32_t>(bytes, vhd_footer::kFeatures, kReservedFeature);
  StoreBig<std::uint32_t>(bytes, vhd_footer::kVersion, kVhdVersion);
  StoreBig<std::uint64_t>(bytes, vhd_footer::kDataOffset, fields.dynamic_header_offset_bytes);
  StoreBig<std::uint32_t>(bytes, vhd_footer::kTimestamp, created_seconds);
  std::memcpy(&footer[vhd_footer::kCreatorApplication], "win ", 4);
  StoreBig<std::uint32_t>(bytes, vhd_footer::kCreatorVersion, kCreatorVersion);
  std::memcpy(&footer[vhd_footer::kCreatorHost], "Wi2k", 4);
  StoreBig<std::uint64_t>(bytes, vhd_footer::kOriginalSize, fields.size_bytes);
  StoreBig<std::uint64_t>(bytes, vhd_footer::kCurrentSize, fields.size_bytes);
  StoreBig<std::uint16_t>(bytes, vhd_footer::kGeometry, geometry.cylinders);
  footer[vhd_footer::kGeometry + 2] = std::byte{geometry.heads};
  footer[vhd_footer::kGeometry + 3] = std::byte{geometry.sectors_per_track};
  StoreBig<std::uint32_t>(bytes, vhd_footer::kType, static_cast<std::uint32_t>(fields.type));
  std::memcpy(&footer[vhd_footer::kUniqueId], fields.unique_id.data(), fields.unique_id.size());
  StoreBig<std::uint32_t>(bytes, vhd_footer::kChecksum, VhdChecksum(footer, vhd_footer::kChecksum));
  return footer;
}

}  // namespace

VhdFooter MakeFixedVhdFooter(std::uint64_t size_bytes, const Bits128& unique_id,
                             std::uint32_t created_seconds) {
  return MakeVhdFooter({.type = VhdType::kFixed,
                        .dynamic_header_offset_bytes = kVhdNoOffset,
                        .size_bytes = size_bytes,
                        .unique_id = unique_id},
                       created_seconds);
}

VhdFooter MakeDynamicVhdFooter(std::uint64_t size_bytes, const Bits128& unique_id,
                               std::uint32_t created_seconds) {
  return MakeVhdFooter({.type = VhdType::kDynamic,
                        .dynamic_header_offset_bytes = kVhdFooterBytes,
                        .size_bytes = size_bytes,
                        .unique_id = unique_id},
                       created_seconds);
}

std::uint32_t VhdSeconds(std::chrono::system_clock::time_point time) {
  constexpr std::chrono::sys_seconds kEpoch{std::chrono::seconds{946'684'800}};
  const auto since = std::chrono::floor<std::chrono::seconds>(time) - kEpoch;
  return static_cast<std::uint32_t>(since.count());
}

}  // namespace asr
