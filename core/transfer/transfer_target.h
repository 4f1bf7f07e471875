// What a transfer makes equal to a source: one disk's replica in the vault, a change log, or a new
// image file.
#pragma once

#include <cstdint>
#include <span>

#include "core/model/digest.h"
#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

class TransferTarget {
 public:
  virtual ~TransferTarget() = default;

  // What the target holds. Groups first, first+1, ...: as many as `out` has; chunks of one group.
  // ReadChunks may be called from several threads, beside Prepare and Write.
  virtual Status ReadGroups(std::uint64_t first, std::span<Digest> out) = 0;
  virtual Status ReadChunks(std::uint64_t group, ChunkRow& out) = 0;

  // True if the target is known to hold all of the group as the source does: found out now, and
  // asked only where ReadGroups said that it may hold something. The group's data are neither read
  // nor sent then. `scratch` is whole chunks. From several threads, each for groups of its own.
  virtual Result<bool> AlreadyHolds(std::uint64_t /*group*/, MutableByteSpan /*scratch*/) {
    return false;
  }

  // Announces changes; durable when it returns. Ascending by group. One call at a time, but beside
  // Write and Clear of other chunks.
  virtual Status Prepare(std::span<const ChangedChunks> changes) = 0;
  // Only chunks that were announced; several threads at once, each for chunks of its own.
  virtual Status Write(std::uint64_t offset_bytes, ByteSpan bytes) = 0;
  virtual Status Clear(Extent range) = 0;
  // All that was written is made durable and its digests are noted. Ascending by group; not beside
  // any other call.
  virtual Status Commit(std::span<const GroupDigests> groups) = 0;
};

}  // namespace asr
