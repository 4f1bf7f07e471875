// One disk of a point against its digests: what has to be read of it, and whether it is right.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "core/model/group_workers.h"
#include "core/points/verify_point.h"
#include "storage/image/vhd_footer.h"

namespace asr {

class DiskComparison {
 public:
  // `newer` is the same disk in the next newer snapshot, all of it found right; null: nothing is
  // known of one. All arguments outlive this.
  DiskComparison(const SealedDisk& disk, const SealedDisk* newer, DigestAlgorithm algorithm,
                 const VerifyOptions& options);

  // Adds to `damage` what is wrong. An error: it could not be told.
  [[nodiscard]] Status Run(const VhdFooter& footer, DiskDamage& damage);
  [[nodiscard]] Result<std::uint64_t> BytesToRead();

 private:
  // One group to look at; bit i stands for chunk i.
  struct GroupWork {
    std::uint64_t group = 0;
    std::uint64_t chunk_mask = 0;  // to be compared, at least
    std::uint64_t data_mask = 0;   // may hold other than zeros
  };

  // What has no digest: the footer, and the unused parts of the digest blob.
  struct RestWork {
    bool footer = false;
    std::vector<Extent> unused;
  };

  [[nodiscard]] Result<std::vector<GroupWork>> PlanWindow(std::uint64_t first, std::size_t count);
  Status CompareWhole(const GroupWork& work, MutableByteSpan buffer);
  [[nodiscard]] Status CompareGroup(const GroupWork& work, MutableByteSpan buffer);
  // The digests of the group, once they were found to agree with each other.
  [[nodiscard]] Result<ChunkRow> ReadRow(std::uint64_t group);
  [[nodiscard]] Result<std::uint64_t> DifferentFromNewer(std::uint64_t group, const ChunkRow& row);
  // What the chunks in `mask` hold; the others are zero in the answer.
  [[nodiscard]] Result<ChunkRow> DigestChunks(std::uint64_t group, std::uint64_t mask,
                                              MutableByteSpan buffer);
  [[nodiscard]] Result<RestWork> PlanRest();
  [[nodiscard]] Status CompareRest(const VhdFooter& footer);
  [[nodiscard]] Result<std::vector<Extent>> Unread(PageBlobReader& blob, Extent range) const;

  void NoteChunk(std::uint64_t offset_bytes);
  void NoteProblem(std::string problem);

  const SealedDisk& disk_;
  const SealedDisk* newer_;
  DigestAlgorithm algorithm_;
  const VerifyOptions& options_;
  std::uint64_t padded_bytes_;
  std::mutex mutex_;  // guards *damage_ while workers run
  DiskDamage* damage_ = nullptr;
};

}  // namespace asr
