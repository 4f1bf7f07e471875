// Names for the fields of a VHD (Virtual Hard Disk Image Format Specification 1.0; all numbers are
// big-endian), and the checked reading of its two structures.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/base/result.h"

namespace asr {

inline constexpr std::uint64_t kVhdSectorBytes = 512;
inline constexpr std::uint32_t kVhdVersion = 0x00010000;
inline constexpr std::uint64_t kVhdNoOffset = ~std::uint64_t{0};
inline constexpr std::string_view kVhdFooterCookie = "conectix";
inline constexpr std::size_t kVhdDynamicHeaderBytes = 1024;

// What Hyper-V and QEMU hold to: sectors are numbered with 32 bits.
inline constexpr std::uint64_t kVhdMostDynamicBytes = 2040 * kGiB;

enum class VhdType : std::uint32_t { kFixed = 2, kDynamic = 3, kDifferencing = 4 };

namespace vhd_footer {  // offsets in the footer
inline constexpr std::size_t kCookie = 0;
inline constexpr std::size_t kFeatures = 8;
inline constexpr std::size_t kVersion = 12;
inline constexpr std::size_t kDataOffset = 16;
inline constexpr std::size_t kTimestamp = 24;
inline constexpr std::size_t kCreatorApplication = 28;
inline constexpr std::size_t kCreatorVersion = 32;
inline constexpr std::size_t kCreatorHost = 36;
inline constexpr std::size_t kOriginalSize = 40;
inline constexpr std::size_t kCurrentSize = 48;
inline constexpr std::size_t kGeometry = 56;
inline constexpr std::size_t kType = 60;
inline constexpr std::size_t kChecksum = 64;
inline constexpr std::size_t kUniqueId = 68;
}  // namespace vhd_footer

struct VhdFooterFields {
  VhdType type = VhdType::kFixed;
  std::uint64_t dynamic_header_offset_bytes = 0;  // types 3 and 4
  std::uint64_t size_bytes = 0;                   // current size: what the guest sees
  Bits128 unique_id{};
};

// `bytes` is a whole footer. True if it carries the signature and the right checksum.
[[nodiscard]] bool IsVhdFooter(ByteSpan bytes);

// kCorrupt says which field is wrong. The size is a multiple of 512 and not 0.
[[nodiscard]] Result<VhdFooterFields> ParseVhdFooter(ByteSpan bytes);

struct VhdDynamicHeader {
  std::uint64_t table_offset_bytes = 0;  // a multiple of 512
  std::uint32_t table_entry_count = 0;
  std::uint32_t block_bytes = 0;  // a power of two, 256 KiB to 256 MiB

  // Before the data of each block lies a bitmap of its sectors, padded to whole sectors.
  [[nodiscard]] std::uint64_t bitmap_bytes() const {
    return AlignUp(std::uint64_t{block_bytes} / kVhdSectorBytes / 8, kVhdSectorBytes);
  }
};

// `bytes` are kVhdDynamicHeaderBytes long. kCorrupt says which field is wrong.
[[nodiscard]] Result<VhdDynamicHeader> ParseVhdDynamicHeader(ByteSpan bytes);

// Of a disk without a parent.
[[nodiscard]] std::array<std::byte, kVhdDynamicHeaderBytes> MakeVhdDynamicHeader(
    const VhdDynamicHeader& header);

}  // namespace asr
