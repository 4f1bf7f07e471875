#include "storage/image/vhd_disk.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/image/block_table.h"
#include "storage/image/image_error.h"
#include "storage/image/sector_bitmap.h"
#include "storage/image/vhd_footer.h"
#include "storage/image/vhd_format.h"
#include "storage/image/vhd_parent.h"

namespace asr {
namespace {

constexpr std::uint32_t kNotAllocated = 0xFFFFFFFF;
constexpr std::uint32_t kTableEntryBytes = 4;
// Bitmaps have 64 bytes to 64 KiB, mostly 512, and lie one block apart.
constexpr std::uint64_t kBitmapPageBytes = 4 * kKiB;

struct FoundFooter {
  VhdFooterFields fields;
  std::uint64_t data_end_bytes = 0;  // blocks and data end here at the latest
  bool is_copy = false;              // the one at the end is lost
};

Result<VhdFooter> ReadFooter(File& file, std::uint64_t offset_bytes, std::size_t length_bytes) {
  VhdFooter footer{};
  ASR_CHECK(file.ReadAt(offset_bytes, MutableByteSpan(footer).first(length_bytes)));
  return footer;
}

// The footer at the file's end rules. Virtual PC before 2004 wrote its last byte not at all. The
// copy at offset 0 helps only where a dynamic disk lost its end: the first bytes of a fixed disk
// belong to the guest.
Result<FoundFooter> FindFooter(File& file, std::uint64_t file_bytes) {
  if (file_bytes < kVhdFooterBytes) {
    return Fail(CorruptImage(fmt::format(
        "the file has {} bytes, less than the footer that ends every VHD", file_bytes)));
  }
  const std::uint64_t last = file_bytes - kVhdFooterBytes;
  ASR_TRY(const VhdFooter at_end, ReadFooter(file, last, kVhdFooterBytes));
  if (IsVhdFooter(at_end)) {
    ASR_TRY(const VhdFooterFields fields, ParseVhdFooter(at_end));
    return FoundFooter{fields, last};
  }
  ASR_TRY(const VhdFooter short_one, ReadFooter(file, last + 1, kVhdFooterBytes - 1));
  if (IsVhdFooter(short_one)) {
    ASR_TRY(const VhdFooterFields fields, ParseVhdFooter(short_one));
    return FoundFooter{fields, last + 1};
  }
  ASR_TRY(const VhdFooter copy, ReadFooter(file, 0, kVhdFooterBytes));
  if (IsVhdFooter(copy)) {
    ASR_TRY(const VhdFooterFields fields, ParseVhdFooter(copy));
    if (fields.type != VhdType::kFixed) return FoundFooter{fields, file_bytes, true};
  }
  ASR_TRY(const VhdFooterFields none, ParseVhdFooter(at_end));  // says what is wrong with it
  return FoundFooter{none, last};
}

bool Overlap(const Extent& left, const Extent& right) {
  return left.offset_bytes < right.end_bytes() && right.offset_bytes < left.end_bytes();
}

DiskShape VhdShape(const VhdFooterFields& footer, std::uint64_t block_bytes,
                   std::optional<ParentLink> parent) {
  return {.format = footer.type == VhdType::kFixed     ? ImageFormat::kVhdFixed
                    : footer.type == VhdType::kDynamic ? ImageFormat::kVhdDynamic
                                                       : ImageFormat::kVhdDifferencing,
          .size_bytes = footer.size_bytes,
          .logical_sector_bytes = kVhdSectorBytes,
          .id = ToHex(footer.unique_id),
          .block_bytes = block_bytes,
          .parent = std::move(parent)};
}

class DynamicVhd : public MappedDisk {
 public:
  DynamicVhd(ImageFile image, const FoundFooter& footer, const VhdDynamicHeader& header,
             std::optional<ParentLink> parent)
      : MappedDisk(std::move(image),
                   VhdShape(footer.fields, header.block_bytes, std::move(parent))),
        has_parent_(shape().parent.has_value()),
        data_end_bytes_(footer.data_end_bytes),
        block_bytes_(header.block_bytes),
        bitmap_bytes_(header.bitmap_bytes()),
        table_(file(), {header.table_offset_bytes, DivideRoundingUp(size_bytes(), block_bytes_),
                        kTableEntryBytes}),
        bitmaps_(file(), file_size_bytes(),
                 {BitOrder::kMostSignificantFirst, kVhdSectorBytes, kBitmapPageBytes}) {}

  // Every block lies in the file, before the footer, and none overlaps another or `structures`.
  Status CheckBlocks(const std::vector<Extent>& structures) const;

 protected:
  Result<MappedRun> Locate(Extent range) const override {
    BlockTableCursor cursor(table_);
    return LocateInBlocks(
        range, block_bytes_, [&](std::uint64_t block) { return PlaceOf(block, cursor); },
        [&](const BlockPlace& place, Extent mixed) {
          return bitmaps_.Locate(place.file_offset_bytes - bitmap_bytes_, 0,
                                 place.file_offset_bytes, mixed.offset_bytes % block_bytes_,
                                 mixed.length_bytes);
        });
  }

 private:
  // Where the data of `block` begins. The bitmap of a dynamic disk is not read: every sector of an
  // allocated block counts, those never written are zeros.
  Result<BlockPlace> PlaceOf(std::uint64_t block, BlockTableCursor& cursor) const {
    ASR_TRY(const ByteSpan entry, cursor.Entry(block));
    const auto sector = LoadBig<std::uint32_t>(entry, 0);
    if (sector == kNotAllocated) {
      return BlockPlace{.source =
                            has_parent_ ? BlockPlace::Source::kParent : BlockPlace::Source::kZeros};
    }
    const std::uint64_t data = sector * kVhdSectorBytes + bitmap_bytes_;
    if (data + NeededBytes(block) > data_end_bytes_) {
      return Fail(CorruptImage(
          fmt::format("block {} lies at offset {} and needs {} bytes, but the data ends at {}",
                      block, data, NeededBytes(block), data_end_bytes_)));
    }
    return BlockPlace{
        .source = has_parent_ ? BlockPlace::Source::kMixed : BlockPlace::Source::kFile,
        .file_offset_bytes = data};
  }

  std::uint64_t NeededBytes(std::uint64_t block) const {
    return std::min(block_bytes_, size_bytes() - block * block_bytes_);
  }

  bool has_parent_;
  std::uint64_t data_end_bytes_;
  std::uint64_t block_bytes_;
  std::uint64_t bitmap_bytes_;
  BlockTable table_;
  SectorBitmaps bitmaps_;
};

Status DynamicVhd::CheckBlocks(const std::vector<Extent>& structures) const {
  BlockTableCursor cursor(table_);
  std::vector<std::uint32_t> sectors;  // where blocks begin, at most 8 Mi of them
  for (std::uint64_t block = 0; block < table_.place().entry_count; ++block) {
    ASR_TRY(const BlockPlace place, PlaceOf(block, cursor));
    if (place.source == BlockPlace::Source::kZeros || place.source == BlockPlace::Source::kParent) {
      continue;
    }
    const Extent whole{place.file_offset_bytes - bitmap_bytes_, bitmap_bytes_ + NeededBytes(block)};
    for (const Extent& structure : structures) {
      if (Overlap(whole, structure)) {
        return Fail(
            CorruptImage(fmt::format("block {} at offset {} overlaps the header, table "
                                     "or parent locator at offset {}",
                                     block, whole.offset_bytes, structure.offset_bytes)));
      }
    }
    sectors.push_back(static_cast<std::uint32_t>(whole.offset_bytes / kVhdSectorBytes));
  }
  std::sort(sectors.begin(), sectors.end());
  const std::uint64_t block_sectors = (bitmap_bytes_ + block_bytes_) / kVhdSectorBytes;
  for (std::size_t i = 1; i < sectors.size(); ++i) {
    if (sectors[i] - sectors[i - 1] >= block_sectors) continue;
    return Fail(
        CorruptImage(fmt::format("the blocks at offsets {} and {} overlap",
                                 sectors[i - 1] * kVhdSectorBytes, sectors[i] * kVhdSectorBytes)));
  }
  return {};
}

Result<std::unique_ptr<MappedDisk>> OpenDynamicVhd(ImageFile image, const FoundFooter& footer) {
  const std::uint64_t header_offset = footer.fields.dynamic_header_offset_bytes;
  if (header_offset < kVhdFooterBytes || header_offset > footer.data_end_bytes ||
      footer.data_end_bytes - header_offset < kVhdDynamicHeaderBytes) {
    return Fail(CorruptImage(fmt::format(
        "the footer of the VHD puts the dynamic header at offset {}, outside the file's {} bytes",
        header_offset, image.stamp.size_bytes)));
  }
  std::array<std::byte, kVhdDynamicHeaderBytes> header_bytes{};
  ASR_CHECK(image.file->ReadAt(header_offset, header_bytes));
  ASR_TRY(const VhdDynamicHeader header, ParseVhdDynamicHeader(header_bytes));

  const std::uint64_t disk_bytes = footer.fields.size_bytes;
  const std::uint64_t block_count = DivideRoundingUp<std::uint64_t>(disk_bytes, header.block_bytes);
  if (header.table_entry_count < block_count) {
    return Fail(
        CorruptImage(fmt::format("the block table of the VHD has {} entries, the disk of "
                                 "{} bytes has {} blocks",
                                 header.table_entry_count, disk_bytes, block_count)));
  }
  const Extent table{header.table_offset_bytes, block_count * kTableEntryBytes};
  if (table.offset_bytes > footer.data_end_bytes ||
      footer.data_end_bytes - table.offset_bytes < table.length_bytes) {
    return Fail(
        CorruptImage(fmt::format("the block table of the VHD at offset {} with {} entries "
                                 "passes the end of the data at {}",
                                 table.offset_bytes, block_count, footer.data_end_bytes)));
  }
  const Extent copy{0, kVhdFooterBytes};
  const Extent whole_header{header_offset, kVhdDynamicHeaderBytes};
  if (Overlap(table, copy) || Overlap(table, whole_header)) {
    return Fail(CorruptImage(fmt::format(
        "the block table of the VHD at offset {} overlaps its headers", table.offset_bytes)));
  }
  std::optional<ParentLink> parent;
  std::vector<Extent> structures = {copy, whole_header, table};
  if (footer.fields.type == VhdType::kDifferencing) {
    ASR_TRY(VhdParent found, ReadVhdParent(*image.file, image.size_bytes, header_bytes));
    parent = std::move(found.link);
    structures.insert(structures.end(), found.texts.begin(), found.texts.end());
  }
  auto disk = std::make_unique<DynamicVhd>(std::move(image), footer, header, std::move(parent));
  ASR_CHECK(disk->CheckBlocks(structures));
  return disk;
}

}  // namespace

Result<std::unique_ptr<MappedDisk>> OpenVhd(ImageFile image) {
  ASR_TRY(const FoundFooter footer, FindFooter(*image.file, image.stamp.size_bytes));
  if (footer.is_copy) {
    image.remarks.emplace_back("the footer at its end is lost; the copy at its beginning is used");
  }
  if (footer.fields.type != VhdType::kFixed) return OpenDynamicVhd(std::move(image), footer);
  if (footer.fields.size_bytes > footer.data_end_bytes) {
    return Fail(CorruptImage(
        fmt::format("the footer of the fixed VHD gives the disk {} bytes, the file holds {}",
                    footer.fields.size_bytes, footer.data_end_bytes)));
  }
  return std::make_unique<FlatDisk>(std::move(image), VhdShape(footer.fields, 0, std::nullopt));
}

}  // namespace asr
