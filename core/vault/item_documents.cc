#include "core/vault/item_documents.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "core/vault/proof_kinds.h"

namespace asr {
namespace {

constexpr std::string_view kHoldPrefix = "hold-";

// What the name alone tells.
std::optional<Pin> HoldOfName(const std::string& stem) {
  if (!stem.starts_with(kHoldPrefix)) return std::nullopt;
  const PointId point{stem.substr(kHoldPrefix.size())};
  if (!ParseCompactTime(point.value)) return std::nullopt;
  return Pin{.id = {stem}, .point = point, .reader = "hold", .until = std::nullopt};
}
}  // namespace

PinId HoldId(const PointId& point) { return {std::string(kHoldPrefix) + point.value}; }

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

Result<std::optional<Proof>> DecodeOneProof(const std::string& blob,
                                            const Result<std::string>& text) {
  if (WasDeleted(text)) return std::nullopt;
  ASR_CHECK(text);
  auto proof = DecodeProof(blob, *text);
  if (!proof) return std::nullopt;
  return *std::move(proof);
}

Result<std::vector<PointId>> ItemDocuments::ListPointIds() {
  ASR_TRY(const auto names, blobs_->ListNames(layout::PointsPrefix(item_)));
  std::set<std::string> marked;
  for (const std::string& name : names) marked.insert(layout::DroppedStem(name));
  std::vector<PointId> ids;
  for (const std::string& name : names) {
    const PointId id{DocumentStem(name)};
    if (id.value.empty()) continue;
    if (marked.contains(id.value)) {
      const auto text = std::move(blobs_->Get({layout::PointDocument(item_, id)}).front());
      if (WasDeleted(text)) continue;
      ASR_CHECK(text);
      if (text->empty()) continue;
    }
    ids.push_back(id);
  }
  std::sort(ids.rbegin(), ids.rend());
  return ids;
}

std::vector<Result<RecoveryPoint>> ItemDocuments::ReadPoints(const std::vector<PointId>& ids) {
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const PointId& id : ids) names.push_back(layout::PointDocument(item_, id));
  auto texts = blobs_->Get(names);
  std::vector<Result<RecoveryPoint>> points;
  points.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (texts[i]) {
      points.push_back(DecodePoint(names[i], *texts[i]));
    } else {
      points.emplace_back(Fail(std::move(texts[i]).error()));
    }
  }
  return points;
}

Result<std::optional<RecoveryPoint>> ItemDocuments::NewestPoint() {
  ASR_TRY(const auto ids, ListPointIds());
  if (ids.empty()) return std::nullopt;
  ASR_TRY(RecoveryPoint point, std::move(ReadPoints({ids.front()}).front()));
  return point;
}

Result<std::optional<Proof>> ItemDocuments::ReadProof(const PointId& point) {
  const std::string prefix = layout::ProofPrefix(item_, point);
  ASR_TRY(const auto names, blobs_->ListNames(prefix));
  std::vector<std::string> documents;
  for (const std::string& name : names) {
    if (!DocumentStem(name).empty()) documents.push_back(prefix + name);
  }
  if (documents.empty()) return std::nullopt;
  const auto texts = blobs_->Get(documents);
  std::optional<Proof> merged;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    ASR_TRY(const auto proof, DecodeOneProof(documents[i], texts[i]));
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

Result<PinListing> ItemDocuments::ListPins(Timestamp now) {
  const std::string prefix = layout::PinsPrefix(item_);
  ASR_TRY(const auto names, blobs_->ListNames(prefix));
  std::vector<std::string> blobs;
  for (const std::string& name : names) {
    if (!DocumentStem(name).empty()) blobs.push_back(prefix + name);
  }
  PinListing listing;
  if (blobs.empty()) return listing;
  const auto texts = blobs_->Get(blobs);
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    const std::string& blob = blobs[i];
    const auto& text = texts[i];
    if (WasDeleted(text)) continue;
    if (!text && IsPassing(text.error())) return Fail(text.error());
    auto pin = text ? DecodePin(blob, *text) : Result<Pin>(Fail(text.error()));
    if (pin) {
      if (!pin->until || *pin->until > now) listing.pins.push_back(*std::move(pin));
      continue;
    }
    auto hold = HoldOfName(DocumentStem(blob.substr(prefix.size())));
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
