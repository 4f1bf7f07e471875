#include "tests/support/vhdx_log_builder.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "storage/fs/file_system.h"
#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

using Bytes = std::vector<std::byte>;

Bytes ReadFile(const std::string& path, std::uint64_t offset, std::size_t count) {
  Bytes bytes(count);
  MustSucceed(PosixFileSystem().Open(path, {}).value()->ReadAt(offset, bytes));
  return bytes;
}

// Of the entry's first sectors: a header of 64 bytes, then descriptors of 32.
std::uint64_t DescriptorArea(std::uint64_t descriptor_count) {
  return AlignUp<std::uint64_t>(64 + descriptor_count * 32, kVhdxLogSectorBytes);
}

}  // namespace

VhdxLogBuilder::VhdxLogBuilder(std::string vhdx_path, std::uint64_t first_sequence_number)
    : next_sequence_number(first_sequence_number),
      path_(std::move(vhdx_path)),
      file_bytes_(FileSize(path_)) {
  const Bytes header = ReadFile(path_, VhdxBuilder::kHeader1, 4096);
  log_ = {LoadLittle<std::uint64_t>(header, 72), LoadLittle<std::uint32_t>(header, 68)};
  EditHeaders([&](MutableByteSpan bytes) { std::memcpy(&bytes[48], guid.data(), guid.size()); });
}

void VhdxLogBuilder::EditHeaders(const std::function<void(MutableByteSpan header)>& edit) const {
  for (const std::uint64_t offset : {VhdxBuilder::kHeader1, VhdxBuilder::kHeader2}) {
    Bytes header = ReadFile(path_, offset, 4096);
    edit(header);
    SealVhdxStructure(header);
    OverwriteFile(path_, offset, header);
  }
}

void VhdxLogBuilder::Undo(Extent range, VhdxLogEntry& entry) const {
  if (range.offset_bytes % kVhdxLogSectorBytes != 0 ||
      range.length_bytes % kVhdxLogSectorBytes != 0) {
    std::abort();
  }
  for (std::uint64_t offset = range.offset_bytes; offset < range.end_bytes();
       offset += kVhdxLogSectorBytes) {
    Bytes sector = ReadFile(path_, offset, kVhdxLogSectorBytes);
    OverwriteFile(path_, offset, Bytes(kVhdxLogSectorBytes, std::byte{0xDD}));
    if (IsZero(sector)) {
      AppendExtent(entry.zeros, {offset, kVhdxLogSectorBytes});
    } else {
      entry.sectors[offset] = std::move(sector);
    }
  }
}

std::vector<std::byte> VhdxLogBuilder::EntryBytes(const VhdxLogEntry& entry) const {
  const std::uint64_t count = entry.zeros.size() + entry.sectors.size();
  const std::uint64_t area = DescriptorArea(count);
  Bytes bytes(area + entry.sectors.size() * kVhdxLogSectorBytes);
  std::memcpy(&bytes[0], "loge", 4);
  StoreLittle<std::uint32_t>(bytes, 8, static_cast<std::uint32_t>(bytes.size()));
  StoreLittle<std::uint32_t>(bytes, 12, entry.tail.value_or(first_offset_.value_or(next_offset)));
  StoreLittle<std::uint64_t>(bytes, 16, next_sequence_number);
  StoreLittle<std::uint32_t>(bytes, 24, static_cast<std::uint32_t>(count));
  std::memcpy(&bytes[32], guid.data(), guid.size());
  StoreLittle<std::uint64_t>(bytes, 48, entry.flushed_file_offset.value_or(file_bytes_));
  StoreLittle<std::uint64_t>(bytes, 56, entry.last_file_offset.value_or(file_bytes_));

  std::size_t descriptor = 64;
  for (const Extent& zeros : entry.zeros) {
    std::memcpy(&bytes[descriptor], "zero", 4);
    StoreLittle<std::uint64_t>(bytes, descriptor + 8, zeros.length_bytes);
    StoreLittle<std::uint64_t>(bytes, descriptor + 16, zeros.offset_bytes);
    StoreLittle<std::uint64_t>(bytes, descriptor + 24, next_sequence_number);
    descriptor += 32;
  }
  std::size_t data = area;
  for (const auto& [offset, sector] : entry.sectors) {
    std::memcpy(&bytes[descriptor], "desc", 4);
    std::memcpy(&bytes[descriptor + 4], &sector[4092], 4);
    std::memcpy(&bytes[descriptor + 8], &sector[0], 8);
    StoreLittle<std::uint64_t>(bytes, descriptor + 16, offset);
    StoreLittle<std::uint64_t>(bytes, descriptor + 24, next_sequence_number);
    descriptor += 32;
    std::memcpy(&bytes[data], "data", 4);
    StoreLittle<std::uint32_t>(bytes, data + 4,
                               static_cast<std::uint32_t>(next_sequence_number >> 32));
    std::memcpy(&bytes[data + 8], &sector[8], 4084);
    StoreLittle<std::uint32_t>(bytes, data + 4092,
                               static_cast<std::uint32_t>(next_sequence_number & 0xFFFFFFFF));
    data += kVhdxLogSectorBytes;
  }
  if (entry.edit) entry.edit(bytes);
  SealVhdxStructure(bytes);
  return bytes;
}

std::uint32_t VhdxLogBuilder::Append(const VhdxLogEntry& entry) {
  const Bytes bytes = EntryBytes(entry);
  if (bytes.size() >= log_.length_bytes) std::abort();
  const std::uint32_t offset = next_offset;
  if (!first_offset_) first_offset_ = offset;
  const std::size_t before_end = std::min<std::size_t>(bytes.size(), log_.length_bytes - offset);
  OverwriteFile(path_, log_.offset_bytes + offset, ByteSpan(bytes).first(before_end));
  OverwriteFile(path_, log_.offset_bytes, ByteSpan(bytes).subspan(before_end));
  next_offset = static_cast<std::uint32_t>((offset + bytes.size()) % log_.length_bytes);
  ++next_sequence_number;
  return offset;
}

}  // namespace asr::testing
