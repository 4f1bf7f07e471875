#include "core/transfer/make_equal.h"

#include <algorithm>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "core/model/group_workers.h"
#include "core/transfer/group_commit.h"
#include "storage/base/stop.h"

namespace asr {
namespace {

// So much of the disk is planned at once: bounds the digests held in memory.
constexpr std::uint64_t kWindowBytes = 2048 * kMiB;
constexpr std::uint64_t kGroupsPerWindow = kWindowBytes / kGroupBytes;

// One group to look at.
struct GroupWork {
  std::uint64_t group = 0;
  Digest target;                // what the target says it holds
  std::vector<Extent> extents;  // what the source may hold
  // Bit i stands for chunk i. Others stay as they are in the target.
  std::uint64_t wanted_chunks = ~std::uint64_t{0};
  bool announced = false;  // all chunks with data are announced already
};

std::uint64_t SumOf(const std::vector<Extent>& extents) {
  std::uint64_t sum = 0;
  for (const Extent& extent : extents) sum += extent.length_bytes;
  return sum;
}

bool Touches(const std::vector<Extent>& extents, Extent range) {
  return std::ranges::any_of(extents, [&](const Extent& extent) {
    return extent.offset_bytes < range.end_bytes() && range.offset_bytes < extent.end_bytes();
  });
}

Extent ChunkRange(std::uint64_t group, std::uint64_t chunk) {
  return {group * kGroupBytes + chunk * kChunkBytes, kChunkBytes};
}

// Chunks of the group that lie in one of `extents`, even in part.
std::uint64_t ChunksIn(const std::vector<Extent>& extents, std::uint64_t group) {
  std::uint64_t mask = 0;
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if (Touches(extents, ChunkRange(group, i))) mask |= std::uint64_t{1} << i;
  }
  return mask;
}

// What the source holds of other chunks is not looked at.
void DropUnwanted(GroupWork& work) {
  std::vector<Extent> rest;
  for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
    if ((work.wanted_chunks >> i & 1) == 0) continue;
    const Extent chunk = ChunkRange(work.group, i);
    for (const Extent& extent : work.extents) {
      const std::uint64_t from = std::max(extent.offset_bytes, chunk.offset_bytes);
      const std::uint64_t to = std::min(extent.end_bytes(), chunk.end_bytes());
      if (from < to) AppendExtent(rest, {from, to - from});
    }
  }
  work.extents = std::move(rest);
}

// Adds what lies in the range; `next` is the first of ascending extents that may.
void TakeExtents(std::vector<Extent>::const_iterator& next, std::vector<Extent>::const_iterator end,
                 Extent range, std::vector<Extent>& out) {
  while (next != end && next->offset_bytes < range.end_bytes()) {
    const std::uint64_t from = std::max(next->offset_bytes, range.offset_bytes);
    const std::uint64_t to = std::min(next->end_bytes(), range.end_bytes());
    if (from < to) AppendExtent(out, {from, to - from});
    if (next->end_bytes() > range.end_bytes()) break;
    ++next;
  }
}

// The whole of one MakeEqual.
class Transfer {
 public:
  Transfer(const Disk& source, TransferTarget& target, const TransferOptions& options)
      : source_(source),
        target_(target),
        options_(options),
        announcements_(target),
        workers_(options.groups_in_flight, options.stop, options.buffer_bytes) {}

  Result<TransferStats> Run() {
    const std::uint64_t group_count = GroupCount(source_.size_bytes());
    for (std::uint64_t first = 0; first < group_count; first += kGroupsPerWindow) {
      ASR_CHECK(RunWindow(first, std::min(kGroupsPerWindow, group_count - first)));
    }
    return stats_;
  }

 private:
  Status RunWindow(std::uint64_t first_group, std::uint64_t count) {
    ASR_CHECK(CheckStop(options_.stop));
    ASR_TRY(auto work, PlanWindow(first_group, count));
    if (work.empty()) return {};
    ASR_CHECK(AnnounceNewData(work));
    for (std::size_t done = 0; done < work.size();) {
      ASR_TRY(const std::size_t copied, CopyUntilCommit(std::span(work).subspan(done)));
      done += copied;
    }
    return {};
  }

  // Copies the first of `work`, and commits them. Returns how many.
  Result<std::size_t> CopyUntilCommit(std::span<const GroupWork> work) {
    copied_.clear();
    const auto due = std::chrono::steady_clock::now() + options_.commit_interval;
    std::size_t begun = 0;
    Status outcome = workers_.ForEachUntil(
        work.size(), [&] { return std::chrono::steady_clock::now() >= due; },
        [&](std::size_t i, AlignedBuffer& buffer) { return CopyGroup(work[i], buffer); }, &begun);
    if (!copied_.empty()) {
      std::ranges::sort(copied_, {}, &GroupDigests::group);
      // Also after a stop or an error: what was sent need not be sent again.
      const Status committed = target_.Commit(copied_);
      if (outcome) outcome = committed;
    }
    ASR_CHECK(outcome);
    return begun;
  }

  // Groups in which source or target may hold something, and that may differ.
  Result<std::vector<GroupWork>> PlanWindow(std::uint64_t first_group, std::uint64_t count) {
    std::vector<Digest> digests(count);
    ASR_CHECK(target_.ReadGroups(first_group, digests));
    const std::uint64_t begin = first_group * kGroupBytes;
    const std::uint64_t end = std::min(begin + count * kGroupBytes, source_.size_bytes());
    ASR_TRY(const auto changed, ChangedIn({begin, end - begin}));
    if (changed.empty()) {
      NotePassedOver({.bytes_skipped = end - begin});
      return std::vector<GroupWork>();
    }
    const Extent hull{changed.front().offset_bytes,
                      changed.back().end_bytes() - changed.front().offset_bytes};
    ASR_TRY(const auto extents, source_.AllocatedExtents(hull));
    std::vector<GroupWork> work;
    TransferStats passed_over;
    auto next = extents.begin();
    auto next_changed = changed.begin();
    for (std::uint64_t i = 0; i < count; ++i) {
      GroupWork group{.group = first_group + i, .target = digests[i], .extents = {}};
      const Extent range = Clip({begin + i * kGroupBytes, kGroupBytes});
      TakeExtents(next, extents.end(), range, group.extents);
      if (options_.changed) {
        std::vector<Extent> in_group;
        TakeExtents(next_changed, changed.end(), range, in_group);
        group.wanted_chunks = ChunksIn(in_group, group.group);
        DropUnwanted(group);
      }
      if (group.wanted_chunks == 0) {
        passed_over.bytes_skipped += range.length_bytes;
      } else if (group.extents.empty() && group.target.is_zero()) {
        passed_over.bytes_zero += range.length_bytes;
      } else {
        work.push_back(std::move(group));
      }
    }
    NotePassedOver(passed_over);
    return work;
  }

  // In whole chunks: of one that changed in part, all is read. All of the window, where nobody
  // knows better.
  Result<std::vector<Extent>> ChangedIn(Extent window) const {
    if (!options_.changed) return std::vector<Extent>{window};
    ASR_TRY(const auto told, options_.changed(window));
    std::vector<Extent> changed;
    for (const Extent& extent : told) {
      std::uint64_t begin = extent.offset_bytes / kChunkBytes * kChunkBytes;
      const std::uint64_t end = std::min(
          DivideRoundingUp(extent.end_bytes(), kChunkBytes) * kChunkBytes, window.end_bytes());
      if (!changed.empty()) begin = std::max(begin, changed.back().end_bytes());
      if (begin < end) AppendExtent(changed, {begin, end - begin});
    }
    return changed;
  }

  void NotePassedOver(const TransferStats& stats) {
    if (stats.bytes_zero + stats.bytes_skipped > 0) options_.on_progress(stats);
    stats_ += stats;
  }

  // Where the target holds nothing, data of the source will almost surely change it: these groups
  // are announced at once, in place of a sync for each.
  Status AnnounceNewData(std::vector<GroupWork>& work) {
    std::vector<ChangedChunks> changes;
    for (GroupWork& group : work) {
      if (!group.target.is_zero()) continue;
      changes.push_back({.group = group.group, .chunk_mask = ChunksIn(group.extents, group.group)});
      group.announced = true;
    }
    return changes.empty() ? Status() : target_.Prepare(changes);
  }

  Status CopyGroup(const GroupWork& work, AlignedBuffer& buffer) {
    TransferStats stats;
    bool is_held = false;
    if (!work.target.is_zero()) {
      ASR_TRY(is_held, target_.AlreadyHolds(work.group, buffer.span()));
    }
    if (is_held) {
      const Extent group = Clip({work.group * kGroupBytes, kGroupBytes});
      stats.bytes_skipped = SumOf(work.extents);
      stats.bytes_resumed = options_.resumes ? stats.bytes_skipped : 0;
      stats.bytes_zero = group.length_bytes - stats.bytes_skipped;
      return Note(stats, nullptr);
    }
    GroupDigests copied{.group = work.group, .digest = {}, .chunks = {}};
    stats.bytes_read = SumOf(work.extents);
    ChunkRow target{};
    if (!work.target.is_zero()) ASR_CHECK(target_.ReadChunks(work.group, target));
    GroupWork wanted = work;
    if (options_.only_fills) KeepData(target, wanted);
    for (std::uint64_t chunk = 0; chunk < kChunksPerGroup;
         chunk += buffer.size_bytes() / kChunkBytes) {
      ASR_CHECK(CopyPart(wanted, chunk, target, buffer.span(), copied.chunks, stats));
    }
    copied.digest = ComputeGroupDigest(options_.algorithm, copied.chunks);
    // Both levels, for a crash may leave "unknown" in the row of a group whose digest is right.
    const bool is_equal =
        copied.digest == work.target && copied.chunks == target && !work.announced;
    return Note(stats, is_equal ? nullptr : &copied);
  }

  Status Note(const TransferStats& stats, const GroupDigests* copied) {
    options_.on_progress(stats);
    const std::lock_guard lock(mutex_);
    stats_ += stats;
    if (copied != nullptr) copied_.push_back(*copied);
    return {};
  }

  // What the target holds data of is not wanted of the source.
  static void KeepData(const ChunkRow& target, GroupWork& wanted) {
    for (std::uint64_t i = 0; i < kChunksPerGroup; ++i) {
      if (target[i].is_zero() || target[i].is_unknown()) continue;
      wanted.wanted_chunks &= ~(std::uint64_t{1} << i);
    }
    DropUnwanted(wanted);
  }

  // As many chunks from `first` on as the buffer holds; their digests go to `chunks`.
  Status CopyPart(const GroupWork& work, std::uint64_t first, const ChunkRow& target,
                  MutableByteSpan buffer, ChunkRow& chunks, TransferStats& stats) {
    const Extent part{work.group * kGroupBytes + first * kChunkBytes, buffer.size()};
    ASR_CHECK(ReadPart(work, part, buffer));
    std::uint64_t changed = 0;
    for (std::uint64_t i = 0; i < buffer.size() / kChunkBytes; ++i) {
      if ((work.wanted_chunks >> (first + i) & 1) == 0) {
        chunks[first + i] = target[first + i];
      } else if (Touches(work.extents, ChunkRange(work.group, first + i))) {  // else it stays zero
        chunks[first + i] =
            ComputeChunkDigest(options_.algorithm, buffer.subspan(i * kChunkBytes, kChunkBytes));
      }
      if (target[first + i] != chunks[first + i]) changed |= 1ULL << (first + i);
    }
    if (changed != 0 && !work.announced) {
      ASR_CHECK(announcements_.Prepare({.group = work.group, .chunk_mask = changed}));
    }
    return SendChunks(changed, chunks, part, buffer, stats);
  }

  Status ReadPart(const GroupWork& work, Extent part, MutableByteSpan buffer) {
    std::uint64_t bytes = 0;
    std::vector<Extent> extents;
    for (const Extent& extent : work.extents) {
      const std::uint64_t from = std::max(extent.offset_bytes, part.offset_bytes);
      const std::uint64_t to = std::min(extent.end_bytes(), part.end_bytes());
      if (from >= to) continue;
      extents.push_back({from, to - from});
      bytes += to - from;
    }
    if (bytes != part.length_bytes) std::ranges::fill(buffer, std::byte{0});
    for (const Extent& extent : extents) {
      ASR_CHECK(source_.Read(
          extent.offset_bytes,
          buffer.subspan(extent.offset_bytes - part.offset_bytes, extent.length_bytes)));
    }
    return {};
  }

  // Sends or clears runs of changed chunks of the part that the buffer holds.
  Status SendChunks(std::uint64_t mask, const ChunkRow& chunks, Extent part, ByteSpan buffer,
                    TransferStats& stats) {
    const std::uint64_t group = part.offset_bytes / kGroupBytes;
    std::uint64_t i = part.offset_bytes % kGroupBytes / kChunkBytes;
    const std::uint64_t part_end = i + part.length_bytes / kChunkBytes;
    while (i < part_end) {
      const bool changed = (mask >> i & 1) != 0;
      const bool zero = chunks[i].is_zero();
      std::uint64_t end = i + 1;
      while (end < part_end && ((mask >> end & 1) != 0) == changed &&
             chunks[end].is_zero() == zero) {
        ++end;
      }
      const Extent run = Clip({group * kGroupBytes + i * kChunkBytes, (end - i) * kChunkBytes});
      (zero      ? stats.bytes_zero
       : changed ? stats.bytes_sent
                 : stats.bytes_skipped) += run.length_bytes;
      if (changed && zero) stats.bytes_cleared += run.length_bytes;
      if (!changed && !zero && options_.resumes) stats.bytes_resumed += run.length_bytes;
      if (changed && run.length_bytes > 0) {
        ASR_CHECK(zero ? target_.Clear(run)
                       : target_.Write(run.offset_bytes,
                                       buffer.subspan(run.offset_bytes - part.offset_bytes,
                                                      run.length_bytes)));
      }
      i = end;
    }
    return {};
  }

  Extent Clip(Extent range) const {
    const std::uint64_t end = std::min(range.end_bytes(), source_.size_bytes());
    return {range.offset_bytes, end > range.offset_bytes ? end - range.offset_bytes : 0};
  }

  const Disk& source_;
  TransferTarget& target_;
  const TransferOptions& options_;
  GroupCommit announcements_;
  GroupWorkers workers_;
  std::mutex mutex_;  // guards stats_ and copied_ while workers run
  TransferStats stats_;
  std::vector<GroupDigests> copied_;
};

}  // namespace

Result<TransferStats> MakeEqual(const Disk& source, TransferTarget& target,
                                const TransferOptions& options) {
  return Transfer(source, target, options).Run();
}

}  // namespace asr
