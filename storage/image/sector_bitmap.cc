#include "storage/image/sector_bitmap.h"

#include <algorithm>

namespace asr {
namespace {

bool IsSet(std::byte byte, std::uint64_t bit, BitOrder order) {
  const auto in_byte = static_cast<unsigned>(bit % 8);
  const unsigned shift = order == BitOrder::kMostSignificantFirst ? 7 - in_byte : in_byte;
  return (std::to_integer<unsigned>(byte) >> shift & 1) != 0;
}

}  // namespace

Result<MappedRun> SectorBitmaps::Locate(std::uint64_t bitmap_offset_bytes, std::uint64_t first_bit,
                                        std::uint64_t data_offset_bytes,
                                        std::uint64_t in_block_bytes,
                                        std::uint64_t most_bytes) const {
  const std::uint64_t first = first_bit + in_block_bytes / shape_.sector_bytes;
  const std::uint64_t end =
      first_bit + DivideRoundingUp<std::uint64_t>(in_block_bytes + most_bytes, shape_.sector_bytes);
  BlockTableCursor cursor(bytes_);
  ASR_TRY(ByteSpan bytes, cursor.EntriesFrom(bitmap_offset_bytes + first / 8));
  std::uint64_t first_byte = first / 8;  // of `bytes`, counted from the bitmap's begin
  const bool is_set = IsSet(bytes[0], first, shape_.order);
  const std::byte all_same = is_set ? std::byte{0xFF} : std::byte{0};
  std::uint64_t bit = first + 1;
  while (bit < end) {
    if (bit / 8 - first_byte >= bytes.size()) {
      first_byte = bit / 8;
      ASR_TRY(bytes, cursor.EntriesFrom(bitmap_offset_bytes + first_byte));
    }
    const std::byte byte = bytes[bit / 8 - first_byte];
    if (bit % 8 == 0 && byte == all_same) {
      bit += 8;
    } else if (IsSet(byte, bit, shape_.order) == is_set) {
      ++bit;
    } else {
      break;
    }
  }
  const std::uint64_t run_end_bytes = (std::min(bit, end) - first_bit) * shape_.sector_bytes;
  return MappedRun{.length_bytes = std::min(run_end_bytes - in_block_bytes, most_bytes),
                   .source = is_set ? MappedRun::Source::kFile : MappedRun::Source::kParent,
                   .file_offset_bytes = data_offset_bytes + in_block_bytes};
}

}  // namespace asr
