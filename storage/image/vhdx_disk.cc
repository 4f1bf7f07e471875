#include "storage/image/vhdx_disk.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/image/block_table.h"
#include "storage/image/file_claims.h"
#include "storage/image/image_error.h"
#include "storage/image/vhdx_format.h"
#include "storage/image/vhdx_header.h"
#include "storage/image/vhdx_metadata.h"

namespace asr {
namespace {

// Twice the largest disk: more than any file can use, and it bounds the map of its MiBs.
constexpr std::uint64_t kMostFileBytes = 2 * kVhdxMostDiskBytes;

constexpr std::uint64_t kStateBits = 0x7;
constexpr std::uint64_t kReservedBits = 0xFFFF8;

ImageFormat FormatOf(const VhdxMetadata& metadata) {
  return metadata.leave_blocks_allocated ? ImageFormat::kVhdxFixed : ImageFormat::kVhdxDynamic;
}

// True if a block in this state is all zeros; a place that its entry may give means nothing.
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

class VhdxDisk : public MappedDisk {
 public:
  VhdxDisk(ImageFile image, const VhdxMetadata& metadata, Extent table_region)
      : MappedDisk(std::move(image),
                   {FormatOf(metadata), metadata.disk_bytes, metadata.logical_sector_bytes}),
        shape_(ShapeVhdxTable(metadata.disk_bytes, metadata.block_bytes,
                              metadata.logical_sector_bytes)),
        table_(file(), {table_region.offset_bytes, shape_.entry_count(), kVhdxTableEntryBytes}) {}

  // Every block lies inside the file, and none touches what is in `claims`.
  Status CheckBlocks(FileClaims& claims) const;

 protected:
  Result<MappedRun> Locate(Extent range) const override {
    BlockTableCursor cursor(table_);
    return LocateInBlocks(range, shape_.block_bytes,
                          [&](std::uint64_t block) { return PlaceOf(block, cursor); });
  }

 private:
  // Where the block lies; nothing if it is absent.
  Result<std::optional<std::uint64_t>> PlaceOf(std::uint64_t block, BlockTableCursor& cursor) const;
  // The place that the entry of a block that is not absent gives, checked.
  Result<std::uint64_t> PlaceIn(std::uint64_t entry, std::uint64_t block) const;
  Status CheckEntries(std::uint64_t first_index, ByteSpan entries, FileClaims& claims) const;
  Status CheckEntry(std::uint64_t index, std::uint64_t entry, FileClaims& claims) const;

  std::uint64_t NeededBytes(std::uint64_t block) const {
    return std::min(shape_.block_bytes, size_bytes() - block * shape_.block_bytes);
  }

  VhdxTableShape shape_;
  BlockTable table_;
};

Result<std::optional<std::uint64_t>> VhdxDisk::PlaceOf(std::uint64_t block,
                                                       BlockTableCursor& cursor) const {
  ASR_TRY(const ByteSpan bytes, cursor.Entry(shape_.EntryOf(block)));
  const auto entry = LoadLittle<std::uint64_t>(bytes, 0);
  if (IsAbsent(entry)) return std::optional<std::uint64_t>{};
  return PlaceIn(entry, block);
}

Result<std::uint64_t> VhdxDisk::PlaceIn(std::uint64_t entry, std::uint64_t block) const {
  const std::uint64_t state = entry & kStateBits;
  if (state != static_cast<std::uint64_t>(VhdxBlockState::kFullyPresent)) {
    return Fail(CorruptImage(
        fmt::format("block {} of the VHDX has state {}, which a disk without a parent cannot have",
                    block, state)));
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

Status VhdxDisk::CheckEntry(std::uint64_t index, std::uint64_t entry, FileClaims& claims) const {
  const std::uint64_t chunk = index / (shape_.blocks_a_chunk + 1);
  const std::uint64_t in_chunk = index % (shape_.blocks_a_chunk + 1);
  if (in_chunk == shape_.blocks_a_chunk) return {};  // a sector bitmap: only children have them
  const std::uint64_t block = chunk * shape_.blocks_a_chunk + in_chunk;
  ASR_TRY(const std::uint64_t place, PlaceIn(entry, block));
  if (claims.Claim({place, NeededBytes(block)})) return {};
  return Fail(CorruptImage(
      fmt::format("block {} of the VHDX at offset {} overlaps a header, a region or another block",
                  block, place)));
}

Status VhdxDisk::CheckEntries(std::uint64_t first_index, ByteSpan entries,
                              FileClaims& claims) const {
  for (std::size_t at = 0; at < entries.size(); at += kVhdxTableEntryBytes) {
    const auto entry = LoadLittle<std::uint64_t>(entries, at);
    if (IsAbsent(entry)) continue;
    ASR_CHECK(CheckEntry(first_index + at / kVhdxTableEntryBytes, entry, claims));
  }
  return {};
}

Status VhdxDisk::CheckBlocks(FileClaims& claims) const {
  const BlockTable::Place& place = table_.place();
  // A table of 512 MiB is mostly a hole, which means blocks that are not there.
  ASR_TRY(const std::vector<Extent> written,
          file().DataExtents({place.offset_bytes, place.entry_count * kVhdxTableEntryBytes}));
  BlockTableCursor cursor(table_);
  for (const Extent& extent : written) {
    const std::uint64_t begin = (extent.offset_bytes - place.offset_bytes) / kVhdxTableEntryBytes;
    const std::uint64_t end = DivideRoundingUp<std::uint64_t>(
        extent.end_bytes() - place.offset_bytes, kVhdxTableEntryBytes);
    for (std::uint64_t index = begin; index < end;) {
      ASR_TRY(const ByteSpan page, cursor.EntriesFrom(index));
      const std::uint64_t count =
          std::min<std::uint64_t>(end - index, page.size() / kVhdxTableEntryBytes);
      ASR_CHECK(CheckEntries(index, page.first(count * kVhdxTableEntryBytes), claims));
      index += count;
    }
  }
  return {};
}

Status CheckFile(const ImageFile& image) {
  std::array<std::byte, kVhdxFileSignature.size()> signature{};
  if (image.stamp.size_bytes < kVhdxAlignment) {
    return Fail(CorruptImage(
        fmt::format("the file has {} bytes, less than the MiB of headers that begins every VHDX",
                    image.stamp.size_bytes)));
  }
  if (image.stamp.size_bytes > kMostFileBytes) {
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
  if (header.log.offset_bytes % kVhdxAlignment != 0 ||
      header.log.length_bytes % kVhdxAlignment != 0) {
    return Fail(
        CorruptImage(fmt::format("the log of the VHDX has offset {} and length {}: it must "
                                 "be made of whole MiB",
                                 header.log.offset_bytes, header.log.length_bytes)));
  }
  if (header.log_guid == Guid{}) return {};
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kImageDirtyLog,
                        "the log of the VHDX holds changes that are not yet in their place")
                  .WithCause("the VM is running, or its host stopped without closing the disk")
                  .WithAction("shut the VM down, or mount and dismount the disk once on its host "
                              "(Mount-VHD, Dismount-VHD); on a copy `qemu-img check -r all` does "
                              "the same"));
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

Result<std::unique_ptr<Disk>> OpenVhdx(ImageFile image) {
  ASR_CHECK(CheckFile(image));
  ASR_TRY(const VhdxHeader header, ReadVhdxHeader(*image.file));
  ASR_CHECK(CheckLog(header));
  const std::uint64_t file_bytes = image.stamp.size_bytes;
  ASR_TRY(const VhdxRegions regions, ReadVhdxRegions(*image.file, file_bytes));
  ASR_TRY(const VhdxMetadata metadata, ReadVhdxMetadata(*image.file, regions.metadata));
  if (metadata.has_parent) return Fail(DifferencingImage("VHDX"));

  const VhdxTableShape shape =
      ShapeVhdxTable(metadata.disk_bytes, metadata.block_bytes, metadata.logical_sector_bytes);
  if (shape.entry_count() > regions.table.length_bytes / kVhdxTableEntryBytes) {
    return Fail(CorruptImage(fmt::format(
        "the block table of the VHDX has room for {} entries, the disk of {} bytes needs {}",
        regions.table.length_bytes / kVhdxTableEntryBytes, metadata.disk_bytes,
        shape.entry_count())));
  }
  FileClaims claims(file_bytes, kMiB);
  ASR_CHECK(ClaimStructures(claims, header.log, regions));
  auto disk = std::make_unique<VhdxDisk>(std::move(image), metadata, regions.table);
  ASR_CHECK(disk->CheckBlocks(claims));
  return disk;
}

}  // namespace asr
