// Ranges of a disk whose blocks lie here and there in its image file.
#pragma once

#include <algorithm>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

// Calls `work` with the block, the offset in it and the length of each part of `range`, ascending,
// until one fails.
template <class Work>
Status ForEachBlockPiece(Extent range, std::uint64_t block_bytes, const Work& work) {
  std::uint64_t offset = range.offset_bytes;
  while (offset < range.end_bytes()) {
    const std::uint64_t in_block = offset % block_bytes;
    const std::uint64_t length = std::min(range.end_bytes() - offset, block_bytes - in_block);
    ASR_CHECK(work(offset / block_bytes, in_block, length));
    offset += length;
  }
  return {};
}

}  // namespace asr
