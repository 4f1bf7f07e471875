#include "tests/support/vhd_builder.h"

#include <algorithm>
#include <cstring>

#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

std::uint32_t OnesComplementOfByteSum(ByteSpan bytes) {
  std::uint32_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<std::uint32_t>(byte);
  return ~sum;
}

}  // namespace

std::uint32_t VhdBuilder::block_count() const {
  return static_cast<std::uint32_t>((content_.size_bytes() + block_bytes - 1) / block_bytes);
}

std::vector<std::byte> VhdBuilder::Footer() const {
  std::vector<std::byte> footer(512);
  std::memcpy(&footer[0], "conectix", 8);
  StoreBig<std::uint32_t>(footer, 8, 2);
  StoreBig<std::uint32_t>(footer, 12, 0x00010000);
  StoreBig<std::uint64_t>(footer, 16, type == 2 ? ~std::uint64_t{0} : kHeaderOffset);
  StoreBig<std::uint32_t>(footer, 24, 700'000'000);
  std::memcpy(&footer[28], "tst ", 4);
  StoreBig<std::uint32_t>(footer, 32, 0x00010000);
  std::memcpy(&footer[36], "Wi2k", 4);
  // The original size and the geometry are lies: neither is the disk's size.
  StoreBig<std::uint64_t>(footer, 40, 512);
  StoreBig<std::uint64_t>(footer, 48, content_.size_bytes());
  StoreBig<std::uint32_t>(footer, 56, 0x00010101);
  StoreBig<std::uint32_t>(footer, 60, type);
  std::memset(&footer[68], 0x5A, 16);
  if (edit_footer) edit_footer(footer);
  StoreBig<std::uint32_t>(footer, 64, 0);
  StoreBig<std::uint32_t>(footer, 64, OnesComplementOfByteSum(footer));
  return footer;
}

std::vector<std::byte> VhdBuilder::DynamicHeader() const {
  std::vector<std::byte> header(1024);
  std::memcpy(&header[0], "cxsparse", 8);
  StoreBig<std::uint64_t>(header, 8, ~std::uint64_t{0});
  StoreBig<std::uint64_t>(header, 16, kTableOffset);
  StoreBig<std::uint32_t>(header, 24, 0x00010000);
  StoreBig<std::uint32_t>(header, 28, block_count());
  StoreBig<std::uint32_t>(header, 32, block_bytes);
  if (edit_header) edit_header(header);
  StoreBig<std::uint32_t>(header, 36, 0);
  StoreBig<std::uint32_t>(header, 36, OnesComplementOfByteSum(header));
  return header;
}

void VhdBuilder::Write(const std::string& path) const {
  if (type != 2) return WriteDynamic(path);
  const ImageFileMaker file(path);
  for (const auto& [offset, piece] : content_.pieces()) file.Put(offset, piece);
  const std::vector<std::byte> footer = Footer();
  file.Put(content_.size_bytes(), ByteSpan(footer).first(footer_has_511_bytes ? 511 : 512));
}

void VhdBuilder::WriteDynamic(const std::string& path) const {
  const ImageFileMaker file(path);
  const std::vector<std::byte> footer = Footer();
  file.Put(0, footer);
  file.Put(kHeaderOffset, DynamicHeader());

  const std::uint64_t table_bytes = AlignUp<std::uint64_t>(std::uint64_t{block_count()} * 4, 512);
  std::vector<std::byte> table(table_bytes, std::byte{0xFF});
  const std::uint64_t bitmap_bytes = AlignUp<std::uint64_t>(block_bytes / 512 / 8, 512);
  std::uint64_t end = kTableOffset + table_bytes;
  for (std::uint32_t block = block_count(); block-- > 0;) {
    const Extent range{std::uint64_t{block} * block_bytes, block_bytes};
    if (content_.IsZero(range)) continue;
    const std::uint64_t data = AlignUp(end + bitmap_bytes, data_alignment_bytes);
    StoreBig<std::uint32_t>(table, block * 4,
                            static_cast<std::uint32_t>((data - bitmap_bytes) / 512));
    file.Put(data - bitmap_bytes, std::vector<std::byte>(bitmap_bytes, std::byte{0xFF}));
    for (const auto& [offset, piece] : content_.pieces()) {
      const std::uint64_t from = std::max(offset, range.offset_bytes);
      const std::uint64_t to = std::min(offset + piece.size(), range.end_bytes());
      if (from >= to) continue;
      file.Put(data + (from - range.offset_bytes),
               ByteSpan(piece).subspan(from - offset, to - from));
    }
    end = data + block_bytes;
  }
  for (const auto& [block, sector] : table_edits) {
    StoreBig<std::uint32_t>(table, block * 4, sector);
  }
  file.Put(kTableOffset, table);
  file.Resize(end);
  if (footer_is_missing) return;
  file.Put(end, ByteSpan(footer).first(footer_has_511_bytes ? 511 : 512));
}

}  // namespace asr::testing
