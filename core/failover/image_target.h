// A new image file as the target of a transfer: what restore and test failover write.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/digest.h"
#include "core/transfer/transfer_target.h"
#include "core/vault/digest_table.h"
#include "storage/image/image_writer.h"

namespace asr {

// Commit compares what was read with what the point is known to hold: a damaged chunk ends the
// transfer with kCorrupt (kPointCorrupt). What an earlier writer left in the image (ContinueImage)
// is believed of whole groups only, and of none that does not read as the point's digest says; the
// rest of it is thrown away.
class ImageTarget : public TransferTarget {
 public:
  // Both outlive this. A new image holds nothing yet.
  ImageTarget(ImageWriter& writer, DigestTableReader& expected)
      : writer_(writer), expected_(expected) {}
  // An image that is continued, of a disk of `disk_bytes`.
  ImageTarget(ImageWriter& writer, DigestTableReader& expected, std::uint64_t disk_bytes,
              DigestAlgorithm algorithm)
      : writer_(writer),
        expected_(expected),
        is_continued_(true),
        disk_bytes_(disk_bytes),
        algorithm_(algorithm) {}

  Status ReadGroups(std::uint64_t first, std::span<Digest> out) override;
  Status ReadChunks(std::uint64_t group, ChunkRow& out) override;
  Result<bool> AlreadyHolds(std::uint64_t group, MutableByteSpan scratch) override;
  Status Prepare(std::span<const ChangedChunks>) override { return {}; }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Status Clear(Extent) override { return {}; }
  Status Commit(std::span<const GroupDigests> groups) override;

 private:
  // Of what the image holds of the group now, of which `written` may be other than zeros.
  [[nodiscard]] Result<Digest> DigestOf(Extent group, const std::vector<Extent>& written,
                                        MutableByteSpan scratch);

  ImageWriter& writer_;
  DigestTableReader& expected_;
  const bool is_continued_ = false;
  const std::uint64_t disk_bytes_ = 0;
  const DigestAlgorithm algorithm_ = DigestAlgorithm::kSha256;
};

}  // namespace asr
