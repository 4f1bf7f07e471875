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

// A pass that was cut between the two levels leaves a group unknown whose chunks are known. They
// are all equal, perhaps; yet the log must hold one of them, or nothing would ever note the group.
Status SpoolTarget::ReadChunks(std::uint64_t group, ChunkRow& out) {
  ASR_CHECK(base_.ReadChunks(group, out));
  const bool is_known = std::ranges::none_of(out, &Digest::is_unknown);
  if (groups_[group - first_group_].is_unknown() && is_known) out.front() = Digest::Unknown();
  return {};
}

Status SpoolTarget::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return Note(log_.Append(offset_bytes, bytes, clock_.Now()), {offset_bytes, bytes.size()});
}

Status SpoolTarget::Clear(Extent range) {
  return Note(log_.AppendZeros(range, clock_.Now()), range);
}

Status SpoolTarget::Note(const Result<std::uint64_t>& number, Extent disk) {
  const std::lock_guard lock(mutex_);
  if (!number) {
    log_error_ = number.error();
    return Fail(number.error());
  }
  entries_.push_back({*number, disk});
  return {};
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
  Status noted = log_.AppendDigests(digests);
  if (!noted) log_error_ = noted.error();
  return noted;
}

DiskDigest SpoolTarget::TakeDiskDigest() {
  digest_.Add(groups_);
  groups_.clear();
  return digest_;
}

}  // namespace asr
