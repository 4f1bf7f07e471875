#include "storage/image/block_image_writer.h"

#include <algorithm>

#include "storage/image/block_pieces.h"

namespace asr {

Status BlockImageWriter::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return ForEachBlockPiece(
      {offset_bytes, bytes.size()}, block_bytes_,
      [&](std::uint64_t block, std::uint64_t in_block, std::uint64_t length) -> Status {
        ASR_TRY(const std::uint64_t place, PlaceFor(block));
        ASR_CHECK(file_->WriteAt(place + in_block, bytes.first(length)));
        bytes = bytes.subspan(length);
        return {};
      });
}

Result<std::vector<Extent>> BlockImageWriter::WrittenExtents(Extent range) {
  std::vector<Extent> extents;
  ASR_CHECK(ForEachBlockPiece(
      range, block_bytes_,
      [&](std::uint64_t block, std::uint64_t in_block, std::uint64_t length) -> Status {
        const std::uint64_t place = PlaceOf(block);
        if (place == 0) return {};
        ASR_TRY(const auto data, file_->DataExtents({place + in_block, length}));
        for (const Extent& extent : data) {
          AppendExtent(extents,
                       {extent.offset_bytes - place + block * block_bytes_, extent.length_bytes});
        }
        return {};
      }));
  return extents;
}

Status BlockImageWriter::Read(std::uint64_t offset_bytes, MutableByteSpan out) {
  return ForEachBlockPiece(
      {offset_bytes, out.size()}, block_bytes_,
      [&](std::uint64_t block, std::uint64_t in_block, std::uint64_t length) -> Status {
        const std::uint64_t place = PlaceOf(block);
        if (place == 0) {
          std::ranges::fill(out.first(length), std::byte{0});
        } else {
          ASR_CHECK(file_->ReadAt(place + in_block, out.first(length)));
        }
        out = out.subspan(length);
        return {};
      });
}

Status BlockImageWriter::Discard(Extent range) {
  return ForEachBlockPiece(
      range, block_bytes_,
      [&](std::uint64_t block, std::uint64_t in_block, std::uint64_t length) -> Status {
        const std::uint64_t place = PlaceOf(block);
        return place == 0 ? Status() : file_->PunchHole({place + in_block, length});
      });
}

}  // namespace asr
