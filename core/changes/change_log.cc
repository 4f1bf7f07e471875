#include "core/changes/change_log.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::string_view kMagic = "ASRHRLD1";
constexpr std::size_t kIdOffset = 8;
constexpr std::size_t kAlgorithmOffset = 24;
constexpr std::size_t kStartBytes = 32;
constexpr std::size_t kWriteBytes = 64 * kKiB;

using Start = std::array<std::byte, kStartBytes>;

Start StartOf(const Guid& log, DigestAlgorithm algorithm) {
  Start start{};
  std::ranges::copy(AsBytes(kMagic), start.begin());
  std::ranges::copy(log, start.begin() + kIdOffset);
  start[kAlgorithmOffset] = static_cast<std::byte>(algorithm);
  return start;
}

Status RemoveIfThere(FileSystem& fs, const std::string& path) {
  Status removed = fs.RemoveFile(path);
  if (removed || removed.error().kind == ErrorKind::kNotFound) return {};
  return removed;
}

}  // namespace

std::string DigestPathOf(const std::string& log_path) { return log_path + ".digests"; }

Status RemoveChangeLog(FileSystem& fs, const std::string& path) {
  ASR_CHECK(RemoveIfThere(fs, DigestPathOf(path)));
  return RemoveIfThere(fs, path);
}

ChangeLogWriter::ChangeLogWriter(std::unique_ptr<HrlWriter> log, std::unique_ptr<File> digests,
                                 std::uint64_t most_bytes)
    : log_(std::move(log)), digests_(std::move(digests)), most_bytes_(most_bytes) {}

Result<std::unique_ptr<ChangeLogWriter>> ChangeLogWriter::Create(FileSystem& fs,
                                                                 const std::string& path,
                                                                 const HrlWriter::Origin& origin,
                                                                 DigestAlgorithm algorithm,
                                                                 std::uint64_t most_bytes) {
  ASR_TRY(auto log, HrlWriter::Create(fs, path, origin));
  ASR_TRY(auto digests, fs.Open(DigestPathOf(path), {.mode = OpenMode::kCreate}));
  std::unique_ptr<ChangeLogWriter> writer(
      new ChangeLogWriter(std::move(log), std::move(digests), most_bytes));
  const Start start = StartOf(origin.id, algorithm);
  writer->pending_.assign(start.begin(), start.end());
  return writer;
}

Result<std::uint64_t> ChangeLogWriter::Append(std::uint64_t disk_offset, ByteSpan bytes,
                                              Timestamp now) {
  ASR_CHECK(CheckSize());
  return log_->Append(disk_offset, bytes, now);
}

Result<std::uint64_t> ChangeLogWriter::AppendZeros(Extent disk, Timestamp now) {
  ASR_CHECK(CheckSize());
  return log_->AppendZeros(disk, now);
}

Status ChangeLogWriter::CheckSize() const {
  if (log_->allocated_bytes() <= most_bytes_) return {};
  return Fail(
      MakeError(ErrorKind::kState, ErrorCode::kLogTooLarge,
                fmt::format("the change log grew over {} bytes, half of the disk", most_bytes_))
          .WithCause("most of the disk was written since the last replication")
          .WithAction("nothing: the disk is compared and sent without a log"));
}

Status ChangeLogWriter::AppendDigests(std::span<const Digest> digests) {
  const ByteSpan bytes = std::as_bytes(digests);
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  return pending_.size() < kWriteBytes ? Status() : WriteDigests();
}

Status ChangeLogWriter::WriteDigests() {
  ASR_CHECK(digests_->WriteAt(digest_offset_, pending_));
  digest_offset_ += pending_.size();
  pending_.clear();
  return {};
}

// The log last: one that is closed has its digests.
Status ChangeLogWriter::Close(const Guid& data_write_guid, Timestamp now) {
  ASR_CHECK(WriteDigests());
  ASR_CHECK(digests_->Sync());
  return log_->Close(data_write_guid, now);
}

ChangeLog::ChangeLog(HrlReader log, std::unique_ptr<File> digests)
    : log_(std::move(log)), digests_(std::move(digests)) {}

Result<ChangeLog> ChangeLog::Open(FileSystem& fs, const std::string& path,
                                  DigestAlgorithm algorithm) {
  ASR_TRY(HrlReader log, HrlReader::Open(fs, path));
  ASR_TRY(auto digests, fs.Open(DigestPathOf(path), {}));
  Start start{};
  ASR_TRY(const std::size_t count, digests->ReadUpTo(0, start));
  if (count != start.size() || start != StartOf(log.header().id, algorithm)) {
    return Fail(CorruptLog(fmt::format("{} does not hold the digests of the change log {}",
                                       DigestPathOf(path), path)));
  }
  return ChangeLog(std::move(log), std::move(digests));
}

Status ChangeLog::ReadDigests(std::uint64_t first, std::span<Digest> out) const {
  const std::uint64_t offset = kStartBytes + first * sizeof(Digest);
  ASR_TRY(const std::size_t count, digests_->ReadUpTo(offset, std::as_writable_bytes(out)));
  if (count == out.size_bytes()) return {};
  return Fail(CorruptLog("the file of the change log's digests ends early"));
}

}  // namespace asr
