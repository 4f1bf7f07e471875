// A new image file as the target of a transfer: what restore and test failover write.
#pragma once

#include "core/transfer/transfer_target.h"
#include "core/vault/digest_table.h"
#include "storage/image/image_writer.h"

namespace asr {

// Holds nothing yet, so every chunk with data is written once. Commit compares what was read with
// what the point is known to hold: a damaged chunk ends the transfer with kCorrupt (kPointCorrupt).
class ImageTarget : public TransferTarget {
 public:
  // Both outlive this.
  ImageTarget(ImageWriter& writer, DigestTableReader& expected)
      : writer_(writer), expected_(expected) {}

  Status ReadGroups(std::uint64_t first, std::span<Digest> out) override;
  Status ReadChunks(std::uint64_t group, ChunkRow& out) override;
  Status Prepare(std::span<const ChangedChunks>) override { return {}; }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Status Clear(Extent) override { return {}; }
  Status Commit(std::span<const GroupDigests> groups) override;

 private:
  ImageWriter& writer_;
  DigestTableReader& expected_;
};

}  // namespace asr
