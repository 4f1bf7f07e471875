#include "storage/image/vhdx_disk.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/image/block_table.h"
#include "storage/image/file_claims.h"
#include "storage/image/image_error.h"
#include "storage/image/sector_bitmap.h"
#include "storage/image/vhdx_format.h"
#include "storage/image/vhdx_header.h"
#include "storage/image/vhdx_log.h"
#include "storage/image/vhdx_metadata.h"

namespace asr {
namespace {

constexpr std::uint64_t kStateBits = 0x7;
constexpr std::uint64_t kReservedBits = 0xFFFF8;

DiskShape VhdxShape(const VhdxHeader& header, const VhdxMetadata& metadata) {
  return {.format = metadata.parent                   ? ImageFormat::kVhdxDifferencing
                    : metadata.leave_blocks_allocated ? ImageFormat::kVhdxFixed
                                                      : ImageFormat::kVhdxDynamic,
          .size_bytes = metadata.disk_bytes,
          .logical_sector_bytes = metadata.logical_sector_bytes,
          .id = GuidText(header.data_write_guid),
          .block_bytes = metadata.block_bytes,
          .physical_sector_bytes = metadata.physical_sector_bytes,
          .parent = metadata.parent};
}

// True if the block is nowhere in this file; a place that its entry may give means nothing.
bool IsAbsent(std::uint64_t entry) {
  switch (static_cast<VhdxBlockState>(entry & kStateBits)) {
    case VhdxBlockState::kNotPresent:
    case VhdxBlockState::kUndefined:
    case VhdxBlockState::kZero:
    case VhdxBlockState::kUnmapped:
    case VhdxBlockState::kUnmappedOld:
      return true;
    default:
      return false;
  }
}

bool IsPartial(std::uint64_t entry) {
  return (entry & kStateBits) == static_cast<std::uint64_t>(VhdxBlockState::kPartiallyPresent);
}

class VhdxDisk : public MappedDisk {
 public:
  VhdxDisk(ImageFile image, const VhdxHeader& header, const VhdxMetadata& metadata,
           Extent table_region)
      : MappedDisk(std::move(image), VhdxShape(header, metadata)),
        has_parent_(metadata.parent.has_value()),
        shape_(ShapeVhdxTable(metadata.disk_bytes, metadata.block_bytes,
                              metadata.logical_sector_bytes)),
        table_(file(),
               {table_region.offset_bytes, shape_.entry_count(has_parent_), kVhdxTableEntryBytes}),
        bitmaps_(file(), file_size_bytes(),
                 {BitOrder::kLeastSignificantFirst, metadata.logical_sector_bytes,
                  BlockTable::kPageBytes}) {}

  // Every block and bitmap lies inside the file, none touches what is in `claims`, and no bitmap is
  // missing.
  Status CheckBlocks(FileClaims& claims) const;

 protected:
  Result<MappedRun> Locate(Extent range) const override;

 private:
  Result<std::uint64_t> EntryAt(std::uint64_t index, BlockTableCursor& cursor) const {
    ASR_TRY(const ByteSpan bytes, cursor.Entry(index));
    return LoadLittle<std::uint64_t>(bytes, 0);
  }
  Result<BlockPlace> PlaceOf(std::uint64_t block, BlockTableCursor& cursor) const;
  // The place that the entry of a block that is not absent gives, checked.
  Result<std::uint64_t> PlaceIn(std::uint64_t entry, std::uint64_t block) const;
  // Where the bitmap lies that this entry gives, for the chunk of `block`.
  Result<std::uint64_t> BitmapPlaceIn(std::uint64_t entry, std::uint64_t block) const;
  Status CheckEntries(std::uint64_t first_index, ByteSpan entries, FileClaims& claims,
                      BlockTableCursor& bitmap_cursor) const;
  Status CheckBlock(std::uint64_t block, std::uint64_t entry, FileClaims& claims,
                    BlockTableCursor& bitmap_cursor) const;
  Status CheckBitmap(std::uint64_t block, std::uint64_t entry, FileClaims& claims) const;

  std::uint64_t NeededBytes(std::uint64_t block) const {
    return std::min(shape_.block_bytes, size_bytes() - block * shape_.block_bytes);
  }

  bool has_parent_;
  VhdxTableShape shape_;
  BlockTable table_;
  SectorBitmaps bitmaps_;
};

Result<MappedRun> VhdxDisk::Locate(Extent range) const {
  BlockTableCursor cursor(table_);
  return LocateInBlocks(
      range, shape_.block_bytes, [&](std::uint64_t block) { return PlaceOf(block, cursor); },
      [&](const BlockPlace& place, Extent mixed) -> Result<MappedRun> {
        const std::uint64_t block = mixed.offset_bytes / shape_.block_bytes;
        ASR_TRY(const std::uint64_t entry, EntryAt(shape_.BitmapEntryOf(block), cursor));
        ASR_TRY(const std::uint64_t bitmap, BitmapPlaceIn(entry, block));
        const std::uint64_t sectors_a_block = shape_.block_bytes / logical_sector_bytes();
        return bitmaps_.Locate(bitmap, block % shape_.blocks_a_chunk * sectors_a_block,
                               place.file_offset_bytes, mixed.offset_bytes % shape_.block_bytes,
                               mixed.length_bytes);
      });
}

Result<BlockPlace> VhdxDisk::PlaceOf(std::uint64_t block, BlockTableCursor& cursor) const {
  ASR_TRY(const std::uint64_t entry, EntryAt(shape_.EntryOf(block), cursor));
  if (IsAbsent(entry)) {
    const bool shows_parent =
        has_parent_ &&
        (entry & kStateBits) == static_cast<std::uint64_t>(VhdxBlockState::kNotPresent);
    return BlockPlace{.source =
                          shows_parent ? BlockPlace::Source::kParent : BlockPlace::Source::kZeros};
  }
  ASR_TRY(const std::uint64_t place, PlaceIn(entry, block));
  return BlockPlace{
      .source = IsPartial(entry) ? BlockPlace::Source::kMixed : BlockPlace::Source::kFile,
      .file_offset_bytes = place};
}

Result<std::uint64_t> VhdxDisk::PlaceIn(std::uint64_t entry, std::uint64_t block) const {
  const std::uint64_t state = entry & kStateBits;
  const bool is_present = state == static_cast<std::uint64_t>(VhdxBlockState::kFullyPresent);
  if (!is_present && !(has_parent_ && IsPartial(entry))) {
    return Fail(CorruptImage(
        fmt::format("block {} of the VHDX has state {}, which a disk with{} a parent cannot have",
                    block, state, has_parent_ ? "" : "out")));
  }
  if ((entry & kReservedBits) != 0) {
    return Fail(CorruptImage(fmt::format(
        "the table entry of block {} of the VHDX is {:#x}: reserved bits are set", block, entry)));
  }
  const std::uint64_t place = AlignDown(entry, kMiB);
  if (place > file_size_bytes() || file_size_bytes() - place < NeededBytes(block)) {
    return Fail(CorruptImage(
        fmt::format("block {} of the VHDX lies at offset {} and needs {} bytes, but the file ends "
                    "at {}",
                    block, place, NeededBytes(block), file_size_bytes())));
  }
  return place;
}

Result<std::uint64_t> VhdxDisk::BitmapPlaceIn(std::uint64_t entry, std::uint64_t block) const {
  const std::uint64_t place = AlignDown(entry, kMiB);
  if ((entry & (kStateBits | kReservedBits)) ==
          static_cast<std::uint64_t>(VhdxBlockState::kFullyPresent) &&
      place <= file_size_bytes() && file_size_bytes() - place >= kVhdxBitmapBytes) {
    return place;
  }
  return Fail(CorruptImage(
      fmt::format("the bitmap that says which sectors of block {} of the VHDX are in it has the "
                  "table entry {:#x}, which is no place in the file of {} bytes",
                  block, entry, file_size_bytes())));
}

Status VhdxDisk::CheckBlock(std::uint64_t block, std::uint64_t entry, FileClaims& claims,
                            BlockTableCursor& bitmap_cursor) const {
  ASR_TRY(const std::uint64_t place, PlaceIn(entry, block));
  if (IsPartial(entry)) {
    ASR_TRY(const std::uint64_t bitmap, EntryAt(shape_.BitmapEntryOf(block), bitmap_cursor));
    ASR_CHECK(BitmapPlaceIn(bitmap, block));
  }
  if (claims.Claim({place, NeededBytes(block)})) return {};
  return Fail(CorruptImage(
      fmt::format("block {} of the VHDX at offset {} overlaps a header, a region or another block",
                  block, place)));
}

// Only differencing disks have bitmaps; elsewhere their entries mean nothing.
Status VhdxDisk::CheckBitmap(std::uint64_t block, std::uint64_t entry, FileClaims& claims) const {
  if (!has_parent_) return {};
  ASR_TRY(const std::uint64_t place, BitmapPlaceIn(entry, block));
  if (claims.Claim({place, kVhdxBitmapBytes})) return {};
  return Fail(CorruptImage(fmt::format(
      "the bitmap for block {} of the VHDX at offset {} overlaps a header, a region or a block",
      block, place)));
}

Status VhdxDisk::CheckEntries(std::uint64_t first_index, ByteSpan entries, FileClaims& claims,
                              BlockTableCursor& bitmap_cursor) const {
  for (std::size_t at = 0; at < entries.size(); at += kVhdxTableEntryBytes) {
    const auto entry = LoadLittle<std::uint64_t>(entries, at);
    if (IsAbsent(entry)) continue;
    const std::uint64_t index = first_index + at / kVhdxTableEntryBytes;
    const std::uint64_t chunk = index / (shape_.blocks_a_chunk + 1);
    const std::uint64_t in_chunk = index % (shape_.blocks_a_chunk + 1);
    const std::uint64_t block = chunk * shape_.blocks_a_chunk + in_chunk;
    if (in_chunk == shape_.blocks_a_chunk) {
      ASR_CHECK(CheckBitmap(chunk * shape_.blocks_a_chunk, entry, claims));
    } else if (block < shape_.block_count) {
      ASR_CHECK(CheckBlock(block, entry, claims, bitmap_cursor));
    }
  }
  return {};
}

Status VhdxDisk::CheckBlocks(FileClaims& claims) const {
  const BlockTable::Place& place = table_.place();
  // A table of 512 MiB is mostly a hole, which means blocks that are not there.
  ASR_TRY(const std::vector<Extent> written,
          file().DataExtents({place.offset_bytes, place.entry_count * kVhdxTableEntryBytes}));
  BlockTableCursor cursor(table_);
  BlockTableCursor bitmap_cursor(table_);
  for (const Extent& extent : written) {
    const std::uint64_t begin = (extent.offset_bytes - place.offset_bytes) / kVhdxTableEntryBytes;
    const std::uint64_t end = DivideRoundingUp<std::uint64_t>(
        extent.end_bytes() - place.offset_bytes, kVhdxTableEntryBytes);
    for (std::uint64_t index = begin; index < end;) {
      ASR_TRY(const ByteSpan page, cursor.EntriesFrom(index));
      const std::uint64_t count =
          std::min<std::uint64_t>(end - index, page.size() / kVhdxTableEntryBytes);
      ASR_CHECK(
          CheckEntries(index, page.first(count * kVhdxTableEntryBytes), claims, bitmap_cursor));
      index += count;
    }
  }
  return {};
}

Status CheckFile(const ImageFile& image) {
  std::array<std::byte, kVhdxFileSignature.size()> signature{};
  if (image.size_bytes < kVhdxAlignment) {
    return Fail(CorruptImage(
        fmt::format("the file has {} bytes, less than the MiB of headers that begins every VHDX",
                    image.stamp.size_bytes)));
  }
  if (image.stamp.size_bytes > kVhdxMostFileBytes) {
    return Fail(UnsupportedImage(fmt::format("the file has {} bytes; a VHDX of the largest disk, "
                                             "64 TiB, needs about half of that",
                                             image.stamp.size_bytes),
                                 "copy it with Convert-VHD, which leaves out what is unused"));
  }
  ASR_CHECK(image.file->ReadAt(0, signature));
  if (AsText(signature) == kVhdxFileSignature) return {};
  return Fail(CorruptImage("the file does not begin with the signature `vhdxfile`"));
}

// The log's place must make sense even while it is empty.
Status CheckLog(const VhdxHeader& header) {
  if (header.log.offset_bytes % kVhdxAlignment == 0 &&
      header.log.length_bytes % kVhdxAlignment == 0) {
    return {};
  }
  return Fail(CorruptImage(
      fmt::format("the log of the VHDX has offset {} and length {}: it must be made of whole MiB",
                  header.log.offset_bytes, header.log.length_bytes)));
}

// What the writer had promised is seen in its place; the file itself is never changed.
Status ReplayLog(const VhdxHeader& header, ImageFile& image) {
  if (header.log_guid == Guid{}) return {};
  const Extent& log = header.log;
  if (log.length_bytes == 0 || log.offset_bytes > image.size_bytes ||
      image.size_bytes - log.offset_bytes < log.length_bytes) {
    return Fail(
        CorruptImage(fmt::format("the log of the VHDX at offset {}, {} bytes long, must be "
                                 "replayed, but the file ends at {}",
                                 log.offset_bytes, log.length_bytes, image.size_bytes)));
  }
  ASR_TRY(const VhdxReplay replay, ReadVhdxLog(*image.file, image.size_bytes, header));
  image.file = std::make_unique<ReplayedFile>(std::move(image.file), image.size_bytes,
                                              replay.file_bytes, replay.patches);
  image.size_bytes = replay.file_bytes;
  image.log_entry_count = replay.entry_count;
  image.remarks.push_back(fmt::format(
      "the writer stopped before {} entries of its log were in their places; they are read as if "
      "they were",
      replay.entry_count));
  return {};
}

Status ClaimStructures(FileClaims& claims, Extent log, const VhdxRegions& regions) {
  std::vector<Extent> structures = {{0, kVhdxAlignment}, log};
  structures.insert(structures.end(), regions.all.begin(), regions.all.end());
  for (const Extent& structure : structures) {
    if (claims.Claim(structure)) continue;
    return Fail(CorruptImage(
        fmt::format("the log or region at offset {} of the VHDX, {} bytes long, overlaps another "
                    "one or passes the file's end",
                    structure.offset_bytes, structure.length_bytes)));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<MappedDisk>> OpenVhdx(ImageFile image) {
  ASR_CHECK(CheckFile(image));
  ASR_TRY(const VhdxHeader header, ReadVhdxHeader(*image.file, image.remarks));
  ASR_CHECK(CheckLog(header));
  ASR_CHECK(ReplayLog(header, image));
  const std::uint64_t file_bytes = image.size_bytes;
  ASR_TRY(const VhdxRegions regions, ReadVhdxRegions(*image.file, file_bytes, image.remarks));
  ASR_TRY(const VhdxMetadata metadata, ReadVhdxMetadata(*image.file, regions.metadata));

  const std::uint64_t entry_count =
      ShapeVhdxTable(metadata.disk_bytes, metadata.block_bytes, metadata.logical_sector_bytes)
          .entry_count(metadata.parent.has_value());
  if (entry_count > regions.table.length_bytes / kVhdxTableEntryBytes) {
    return Fail(CorruptImage(fmt::format(
        "the block table of the VHDX has room for {} entries, the disk of {} bytes needs {}",
        regions.table.length_bytes / kVhdxTableEntryBytes, metadata.disk_bytes, entry_count)));
  }
  FileClaims claims(file_bytes, kMiB);
  ASR_CHECK(ClaimStructures(claims, header.log, regions));
  auto disk = std::make_unique<VhdxDisk>(std::move(image), header, metadata, regions.table);
  ASR_CHECK(disk->CheckBlocks(claims));
  return disk;
}

}  // namespace asr
