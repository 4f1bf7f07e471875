#include "tests/support/vhd_builder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

std::uint32_t OnesComplementOfByteSum(ByteSpan bytes) {
  std::uint32_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<std::uint32_t>(byte);
  return ~sum;
}

constexpr std::uint64_t kLocatorPage = 4096;  // the unit in which Windows places locators

}  // namespace

VhdBuilder::UniqueId VhdBuilder::IdOf(std::uint8_t byte) {
  UniqueId id{};
  id.fill(byte);
  return id;
}

void VhdBuilder::MakeChild(Parent parent) {
  type = 4;
  parent_ = std::move(parent);
}

void VhdBuilder::MakeChildOf(const UniqueId& parent_id, const std::u16string& name) {
  data_alignment_bytes = 4096;
  MakeChild({.unique_id = parent_id,
             .name = u"D:\\vm\\" + name,
             .locators = {{kAbsolute, u"D:\\vm\\" + name}, {kRelative, u".\\" + name}}});
}

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
  std::memcpy(&footer[68], unique_id.data(), unique_id.size());
  if (edit_footer) edit_footer(footer);
  StoreBig<std::uint32_t>(footer, 64, 0);
  StoreBig<std::uint32_t>(footer, 64, OnesComplementOfByteSum(footer));
  return footer;
}

std::vector<std::byte> VhdBuilder::DynamicHeader() const {
  std::vector<std::byte> header(1024);
  std::memcpy(&header[0], "cxsparse", 8);
  StoreBig<std::uint64_t>(header, 8, ~std::uint64_t{0});
  StoreBig<std::uint64_t>(header, 16, table_offset());
  StoreBig<std::uint32_t>(header, 24, 0x00010000);
  StoreBig<std::uint32_t>(header, 28, block_count());
  StoreBig<std::uint32_t>(header, 32, block_bytes);
  if (type == 4) {
    std::memcpy(&header[40], parent_.unique_id.data(), parent_.unique_id.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(parent_.name.size(), 255); ++i) {
      StoreBig<std::uint16_t>(header, 64 + i * 2, static_cast<std::uint16_t>(parent_.name[i]));
    }
    // The parent's time (offset 56) stays 0, as Windows leaves it.
    const std::vector<PlacedLocator> placed = PlaceLocators();
    for (std::size_t i = 0; i < placed.size(); ++i) {
      const std::size_t entry = 576 + i * 24;
      StoreBig<std::uint32_t>(header, entry, parent_.locators[i].platform);
      StoreBig<std::uint32_t>(header, entry + 4, placed[i].space);
      StoreBig<std::uint32_t>(header, entry + 8, static_cast<std::uint32_t>(placed[i].data.size()));
      StoreBig<std::uint64_t>(header, entry + 16, placed[i].offset_bytes);
    }
  }
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

std::uint64_t VhdBuilder::table_bytes() const {
  return AlignUp<std::uint64_t>(std::uint64_t{block_count()} * 4, 512);
}

// Windows puts the absolute path before the table and the relative one behind it.
std::uint64_t VhdBuilder::table_offset() const {
  if (type != 4) return kTableOffset;
  if (locators_of_windows) return 2 * kLocatorPage;
  std::uint64_t end = kTableOffset;
  for (const PlacedLocator& locator : PlaceLocators()) {
    end = locator.offset_bytes + std::uint64_t{locator.space} * 512;
  }
  return end;
}

std::vector<VhdBuilder::PlacedLocator> VhdBuilder::PlaceLocators() const {
  std::vector<PlacedLocator> placed;
  std::uint64_t end = kTableOffset;
  for (const Locator& locator : parent_.locators) {
    PlacedLocator next;
    std::u16string path = locator.path;
    if (locators_end_with_nul) path += u'\0';
    next.data.resize(path.size() * 2);
    for (std::size_t i = 0; i < path.size(); ++i) {
      StoreLittle<std::uint16_t>(next.data, i * 2, static_cast<std::uint16_t>(path[i]));
    }
    if (locators_of_windows) {
      const std::uint64_t behind_table = AlignUp(2 * kLocatorPage + table_bytes(), kLocatorPage);
      next.offset_bytes =
          placed.empty() ? kLocatorPage : behind_table + (placed.size() - 1) * kLocatorPage;
      next.space = placed.empty() ? 4096 : 65536;
    } else {
      next.offset_bytes = end;
      next.space = static_cast<std::uint32_t>((next.data.size() + 511) / 512);
      end += std::uint64_t{next.space} * 512;
    }
    placed.push_back(std::move(next));
  }
  return placed;
}

std::uint64_t VhdBuilder::FirstBlockOffset() const {
  std::uint64_t end = table_offset() + table_bytes();
  if (type != 4) return end;
  for (const PlacedLocator& locator : PlaceLocators()) {
    const std::uint64_t space = locators_of_windows ? locator.space : locator.space * 512;
    end = std::max(end, locator.offset_bytes + space);
  }
  return end;
}

Extent VhdBuilder::RangeOf(std::uint32_t block) const {
  const std::uint64_t begin = std::uint64_t{block} * block_bytes;
  return {begin, std::min<std::uint64_t>(block_bytes, content_.size_bytes() - begin)};
}

std::vector<Extent> VhdBuilder::SectorsHere(std::uint32_t block) const {
  const Extent range = RangeOf(block);
  std::vector<Extent> here;
  const auto add = [&](Extent extent) {
    if (extent.offset_bytes % 512 != 0 || extent.length_bytes % 512 != 0) std::abort();
    const std::uint64_t from = std::max(extent.offset_bytes, range.offset_bytes);
    const std::uint64_t to = std::min(extent.end_bytes(), range.end_bytes());
    if (from < to) here.push_back({from, to - from});
  };
  for (const auto& [offset, piece] : content_.pieces()) add({offset, piece.size()});
  for (const Extent& zeros : zeros_here) add(zeros);
  return here;
}

bool VhdBuilder::IsHere(std::uint32_t block) const {
  if (type != 4) return !content_.IsZero(RangeOf(block));
  return empty_blocks.contains(block) || !SectorsHere(block).empty();
}

void VhdBuilder::WriteBlock(const std::string& path, std::uint32_t block,
                            std::uint64_t data) const {
  const Extent range = RangeOf(block);
  const std::uint64_t bitmap_bytes = AlignUp<std::uint64_t>(block_bytes / 512 / 8, 512);
  std::vector<std::byte> bitmap(bitmap_bytes, type == 4 ? std::byte{0} : std::byte{0xFF});
  if (type == 4) {
    std::uint64_t here_bytes = 0;
    for (const Extent& here : SectorsHere(block)) {
      here_bytes += here.length_bytes;
      for (std::uint64_t at = here.offset_bytes; at < here.end_bytes(); at += 512) {
        const std::uint64_t sector = (at - range.offset_bytes) / 512;
        bitmap[sector / 8] |= std::byte{0x80} >> (sector % 8);  // most significant bit first
      }
    }
    // What belongs to the parent is rubbish here, so that reading it shows.
    if (here_bytes != range.length_bytes) {
      OverwriteFile(path, data, std::vector<std::byte>(block_bytes, std::byte{0xEE}));
      for (const Extent& here : SectorsHere(block)) {
        OverwriteFile(path, data + (here.offset_bytes - range.offset_bytes),
                      std::vector<std::byte>(here.length_bytes));
      }
    }
  }
  OverwriteFile(path, data - bitmap_bytes, bitmap);
  for (const auto& [offset, piece] : content_.pieces()) {
    const std::uint64_t from = std::max(offset, range.offset_bytes);
    const std::uint64_t to = std::min(offset + piece.size(), range.end_bytes());
    if (from >= to) continue;
    OverwriteFile(path, data + (from - range.offset_bytes),
                  ByteSpan(piece).subspan(from - offset, to - from));
  }
}

void VhdBuilder::WriteDynamic(const std::string& path) const {
  const ImageFileMaker file(path);
  const std::vector<std::byte> footer = Footer();
  file.Put(0, footer);
  file.Put(kHeaderOffset, DynamicHeader());
  if (type == 4) {
    for (const PlacedLocator& locator : PlaceLocators()) {
      file.Put(locator.offset_bytes, locator.data);
    }
  }

  std::vector<std::byte> table(table_bytes(), std::byte{0xFF});
  const std::uint64_t bitmap_bytes = AlignUp<std::uint64_t>(block_bytes / 512 / 8, 512);
  std::uint64_t end = FirstBlockOffset();
  for (std::uint32_t block = block_count(); block-- > 0;) {
    if (!IsHere(block)) continue;
    const std::uint64_t data = AlignUp(end + bitmap_bytes, data_alignment_bytes);
    StoreBig<std::uint32_t>(table, block * 4,
                            static_cast<std::uint32_t>((data - bitmap_bytes) / 512));
    WriteBlock(path, block, data);
    end = data + block_bytes;
  }
  for (const auto& [block, sector] : table_edits) {
    StoreBig<std::uint32_t>(table, block * 4, sector);
  }
  file.Put(table_offset(), table);
  file.Resize(end);
  if (footer_is_missing) return;
  file.Put(end, ByteSpan(footer).first(footer_has_511_bytes ? 511 : 512));
}

}  // namespace asr::testing
