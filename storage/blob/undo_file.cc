#include "storage/blob/undo_file.h"

#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

// Byte offsets of asr-vault(5), "Undo files".
constexpr std::string_view kMagic{"ASRUNDO\0", 8};
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kSlotBytes = 4096;
constexpr std::size_t kSlotCount = 2;
constexpr std::size_t kVersionOffset = 8;
constexpr std::size_t kChunkBytesOffset = 12;
constexpr std::size_t kBlobSizeOffset = 16;
constexpr std::size_t kSequenceOffset = 24;
constexpr std::size_t kBitmapOffsetOffset = 32;
constexpr std::size_t kDataOffsetOffset = 40;
constexpr std::size_t kFileIdOffset = 48;
constexpr std::size_t kSnapshotOffset = 64;
constexpr std::size_t kPredecessorOffset = 320;
constexpr std::size_t kNameFieldBytes = 256;
constexpr std::size_t kChecksumOffset = kSlotBytes - 4;

constexpr std::uint64_t kBitmapOffset = kSlotCount * kSlotBytes;
// How much of a bitmap is in memory at a time while it is rewritten.
constexpr std::size_t kBitmapPieceBytes = 64 * kKiB;

using Slot = std::array<std::byte, kSlotBytes>;

std::uint64_t ChunkCount(std::uint64_t blob_size_bytes) {
  return DivideRoundingUp(blob_size_bytes, kUndoChunkBytes);
}

std::uint64_t DataOffset(std::uint64_t blob_size_bytes) {
  const std::uint64_t bitmap_bytes =
      DivideRoundingUp(ChunkCount(blob_size_bytes), std::uint64_t{8});
  return AlignUp(kBitmapOffset + bitmap_bytes, kUndoChunkBytes);
}

void StoreName(Slot& slot, std::size_t offset, const SnapshotId& id) {
  // A name is at most 200 bytes (blob_name.h): the zero that ends it always fits.
  std::memcpy(slot.data() + offset, id.value.data(),
              std::min(id.value.size(), kNameFieldBytes - 1));
}

SnapshotId LoadName(const Slot& slot, std::size_t offset) {
  const std::string_view field = AsText(ByteSpan(slot).subspan(offset, kNameFieldBytes));
  return {std::string(field.substr(0, field.find('\0')))};
}

Slot EncodeHeader(const UndoHeader& header) {
  Slot slot{};
  std::memcpy(slot.data(), kMagic.data(), kMagic.size());
  StoreLittle<std::uint32_t>(slot, kVersionOffset, kFormatVersion);
  StoreLittle<std::uint32_t>(slot, kChunkBytesOffset, kUndoChunkBytes);
  StoreLittle<std::uint64_t>(slot, kBlobSizeOffset, header.blob_size_bytes);
  StoreLittle<std::uint64_t>(slot, kSequenceOffset, header.sequence);
  StoreLittle<std::uint64_t>(slot, kBitmapOffsetOffset, kBitmapOffset);
  StoreLittle<std::uint64_t>(slot, kDataOffsetOffset, DataOffset(header.blob_size_bytes));
  std::memcpy(slot.data() + kFileIdOffset, header.file_id.data(), header.file_id.size());
  StoreName(slot, kSnapshotOffset, header.snapshot);
  StoreName(slot, kPredecessorOffset, header.predecessor);
  StoreLittle<std::uint32_t>(slot, kChecksumOffset, Crc32c(ByteSpan(slot).first(kChecksumOffset)));
  return slot;
}

// nullopt for a slot that is torn, or not of this format.
std::optional<UndoHeader> DecodeHeader(const Slot& slot) {
  const ByteSpan bytes(slot);
  if (AsText(bytes.first(kMagic.size())) != kMagic) return std::nullopt;
  if (LoadLittle<std::uint32_t>(bytes, kChecksumOffset) != Crc32c(bytes.first(kChecksumOffset))) {
    return std::nullopt;
  }
  UndoHeader header;
  header.blob_size_bytes = LoadLittle<std::uint64_t>(bytes, kBlobSizeOffset);
  header.sequence = LoadLittle<std::uint64_t>(bytes, kSequenceOffset);
  if (LoadLittle<std::uint32_t>(bytes, kVersionOffset) != kFormatVersion ||
      LoadLittle<std::uint32_t>(bytes, kChunkBytesOffset) != kUndoChunkBytes ||
      LoadLittle<std::uint64_t>(bytes, kBitmapOffsetOffset) != kBitmapOffset ||
      LoadLittle<std::uint64_t>(bytes, kDataOffsetOffset) != DataOffset(header.blob_size_bytes)) {
    return std::nullopt;
  }
  std::memcpy(header.file_id.data(), slot.data() + kFileIdOffset, header.file_id.size());
  header.snapshot = LoadName(slot, kSnapshotOffset);
  header.predecessor = LoadName(slot, kPredecessorOffset);
  return header;
}

Result<UndoHeader> ReadHeader(File& file, const std::string& path) {
  std::optional<UndoHeader> best;
  for (std::size_t index = 0; index < kSlotCount; ++index) {
    Slot slot{};
    ASR_TRY(const std::size_t count, file.ReadUpTo(index * kSlotBytes, slot));
    if (count != slot.size()) continue;
    const std::optional<UndoHeader> header = DecodeHeader(slot);
    if (header && (!best || header->sequence > best->sequence)) best = header;
  }
  if (best) return *best;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("{} has no whole header of an undo file", path))
                  .WithCause("the file was damaged, or written by a newer version of asr")
                  .WithAction("recovery points up to this one cannot be read; newer ones can: "
                              "asr points list"));
}

}  // namespace

void AppendChunk(std::vector<ChunkRun>& runs, std::uint64_t chunk) {
  if (!runs.empty() && runs.back().end() == chunk) {
    ++runs.back().count;
  } else {
    runs.push_back({chunk, 1});
  }
}

ChunkRun ChunksOf(Extent range) {
  if (range.length_bytes == 0) return {range.offset_bytes / kUndoChunkBytes, 0};
  const std::uint64_t first = range.offset_bytes / kUndoChunkBytes;
  return {first, DivideRoundingUp(range.end_bytes(), kUndoChunkBytes) - first};
}

bool PresenceBits::Has(std::uint64_t chunk) const {
  if (chunk < first_chunk_) return false;
  const std::uint64_t bit = chunk - first_chunk_;
  if (bit / 8 >= bytes_.size()) return false;
  return (std::to_integer<unsigned>(bytes_[bit / 8]) >> (bit % 8) & 1) != 0;
}

UndoFile::UndoFile(std::string path, std::unique_ptr<File> file, UndoHeader header)
    : path_(std::move(path)),
      file_(std::move(file)),
      header_(std::move(header)),
      chunk_count_(ChunkCount(header_.blob_size_bytes)),
      data_offset_bytes_(DataOffset(header_.blob_size_bytes)) {}

Result<std::shared_ptr<UndoFile>> UndoFile::Create(FileSystem& fs, const std::string& path,
                                                   UndoHeader header) {
  header.file_id = RandomBits();
  const std::string temporary = TemporaryPath(path);
  const auto create = [&]() -> Result<std::shared_ptr<UndoFile>> {
    ASR_TRY(auto file,
            fs.Open(temporary, {.mode = OpenMode::kCreate, .direct = true, .owner_only = true}));
    std::shared_ptr<UndoFile> undo(new UndoFile(path, std::move(file), std::move(header)));
    ASR_CHECK(undo->file_->Resize(undo->data_offset_bytes_ + undo->chunk_count_ * kUndoChunkBytes));
    // The other slot gets its block now: dropping the oldest snapshot writes there, and must not
    // need space on a file system that is full. Zeros are no header.
    ASR_CHECK(undo->file_->WriteAt((undo->header_.sequence + 1) % kSlotCount * kSlotBytes, Slot{}));
    ASR_CHECK(undo->WriteHeader());
    ASR_CHECK(fs.RenameNoReplace(temporary, path));
    return undo;
  };
  auto result = create();
  if (!result) static_cast<void>(fs.RemoveFile(temporary).has_value());
  return result;
}

Result<std::shared_ptr<UndoFile>> UndoFile::Open(FileSystem& fs, const std::string& path,
                                                 Access access) {
  const OpenMode mode = access == Access::kRead ? OpenMode::kRead : OpenMode::kWrite;
  ASR_TRY(auto file, fs.Open(path, {.mode = mode, .direct = true}));
  ASR_TRY(UndoHeader header, ReadHeader(*file, path));
  return std::shared_ptr<UndoFile>(new UndoFile(path, std::move(file), std::move(header)));
}

Status UndoFile::WriteHeader() {
  const Slot slot = EncodeHeader(header_);
  ASR_CHECK(file_->WriteAt(header_.sequence % kSlotCount * kSlotBytes, slot));
  return file_->Sync();
}

Status UndoFile::SetPredecessor(const SnapshotId& predecessor) {
  header_.predecessor = predecessor;
  ++header_.sequence;
  return WriteHeader();
}

Result<PresenceBits> UndoFile::ReadBits(ChunkRun run) const {
  const std::uint64_t first_byte = run.first / 8;
  const std::uint64_t end_byte =
      DivideRoundingUp(std::min(run.end(), chunk_count_), std::uint64_t{8});
  std::vector<std::byte> bytes(end_byte > first_byte ? end_byte - first_byte : 0);
  if (!bytes.empty()) ASR_CHECK(file_->ReadAt(kBitmapOffset + first_byte, bytes));
  return PresenceBits(first_byte * 8, std::move(bytes));
}

Status UndoFile::SetBits(const std::vector<ChunkRun>& runs) {
  for (const ChunkRun& run : runs) {
    const std::uint64_t end = std::min(run.end(), chunk_count_);
    std::uint64_t chunk = run.first;
    while (chunk < end) {
      const std::uint64_t stop =
          std::min(end, AlignDown(chunk, std::uint64_t{8}) + kBitmapPieceBytes * 8);
      ASR_TRY(const PresenceBits old, ReadBits({chunk, stop - chunk}));
      std::vector<std::byte> bytes = old.bytes();
      const std::uint64_t first_bit = AlignDown(chunk, std::uint64_t{8});
      for (; chunk < stop; ++chunk) {
        const std::uint64_t bit = chunk - first_bit;
        bytes[bit / 8] |= static_cast<std::byte>(1U << (bit % 8));
      }
      ASR_CHECK(file_->WriteAt(kBitmapOffset + first_bit / 8, bytes));
    }
  }
  return {};
}

Status UndoFile::MakeBitsDurable() {
  const Extent bitmap{kBitmapOffset, DivideRoundingUp(chunk_count_, std::uint64_t{8})};
  ASR_TRY(const auto extents, file_->DataExtents(bitmap));
  std::vector<std::byte> piece;
  for (const Extent& extent : extents) {
    for (std::uint64_t offset = extent.offset_bytes; offset < extent.end_bytes();) {
      piece.resize(std::min<std::uint64_t>(kBitmapPieceBytes, extent.end_bytes() - offset));
      ASR_CHECK(file_->ReadAt(offset, piece));
      ASR_CHECK(file_->WriteAt(offset, piece));
      offset += piece.size();
    }
  }
  return file_->Sync();
}

Status UndoFile::ReadData(std::uint64_t offset_bytes, MutableByteSpan out) const {
  return file_->ReadAt(data_offset_bytes_ + offset_bytes, out);
}

Status UndoFile::WriteData(std::uint64_t offset_bytes, ByteSpan bytes) {
  return file_->WriteAt(data_offset_bytes_ + offset_bytes, bytes);
}

Result<std::vector<Extent>> UndoFile::DataExtents(Extent range) const {
  ASR_TRY(auto extents,
          file_->DataExtents({data_offset_bytes_ + range.offset_bytes, range.length_bytes}));
  for (Extent& extent : extents) extent.offset_bytes -= data_offset_bytes_;
  return extents;
}

Status UndoFile::Sync() { return file_->Sync(); }

}  // namespace asr
