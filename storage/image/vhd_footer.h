// The 512-byte footer of a VHD (Virtual Hard Disk Image Format Specification 1.0): every fixed VHD
// ends with one, in the vault too.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"

namespace asr {

inline constexpr std::size_t kVhdFooterBytes = 512;

using VhdFooter = std::array<std::byte, kVhdFooterBytes>;

// Footer of a fixed VHD of `size_bytes`. Creator `win ` 10.0 on `Wi2k`: with it every QEMU takes
// the size from the current-size field and not from the geometry. `created_seconds` counts from
// 2000-01-01 UTC. The same arguments give the same bytes.
[[nodiscard]] VhdFooter MakeFixedVhdFooter(std::uint64_t size_bytes, const Bits128& unique_id,
                                           std::uint32_t created_seconds);
// The same of a dynamic VHD, whose header lies behind the copy of the footer: at kVhdFooterBytes.
[[nodiscard]] VhdFooter MakeDynamicVhdFooter(std::uint64_t size_bytes, const Bits128& unique_id,
                                             std::uint32_t created_seconds);

// Seconds since 2000-01-01 UTC.
[[nodiscard]] std::uint32_t VhdSeconds(std::chrono::system_clock::time_point time);

// One's complement of the byte sum, the checksum field (4 bytes at `checksum_offset`) left out.
[[nodiscard]] std::uint32_t VhdChecksum(ByteSpan structure, std::size_t checksum_offset);

// What an ATA controller would show for a disk of this size (the specification's appendix). It
// saturates at 65535/16/255 and is never the disk's size.
struct VhdGeometry {
  std::uint16_t cylinders = 0;
  std::uint8_t heads = 0;
  std::uint8_t sectors_per_track = 0;

  bool operator==(const VhdGeometry&) const = default;
};
[[nodiscard]] VhdGeometry ComputeVhdGeometry(std::uint64_t size_bytes);

}  // namespace asr
