// The part of a vault that is about recovery points: their documents, proofs and pins.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/item_documents.h"
#include "core/vault/layout.h"
#include "core/vault/proof_kinds.h"
#include "core/vault/vault.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {

Result<ItemDocuments> Vault::Documents(const ItemId& item, ViewDepth depth) {
  ASR_TRY(auto blobs, store_->View(layout::ItemPrefix(item), depth));
  return ItemDocuments(std::move(blobs), item);
}

Result<std::vector<PointId>> Vault::ListPointIds(const ItemId& item) {
  ASR_TRY(auto view, Documents(item));
  return view.ListPointIds();
}

Result<std::optional<RecoveryPoint>> Vault::NewestPoint(const ItemId& item) {
  ASR_TRY(auto view, Documents(item));
  return view.NewestPoint();
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
  ASR_TRY(auto view, Documents(item.id));
  ASR_TRY(const auto all, view.ListPointIds());
  std::vector<PointId> ids = all;
  if (selector.kind == Kind::kId) std::erase_if(ids, [&](auto& id) { return id != selector.id; });
  // It is the newest one mostly; else several are read at a time.
  constexpr std::size_t kAtATime = 16;
  for (std::size_t begin = 0, end = 1; begin < ids.size(); begin = end, end += kAtATime) {
    end = std::min(end, ids.size());
    const std::vector<PointId> some(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                    ids.begin() + static_cast<std::ptrdiff_t>(end));
    for (Result<RecoveryPoint>& point : view.ReadPoints(some)) {
      if (WasDeleted(point)) continue;
      ASR_CHECK(point);
      if (selector.kind == Kind::kLatestApp && point->consistency != Consistency::kApp) continue;
      if (selector.kind == Kind::kTime && point->time > selector.not_after) continue;
      return *std::move(point);
    }
  }
  return Fail(NoSuchPoint(item, selector, all));
}

Result<RecoveryPoint> Vault::ReadPoint(const ItemId& item, const PointId& point) {
  const std::string blob = layout::PointDocument(item, point);
  ASR_TRY(const std::string text, store_->Get(blob));
  return DecodePoint(blob, text);
}

namespace {

// One that is there already is what an earlier seal of this point left, or a point's.
Status PutFirmware(BlobStore& store, const RecoveryPoint& point) {
  const std::string name = layout::FirmwareBlob(point.item, point.id);
  const std::string& content = point.firmware->content;
  Status put = store.Put(name, AsBytes(content), PutCondition::kIfAbsent);
  if (put || put.error().code != ErrorCode::kBlobExists) return put;
  ASR_TRY(const std::string there, store.Get(name));
  if (there == content) return {};
  const auto document = store.Get(layout::PointDocument(point.item, point.id));
  if (document ? !document->empty() : !IsNotFound(document.error())) return put;
  return store.Put(name, AsBytes(content));
}

}  // namespace

// What the document names is there, and durable, before it.
Status Vault::PutPoint(const RecoveryPoint& point, PutCondition condition) {
  const std::string name = layout::PointDocument(point.item, point.id);
  if (!point.firmware || point.firmware->content.empty()) {
    return store_->Put(name, AsBytes(EncodePoint(point)), condition);
  }
  ASR_CHECK(PutFirmware(*store_, point));
  RecoveryPoint document = point;
  document.firmware->content.clear();
  return store_->Put(name, AsBytes(EncodePoint(document)), condition);
}

Result<std::string> Vault::ReadFirmware(const RecoveryPoint& point) {
  if (!point.firmware) {
    return Fail(ErrorKind::kNotFound, ErrorCode::kBlobNotFound,
                fmt::format("no firmware variables are kept of point {}", point.id.value));
  }
  const std::string blob = layout::FirmwareBlob(point.item, point.id);
  auto content = store_->Get(blob);
  if (content && ToHex(ComputeSha256(AsBytes(*content))) == point.firmware->sha256) return content;
  if (!content && !IsNotFound(content.error())) return content;
  // Retention removes the document first.
  ASR_CHECK(store_->Get(layout::PointDocument(point.item, point.id)));
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kPointCorrupt,
                        fmt::format("{} {}", blob,
                                    content ? "does not hold the firmware variables that were kept"
                                            : "is missing"))
                  .WithCause("the disk or the file system under the vault lost or changed bytes")
                  .WithCause("somebody changed the vault's files by hand")
                  .WithAction("bring it back from a copy of the vault; the point's disks do not "
                              "need it, and those of another point may do"));
}

Status Vault::RemoveLostFirmware(const ItemId& item) {
  ASR_TRY(const auto names, store_->ListNames(layout::PointsPrefix(item)));
  std::set<std::string> points;
  for (const std::string& name : names) points.insert(DocumentStem(name));
  for (const std::string& name : names) {
    const std::string point = layout::FirmwareStem(name);
    // A newer one may be about to be sealed, by somebody who does not know yet that he is late.
    if (point.empty() || points.contains(point) || point > *points.rbegin()) continue;
    ASR_CHECK(store_->Delete(layout::FirmwareBlob(item, {point})));
  }
  return {};
}

Status Vault::MakePointDurable(const ItemId& item, const PointId& point) {
  if (store_->ShowsOnlyDurable()) return {};
  const std::string blob = layout::PointDocument(item, point);
  ASR_TRY(const std::string text, store_->Get(blob));
  return store_->Put(blob, AsBytes(text));
}

Status Vault::DeletePointDocument(const ItemId& item, const PointId& point) {
  ASR_CHECK(store_->Delete(layout::PointDocument(item, point)));
  const std::string proofs = layout::ProofPrefix(item, point);
  const std::string firmware = layout::FirmwareBlob(item, point);
  ASR_TRY(const auto blobs, store_->List(layout::PointsPrefix(item) + point.value + "."));
  for (const BlobInfo& blob : blobs) {
    if (blob.name == firmware || blob.name.starts_with(proofs))
      ASR_CHECK(store_->Delete(blob.name));
  }
  return {};
}

namespace {

Result<std::optional<Proof>> ReadOneProof(BlobStore& store, const std::string& blob) {
  if (DocumentStem(blob).empty()) return std::nullopt;  // a picture
  return DecodeOneProof(blob, store.Get(blob));
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
    if (!blob.name.ends_with(layout::kDocumentEnding)) continue;
    const auto text = store_->Get(blob.name);
    const Result<Proof> proof = text ? DecodeProof(blob.name, *text) : Fail(text.error());
    if (!proof || *proof != Proof{.verified_at = proof->verified_at}) continue;
    if (!store_->Delete(blob.name)) return;
  }
}

Result<std::optional<Proof>> Vault::ReadProof(const ItemId& item, const PointId& point) {
  ASR_TRY(auto view, Documents(item));
  return view.ReadProof(point);
}

Result<std::string> Vault::ReadScreenshot(const Screenshot& screenshot) {
  ASR_TRY(std::string bytes, store_->Get(screenshot.path));
  if (ToHex(ComputeSha256(AsBytes(bytes))) == screenshot.sha256) return bytes;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("{} is not the picture that was kept", screenshot.path))
                  .WithCause("the disk or the file system under the vault lost or changed bytes")
                  .WithAction("test the point again: the new picture takes its place"));
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
  ASR_CHECK(store_->Put(layout::PinDocument(item, pin.id.value), AsBytes(EncodePin(pin)),
                        PutCondition::kIfAbsent));
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
  ASR_TRY(auto view, Documents(item));
  return view.ListPins(now);
}

}  // namespace asr
