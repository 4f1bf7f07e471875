// The bitmaps of differencing images: which sectors of a block are in this file, and which in the
// parent.
#pragma once

#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/block_table.h"
#include "storage/image/mapped_disk.h"

namespace asr {

// Which bit of a byte belongs to the first of its eight sectors.
enum class BitOrder : std::uint8_t {
  kMostSignificantFirst,   // VHD: the specification is silent, Windows writes them so
  kLeastSignificantFirst,  // VHDX ([MS-VHDX] 2.4)
};

struct BitmapShape {
  BitOrder order = BitOrder::kLeastSignificantFirst;
  std::uint32_t sector_bytes = 512;  // of the disk, for each bit
  std::uint64_t page_bytes = 0;      // of the file, read and kept at a time
};

// Thread-safe.
class SectorBitmaps {
 public:
  // `file` has `file_bytes` and outlives this.
  SectorBitmaps(File& file, std::uint64_t file_bytes, BitmapShape shape)
      : shape_(shape), bytes_(file, {0, file_bytes, 1, shape.page_bytes}) {}

  // Where the run lies that begins `in_block_bytes` inside a block. The block's bitmap begins at
  // `first_bit` of the bytes at `bitmap_offset_bytes`, its data at `data_offset_bytes`; all of both
  // is inside the file. At most `most_bytes` (of the block) are looked at.
  [[nodiscard]] Result<MappedRun> Locate(std::uint64_t bitmap_offset_bytes, std::uint64_t first_bit,
                                         std::uint64_t data_offset_bytes,
                                         std::uint64_t in_block_bytes,
                                         std::uint64_t most_bytes) const;

 private:
  BitmapShape shape_;
  BlockTable bytes_;  // of the whole file
};

}  // namespace asr
