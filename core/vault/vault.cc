#include "core/vault/vault.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::string_view kJsonEnding = ".json";

// "web.json" -> "web"; "" for any other name.
std::string DocumentStem(const std::string& name) {
  if (!name.ends_with(kJsonEnding)) return "";
  return name.substr(0, name.size() - kJsonEnding.size());
}

// What was there when it was listed, and is gone now, is no error of a list.
template <class Value>
bool WasDeleted(const Result<Value>& result) {
  return !result && result.error().kind == ErrorKind::kNotFound;
}

Error NotFound(ErrorCode code, const std::string& message, const std::string& name,
               const std::vector<std::string>& names, const std::string& list_command) {
  Error error = MakeError(ErrorKind::kNotFound, code, message);
  const std::string nearest = NearestName(name, names);
  error.action = nearest.empty()
                     ? fmt::format("see what there is: {}", list_command)
                     : fmt::format("did you mean '{}'? All of them: {}", nearest, list_command);
  return error;
}

Error NoSuchPoint(const Item& item, const PointSelector& selector,
                  const std::vector<PointId>& points) {
  const std::string list_command = "asr points list " + ShellQuote(item.name);
  std::vector<std::string> ids;
  if (selector.kind == PointSelector::Kind::kId) {
    for (const PointId& point : points) ids.push_back(point.value);
  }
  return NotFound(ErrorCode::kPointNotFound,
                  fmt::format("VM {} has no such recovery point", item.name), selector.id.value,
                  ids, list_command)
      .WithCause("retention has removed it, or it was never taken");
}

}  // namespace

Vault::Vault(std::unique_ptr<BlobStore> store, std::string name, VaultIdentity identity)
    : store_(std::move(store)), name_(std::move(name)), identity_(std::move(identity)) {}

Result<std::unique_ptr<Vault>> Vault::Create(std::unique_ptr<BlobStore> store,
                                             const std::string& name, DigestAlgorithm algorithm,
                                             Timestamp now) {
  VaultIdentity identity{.id = ToHex(RandomBits()), .algorithm = algorithm, .created = now};
  const Status written = store->Put(std::string(layout::kVaultDocument),
                                    AsBytes(EncodeIdentity(identity)), PutCondition::kIfAbsent);
  if (!written && written.error().code == ErrorCode::kBlobExists) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                          fmt::format("there is a vault at {} already", store->Description()))
                    .WithAction("connect it: asr vault connect NAME --target URL"));
  }
  ASR_CHECK(written);
  return std::unique_ptr<Vault>(new Vault(std::move(store), name, std::move(identity)));
}

Result<std::unique_ptr<Vault>> Vault::Open(std::unique_ptr<BlobStore> store,
                                           const std::string& name) {
  const std::string document(layout::kVaultDocument);
  const auto text = store->Get(document);
  if (WasDeleted(text)) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kVaultNotFound,
                          fmt::format("there is no vault at {}", store->Description()))
                    .WithCause("the place is empty or not mounted, or the path is wrong")
                    .WithAction("look at the path, or make a vault: asr vault create"));
  }
  ASR_CHECK(text);
  ASR_TRY(VaultIdentity identity, DecodeIdentity(document, *text));
  return std::unique_ptr<Vault>(new Vault(std::move(store), name, std::move(identity)));
}

Result<std::vector<Policy>> Vault::ListPolicies() {
  ASR_TRY(const auto names, store_->ListNames(std::string(layout::kPolicies)));
  std::vector<Policy> policies;
  for (const std::string& name : names) {
    if (DocumentStem(name).empty()) continue;
    const std::string blob = fmt::format("{}{}", layout::kPolicies, name);
    const auto text = store_->Get(blob);
    if (WasDeleted(text)) continue;
    ASR_CHECK(text);
    ASR_TRY(Policy policy, DecodePolicy(blob, *text));
    policies.push_back(std::move(policy));
  }
  return policies;
}

Result<Policy> Vault::FindPolicy(const std::string& name) {
  const std::string blob = layout::PolicyDocument(name);
  const auto text = store_->Get(blob);
  if (text) return DecodePolicy(blob, *text);
  if (!WasDeleted(text)) return Fail(text.error());
  ASR_TRY(const auto documents, store_->ListNames(std::string(layout::kPolicies)));
  std::vector<std::string> names;
  for (const std::string& document : documents) {
    names.push_back(layout::UnescapeSegment(DocumentStem(document)));
  }
  return Fail(NotFound(ErrorCode::kPolicyNotFound, fmt::format("there is no policy '{}'", name),
                       name, names, "asr policy list"));
}

Status Vault::PutPolicy(const Policy& policy) {
  return store_->Put(layout::PolicyDocument(policy.name), AsBytes(EncodePolicy(policy)));
}

Status Vault::DeletePolicy(const std::string& name) {
  ASR_CHECK(FindPolicy(name));
  ASR_TRY(const auto listing, ListItems());
  ASR_CHECK(listing.RequireAllReadable());
  std::vector<std::string> users;
  for (const Item& item : listing.items) {
    if (item.policy == name && item.state != ProtectionState::kUnprotected) {
      users.push_back(item.name);
    }
  }
  if (!users.empty()) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kPolicyInUse,
                          fmt::format("policy '{}' is used by {}", name, fmt::join(users, ", ")))
                    .WithAction("disable these VMs first, or keep the policy"));
  }
  return store_->Delete(layout::PolicyDocument(name));
}

Status ItemListing::RequireAllReadable() const {
  if (unreadable.empty()) return {};
  return Fail(unreadable.front());
}

Result<ItemListing> Vault::ListItems() {
  ASR_TRY(const auto ids, store_->ListNames(std::string(layout::kItems)));
  ItemListing listing;
  for (const std::string& id : ids) {
    const std::string blob = layout::ItemDocument({id});
    const auto text = store_->Get(blob);
    if (WasDeleted(text)) continue;  // half deleted: no longer an item
    ASR_CHECK(text);
    auto item = DecodeItem(blob, *text);
    if (item) {
      listing.items.push_back(*std::move(item));
    } else {
      listing.unreadable.push_back(std::move(item).error());
    }
  }
  std::ranges::sort(listing.items, [](const Item& left, const Item& right) {
    return std::tie(left.name, left.id) < std::tie(right.name, right.id);
  });
  return listing;
}

Result<Item> Vault::FindItem(const std::string& name) {
  ASR_TRY(const auto listing, ListItems());
  std::vector<std::string> names;
  std::vector<Item> protected_items;
  std::vector<Item> kept_items;
  for (const Item& item : listing.items) {
    names.push_back(item.name);
    if (item.id.value == name) return item;
    if (item.name != name && fmt::format("{}/{}", item.host, item.name) != name) continue;
    (item.state == ProtectionState::kUnprotected ? kept_items : protected_items).push_back(item);
  }
  // Replicas that were kept after disable stand behind the VM's live item.
  const auto& found = protected_items.empty() ? kept_items : protected_items;
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    // It may be the one that cannot be read.
    ASR_CHECK(listing.RequireAllReadable());
    return Fail(NotFound(ErrorCode::kItemNotFound, fmt::format("no VM '{}' is in this vault", name),
                         name, names, "asr items list"));
  }
  std::vector<std::string> candidates;
  for (const Item& item : found) {
    candidates.push_back(fmt::format("{}/{} ({})", item.host, item.name, item.id.value));
  }
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kVmAmbiguous,
                        fmt::format("'{}' may be {}", name, fmt::join(candidates, " or ")))
                  .WithAction("give HOST/NAME, or the id in brackets"));
}

Status Vault::PutItem(const Item& item) {
  return store_->Put(layout::ItemDocument(item.id), AsBytes(EncodeItem(item)));
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
  if (const auto text = store_->Get(document)) {
    if (const auto item = DecodeItem(document, *text)) {
      for (const ItemDisk& disk : item->disks) {
        ASR_CHECK(store_->Delete(layout::DigestBlob(id, disk.name)));
        ASR_CHECK(store_->Delete(layout::DiskBlob(id, disk.name)));
      }
    }
  }
  return store_->Delete(document);
}

Result<std::unique_ptr<Lease>> Vault::LeaseNewItems() {
  ASR_TRY(auto lease, store_->AcquireLease(std::string(layout::kNewItemsLease)));
  // An item whose document was never written has no lease that anybody would ask for.
  ASR_CHECK(store_->RemoveUnfinished(std::string(layout::kItems), 1));
  return lease;
}

Result<std::unique_ptr<ItemLease>> Vault::LeaseItem(const Item& item) {
  auto lease = store_->AcquireLease(layout::ItemLease(item.id));
  if (!lease && lease.error().kind == ErrorKind::kBusy) {
    Error error = std::move(lease).error();
    error.code = ErrorCode::kItemBusy;
    error.message = fmt::format("another process works on VM {} ({})", item.name, error.message);
    error.action = "wait until it has ended: asr jobs list --item " + item.name;
    return Fail(std::move(error));
  }
  ASR_CHECK(lease);
  constexpr std::size_t kAllLevels = 4;
  ASR_CHECK(store_->RemoveUnfinished(layout::ItemPrefix(item.id), kAllLevels));
  return ItemLease::Take(*store_, *std::move(lease), item);
}

Result<std::vector<PointId>> Vault::ListPointIds(const ItemId& item) {
  ASR_TRY(const auto names, store_->ListNames(layout::PointsPrefix(item)));
  std::vector<PointId> ids;
  for (const std::string& name : names) {
    const std::string stem = DocumentStem(name);
    if (!stem.empty()) ids.push_back({stem});
  }
  std::sort(ids.rbegin(), ids.rend());
  return ids;
}

Result<std::optional<RecoveryPoint>> Vault::NewestPoint(const ItemId& item) {
  ASR_TRY(const auto ids, ListPointIds(item));
  if (ids.empty()) return std::nullopt;
  ASR_TRY(RecoveryPoint point, ReadPoint(item, ids.front()));
  return point;
}

Result<RecoveryPoint> Vault::FindPoint(const Item& item, const PointSelector& selector) {
  using Kind = PointSelector::Kind;
  ASR_TRY(const auto ids, ListPointIds(item.id));
  for (const PointId& id : ids) {
    if (selector.kind == Kind::kId && id != selector.id) continue;
    auto point = ReadPoint(item.id, id);
    if (WasDeleted(point)) continue;
    ASR_CHECK(point);
    if (selector.kind == Kind::kLatestApp && point->consistency != Consistency::kApp) continue;
    if (selector.kind == Kind::kTime && point->time > selector.not_after) continue;
    return *std::move(point);
  }
  return Fail(NoSuchPoint(item, selector, ids));
}

Result<RecoveryPoint> Vault::ReadPoint(const ItemId& item, const PointId& point) {
  const std::string blob = layout::PointDocument(item, point);
  ASR_TRY(const std::string text, store_->Get(blob));
  return DecodePoint(blob, text);
}

Status Vault::PutPoint(const RecoveryPoint& point) {
  return store_->Put(layout::PointDocument(point.item, point.id), AsBytes(EncodePoint(point)),
                     PutCondition::kIfAbsent);
}

Status Vault::MakePointDurable(const ItemId& item, const PointId& point) {
  const std::string blob = layout::PointDocument(item, point);
  ASR_TRY(const std::string text, store_->Get(blob));
  return store_->Put(blob, AsBytes(text));
}

Status Vault::DeletePointDocument(const ItemId& item, const PointId& point) {
  ASR_CHECK(store_->Delete(layout::PointDocument(item, point)));
  ASR_TRY(const auto proofs, store_->List(layout::ProofPrefix(item, point)));
  for (const BlobInfo& proof : proofs) ASR_CHECK(store_->Delete(proof.name));
  return {};
}

Status Vault::AddProof(const ItemId& item, const PointId& point, const Proof& proof, Timestamp now,
                       const std::string& screenshot) {
  const std::string name =
      fmt::format("{}{}.json", layout::ProofPrefix(item, point), FormatCompactTime(now));
  const std::string picture = layout::ScreenshotOf(name);
  Proof written = proof;
  if (!screenshot.empty()) {
    written.screenshot = {.path = picture,
                          .size_bytes = screenshot.size(),
                          .sha256 = ToHex(ComputeSha256(AsBytes(screenshot)))};
    ASR_CHECK(store_->Put(picture, AsBytes(screenshot)));
  }
  const Status put = store_->Put(name, AsBytes(EncodeProof(written)));
  // Retention may have removed the point meanwhile, and listed its proofs before this one.
  const bool point_gone = WasDeleted(store_->Get(layout::PointDocument(item, point)));
  if (put && !point_gone) return {};
  ASR_CHECK(store_->Delete(name));
  if (!screenshot.empty()) ASR_CHECK(store_->Delete(picture));
  return put;
}

Result<std::optional<Proof>> Vault::ReadProof(const ItemId& item, const PointId& point) {
  ASR_TRY(const auto blobs, store_->List(layout::ProofPrefix(item, point)));
  std::optional<Proof> merged;
  for (const BlobInfo& blob : blobs) {
    if (!blob.name.ends_with(kJsonEnding)) continue;
    const auto text = store_->Get(blob.name);
    if (WasDeleted(text)) continue;
    ASR_CHECK(text);
    // One that is damaged proves nothing, and must not keep the point from being used.
    const auto proof = DecodeProof(blob.name, *text);
    if (!proof) continue;
    if (!merged) merged.emplace();
    if (proof->verified_at) merged->verified_at = proof->verified_at;
    if (proof->booted) merged->booted = proof->booted;
    if (proof->boot_seconds) merged->boot_seconds = proof->boot_seconds;
    if (!proof->sign_of_life.empty()) merged->sign_of_life = proof->sign_of_life;
    if (proof->tested_at) merged->tested_at = proof->tested_at;
    if (!proof->notes.empty()) merged->notes = proof->notes;
    if (proof->screenshot) merged->screenshot = proof->screenshot;
  }
  return merged;
}

Result<std::string> Vault::ReadScreenshot(const Screenshot& screenshot) {
  ASR_TRY(std::string bytes, store_->Get(screenshot.path));
  if (ToHex(ComputeSha256(AsBytes(bytes))) == screenshot.sha256) return bytes;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("{} is not the picture that was kept", screenshot.path))
                  .WithCause("the disk or the file system under the vault lost or changed bytes")
                  .WithAction("test the point again: the new picture takes its place"));
}

namespace {

PinId HoldId(const PointId& point) { return {"hold-" + point.value}; }

std::string PinBlob(const ItemId& item, const PinId& pin) {
  return fmt::format("{}{}.json", layout::PinsPrefix(item), pin.value);
}

}  // namespace

Status Vault::HoldPoint(const ItemId& item, const PointId& point) {
  const Pin pin{.id = HoldId(point), .point = point, .reader = "hold", .until = std::nullopt};
  return store_->Put(PinBlob(item, pin.id), AsBytes(EncodePin(pin)));
}

Status Vault::ReleasePoint(const ItemId& item, const PointId& point) {
  return store_->Delete(PinBlob(item, HoldId(point)));
}

Result<PinId> Vault::PinPoint(const ItemId& item, const PointId& point, const std::string& reader,
                              Timestamp until) {
  const Pin pin{.id = {ToHex(ByteSpan(RandomBits()).first(6))},
                .point = point,
                .reader = reader,
                .until = until};
  ASR_CHECK(store_->Put(PinBlob(item, pin.id), AsBytes(EncodePin(pin))));
  return pin.id;
}

Status Vault::UnpinPoint(const ItemId& item, const PinId& pin) {
  return store_->Delete(PinBlob(item, pin));
}

Result<std::vector<Pin>> Vault::ListPins(const ItemId& item, Timestamp now) {
  ASR_TRY(const auto names, store_->ListNames(layout::PinsPrefix(item)));
  std::vector<Pin> pins;
  for (const std::string& name : names) {
    const std::string blob = layout::PinsPrefix(item) + name;
    const auto text = store_->Get(blob);
    if (WasDeleted(text)) continue;
    ASR_CHECK(text);
    ASR_TRY(Pin pin, DecodePin(blob, *text));
    if (!pin.until || *pin.until > now) pins.push_back(std::move(pin));
  }
  return pins;
}

}  // namespace asr
