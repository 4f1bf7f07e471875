// What a vault holds of one item beside its disks, for those who only look: points, proofs, pins.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/vault/vault.h"

namespace asr {

// As it all was when the view was taken, or later. Lives no longer than its vault; for one thread.
class ItemDocuments {
 public:
  ItemDocuments(std::unique_ptr<BlobView> blobs, ItemId item)
      : blobs_(std::move(blobs)), item_(std::move(item)) {}

  // Newest first. A point without its document does not exist.
  [[nodiscard]] Result<std::vector<PointId>> ListPointIds();
  // Each of them; kNotFound for one that was removed meanwhile.
  [[nodiscard]] std::vector<Result<RecoveryPoint>> ReadPoints(const std::vector<PointId>& ids);
  // nullopt if there is none yet.
  [[nodiscard]] Result<std::optional<RecoveryPoint>> NewestPoint();
  [[nodiscard]] Result<std::optional<Proof>> ReadProof(const PointId& point);
  // Those in force at `now`. Damaged ones are no error.
  [[nodiscard]] Result<PinListing> ListPins(Timestamp now);

 private:
  std::unique_ptr<BlobView> blobs_;
  ItemId item_;
};

// The pin of a person's hold.
[[nodiscard]] PinId HoldId(const PointId& point);

}  // namespace asr
