// The part of an item's check that is about what recovery points leave: snapshots without a
// document, pictures, pins.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/item_check.h"
#include "core/vault/layout.h"
#include "core/vault/unsealed.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Result<Pin> DecodeNamedPin(const std::string& name, const std::string& text) {
  auto pin = DecodePin(name, text);
  if (pin) return pin;
  return Fail(PinUnreadable(name, std::move(pin).error()));
}

}  // namespace

void ItemCheck::CheckUnsealed() {
  // Then they may be all that is left.
  if (points_.empty() && item_.state == ProtectionState::kProtected) return;
  std::vector<SnapshotId> all;
  for (const auto& [snapshot, blob] : snapshots_) all.push_back(snapshot);
  std::set<SnapshotId> unsealed;
  AddUnsealed(all, points_, unsealed);
  // A deletion that goes on leaves as many as it likes.
  if (item_.state != ProtectionState::kDisablingProtection && MayBeLostPoints(points_, unsealed)) {
    return AddLostPoints(unsealed);
  }
  const bool is_unprotected = item_.state == ProtectionState::kUnprotected;
  for (const SnapshotId& snapshot : unsealed) {
    findings_.Add(Severity::kNote, snapshots_.at(snapshot),
                  fmt::format("snapshot {} belongs to no point: a seal or a removal runs, or was "
                              "interrupted",
                              snapshot.value),
                  is_unprotected ? "nothing: it does no harm"
                                 : "nothing: the next replication drops it, or warns that it "
                                   "stays, which does no harm either");
  }
}

void ItemCheck::AddLostPoints(const std::set<SnapshotId>& unsealed) {
  const std::string name = ShellQuote(item_.name);
  const std::string way_out =
      item_.state == ProtectionState::kUnprotected
          ? "or, if the item was being deleted: asr items delete " + ShellQuote(id_.value)
          : "nothing replicates before; or, if nobody needs what they held: asr points prune " +
                name;
  findings_.Add(
      Severity::kError, layout::PointsPrefix(id_),
      fmt::format("{} snapshots, the first {}, belong to no point: the documents of "
                  "their points are gone",
                  unsealed.size(), unsealed.begin()->value),
      std::string(kLetCopyingEnd) + "then bring them back from a copy of the vault; " + way_out);
}

void ItemCheck::CheckPin(const std::string& blob) {
  const auto pin = findings_.Read(store_, blob, DecodeNamedPin);
  if (!pin) return;
  if (layout::PinDocument(id_, pin->id.value) != blob) {
    findings_.Add(Severity::kError, blob,
                  fmt::format("the document is that of pin {}", pin->id.value),
                  "remove it by hand, and hold the point again if it was held");
  } else if (pin->until && *pin->until <= now_) {
    findings_.Add(
        Severity::kNote, blob,
        fmt::format("the pin of point {} by '{}' has expired", pin->point.value, pin->reader),
        "nothing: it keeps the point no longer");
  } else if (IsGone(layout::PointDocument(id_, pin->point))) {
    findings_.Add(Severity::kNote, blob,
                  fmt::format("the point {} that it keeps is gone", pin->point.value),
                  "nothing: it does no harm");
  }
}

void ItemCheck::CheckFirmware(const RecoveryPoint& point) {
  const std::string blob = layout::FirmwareBlob(id_, point.id);
  const auto bytes = store_.Get(blob);
  if (!bytes && !IsNotFound(bytes.error())) return findings_.Add(blob, bytes.error());
  if (!bytes && IsGone(layout::PointDocument(id_, point.id))) return;
  if (bytes && ToHex(ComputeSha256(AsBytes(*bytes))) == point.firmware->sha256) return;
  findings_.Add(Severity::kError, blob,
                bytes ? "the firmware variables are not those that were kept"
                      : "the point's firmware variables are missing",
                "bring the blob back from a copy of the vault; the point's disks do not need it, "
                "and another point's variables may do");
}

void ItemCheck::CheckScreenshot(const std::string& proof, const Screenshot& screenshot) {
  const auto bytes = store_.Get(screenshot.path);
  if (!bytes && !IsNotFound(bytes.error())) return findings_.Add(screenshot.path, bytes.error());
  // A point that is removed meanwhile loses its proofs before their pictures.
  if (!bytes && !store_.Get(proof)) return;
  if (bytes) ++report_.blob_count;
  if (bytes && bytes->size() == screenshot.size_bytes &&
      ToHex(ComputeSha256(AsBytes(*bytes))) == screenshot.sha256) {
    return;
  }
  findings_.Add(Severity::kWarning, screenshot.path,
                bytes ? "the picture is not the one that was kept" : "the picture is missing",
                "test the point again: the new picture takes its place");
}

}  // namespace asr
