#include "core/vault/item_lease.h"

#include <utility>

#include <fmt/format.h>

#include "core/vault/documents.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

Error TakenOver(const Item& item, const std::string& how) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLeaseLost,
                   fmt::format("VM {} has another writer now: {}", item.name, how))
      .WithCause("this process was stopped or cut off from the vault for a while")
      .WithAction("nothing was harmed; look at what the other one did: asr points list " +
                  item.name)
      .Retryable();
}

}  // namespace

ItemLease::ItemLease(BlobStore& store, std::unique_ptr<Lease> lease, Item item)
    : store_(store), lease_(std::move(lease)), item_(std::move(item)) {}

Result<std::unique_ptr<ItemLease>> ItemLease::Take(BlobStore& store, std::unique_ptr<Lease> lease,
                                                   Item item) {
  const std::string name = layout::ItemDocument(item.id);
  auto text = store.Get(name);
  if (!text && !IsNotFound(text.error())) return Fail(std::move(text).error());
  // Only one that is being made has none yet; any other was deleted since the caller saw it.
  if (!text && item.state != ProtectionState::kEnablingProtection) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kItemNotFound,
                          fmt::format("VM {} is not in this vault any more", item.name))
                    .WithAction("see what there is: asr items list"));
  }
  if (text) {
    ASR_TRY(item, DecodeItem(name, *text));
  }
  std::unique_ptr<ItemLease> taken(new ItemLease(store, std::move(lease), std::move(item)));
  if (!text) return taken;
  taken->text_ = *std::move(text);
  ++taken->item_.epoch;
  const Status raised = taken->Write();
  if (raised) return taken;
  if (raised.error().kind != ErrorKind::kNoSpace) return Fail(raised.error());
  --taken->item_.epoch;
  return taken;
}

Status ItemLease::Write() {
  std::string text = EncodeItem(item_);
  ASR_CHECK(store_.Put(layout::ItemDocument(item_.id), AsBytes(text),
                       text_.empty() ? PutCondition::kIfAbsent : PutCondition::kIfUnchanged));
  text_ = std::move(text);
  return {};
}

Status ItemLease::Check() const {
  ASR_CHECK(lease_->Check());
  // Late writes are refused there; the document is only replaced where it is ours (Write).
  if (lease_->IsFence()) return {};
  const std::string name = layout::ItemDocument(item_.id);
  const auto text = store_.Get(name);
  if (text && *text == text_) return {};
  if (!text && !IsNotFound(text.error())) return Fail(text.error());
  if (!text && text_.empty()) return {};  // a new item, whose document is not written yet
  if (!text) return Fail(TakenOver(item_, "it was deleted"));
  ASR_TRY(const Item now, DecodeItem(name, *text));
  if (now.epoch == item_.epoch) return {};
  return Fail(TakenOver(
      item_, fmt::format("its epoch is {}, this process has {}", now.epoch, item_.epoch)));
}

Status ItemLease::NoteApplying(std::optional<PointId> logs) {
  if (item_.applying == logs) return {};
  Item item = item_;
  item.applying = std::move(logs);
  return PutItem(std::move(item));
}

Status ItemLease::PutItem(Item item) {
  ASR_CHECK(Check());
  item.epoch = item_.epoch;
  std::swap(item_, item);
  Status written = Write();
  if (!written) std::swap(item_, item);
  return written;
}

}  // namespace asr
