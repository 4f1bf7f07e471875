// The right to write one item's blobs, and what tells its holder that it was lost.
#pragma once

#include <memory>
#include <string>

#include "core/model/item.h"
#include "storage/blob/blob_store.h"

namespace asr {

// Taking an item over raises its epoch (man/asr-vault.5, "Epochs"): a holder that was cut off, and
// comes back after another took over, sees from the item's document that it is not the writer any
// more. For one thread at a time. Ends with its destruction, or with the process.
class ItemLease {
 public:
  // `item` as its document is now; one without a document yet is not written. Where the store is
  // full the epoch stays: what is held must still be let go of.
  [[nodiscard]] static Result<std::unique_ptr<ItemLease>> Take(BlobStore& store,
                                                               std::unique_ptr<Lease> lease,
                                                               Item item);

  // As it is now, with this lease's epoch.
  [[nodiscard]] const Item& item() const { return item_; }

  // Lease::IsFence of the lease that is held.
  [[nodiscard]] bool IsFence() const { return lease_->IsFence(); }

  // Before every step that others build on. kBusy (kLeaseLost) if the item has another writer.
  [[nodiscard]] Status Check() const;
  // Checks, then writes the item's document.
  [[nodiscard]] Status PutItem(Item item);
  // Before the replicas are written to: Item::applying. Nothing if it says so already.
  [[nodiscard]] Status NoteApplying(std::optional<PointId> logs);

 private:
  ItemLease(BlobStore& store, std::unique_ptr<Lease> lease, Item item);
  [[nodiscard]] Status Write();

  BlobStore& store_;
  std::unique_ptr<Lease> lease_;
  Item item_;
  std::string text_;  // of the document, as it was written last
};

}  // namespace asr
