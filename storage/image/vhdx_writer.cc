#include "storage/image/vhdx_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "storage/base/checksum.h"
#include "storage/image/block_pieces.h"

namespace asr {
namespace {

using Bytes = std::vector<std::byte>;

constexpr Extent kLog{1 * kMiB, 1 * kMiB};
constexpr Extent kMetadataRegion{2 * kMiB, 1 * kMiB};
constexpr std::uint64_t kTableRegionOffset = 3 * kMiB;
constexpr std::uint32_t kPhysicalSectorBytes = 4096;

// What Hyper-V takes; larger only where the table would grow past 8 MiB.
std::uint64_t BlockBytesFor(std::uint64_t size_bytes) {
  return size_bytes <= 32 * kTiB ? 32 * kMiB : 64 * kMiB;
}

void StoreText(MutableByteSpan bytes, std::size_t offset, std::string_view text) {
  std::memcpy(&bytes[offset], text.data(), text.size());
}

// A random GUID (RFC 4122, version 4).
Guid NewGuid() {
  Guid guid = RandomBits();
  guid[7] = (guid[7] & std::byte{0x0F}) | std::byte{0x40};
  guid[8] = (guid[8] & std::byte{0x3F}) | std::byte{0x80};
  return guid;
}

void StoreRegion(MutableByteSpan table, std::size_t index, const Guid& guid, Extent region) {
  const std::size_t entry = vhdx_region::kEntries + index * vhdx_region::kEntryBytes;
  StoreGuid(table, entry + vhdx_region::kGuid, guid);
  StoreLittle<std::uint64_t>(table, entry + vhdx_region::kOffset, region.offset_bytes);
  StoreLittle<std::uint32_t>(table, entry + vhdx_region::kLength,
                             static_cast<std::uint32_t>(region.length_bytes));
  StoreLittle<std::uint32_t>(table, entry + vhdx_region::kFlags, vhdx_region::kRequired);
}

// The metadata table with its items behind it, one after another.
class MetadataBuilder {
 public:
  MetadataBuilder() : bytes_(kVhdxMetadataTableBytes) {
    StoreText(bytes_, 0, kVhdxMetadataSignature);
  }

  void Add(const Guid& guid, std::uint32_t flags, ByteSpan value) {
    const std::size_t entry =
        vhdx_metadata::kEntries + std::size_t{count_} * vhdx_metadata::kEntryBytes;
    StoreGuid(bytes_, entry + vhdx_metadata::kItem, guid);
    StoreLittle<std::uint32_t>(bytes_, entry + vhdx_metadata::kOffset,
                               static_cast<std::uint32_t>(bytes_.size()));
    StoreLittle<std::uint32_t>(bytes_, entry + vhdx_metadata::kLength,
                               static_cast<std::uint32_t>(value.size()));
    StoreLittle<std::uint32_t>(bytes_, entry + vhdx_metadata::kFlags, flags);
    StoreLittle<std::uint16_t>(bytes_, vhdx_metadata::kEntryCount, ++count_);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }

  [[nodiscard]] ByteSpan bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  std::uint16_t count_ = 0;
};

template <std::unsigned_integral T>
std::array<std::byte, sizeof(T)> LittleBytes(T value) {
  std::array<std::byte, sizeof(T)> bytes{};
  StoreLittle(MutableByteSpan(bytes), 0, value);
  return bytes;
}

}  // namespace

VhdxWriter::VhdxWriter(std::unique_ptr<File> file, const NewImage& image)
    : BlockImageWriter(std::move(file), BlockBytesFor(image.size_bytes)),
      size_bytes_(image.size_bytes),
      logical_sector_bytes_(image.logical_sector_bytes),
      shape_(ShapeVhdxTable(image.size_bytes, BlockBytesFor(image.size_bytes),
                            image.logical_sector_bytes)),
      table_region_{kTableRegionOffset,
                    AlignUp<std::uint64_t>(
                        shape_.entry_count(/*has_parent=*/false) * kVhdxTableEntryBytes, kMiB)},
      places_mib_(shape_.block_count),
      next_place_mib_(table_region_.end_bytes() / kMiB) {}

Result<std::unique_ptr<VhdxWriter>> VhdxWriter::Open(std::unique_ptr<File> file,
                                                     const NewImage& image) {
  std::unique_ptr<VhdxWriter> writer(new VhdxWriter(std::move(file), image));
  const std::uint64_t block_bytes = writer->shape_.block_bytes;
  for (const Extent& extent : image.data) {
    ASR_CHECK(ForEachBlockPiece(extent, block_bytes, [&](std::uint64_t block, auto, auto) {
      if (writer->places_mib_[block] == 0) {
        writer->places_mib_[block] = static_cast<std::uint32_t>(writer->next_place_mib_);
        writer->next_place_mib_ += block_bytes / kMiB;
      }
      return Status();
    }));
  }
  // Never longer than that: what comes behind it is new, and zeros.
  ASR_CHECK(writer->file().Resize(writer->next_place_mib_ * kMiB));
  return writer;
}

std::uint64_t VhdxWriter::PlaceOf(std::uint64_t block) {
  const std::lock_guard lock(mutex_);
  return places_mib_[block] * kMiB;
}

Result<std::uint64_t> VhdxWriter::PlaceFor(std::uint64_t block) {
  const std::lock_guard lock(mutex_);
  std::uint32_t& place_mib = places_mib_[block];
  if (place_mib == 0) {
    const std::uint64_t end_mib = next_place_mib_ + shape_.block_bytes / kMiB;
    // The whole block at once: writes that move the file's end wait for each other.
    ASR_CHECK(file().Resize(end_mib * kMiB));
    place_mib = static_cast<std::uint32_t>(next_place_mib_);
    next_place_mib_ = end_mib;
  }
  return place_mib * kMiB;
}

Status VhdxWriter::Finish() {
  ASR_CHECK(WriteTable());
  ASR_CHECK(WriteMetadata());
  ASR_CHECK(WriteRegionTables());
  ASR_CHECK(WriteHeaders());
  // The signature comes last: without it the file is no VHDX to anybody.
  ASR_CHECK(file().Sync());
  Bytes identifier(kVhdxHeaderBytes);
  StoreText(identifier, 0, kVhdxFileSignature);
  constexpr std::string_view kCreator = "asr";  // in UTF-16
  for (std::size_t i = 0; i < kCreator.size(); ++i) {
    identifier[kVhdxFileSignature.size() + 2 * i] = static_cast<std::byte>(kCreator[i]);
  }
  ASR_CHECK(file().WriteAt(0, identifier));
  return file().Sync();
}

Status VhdxWriter::WriteTable() {
  AlignedBuffer table(table_region_.length_bytes);
  const MutableByteSpan bytes = table.span();
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  for (std::uint64_t block = 0; block < shape_.block_count; ++block) {
    if (places_mib_[block] == 0) continue;
    const std::uint64_t entry =
        places_mib_[block] * kMiB | static_cast<std::uint64_t>(VhdxBlockState::kFullyPresent);
    StoreLittle(bytes, shape_.EntryOf(block) * kVhdxTableEntryBytes, entry);
  }
  return file().WriteAt(table_region_.offset_bytes, bytes);
}

Status VhdxWriter::WriteMetadata() {
  using namespace vhdx_metadata;
  constexpr std::uint32_t kOfTheDisk = kIsRequired | kIsVirtualDisk;
  MetadataBuilder metadata;
  // Block size, then flags: neither fixed nor a child.
  metadata.Add(kFileParameters, kIsRequired, LittleBytes<std::uint64_t>(shape_.block_bytes));
  metadata.Add(kDiskSize, kOfTheDisk, LittleBytes(size_bytes_));
  metadata.Add(kDiskId, kOfTheDisk, NewGuid());
  metadata.Add(kLogicalSector, kOfTheDisk, LittleBytes(logical_sector_bytes_));
  metadata.Add(kPhysicalSector, kOfTheDisk, LittleBytes(kPhysicalSectorBytes));
  return file().WriteAt(kMetadataRegion.offset_bytes, metadata.bytes());
}

Status VhdxWriter::WriteRegionTables() {
  Bytes table(kVhdxRegionTableBytes);
  StoreText(table, 0, kVhdxRegionSignature);
  StoreLittle<std::uint32_t>(table, vhdx_region::kEntryCount, 2);
  StoreRegion(table, 0, vhdx_region::kTable, table_region_);
  StoreRegion(table, 1, vhdx_region::kMetadata, kMetadataRegion);
  StoreLittle<std::uint32_t>(table, vhdx_region::kChecksum, Crc32c(table));
  for (const std::uint64_t offset : kVhdxRegionTableOffsets) {
    ASR_CHECK(file().WriteAt(offset, table));
  }
  return {};
}

Status VhdxWriter::WriteHeaders() {
  const Guid file_write_guid = NewGuid();
  const Guid data_write_guid = NewGuid();
  for (std::size_t i = 0; i < kVhdxHeaderOffsets.size(); ++i) {
    Bytes header(kVhdxHeaderBytes);
    StoreText(header, 0, kVhdxHeaderSignature);
    StoreLittle<std::uint64_t>(header, vhdx_header::kSequenceNumber, i + 1);
    StoreGuid(header, vhdx_header::kFileWriteGuid, file_write_guid);
    StoreGuid(header, vhdx_header::kDataWriteGuid, data_write_guid);
    StoreLittle<std::uint16_t>(header, vhdx_header::kVersion, 1);
    StoreLittle<std::uint32_t>(header, vhdx_header::kLogLength,
                               static_cast<std::uint32_t>(kLog.length_bytes));
    StoreLittle<std::uint64_t>(header, vhdx_header::kLogOffset, kLog.offset_bytes);
    StoreLittle<std::uint32_t>(header, vhdx_header::kChecksum, Crc32c(header));
    ASR_CHECK(file().WriteAt(kVhdxHeaderOffsets[i], header));
  }
  return {};
}

}  // namespace asr
