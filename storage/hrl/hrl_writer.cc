#include "storage/hrl/hrl_writer.h"

#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::size_t kEntriesABlock = (kHrlMetadataBytes - kHrlBlockHeaderBytes) / kHrlEntryBytes;
constexpr std::uint64_t kMostEntryBytes = 4 * kGiB - kHrlSectorBytes;
constexpr std::uint32_t kChecksumOfZeros = ~std::uint32_t{0};

}  // namespace

HrlWriter::HrlWriter(FileSystem& fs, std::string path, std::unique_ptr<File> file,
                     const Origin& origin)
    : fs_(fs), path_(std::move(path)), file_(std::move(file)) {
  header_.id = origin.id;
  header_.previous_id = origin.previous_id;
  header_.created = origin.created;
  header_.last_modified = origin.created;
  next_offset_ = kHrlHeaderBytes;
  allocated_bytes_ = kHrlHeaderBytes;
  pending_.reserve(kEntriesABlock);
}

Result<std::unique_ptr<HrlWriter>> HrlWriter::Create(FileSystem& fs, const std::string& path,
                                                     const Origin& origin) {
  ASR_TRY(auto file,
          fs.Open(path, {.mode = OpenMode::kCreate, .direct = true, .owner_only = true}));
  std::unique_ptr<HrlWriter> writer(new HrlWriter(fs, path, std::move(file), origin));
  ASR_CHECK(writer->WriteHeader());
  ASR_CHECK(writer->WriteBlock());  // an empty one comes first, as Hyper-V has it
  return writer;
}

Result<std::uint64_t> HrlWriter::Append(std::uint64_t disk_offset, ByteSpan bytes,
                                        Timestamp written) {
  ASR_TRY(const Placed placed, Place({disk_offset, bytes.size()}, HrlChecksum(bytes), written));
  Status status = file_->WriteAt(placed.file_offset, bytes);
  if (status) return placed.number;
  const std::lock_guard lock(mutex_);
  is_broken_ = true;
  return Fail(std::move(status).error());
}

Result<std::uint64_t> HrlWriter::AppendZeros(Extent disk, Timestamp written) {
  ASR_TRY(const Placed placed, Place(disk, kChecksumOfZeros, written));
  return placed.number;
}

Result<HrlWriter::Placed> HrlWriter::Place(Extent disk, std::uint32_t checksum, Timestamp written) {
  if (disk.length_bytes == 0 || disk.length_bytes % kHrlSectorBytes != 0 ||
      disk.offset_bytes % kHrlSectorBytes != 0 || disk.length_bytes > kMostEntryBytes) {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                fmt::format("{} bytes at offset {} are no entry of a change log", disk.length_bytes,
                            disk.offset_bytes));
  }
  const std::lock_guard lock(mutex_);
  const Placed placed{.number = header_.entry_count + pending_.size(), .file_offset = next_offset_};
  pending_.push_back(
      {.disk = disk, .file_offset = next_offset_, .written = written, .data_checksum = checksum});
  next_offset_ += disk.length_bytes;
  if (checksum != kChecksumOfZeros) allocated_bytes_ += disk.length_bytes;
  if (pending_.size() < kEntriesABlock) return placed;
  Status status = WriteBlock();
  is_broken_ |= !status.has_value();
  if (!status) return Fail(std::move(status).error());
  return placed;
}

Status HrlWriter::WriteBlock() {
  std::vector<std::byte> block(kHrlMetadataBytes);
  const MutableByteSpan bytes(block);
  EncodeHrlBlockHeader({.distance_to_previous = last_block_ == 0 ? 0 : next_offset_ - last_block_,
                        .entry_count = static_cast<std::uint32_t>(pending_.size())},
                       bytes.first(kHrlBlockHeaderBytes));
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    EncodeHrlEntry(pending_[i],
                   bytes.subspan(kHrlBlockHeaderBytes + i * kHrlEntryBytes, kHrlEntryBytes));
  }
  ASR_CHECK(file_->WriteAt(next_offset_, block));
  header_.entry_count += pending_.size();
  pending_.clear();
  last_block_ = next_offset_;
  next_offset_ += kHrlMetadataBytes;
  allocated_bytes_ += kHrlMetadataBytes;
  return {};
}

Status HrlWriter::WriteHeader() {
  std::vector<std::byte> header(kHrlHeaderBytes);
  EncodeHrlHeader(header_, header);
  return file_->WriteAt(0, header);
}

// The end is written only when all before it is durable: a log that has one is whole.
Status HrlWriter::Close(const Guid& data_write_guid, Timestamp now) {
  const std::lock_guard lock(mutex_);
  if (is_broken_) {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                fmt::format("the change log {} met an error and cannot be closed", path_));
  }
  if (!pending_.empty()) ASR_CHECK(WriteBlock());
  ASR_CHECK(file_->Sync());
  header_.end_bytes = next_offset_;
  header_.current_bytes = next_offset_;
  header_.last_modified = now;
  header_.data_write_guid = data_write_guid;
  ASR_CHECK(WriteHeader());
  ASR_CHECK(file_->Sync());
  return fs_.SyncDirectory(ParentOf(path_));
}

std::uint64_t HrlWriter::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return allocated_bytes_;
}

std::uint64_t HrlWriter::entry_count() const {
  const std::lock_guard lock(mutex_);
  return header_.entry_count + pending_.size();
}

}  // namespace asr
