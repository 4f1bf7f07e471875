#include "core/transfer/apply_log.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/model/group_workers.h"

namespace asr {
namespace {

// So much is planned at once: bounds the rows of digests held in memory.
constexpr std::uint64_t kBatchBytes = 512 * kMiB;
constexpr std::uint64_t kBatchEntries = 4096;
constexpr std::uint64_t kGroupsAtOnce = 4096;

// Where the newest bytes of a chunk lie.
struct LoggedChunk {
  HrlEntry entry;
  std::uint64_t skip_bytes = 0;    // in the entry
  std::uint64_t length_bytes = 0;  // less than a chunk only at the disk's end
  Digest digest;
};

using GroupChunks = std::map<std::uint64_t, LoggedChunk>;  // by their place in the group
using Batch = std::map<std::uint64_t, GroupChunks>;        // by group

// The whole of one ApplyLog.
class LogApplication {
 public:
  LogApplication(const ChangeLog& log, std::uint64_t disk_bytes, TransferTarget& target,
                 const TransferOptions& options)
      : log_(log),
        disk_bytes_(disk_bytes),
        target_(target),
        options_(options),
        workers_(options.groups_in_flight, options.stop) {}

  Result<TransferStats> Run() {
    Batch batch;
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
    for (std::size_t block = 0; block < log_.entries().block_count(); ++block) {
      ASR_TRY(const auto logged, log_.ReadBlock(block));
      for (const HrlEntry& entry : logged) {
        ASR_CHECK(AddEntry(entry, batch));
        ++entries;
        bytes += entry.disk.length_bytes;
        if (entries < kBatchEntries && bytes < kBatchBytes) continue;
        ASR_CHECK(SendBatch(batch));
        batch.clear();
        entries = bytes = 0;
      }
    }
    ASR_CHECK(SendBatch(batch));
    return stats_;
  }

 private:
  Status AddEntry(const HrlEntry& entry, Batch& batch) {
    const Extent& disk = entry.disk;
    if (disk.end_bytes() > disk_bytes_ || disk.offset_bytes % kChunkBytes != 0 ||
        (disk.end_bytes() % kChunkBytes != 0 && disk.end_bytes() != disk_bytes_)) {
      return Fail(
          CorruptLog(fmt::format("the change log has {} bytes for offset {} of a disk of "
                                 "{} bytes, which are no whole chunks of it",
                                 disk.length_bytes, disk.offset_bytes, disk_bytes_)));
    }
    std::vector<Digest> digests(DivideRoundingUp(disk.length_bytes, kChunkBytes));
    ASR_CHECK(log_.ReadDigests(next_chunk_, digests));
    next_chunk_ += digests.size();
    for (std::size_t i = 0; i < digests.size(); ++i) {
      const std::uint64_t skip_bytes = i * kChunkBytes;
      const std::uint64_t offset = disk.offset_bytes + skip_bytes;
      batch[offset / kGroupBytes][offset % kGroupBytes / kChunkBytes] = {
          .entry = entry,
          .skip_bytes = skip_bytes,
          .length_bytes = std::min(kChunkBytes, disk.length_bytes - skip_bytes),
          .digest = digests[i]};
    }
    return {};
  }

  // Takes those chunks out of it that need not be sent.
  Status SendBatch(Batch& batch) {
    std::vector<GroupDigests> rows;
    std::vector<ChangedChunks> changes;
    for (auto& [group, chunks] : batch) {
      ASR_TRY(const GroupDigests row, RowAfter(group, chunks));
      rows.push_back(row);
      ChangedChunks change{.group = group, .chunk_mask = 0};
      for (const auto& [chunk, logged] : chunks) change.chunk_mask |= std::uint64_t{1} << chunk;
      if (change.chunk_mask != 0) changes.push_back(change);
    }
    if (!changes.empty()) ASR_CHECK(target_.Prepare(changes));
    for (std::size_t done = 0; done < rows.size();) {
      ASR_TRY(const std::size_t sent, SendUntilCommit(std::span(rows).subspan(done), batch));
      done += sent;
    }
    return {};
  }

  // Sends the first of `rows`, and commits them. Returns how many.
  Result<std::size_t> SendUntilCommit(std::span<const GroupDigests> rows, const Batch& batch) {
    sent_.clear();
    const auto due = std::chrono::steady_clock::now() + options_.commit_interval;
    std::size_t begun = 0;
    Status outcome = workers_.ForEachUntil(
        rows.size(), [&] { return std::chrono::steady_clock::now() >= due; },
        [&](std::size_t i, AlignedBuffer& buffer) {
          return SendGroup(rows[i], batch.at(rows[i].group), buffer);
        },
        &begun);
    if (!sent_.empty()) {
      std::ranges::sort(sent_, {}, &GroupDigests::group);
      // Also after a stop or an error: what was sent need not be sent again.
      const Status committed = target_.Commit(sent_);
      if (outcome) outcome = committed;
    }
    ASR_CHECK(outcome);
    return begun;
  }

  // What the group's digests are once its chunks are sent. Those that an earlier run sent go.
  Result<GroupDigests> RowAfter(std::uint64_t group, GroupChunks& chunks) {
    GroupDigests row{.group = group, .digest = {}, .chunks = {}};
    ASR_CHECK(target_.ReadChunks(group, row.chunks));
    TransferStats resumed;
    for (auto chunk = chunks.begin(); chunk != chunks.end();) {
      Digest& target = row.chunks[chunk->first];
      const bool is_there = target == chunk->second.digest;
      if (is_there && !target.is_zero()) resumed.bytes_resumed += chunk->second.length_bytes;
      target = chunk->second.digest;
      chunk = is_there ? chunks.erase(chunk) : std::next(chunk);
    }
    row.digest = ComputeGroupDigest(options_.algorithm, row.chunks);
    resumed.bytes_skipped = resumed.bytes_resumed;
    if (resumed.bytes_resumed > 0) options_.on_progress(resumed);
    stats_ += resumed;
    return row;
  }

  Status SendGroup(const GroupDigests& row, const GroupChunks& chunks, AlignedBuffer& buffer) {
    TransferStats stats;
    for (auto first = chunks.begin(); first != chunks.end();) {
      auto end = std::next(first);
      while (end != chunks.end() && Continues(*std::prev(end), *end)) ++end;
      ASR_CHECK(SendRun(row.group, first, end, buffer.span(), stats));
      first = end;
    }
    options_.on_progress(stats);
    const std::lock_guard lock(mutex_);
    stats_ += stats;
    sent_.push_back(row);
    return {};
  }

  // True if both lie one behind the other on the disk and in the log, and both or neither are
  // zeros.
  static bool Continues(const GroupChunks::value_type& left, const GroupChunks::value_type& right) {
    return right.first == left.first + 1 &&
           right.second.entry.file_offset == left.second.entry.file_offset &&
           right.second.skip_bytes == left.second.skip_bytes + kChunkBytes &&
           right.second.digest.is_zero() == left.second.digest.is_zero();
  }

  Status SendRun(std::uint64_t group, GroupChunks::const_iterator first,
                 GroupChunks::const_iterator end, MutableByteSpan buffer, TransferStats& stats) {
    const LoggedChunk& begin = first->second;
    const LoggedChunk& last = std::prev(end)->second;
    const Extent range{group * kGroupBytes + first->first * kChunkBytes,
                       last.skip_bytes + last.length_bytes - begin.skip_bytes};
    if (begin.digest.is_zero()) {
      stats.bytes_cleared += range.length_bytes;
      return target_.Clear(range);
    }
    const MutableByteSpan bytes = buffer.first(range.length_bytes);
    ASR_CHECK(log_.ReadData(begin.entry, begin.skip_bytes, bytes));
    // The last chunk of a disk is filled up with zeros.
    const std::uint64_t filled = AlignUp<std::uint64_t>(range.length_bytes, kChunkBytes);
    std::ranges::fill(buffer.first(filled).subspan(range.length_bytes), std::byte{0});
    for (auto chunk = first; chunk != end; ++chunk) {
      const ByteSpan one = buffer.subspan(chunk->second.skip_bytes - begin.skip_bytes, kChunkBytes);
      if (ComputeChunkDigest(options_.algorithm, one) == chunk->second.digest) continue;
      return Fail(CorruptLog(
          fmt::format("the change log's data for the chunk at offset {} of the disk is not what "
                      "was logged",
                      group * kGroupBytes + chunk->first * kChunkBytes)));
    }
    stats.bytes_sent += range.length_bytes;
    return target_.Write(range.offset_bytes, bytes);
  }

  const ChangeLog& log_;
  const std::uint64_t disk_bytes_;
  TransferTarget& target_;
  const TransferOptions& options_;
  GroupWorkers workers_;
  std::uint64_t next_chunk_ = 0;  // of the log's digests
  std::mutex mutex_;              // guards what follows while workers run
  TransferStats stats_;
  std::vector<GroupDigests> sent_;  // since the last commit
};

}  // namespace

Result<TransferStats> ApplyLog(const ChangeLog& log, std::uint64_t disk_bytes,
                               TransferTarget& target, const TransferOptions& options) {
  return LogApplication(log, disk_bytes, target, options).Run();
}

Result<DiskDigest> ReadDiskDigest(TransferTarget& target, std::uint64_t disk_bytes) {
  DiskDigest digest;
  std::vector<Digest> groups;
  for (std::uint64_t first = 0; first < GroupCount(disk_bytes); first += kGroupsAtOnce) {
    groups.resize(std::min(kGroupsAtOnce, GroupCount(disk_bytes) - first));
    ASR_CHECK(target.ReadGroups(first, groups));
    digest.Add(groups);
  }
  return digest;
}

}  // namespace asr
