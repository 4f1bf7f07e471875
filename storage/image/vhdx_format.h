// Names for what stands in a VHDX file ([MS-VHDX] 8.0; all numbers are little-endian), shared by
// reader and writer.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "storage/base/bytes.h"
#include "storage/base/guid.h"

namespace asr {

inline constexpr std::string_view kVhdxFileSignature = "vhdxfile";
inline constexpr std::string_view kVhdxHeaderSignature = "head";
inline constexpr std::string_view kVhdxRegionSignature = "regi";
inline constexpr std::string_view kVhdxMetadataSignature = "metadata";

// 2.1: the first MiB has fixed places; everything behind it is aligned to a MiB.
inline constexpr std::uint64_t kVhdxAlignment = kMiB;
inline constexpr std::array<std::uint64_t, 2> kVhdxHeaderOffsets = {64 * kKiB, 128 * kKiB};
inline constexpr std::array<std::uint64_t, 2> kVhdxRegionTableOffsets = {192 * kKiB, 256 * kKiB};
inline constexpr std::size_t kVhdxHeaderBytes = 4 * kKiB;
inline constexpr std::size_t kVhdxRegionTableBytes = 64 * kKiB;
inline constexpr std::size_t kVhdxMetadataTableBytes = 64 * kKiB;
inline constexpr std::uint32_t kVhdxMostTableEntries = 2047;

namespace vhdx_header {  // 2.2.2: offsets in a header
inline constexpr std::size_t kChecksum = 4;
inline constexpr std::size_t kSequenceNumber = 8;
inline constexpr std::size_t kFileWriteGuid = 16;
inline constexpr std::size_t kDataWriteGuid = 32;
inline constexpr std::size_t kLogGuid = 48;
inline constexpr std::size_t kLogVersion = 64;
inline constexpr std::size_t kVersion = 66;
inline constexpr std::size_t kLogLength = 68;
inline constexpr std::size_t kLogOffset = 72;
}  // namespace vhdx_header

namespace vhdx_region {  // 2.2.3: offsets in the region table, then in an entry
inline constexpr std::size_t kChecksum = 4;
inline constexpr std::size_t kEntryCount = 8;
inline constexpr std::size_t kEntries = 16;
inline constexpr std::size_t kEntryBytes = 32;
inline constexpr std::size_t kGuid = 0;
inline constexpr std::size_t kOffset = 16;
inline constexpr std::size_t kLength = 24;
inline constexpr std::size_t kFlags = 28;
inline constexpr std::uint32_t kRequired = 1;
inline constexpr Guid kTable = GuidFromText("2DC27766-F623-4200-9D64-115E9BFD4A08");
inline constexpr Guid kMetadata = GuidFromText("8B7CA206-4790-4B9A-B8FE-575F050F886E");
}  // namespace vhdx_region

namespace vhdx_metadata {  // 2.6: offsets in the metadata table, then in an entry
inline constexpr std::size_t kEntryCount = 10;
inline constexpr std::size_t kEntries = 32;
inline constexpr std::size_t kEntryBytes = 32;
inline constexpr std::size_t kItem = 0;
inline constexpr std::size_t kOffset = 16;
inline constexpr std::size_t kLength = 20;
inline constexpr std::size_t kFlags = 24;
inline constexpr std::uint32_t kIsUser = 1;
inline constexpr std::uint32_t kIsVirtualDisk = 2;
inline constexpr std::uint32_t kIsRequired = 4;
inline constexpr std::uint32_t kMostItemBytes = kMiB;

inline constexpr Guid kFileParameters = GuidFromText("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
inline constexpr Guid kDiskSize = GuidFromText("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
inline constexpr Guid kDiskId = GuidFromText("BECA12AB-B2E6-4523-93EF-C309E000C746");
inline constexpr Guid kLogicalSector = GuidFromText("8141BF1D-A96F-4709-BA47-F233A8FAAB5F");
inline constexpr Guid kPhysicalSector = GuidFromText("CDA348C7-445D-4471-9CC9-E9885251C556");
inline constexpr Guid kParentLocator = GuidFromText("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");
// Not in the specification; there while the program that creates the file is not done.
inline constexpr Guid kIncompleteFile = GuidFromText("71CC85F0-1B69-4E28-9558-C3BF83AE75D3");

// Bits of the file parameters, behind the block size.
inline constexpr std::uint32_t kLeaveBlocksAllocated = 1;
inline constexpr std::uint32_t kHasParent = 2;
}  // namespace vhdx_metadata

// 2.5.1: state and place of a payload block.
enum class VhdxBlockState : std::uint8_t {
  kNotPresent = 0,
  kUndefined = 1,
  kZero = 2,
  kUnmapped = 3,
  kUnmappedOld = 5,  // the same, written before the specification was final
  kFullyPresent = 6,
  kPartiallyPresent = 7,
};
inline constexpr std::uint32_t kVhdxTableEntryBytes = 8;

// 2.6.2
inline constexpr std::uint64_t kVhdxLeastBlockBytes = kMiB;
inline constexpr std::uint64_t kVhdxMostBlockBytes = 256 * kMiB;
inline constexpr std::uint64_t kVhdxMostDiskBytes = 64 * kTiB;
// Twice the largest disk: more than any file can use, and it bounds the map of its MiBs.
inline constexpr std::uint64_t kVhdxMostFileBytes = 2 * kVhdxMostDiskBytes;

// 2.5: how payload blocks and sector bitmaps share the table. A chunk is as much of the disk as one
// bitmap of a MiB can describe; each chunk's payload entries are followed by its bitmap's.
struct VhdxTableShape {
  std::uint64_t block_bytes = 0;
  std::uint64_t block_count = 0;
  std::uint64_t blocks_a_chunk = 0;

  [[nodiscard]] std::uint64_t EntryOf(std::uint64_t block) const {
    return block + block / blocks_a_chunk;
  }
  // Of the bitmap of the chunk that `block` lies in.
  [[nodiscard]] std::uint64_t BitmapEntryOf(std::uint64_t block) const {
    return (block / blocks_a_chunk + 1) * (blocks_a_chunk + 1) - 1;
  }
  // Without a parent, no bitmap follows behind the last chunk's payload.
  [[nodiscard]] std::uint64_t entry_count(bool has_parent) const {
    return (has_parent ? BitmapEntryOf(block_count - 1) : EntryOf(block_count - 1)) + 1;
  }
};

// 2.4: a bitmap is one block of its own.
inline constexpr std::uint64_t kVhdxBitmapBytes = kMiB;

[[nodiscard]] constexpr VhdxTableShape ShapeVhdxTable(std::uint64_t disk_bytes,
                                                      std::uint64_t block_bytes,
                                                      std::uint32_t logical_sector_bytes) {
  constexpr std::uint64_t kBitsABitmap = 8 * kMiB;
  return {.block_bytes = block_bytes,
          .block_count = DivideRoundingUp(disk_bytes, block_bytes),
          .blocks_a_chunk = kBitsABitmap * logical_sector_bytes / block_bytes};
}

}  // namespace asr
