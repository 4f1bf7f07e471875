#include "tests/support/vhdx_builder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

using Bytes = std::vector<std::byte>;

// Bit by bit, as the definition says: reflected polynomial 0x1EDC6F41.
std::uint32_t CastagnoliCrc(ByteSpan bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82F63B78 & (0 - (crc & 1)));
  }
  return ~crc;
}

template <class T>
Bytes Little(T value) {
  Bytes bytes(sizeof(T));
  StoreLittle(MutableByteSpan(bytes), 0, value);
  return bytes;
}

void Seal(MutableByteSpan structure) {
  StoreLittle<std::uint32_t>(structure, 4, 0);
  StoreLittle<std::uint32_t>(structure, 4, CastagnoliCrc(structure));
}

}  // namespace

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
  const std::uint64_t chunk_ratio = (std::uint64_t{1} << 23) * logical_sector_bytes / block_bytes;
  return block + block / chunk_ratio;
}

std::uint64_t VhdxBuilder::table_bytes() const {
  return AlignUp<std::uint64_t>((EntryIndex(BlockCount() - 1) + 1) * 8, kMiB);
}

std::uint64_t VhdxBuilder::blocks_offset() const {
  return kTableOffset + table_bytes() + kMiB;  // the log lies between
}

VhdxBuilder::Item& VhdxBuilder::ItemOf(const GuidBytes& guid) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.guid == guid; });
  if (found == items.end()) std::abort();
  return *found;
}

std::vector<std::byte> VhdxBuilder::Header(std::size_t index) const {
  Bytes header(4096);
  std::memcpy(&header[0], "head", 4);
  StoreLittle<std::uint64_t>(header, 8, sequence_numbers[index]);
  std::memset(&header[16], 0x11, 32);
  StoreLittle<std::uint16_t>(header, 66, 1);
  StoreLittle<std::uint32_t>(header, 68, kMiB);
  StoreLittle<std::uint64_t>(header, 72, kTableOffset + table_bytes());
  if (edit_header) edit_header(index, header);
  Seal(header);
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
  Seal(table);
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

std::uint64_t VhdxBuilder::WriteBlocks(const std::string& path) const {
  std::uint64_t end = blocks_offset();
  for (std::uint64_t block = BlockCount(); block-- > 0;) {
    const Extent range{block * block_bytes, block_bytes};
    std::uint64_t entry = state_of_absent_blocks;
    if (fixed || !content_.IsZero(range)) {
      entry = end | 6;
      for (const auto& [offset, piece] : content_.pieces()) {
        const std::uint64_t from = std::max(offset, range.offset_bytes);
        const std::uint64_t to = std::min(offset + piece.size(), range.end_bytes());
        if (from >= to) continue;
        OverwriteFile(path, end + (from - range.offset_bytes),
                      ByteSpan(piece).subspan(from - offset, to - from));
      }
      end += block_bytes;
    }
    if (entry == 0) continue;
    OverwriteFile(path, kTableOffset + EntryIndex(block) * 8, Little(entry));
  }
  return end;
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
