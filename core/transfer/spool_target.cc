#include "core/transfer/spool_target.h"

#include <algorithm>

namespace asr {

// A transfer asks for each group once, in order, before it commits any of them.
Status SpoolTarget::ReadGroups(std::uint64_t first, std::span<Digest> out) {
  ASR_CHECK(base_.ReadGroups(first, out));
  digest_.Add(groups_);
  groups_.assign(out.begin(), out.end());
  first_group_ = first;
  return {};
}

Status SpoolTarget::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  ASR_TRY(const std::uint64_t number, log_.Append(offset_bytes, bytes, clock_.Now()));
  Note(number, {offset_bytes, bytes.size()});
  return {};
}

Status SpoolTarget::Clear(Extent range) {
  ASR_TRY(const std::uint64_t number, log_.AppendZeros(range, clock_.Now()));
  Note(number, range);
  return {};
}

void SpoolTarget::Note(std::uint64_t number, Extent disk) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({number, disk});
}

Status SpoolTarget::Commit(std::span<const GroupDigests> groups) {
  for (const GroupDigests& group : groups) groups_[group.group - first_group_] = group.digest;
  std::ranges::sort(entries_, {}, &Entry::number);
  std::vector<Digest> digests;
  for (const Entry& entry : entries_) {
    const std::uint64_t number = entry.disk.offset_bytes / kGroupBytes;
    const auto group = std::ranges::lower_bound(groups, number, {}, &GroupDigests::group);
    // Of a group that failed half-way nothing is committed: then the log is of no use.
    if (group == groups.end() || group->group != number) {
      return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                  "a change log has data whose digests nobody knows");
    }
    const std::uint64_t first = entry.disk.offset_bytes % kGroupBytes / kChunkBytes;
    const std::uint64_t count = DivideRoundingUp(entry.disk.length_bytes, kChunkBytes);
    digests.insert(digests.end(), group->chunks.begin() + static_cast<std::ptrdiff_t>(first),
                   group->chunks.begin() + static_cast<std::ptrdiff_t>(first + count));
  }
  entries_.clear();
  return log_.AppendDigests(digests);
}

DiskDigest SpoolTarget::TakeDiskDigest() {
  digest_.Add(groups_);
  groups_.clear();
  return digest_;
}

}  // namespace asr
