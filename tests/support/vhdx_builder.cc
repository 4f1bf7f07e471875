#include "tests/support/vhdx_builder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
Bytes Little(T value) {
  Bytes bytes(sizeof(T));
  StoreLittle(MutableByteSpan(bytes), 0, value);
  return bytes;
}

Bytes Utf16Little(const std::u16string& text) {
  Bytes bytes(text.size() * 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    StoreLittle<std::uint16_t>(bytes, i * 2, static_cast<std::uint16_t>(text[i]));
  }
  return bytes;
}

void SetBits(Bytes& bitmap, std::uint64_t first, std::uint64_t count, bool value) {
  for (std::uint64_t bit = first; bit < first + count; ++bit) {
    const std::byte mask = std::byte{1} << (bit % 8);  // the least significant bit comes first
    bitmap[bit / 8] = value ? bitmap[bit / 8] | mask : bitmap[bit / 8] & ~mask;
  }
}

}  // namespace

std::uint32_t CastagnoliCrc(ByteSpan bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    // The polynomial 0x1EDC6F41, reflected.
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78 & (0 - (crc & 1)));
  }
  return ~crc;
}

void SealVhdxStructure(MutableByteSpan structure) {
  StoreLittle<std::uint32_t>(structure, 4, 0);
  StoreLittle<std::uint32_t>(structure, 4, CastagnoliCrc(structure));
}

VhdxBuilder::VhdxBuilder(const DiskContent& content, std::uint32_t block,
                         std::uint32_t logical_sector, bool is_fixed)
    : block_bytes(block), logical_sector_bytes(logical_sector), fixed(is_fixed), content_(content) {
  Bytes parameters = Little<std::uint32_t>(block_bytes);
  const Bytes flags = Little<std::uint32_t>(fixed ? 1 : 0);
  parameters.insert(parameters.end(), flags.begin(), flags.end());
  items = {{kPhysicalSector, 6, Little<std::uint32_t>(4096)},
           {kDiskSize, 6, Little<std::uint64_t>(content.size_bytes())},
           {kFileParameters, 4, parameters},
           {kLogicalSector, 6, Little<std::uint32_t>(logical_sector_bytes)},
           {kDiskId, 6, Bytes(16, std::byte{0x42})}};
  regions = {{kMetadataRegion, kMetadataOffset, 1024 * 1024},
             {kTableRegion, kTableOffset, static_cast<std::uint32_t>(table_bytes())}};
}

std::uint64_t VhdxBuilder::BlockCount() const {
  return (content_.size_bytes() + block_bytes - 1) / block_bytes;
}

std::uint64_t VhdxBuilder::EntryIndex(std::uint64_t block) const {
  return block + block / ChunkRatio();
}

std::uint64_t VhdxBuilder::BitmapIndex(std::uint64_t chunk) const {
  return chunk * (ChunkRatio() + 1) + ChunkRatio();
}

std::uint64_t VhdxBuilder::ChunkRatio() const {
  return (std::uint64_t{1} << 23) * logical_sector_bytes / block_bytes;
}

std::uint64_t VhdxBuilder::table_bytes() const {
  const std::uint64_t last_block = BlockCount() - 1;
  // Every chunk of a child has its bitmap's entry, the last one too.
  const std::uint64_t last =
      is_child_ ? BitmapIndex(last_block / ChunkRatio()) : EntryIndex(last_block);
  return AlignUp<std::uint64_t>((last + 1) * 8, kMiB);
}

std::uint64_t VhdxBuilder::blocks_offset() const {
  return kTableOffset + table_bytes() + log_bytes;  // the log lies between
}

VhdxBuilder::Item& VhdxBuilder::ItemOf(const GuidBytes& guid) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.guid == guid; });
  if (found == items.end()) std::abort();
  return *found;
}

VhdxBuilder::GuidBytes VhdxBuilder::GuidOf(std::uint8_t byte) {
  GuidBytes guid{};
  guid.fill(byte);
  return guid;
}

std::u16string VhdxBuilder::GuidText(const GuidBytes& guid) {
  // The first three fields are little-endian numbers, the rest are bytes.
  constexpr std::array<int, 20> kOrder = {3,  2, 1, 0,  -1, 5,  4,  -1, 7,  6,
                                          -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
  constexpr std::u16string_view kDigits = u"0123456789ABCDEF";
  std::u16string text = u"{";
  for (const int index : kOrder) {
    if (index < 0) {
      text += u'-';
      continue;
    }
    const unsigned byte = guid[static_cast<std::size_t>(index)];
    text += kDigits[byte / 16];
    text += kDigits[byte % 16];
  }
  return text + u"}";
}

std::vector<std::byte> VhdxBuilder::Locator(const LocatorEntries& entries) {
  Bytes locator(20 + entries.size() * 12);
  std::memcpy(&locator[0], kLocatorType.data(), kLocatorType.size());
  StoreLittle<std::uint16_t>(locator, 18, static_cast<std::uint16_t>(entries.size()));
  const auto append = [&](std::size_t entry, std::size_t field, const std::u16string& text) {
    const Bytes bytes = Utf16Little(text);
    StoreLittle<std::uint32_t>(locator, entry + field * 4,
                               static_cast<std::uint32_t>(locator.size()));
    StoreLittle<std::uint16_t>(locator, entry + 8 + field * 2,
                               static_cast<std::uint16_t>(bytes.size()));
    locator.insert(locator.end(), bytes.begin(), bytes.end());
  };
  std::size_t entry = 20;
  for (const auto& [key, value] : entries) {
    append(entry, 0, key);
    append(entry, 1, value);
    entry += 12;
  }
  return locator;
}

void VhdxBuilder::MakeChild(const LocatorEntries& entries) {
  is_child_ = true;
  StoreLittle<std::uint32_t>(ItemOf(kFileParameters).value, 4, 2);
  items.push_back({kParentLocator, 4, Locator(entries)});
  regions[1].length_bytes = static_cast<std::uint32_t>(table_bytes());
}

void VhdxBuilder::MakeChildOf(const GuidBytes& parent_id, const std::u16string& name) {
  MakeChild({{u"parent_linkage", GuidText(parent_id)},
             {u"relative_path", u".\\" + name},
             {u"volume_path", u"\\\\?\\Volume{4c5b2a70-0000-0000-0000-100000000000}\\vm\\" + name},
             {u"absolute_win32_path", u"D:\\vm\\" + name}});
}

std::vector<std::byte> VhdxBuilder::Header(std::size_t index) const {
  Bytes header(4096);
  std::memcpy(&header[0], "head", 4);
  StoreLittle<std::uint64_t>(header, 8, sequence_numbers[index]);
  std::memset(&header[16], 0x11, 16);
  std::memcpy(&header[32], data_write_guid.data(), data_write_guid.size());
  StoreLittle<std::uint16_t>(header, 66, 1);
  StoreLittle<std::uint32_t>(header, 68, log_bytes);
  StoreLittle<std::uint64_t>(header, 72, kTableOffset + table_bytes());
  if (edit_header) edit_header(index, header);
  SealVhdxStructure(header);
  return header;
}

std::vector<std::byte> VhdxBuilder::RegionTable() const {
  Bytes table(64 * 1024);
  std::memcpy(&table[0], "regi", 4);
  StoreLittle<std::uint32_t>(table, 8, static_cast<std::uint32_t>(regions.size()));
  std::size_t entry = 16;
  for (const Region& region : regions) {
    std::memcpy(&table[entry], region.guid.data(), 16);
    StoreLittle<std::uint64_t>(table, entry + 16, region.offset_bytes);
    StoreLittle<std::uint32_t>(table, entry + 24, region.length_bytes);
    StoreLittle<std::uint32_t>(table, entry + 28, region.required ? 1 : 0);
    entry += 32;
  }
  if (edit_region_table) edit_region_table(table);
  SealVhdxStructure(table);
  return table;
}

std::vector<std::byte> VhdxBuilder::Metadata() const {
  Bytes metadata(64 * 1024);
  std::memcpy(&metadata[0], "metadata", 8);
  StoreLittle<std::uint16_t>(metadata, 10, static_cast<std::uint16_t>(items.size()));
  std::size_t entry = 32;
  for (const Item& item : items) {
    std::memcpy(&metadata[entry], item.guid.data(), 16);
    StoreLittle<std::uint32_t>(
        metadata, entry + 16, item.value.empty() ? 0 : static_cast<std::uint32_t>(metadata.size()));
    StoreLittle<std::uint32_t>(metadata, entry + 20, static_cast<std::uint32_t>(item.value.size()));
    StoreLittle<std::uint32_t>(metadata, entry + 24, item.flags);
    metadata.insert(metadata.end(), item.value.begin(), item.value.end());
    entry += 32;
  }
  return metadata;
}

Extent VhdxBuilder::RangeOf(std::uint64_t block) const {
  const std::uint64_t begin = block * block_bytes;
  return {begin, std::min<std::uint64_t>(block_bytes, content_.size_bytes() - begin)};
}

std::vector<Extent> VhdxBuilder::SectorsHere(std::uint64_t block) const {
  const Extent range = RangeOf(block);
  std::vector<Extent> here;
  const auto add = [&](Extent extent) {
    if (extent.offset_bytes % logical_sector_bytes != 0 ||
        extent.length_bytes % logical_sector_bytes != 0) {
      std::abort();
    }
    const std::uint64_t from = std::max(extent.offset_bytes, range.offset_bytes);
    const std::uint64_t to = std::min(extent.end_bytes(), range.end_bytes());
    if (from < to) here.push_back({from, to - from});
  };
  for (const auto& [offset, piece] : content_.pieces()) add({offset, piece.size()});
  for (const Extent& zeros : zeros_here) add(zeros);
  return here;
}

std::uint64_t VhdxBuilder::StateOf(std::uint64_t block) const {
  if (const auto forced = block_states.find(block); forced != block_states.end()) {
    return forced->second;
  }
  if (!is_child_) {
    return fixed || !content_.IsZero(RangeOf(block)) ? 6 : state_of_absent_blocks;
  }
  std::uint64_t here_bytes = 0;
  for (const Extent& extent : SectorsHere(block)) here_bytes += extent.length_bytes;
  if (here_bytes == 0) return state_of_absent_blocks;
  return here_bytes == RangeOf(block).length_bytes ? 6 : 7;
}

std::map<std::uint64_t, std::vector<std::byte>> VhdxBuilder::Bitmaps() const {
  std::map<std::uint64_t, Bytes> bitmaps;
  const std::uint64_t block_sectors = block_bytes / logical_sector_bytes;
  for (std::uint64_t block = 0; block < BlockCount(); ++block) {
    if (StateOf(block) == 7)
      bitmaps.try_emplace(block / ChunkRatio(), kMiB,
                          other_bits_lie ? std::byte{0xFF} : std::byte{0});
  }
  for (std::uint64_t block = 0; block < BlockCount(); ++block) {
    const auto bitmap = bitmaps.find(block / ChunkRatio());
    const std::uint64_t state = StateOf(block);
    if (bitmap == bitmaps.end() || (state != 6 && state != 7)) continue;
    const std::uint64_t first = block % ChunkRatio() * block_sectors;
    SetBits(bitmap->second, first, block_sectors, false);
    if (state == 6) continue;
    for (const Extent& extent : SectorsHere(block)) {
      SetBits(bitmap->second,
              first + (extent.offset_bytes - block * block_bytes) / logical_sector_bytes,
              extent.length_bytes / logical_sector_bytes, true);
    }
  }
  return bitmaps;
}

std::uint64_t VhdxBuilder::WriteBitmaps(const std::string& path, std::uint64_t end) const {
  for (const auto& [chunk, bitmap] : Bitmaps()) {
    OverwriteFile(path, end, bitmap);
    OverwriteFile(path, kTableOffset + BitmapIndex(chunk) * 8, Little<std::uint64_t>(end | 6));
    end += kMiB;
  }
  return end;
}

void VhdxBuilder::WriteBlock(const std::string& path, std::uint64_t block,
                             std::uint64_t place) const {
  const Extent range = RangeOf(block);
  if (StateOf(block) == 7) {
    // What belongs to the parent is rubbish here, so that reading it shows.
    OverwriteFile(path, place, Bytes(block_bytes, std::byte{0xEE}));
    for (const Extent& here : SectorsHere(block)) {
      OverwriteFile(path, place + (here.offset_bytes - range.offset_bytes),
                    Bytes(here.length_bytes));
    }
  }
  for (const auto& [offset, piece] : content_.pieces()) {
    const std::uint64_t from = std::max(offset, range.offset_bytes);
    const std::uint64_t to = std::min(offset + piece.size(), range.end_bytes());
    if (from >= to) continue;
    OverwriteFile(path, place + (from - range.offset_bytes),
                  ByteSpan(piece).subspan(from - offset, to - from));
  }
}

std::uint64_t VhdxBuilder::WriteBlocks(const std::string& path) const {
  std::uint64_t end = blocks_offset();
  const bool has_bitmaps = is_child_;
  if (has_bitmaps && bitmaps_come_first) end = WriteBitmaps(path, end);
  for (std::uint64_t block = BlockCount(); block-- > 0;) {
    const std::uint64_t state = StateOf(block);
    std::uint64_t entry = state;
    if (state == 6 || state == 7) {
      WriteBlock(path, block, end);
      entry = end | state;
      end += block_bytes;
    }
    if (entry == 0) continue;
    OverwriteFile(path, kTableOffset + EntryIndex(block) * 8, Little(entry));
  }
  return has_bitmaps && !bitmaps_come_first ? WriteBitmaps(path, end) : end;
}

void VhdxBuilder::Write(const std::string& path) const {
  const ImageFileMaker file(path);
  file.Put(0, AsBytes("vhdxfile"));
  file.Put(kHeader1, Header(0));
  file.Put(kHeader2, Header(1));
  file.Put(kRegionTable1, RegionTable());
  file.Put(kRegionTable2, RegionTable());
  file.Put(kMetadataOffset, Metadata());
  const std::uint64_t end = WriteBlocks(path);
  for (const auto& [index, entry] : table_edits) file.Put(kTableOffset + index * 8, Little(entry));
  if (!last_block_is_cut) return file.Resize(end);
  // The disk's last block comes first in the file; it is cut only where it is also the file's last.
  const std::uint64_t in_last_block = content_.size_bytes() % block_bytes;
  file.Resize(end - block_bytes + in_last_block);
}

}  // namespace asr::testing
