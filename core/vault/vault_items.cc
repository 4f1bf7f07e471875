// The part of a vault that is about items.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "core/vault/vault.h"
#include "storage/base/text.h"

namespace asr {

namespace {

constexpr std::size_t kHexDigitsOfAnId = 8;

Error UnreadableNow(const ItemId& id, Error error) {
  error.message =
      fmt::format("{} cannot be read, and so it is not known whether the VM is protected: {}",
                  layout::ItemDocument(id), error.Line());
  error.context.clear();
  error.action =
      "make it readable; or, if it is lost for good, remove that one file by hand and call again";
  return error;
}

Error DocumentMissing(const ItemId& id) {
  return ItemUnreadable(
      id, MakeError(ErrorKind::kCorrupt, ErrorCode::kVaultFormat,
                    fmt::format("the vault's document {} is missing, and there are recovery points "
                                "of the item",
                                layout::ItemDocument(id)))
              .WithCause("it was removed by hand, or the vault was brought back in part"));
}

Error Ambiguous(const std::string& name, const std::vector<std::string>& candidates) {
  return MakeError(ErrorKind::kState, ErrorCode::kVmAmbiguous,
                   fmt::format("'{}' may be {}", name, fmt::join(candidates, " or ")))
      .WithAction("give HOST/NAME, or the id in brackets");
}

// The one that `name` means; one of the two is set.
struct Choice {
  const Item* item = nullptr;
  const UnreadableItem* unreadable = nullptr;
};

Result<Choice> ChooseAmong(const std::vector<Choice>& found, const ItemListing& listing,
                           const std::string& name) {
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    std::vector<std::string> names;
    for (const Item& item : listing.items) names.push_back(item.name);
    return Fail(WithNearestName(MakeError(ErrorKind::kNotFound, ErrorCode::kItemNotFound,
                                          fmt::format("no VM '{}' is in this vault", name)),
                                name, names, "asr items list"));
  }
  std::vector<std::string> candidates;
  for (const auto& [item, unreadable] : found) {
    candidates.push_back(
        item != nullptr
            ? fmt::format("{}/{} ({})", item->host, item->name, item->id.value)
            : fmt::format("one whose document cannot be read ({})", unreadable->id.value));
  }
  return Fail(Ambiguous(name, candidates));
}

Result<Choice> Choose(const ItemListing& listing, const std::string& name) {
  std::vector<Choice> protected_items;
  std::vector<Choice> others;
  for (const Item& item : listing.items) {
    if (item.id.value == name) return Choice{.item = &item};
    if (item.name != name && fmt::format("{}/{}", item.host, item.name) != name) continue;
    (item.state == ProtectionState::kUnprotected ? others : protected_items)
        .push_back({.item = &item});
  }
  for (const UnreadableItem& item : listing.unreadable) {
    if (item.id.value == name) return Choice{.unreadable = &item};
    // It may be the live item, or one that was kept.
    if (item.MayBe(name)) others.push_back({.unreadable = &item});
  }
  // Replicas that were kept after disable stand behind the VM's live item.
  return ChooseAmong(protected_items.empty() ? others : protected_items, listing, name);
}

}  // namespace

Error ItemUnreadable(const ItemId& id, Error error) {
  if (error.kind == ErrorKind::kUnsupported || error.code == ErrorCode::kPermission) return error;
  error.action = fmt::format(
      "bring the document back from a copy of the vault; its recovery points can be restored "
      "without it: asr restore {0} --to DIR; to give it up with all of them: asr items delete {0}",
      id.value);
  return error;
}

bool UnreadableItem::MayBe(const std::string& vm_name) const {
  const std::string& text = id.value;
  if (text.size() <= kHexDigitsOfAnId + 1) return false;
  const std::string slug = text.substr(0, text.size() - kHexDigitsOfAnId - 1);
  // Where the host's name ends, if it is there, only the item's document would tell.
  for (std::string name = vm_name;;) {
    if (Slug(name) == slug) return true;
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) return false;
    name.erase(0, slash + 1);
  }
}

Status ItemListing::RequireAllReadable() const {
  if (unreadable.empty()) return {};
  return Fail(unreadable.front().error);
}

Result<ItemListing> Vault::ListItems() {
  ASR_TRY(const auto view, store_->View(std::string(layout::kItems), ViewDepth::kAll));
  ASR_TRY(const auto ids, view->ListNames(std::string(layout::kItems)));
  std::vector<std::string> documents;
  documents.reserve(ids.size());
  for (const std::string& id : ids) documents.push_back(layout::ItemDocument({id}));
  const auto texts = view->Get(documents);
  ItemListing listing;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const ItemId id{ids[i]};
    const auto& text = texts[i];
    if (WasDeleted(text)) {
      // A deletion ends with the document: points without it have lost it.
      ASR_TRY(const auto points, ListPointIds(id));
      if (!points.empty()) listing.unreadable.push_back({id, DocumentMissing(id)});
      continue;
    }
    if (!text && IsPassing(text.error())) return Fail(text.error());
    auto item = text ? DecodeItem(documents[i], *text) : Result<Item>(Fail(text.error()));
    if (item) {
      listing.items.push_back(*std::move(item));
    } else {
      listing.unreadable.push_back({id, ItemUnreadable(id, std::move(item).error())});
    }
  }
  std::ranges::sort(listing.items, [](const Item& left, const Item& right) {
    return std::tie(left.name, left.id) < std::tie(right.name, right.id);
  });
  return listing;
}

Result<Item> Vault::FindItem(const std::string& name) {
  ASR_TRY(const auto listing, ListItems());
  ASR_TRY(const Choice choice, Choose(listing, name));
  if (choice.item == nullptr) return Fail(choice.unreadable->error);
  return *choice.item;
}

Result<FoundItem> Vault::FindEvenDamaged(const std::string& name) {
  ASR_TRY(const auto listing, ListItems());
  ASR_TRY(const Choice choice, Choose(listing, name));
  if (choice.item != nullptr) return FoundItem{.item = *choice.item};
  ASR_TRY(Item item, ItemOfPoints(choice.unreadable->id));
  return FoundItem{.item = std::move(item), .damage = choice.unreadable->error};
}

Result<Item> Vault::ItemOfPoints(const ItemId& id) {
  Item item;
  item.id = id;
  item.name = id.value;
  item.state = ProtectionState::kUnprotected;
  ASR_TRY(const auto points, ListPointIds(id));
  for (const PointId& point_id : points) {
    const auto point = ReadPoint(id, point_id);
    if (!point || point->id != point_id || point->item != id) continue;
    item.epoch = point->epoch;
    item.generation = point->generation;
    item.settings = point->settings;
    for (const PointDisk& disk : point->disks) {
      item.disks.push_back({.name = disk.name,
                            .path = "",
                            .format = disk.format,
                            .size_bytes = disk.size_bytes,
                            .logical_sector_bytes = disk.logical_sector_bytes});
    }
    return item;
  }
  return item;
}

Status Vault::DeleteItem(const ItemId& id) {
  // Points end first, and the item last, so that what is left after a crash is still seen as an
  // item and deleted by the next try.
  ASR_TRY(const auto points, ListPointIds(id));
  for (const PointId& point : points) ASR_CHECK(DeletePointDocument(id, point));
  ASR_TRY(const auto blobs, store_->List(layout::ItemPrefix(id)));
  const std::string document = layout::ItemDocument(id);
  for (const BlobInfo& blob : blobs) {
    if (blob.name != document) ASR_CHECK(store_->Delete(blob.name));
  }
  // A page blob that went without its snapshots, in a try that was cut, is not listed any more.
  ASR_TRY(const auto remains, store_->ListRemains(layout::ItemPrefix(id)));
  for (const BlobRemains& left : remains) ASR_CHECK(store_->Delete(left.name));
  return store_->Delete(document);
}

Status Vault::DeleteDamagedItem(const ItemId& id) {
  ASR_TRY(const auto lease, AcquireItem(id, id.value));
  const std::string document = layout::ItemDocument(id);
  const auto text = store_->Get(document);
  // Nobody has seen damage in what could not be read.
  if (!text && !WasDeleted(text)) return Fail(UnreadableNow(id, text.error()));
  if (text) {
    const auto item = DecodeItem(document, *text);
    if (item) {
      return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                            fmt::format("the document of VM {} can be read again", item->name))
                      .WithCause("somebody brought it back meanwhile")
                      .WithAction("look at it: asr items show " + id.value));
    }
    if (item.error().kind == ErrorKind::kUnsupported) return Fail(item.error());
  }
  return DeleteItem(id);
}

Result<std::unique_ptr<Lease>> Vault::LeaseNewItems() {
  ASR_TRY(auto lease, store_->AcquireLease(std::string(layout::kNewItemsLease)));
  // An item whose document was never written has no lease that anybody would ask for.
  ASR_CHECK(store_->RemoveUnfinished(std::string(layout::kItems), 1));
  return lease;
}

Result<std::unique_ptr<Lease>> Vault::AcquireItem(const ItemId& id, const std::string& name) {
  auto lease = store_->AcquireLease(layout::ItemLease(id));
  if (lease || lease.error().kind != ErrorKind::kBusy) return lease;
  Error error = std::move(lease).error();
  error.code = ErrorCode::kItemBusy;
  error.message = fmt::format("another process works on VM {} ({})", name, error.message);
  error.action = "wait until it has ended: asr jobs list --item " + ShellQuote(name);
  return Fail(std::move(error));
}

// A mount point without its file system takes whatever is written to it.
Status Vault::CheckPlace() {
  if (is_on_azure()) return {};
  const std::string document(layout::kVaultDocument);
  const auto text = store_->Get(document);
  const auto identity =
      text ? DecodeIdentity(document, *text) : Result<VaultIdentity>(Fail(text.error()));
  if (identity && identity->id == identity_.id) return {};
  if (!identity && !IsNotFound(identity.error())) return Fail(identity.error());
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kVaultUnreachable,
                        fmt::format("vault {} is not in {} any more", name_, store_->Description()))
                  .WithCause("its file system is not mounted")
                  .WithCause("another vault took its place")
                  .WithAction("mount it and run the same command again; look: asr vault list")
                  .Retryable());
}

Result<std::unique_ptr<ItemLease>> Vault::LeaseItem(const Item& item) {
  ASR_CHECK(CheckPlace());
  ASR_TRY(auto lease, AcquireItem(item.id, item.name));
  constexpr std::size_t kAllLevels = 4;
  ASR_CHECK(store_->RemoveUnfinished(layout::ItemPrefix(item.id), kAllLevels));
  return ItemLease::Take(*store_, std::move(lease), item);
}

}  // namespace asr
