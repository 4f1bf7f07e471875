// The part of a vault that is about recovery points: their documents, proofs and pins.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "core/vault/vault.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {

Result<std::vector<PointId>> Vault::ListPointIds(const ItemId& item) {
  ASR_TRY(const auto names, store_->ListNames(layout::PointsPrefix(item)));
  std::set<std::string> marked;
  for (const std::string& name : names) marked.insert(layout::DroppedStem(name));
  std::vector<PointId> ids;
  for (const std::string& name : names) {
    const PointId id{DocumentStem(name)};
    if (id.value.empty()) continue;
    if (marked.contains(id.value)) {
      const auto text = store_->Get(layout::PointDocument(item, id));
      if (WasDeleted(text)) continue;
      ASR_CHECK(text);
      if (text->empty()) continue;
    }
    ids.push_back(id);
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

namespace {

Error NoSuchPoint(const Item& item, const PointSelector& selector,
                  const std::vector<PointId>& points) {
  std::vector<std::string> ids;
  if (selector.kind == PointSelector::Kind::kId) {
    for (const PointId& point : points) ids.push_back(point.value);
  }
  return WithNearestName(MakeError(ErrorKind::kNotFound, ErrorCode::kPointNotFound,
                                   fmt::format("VM {} has no such recovery point", item.name)),
                         selector.id.value, ids, "asr points list " + ShellQuote(item.name))
      .WithCause("retention has removed it, or it was never taken");
}

}  // namespace

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

Status Vault::PutPoint(const RecoveryPoint& point, PutCondition condition) {
  return store_->Put(layout::PointDocument(point.item, point.id), AsBytes(EncodePoint(point)),
                     condition);
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

namespace {

// What a proof's document tells of. A later document takes the place of an earlier one that tells
// of nothing else.
struct ProofKinds {
  bool verified = false;
  bool booted = false;
  bool notes = false;

  static ProofKinds Of(const Proof& proof) {
    return {.verified = proof.verified_at.has_value(),
            .booted = proof.booted.has_value() || proof.tested_at.has_value(),
            .notes = !proof.notes.empty()};
  }
  [[nodiscard]] bool any() const { return verified || booted || notes; }
  [[nodiscard]] bool Covers(const ProofKinds& other) const {
    return (verified || !other.verified) && (booted || !other.booted) && (notes || !other.notes);
  }
  void Add(const ProofKinds& other) {
    verified |= other.verified;
    booted |= other.booted;
    notes |= other.notes;
  }
};

// One that is damaged proves nothing, and must not keep the point from being used.
Result<std::optional<Proof>> ReadOneProof(BlobStore& store, const std::string& blob) {
  if (DocumentStem(blob).empty()) return std::nullopt;  // a picture
  const auto text = store.Get(blob);
  if (WasDeleted(text)) return std::nullopt;
  ASR_CHECK(text);
  auto proof = DecodeProof(blob, *text);
  if (!proof) return std::nullopt;
  return *std::move(proof);
}

// With its picture, if it has one.
Status DeleteProof(BlobStore& store, const std::string& blob) {
  ASR_CHECK(store.Delete(blob));
  return store.Delete(layout::ScreenshotOf(blob));
}

// Documents of which later ones tell all.
Status RemoveSuperseded(BlobStore& store, const std::string& prefix) {
  ASR_TRY(const auto blobs, store.List(prefix));
  ProofKinds later;
  for (auto blob = blobs.rbegin(); blob != blobs.rend(); ++blob) {
    ASR_TRY(const auto proof, ReadOneProof(store, blob->name));
    if (!proof) continue;
    const ProofKinds kinds = ProofKinds::Of(*proof);
    if (kinds.any() && later.Covers(kinds)) ASR_CHECK(DeleteProof(store, blob->name));
    later.Add(kinds);
  }
  return {};
}

}  // namespace

Status Vault::AddProof(const ItemId& item, const PointId& point, const Proof& proof, Timestamp now,
                       const std::string& screenshot) {
  const std::string prefix = layout::ProofPrefix(item, point);
  const std::string name = fmt::format("{}{}.json", prefix, FormatCompactTime(now));
  Proof written = proof;
  if (!screenshot.empty()) {
    written.screenshot = {.path = layout::ScreenshotOf(name),
                          .size_bytes = screenshot.size(),
                          .sha256 = ToHex(ComputeSha256(AsBytes(screenshot)))};
    ASR_CHECK(store_->Put(layout::ScreenshotOf(name), AsBytes(screenshot)));
  }
  Status put = store_->Put(name, AsBytes(EncodeProof(written)));
  // Retention may have removed the point meanwhile, and listed its proofs before this one.
  const auto document = store_->Get(layout::PointDocument(item, point));
  if (!put || WasDeleted(document)) {
    ASR_CHECK(DeleteProof(*store_, name));
    return put;
  }
  // The next one tries again.
  static_cast<void>(RemoveSuperseded(*store_, prefix).has_value());
  return {};
}

void Vault::WithdrawVerification(const ItemId& item, const PointId& point) {
  const auto proofs = store_->List(layout::ProofPrefix(item, point));
  if (!proofs) return;
  for (const BlobInfo& blob : *proofs) {
    if (!blob.name.ends_with(".json")) continue;
    const auto text = store_->Get(blob.name);
    const Result<Proof> proof = text ? DecodeProof(blob.name, *text) : Fail(text.error());
    if (!proof || *proof != Proof{.verified_at = proof->verified_at}) continue;
    if (!store_->Delete(blob.name)) return;
  }
}

Result<std::optional<Proof>> Vault::ReadProof(const ItemId& item, const PointId& point) {
  ASR_TRY(const auto blobs, store_->List(layout::ProofPrefix(item, point)));
  std::optional<Proof> merged;
  for (const BlobInfo& blob : blobs) {
    ASR_TRY(const auto proof, ReadOneProof(*store_, blob.name));
    if (!proof) continue;
    if (!merged) merged.emplace();
    const ProofKinds kinds = ProofKinds::Of(*proof);
    if (kinds.verified) merged->verified_at = proof->verified_at;
    if (kinds.booted) {
      // All of one boot: a guest that did not start has no time of another one's.
      merged->booted = proof->booted;
      merged->boot_seconds = proof->boot_seconds;
      merged->sign_of_life = proof->sign_of_life;
      merged->tested_at = proof->tested_at;
      merged->screenshot = proof->screenshot;
    }
    if (kinds.notes) merged->notes = proof->notes;
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

constexpr std::string_view kHoldPrefix = "hold-";

PinId HoldId(const PointId& point) { return {std::string(kHoldPrefix) + point.value}; }

// What the name alone tells.
std::optional<Pin> HoldOfName(const std::string& stem) {
  if (!stem.starts_with(kHoldPrefix)) return std::nullopt;
  const PointId point{stem.substr(kHoldPrefix.size())};
  if (!ParseCompactTime(point.value)) return std::nullopt;
  return Pin{.id = {stem}, .point = point, .reader = "hold", .until = std::nullopt};
}

}  // namespace

Error PinUnreadable(const std::string& blob, Error error) {
  if (error.kind != ErrorKind::kCorrupt) return error;
  const bool is_hold = HoldOfName(DocumentStem(blob.substr(blob.rfind('/') + 1))).has_value();
  error.action =
      is_hold ? "hold the point again, which writes the document anew (asr points hold), or "
                "release it (asr points release)"
              : fmt::format(
                    "bring it back from a copy of the vault; or, once no restore, test failover or "
                    "verification of the VM runs, remove {} by hand: until then retention removes "
                    "no recovery point of the VM",
                    blob);
  return error;
}

Status Vault::HoldPoint(const ItemId& item, const PointId& point) {
  const Pin pin{.id = HoldId(point), .point = point, .reader = "hold", .until = std::nullopt};
  return store_->Put(layout::PinDocument(item, pin.id.value), AsBytes(EncodePin(pin)));
}

Status Vault::ReleasePoint(const ItemId& item, const PointId& point) {
  return store_->Delete(layout::PinDocument(item, HoldId(point).value));
}

Result<PinId> Vault::PinPoint(const ItemId& item, const PointId& point, const std::string& reader,
                              Timestamp until) {
  const Pin pin{.id = {ToHex(ByteSpan(RandomBits()).first(6))},
                .point = point,
                .reader = reader,
                .until = until};
  ASR_CHECK(store_->Put(layout::PinDocument(item, pin.id.value), AsBytes(EncodePin(pin))));
  return pin.id;
}

Status Vault::UnpinPoint(const ItemId& item, const PinId& pin) {
  return store_->Delete(layout::PinDocument(item, pin.value));
}

Result<bool> Vault::HasPin(const ItemId& item, const PinId& pin) {
  const auto text = store_->Get(layout::PinDocument(item, pin.value));
  if (text || text.error().kind == ErrorKind::kCorrupt) return true;
  if (IsNotFound(text.error())) return false;
  return Fail(text.error());
}

Result<PinListing> Vault::ListPins(const ItemId& item, Timestamp now) {
  ASR_TRY(const auto names, store_->ListNames(layout::PinsPrefix(item)));
  PinListing listing;
  for (const std::string& name : names) {
    const std::string blob = layout::PinsPrefix(item) + name;
    const std::string stem = DocumentStem(name);
    if (stem.empty()) continue;
    const auto text = store_->Get(blob);
    if (WasDeleted(text)) continue;
    if (!text && IsPassing(text.error())) return Fail(text.error());
    auto pin = text ? DecodePin(blob, *text) : Result<Pin>(Fail(text.error()));
    if (pin) {
      if (!pin->until || *pin->until > now) listing.pins.push_back(*std::move(pin));
      continue;
    }
    auto hold = HoldOfName(stem);
    listing.unreadable.push_back(PinUnreadable(blob, std::move(pin).error()));
    if (hold) {
      listing.pins.push_back(*std::move(hold));
    } else {
      listing.may_pin_others = true;
    }
  }
  return listing;
}

}  // namespace asr
