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
  if (removed || IsNotFound(removed.error())) return {};
  // A file system that is read-only says so of files that are not there, too.
  const auto exists = PathExists(fs, path);
  return exists && !*exists ? Status() : removed;
}

bool IsOfLogs(const Error& error) {
  return error.code == ErrorCode::kLogCorrupt || error.code == ErrorCode::kLogNotClosed ||
         error.code == ErrorCode::kLogUnsupported;
}

// What was to be read is a log: so whatever went wrong is wrong with it.
template <class Value>
Result<Value> OfLog(Result<Value> outcome) {
  if (outcome || IsOfLogs(outcome.error())) return outcome;
  return Fail(CorruptLog("the change log cannot be read: " + outcome.error().Line()));
}

Status OfLog(Status outcome) {
  if (outcome || IsOfLogs(outcome.error())) return outcome;
  return Fail(CorruptLog("the change log cannot be read: " + outcome.error().Line()));
}

}  // namespace

std::string DigestPathOf(const std::string& log_path) { return log_path + ".digests"; }

Status RemoveChangeLog(FileSystem& fs, const std::string& path) {
  ASR_CHECK(RemoveIfThere(fs, DigestPathOf(path)));
  ASR_CHECK(RemoveIfThere(fs, path));
  Status synced = fs.SyncDirectory(ParentOf(path));
  if (!synced && IsNotFound(synced.error())) return {};
  return synced;
}

ChangeLogWriter::ChangeLogWriter(std::unique_ptr<HrlWriter> log, std::unique_ptr<File> digests,
                                 const Limits& limits)
    : log_(std::move(log)), digests_(std::move(digests)), limits_(limits) {}

Result<std::unique_ptr<ChangeLogWriter>> ChangeLogWriter::Create(FileSystem& fs,
                                                                 const std::string& path,
                                                                 const HrlWriter::Origin& origin,
                                                                 DigestAlgorithm algorithm,
                                                                 const Limits& limits) {
  ASR_TRY(auto log, HrlWriter::Create(fs, path, origin));
  ASR_TRY(auto digests,
          fs.Open(DigestPathOf(path), {.mode = OpenMode::kCreate, .owner_only = true}));
  std::unique_ptr<ChangeLogWriter> writer(
      new ChangeLogWriter(std::move(log), std::move(digests), limits));
  const Start start = StartOf(origin.id, algorithm);
  writer->pending_.assign(start.begin(), start.end());
  return writer;
}

Result<std::uint64_t> ChangeLogWriter::Append(std::uint64_t disk_offset, ByteSpan bytes,
                                              Timestamp now) {
  ASR_CHECK(CheckSize());
  ASR_TRY(const std::uint64_t number, log_->Append(disk_offset, bytes, now));
  ASR_CHECK(CheckSize());
  return number;
}

Result<std::uint64_t> ChangeLogWriter::AppendZeros(Extent disk, Timestamp now) {
  ASR_CHECK(CheckSize());
  return log_->AppendZeros(disk, now);
}

Status ChangeLogWriter::CheckSize() const {
  const std::uint64_t bytes = log_->allocated_bytes();
  if (bytes > limits_.most_bytes) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kLogTooLarge,
                          fmt::format("too much of the disk was written since the last "
                                      "replication: its change log has {} bytes, and may have {}",
                                      bytes, limits_.most_bytes)));
  }
  if (bytes <= limits_.space_bytes) return {};
  return Fail(MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace,
                        fmt::format("a change log of {} bytes would take over half of the free "
                                    "space beside it",
                                    bytes)));
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
  ASR_TRY(HrlReader log, OfLog(HrlReader::Open(fs, path)));
  ASR_TRY(auto digests, OfLog(fs.Open(DigestPathOf(path), {})));
  Start start{};
  ASR_TRY(const std::size_t count, OfLog(digests->ReadUpTo(0, start)));
  if (count != start.size() || start != StartOf(log.header().id, algorithm)) {
    return Fail(CorruptLog(fmt::format("{} does not hold the digests of the change log {}",
                                       DigestPathOf(path), path)));
  }
  return ChangeLog(std::move(log), std::move(digests));
}

Result<std::vector<HrlEntry>> ChangeLog::ReadBlock(std::size_t index) const {
  return OfLog(log_.ReadBlock(index));
}

Status ChangeLog::ReadData(const HrlEntry& entry, std::uint64_t skip_bytes,
                           MutableByteSpan out) const {
  return OfLog(log_.ReadData(entry, skip_bytes, out));
}

Status ChangeLog::ReadDigests(std::uint64_t first, std::span<Digest> out) const {
  const std::uint64_t offset = kStartBytes + first * sizeof(Digest);
  ASR_TRY(const std::size_t count, OfLog(digests_->ReadUpTo(offset, std::as_writable_bytes(out))));
  if (count == out.size_bytes()) return {};
  return Fail(CorruptLog("the file of the change log's digests ends early"));
}

}  // namespace asr
