#include "storage/hrl/hrl_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::size_t kReadBytes = kMiB;

Result<std::unique_ptr<File>> OpenLog(FileSystem& fs, const std::string& path,
                                      OpenOptions options) {
  // Looked at first: opening a pipe would wait for its writer.
  ASR_TRY(const FileStamp stamp, fs.Stat(path));
  if (stamp.type == FileType::kRegular) return fs.Open(path, options);
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kLogUnsupported,
                        fmt::format("{} is no file", path))
                  .WithAction("give the path of the change log itself"));
}

Result<HrlSummary> ReadSummary(File& file) {
  HrlSummary summary;
  ASR_TRY(const FileStamp stamp, file.Stat());
  summary.file_bytes = stamp.size_bytes;
  if (summary.file_bytes < kHrlHeaderBytes) {
    return Fail(
        CorruptLog(fmt::format("the file has {} bytes, less than the header of a change "
                               "log",
                               summary.file_bytes)));
  }
  std::vector<std::byte> start(kHrlHeaderBytes);
  ASR_CHECK(file.ReadAt(0, start));
  std::string warning;
  ASR_TRY(summary.header, DecodeHrlHeader(start, warning));
  if (!warning.empty()) summary.warnings.push_back(std::move(warning));
  return summary;
}

Error InLog(Error error, const std::string& path) {
  return std::move(error).WithContext(fmt::format("change log {}", path));
}

}  // namespace

Result<HrlSummary> ReadHrlSummary(FileSystem& fs, const std::string& path) {
  ASR_TRY(const auto file, OpenLog(fs, path, {}));
  auto summary = ReadSummary(*file);
  if (!summary) return Fail(InLog(std::move(summary).error(), path));
  return summary;
}

HrlReader::HrlReader(std::string path, HrlSummary summary, std::unique_ptr<File> file)
    : path_(std::move(path)), summary_(std::move(summary)), file_(std::move(file)) {}

Result<HrlReader> HrlReader::Open(FileSystem& fs, const std::string& path) {
  ASR_TRY(auto file, OpenLog(fs, path, {.direct = true}));
  auto summary = ReadSummary(*file);
  if (!summary) return Fail(InLog(std::move(summary).error(), path));
  HrlReader reader(path, *std::move(summary), std::move(file));
  if (Status found = reader.FindBlocks(); !found) {
    return Fail(InLog(std::move(found).error(), path));
  }
  return reader;
}

Status HrlReader::CheckEnd() const {
  const HrlHeader& header = summary_.header;
  if (!header.is_closed()) {
    return Fail(
        MakeError(ErrorKind::kCorrupt, ErrorCode::kLogNotClosed,
                  "the change log was not closed: nobody knows whether it is whole")
            .WithCause("the machine or the program that wrote it stopped")
            .WithCause("it is still being written")
            .WithAction("wait until its writer has closed it; if that has stopped, have Hyper-V "
                        "compare the disks: Resume-VMReplication VM -Resynchronize"));
  }
  if (header.end_bytes <= summary_.file_bytes &&
      header.end_bytes >= kHrlHeaderBytes + header.metadata_bytes) {
    return {};
  }
  return Fail(CorruptLog(fmt::format("the change log ends at {}, its file at {}", header.end_bytes,
                                     summary_.file_bytes)));
}

// 2.5: from the last block back to the first. Every step goes back by a block at least.
Status HrlReader::FindBlocks() {
  ASR_CHECK(CheckEnd());
  const HrlHeader& header = summary_.header;
  const std::uint64_t block_bytes = header.metadata_bytes;
  std::uint64_t entries = 0;
  for (std::uint64_t place = header.end_bytes - block_bytes;;) {
    std::array<std::byte, kHrlBlockHeaderBytes> bytes{};
    ASR_CHECK(file_->ReadAt(place, bytes));
    ASR_TRY(const HrlBlockHeader block, DecodeHrlBlockHeader(bytes, place));
    if (block.entry_count > (block_bytes - kHrlBlockHeaderBytes) / kHrlEntryBytes) {
      return Fail(
          CorruptLog(fmt::format("the metadata block at offset {} of the change log has {} "
                                 "entries, more than it has room for",
                                 place, block.entry_count)));
    }
    entries += block.entry_count;
    blocks_.push_back(place);
    if (block.distance_to_previous == 0) break;
    if (block.distance_to_previous < block_bytes ||
        block.distance_to_previous > place - kHrlHeaderBytes) {
      return Fail(
          CorruptLog(fmt::format("the metadata block at offset {} of the change log gives "
                                 "the one before it {} bytes back, where none can be",
                                 place, block.distance_to_previous)));
    }
    place -= block.distance_to_previous;
  }
  std::ranges::reverse(blocks_);
  if (entries == header.entry_count) return {};
  return Fail(CorruptLog(fmt::format("the change log has {} entries and should have {}", entries,
                                     header.entry_count)));
}

Result<std::vector<HrlEntry>> HrlReader::ReadBlock(std::size_t index) const {
  const auto read = [&]() -> Result<std::vector<HrlEntry>> {
    const std::uint64_t place = blocks_[index];
    const std::uint64_t data_begin =
        index == 0 ? kHrlHeaderBytes : blocks_[index - 1] + summary_.header.metadata_bytes;
    std::vector<std::byte> bytes(summary_.header.metadata_bytes);
    ASR_CHECK(file_->ReadAt(place, bytes));
    const ByteSpan block(bytes);
    ASR_TRY(const HrlBlockHeader header,
            DecodeHrlBlockHeader(block.first(kHrlBlockHeaderBytes), place));
    std::vector<HrlEntry> entries;
    std::uint64_t data = data_begin;
    for (std::size_t i = 0; i < header.entry_count; ++i) {
      const std::size_t at = kHrlBlockHeaderBytes + i * kHrlEntryBytes;
      if (at + kHrlEntryBytes > block.size()) break;  // it was changed since Open
      ASR_TRY(HrlEntry entry, DecodeHrlEntry(block.subspan(at, kHrlEntryBytes), place + at));
      entry.file_offset = data;
      data += entry.disk.length_bytes;
      entries.push_back(entry);
    }
    if (data == place) return entries;
    return Fail(
        CorruptLog(fmt::format("the entries of the metadata block at offset {} of the "
                               "change log have {} bytes of data, but {} lie before it",
                               place, data - data_begin, place - data_begin)));
  };
  auto entries = read();
  if (!entries) return Fail(InLog(std::move(entries).error(), path_));
  return entries;
}

Status HrlReader::ReadData(const HrlEntry& entry, std::uint64_t skip_bytes,
                           MutableByteSpan out) const {
  return file_->ReadAt(entry.file_offset + skip_bytes, out);
}

Status HrlReader::VerifyData(const HrlEntry& entry) const {
  if (entry.data_checksum == 0) return {};
  AlignedBuffer buffer(std::min<std::uint64_t>(kReadBytes, entry.disk.length_bytes));
  std::uint32_t sum = 0;
  for (std::uint64_t done = 0; done < entry.disk.length_bytes;) {
    const MutableByteSpan piece = buffer.span().first(
        std::min<std::uint64_t>(buffer.size_bytes(), entry.disk.length_bytes - done));
    ASR_CHECK(ReadData(entry, done, piece));
    sum += ~HrlChecksum(piece);
    done += piece.size();
  }
  if (~sum == entry.data_checksum) return {};
  return Fail(InLog(
      CorruptLog(fmt::format("the data for {} bytes at offset {} of the disk has the checksum "
                             "{:#x} and should have {:#x}",
                             entry.disk.length_bytes, entry.disk.offset_bytes, ~sum,
                             entry.data_checksum)),
      path_));
}

}  // namespace asr
