// A disk's replica in the vault as the target of a transfer: where source wing and vault wing meet.
#pragma once

#include "core/transfer/transfer_target.h"
#include "core/vault/disk_replica.h"

namespace asr {

class ReplicaTarget : public TransferTarget {
 public:
  // `replica` outlives this.
  explicit ReplicaTarget(DiskReplica& replica) : replica_(replica) {}

  Status ReadGroups(std::uint64_t first, std::span<Digest> out) override {
    return replica_.digests().ReadGroups(first, out);
  }
  Status ReadChunks(std::uint64_t group, ChunkRow& out) override {
    return replica_.digests().ReadChunks(group, out);
  }
  Status Prepare(std::span<const ChangedChunks> changes) override {
    return replica_.Prepare(changes);
  }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return replica_.Write(offset_bytes, bytes);
  }
  Status Clear(Extent range) override { return replica_.Clear(range); }
  Status Commit(std::span<const GroupDigests> groups) override { return replica_.Commit(groups); }

 private:
  DiskReplica& replica_;
};

}  // namespace asr
