#include "core/vault/item_check.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/vault/digest_table.h"
#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "core/vault/unsealed.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"
#include "storage/image/vhd_footer.h"

namespace asr {
namespace {

constexpr std::string_view kProof = ".proof/";
constexpr std::string_view kPng = ".png";
// Groups whose digests are read at a time.
constexpr std::uint64_t kGroupsOfARead = 4096;

// "points/X.json" -> "X"; "" if it is none.
std::string StemBetween(std::string_view name, std::string_view prefix, std::string_view ending) {
  if (name.size() <= prefix.size() + ending.size() || !name.starts_with(prefix) ||
      !name.ends_with(ending)) {
    return "";
  }
  const auto stem = name.substr(prefix.size(), name.size() - prefix.size() - ending.size());
  return stem.find('/') == std::string_view::npos ? std::string(stem) : "";
}

// Chunks of the live table that are unknown.
Result<std::uint64_t> UnknownChunks(DigestTableReader& table) {
  std::uint64_t chunks = 0;
  std::vector<Digest> groups(kGroupsOfARead);
  for (std::uint64_t first = 0; first < table.group_count(); first += kGroupsOfARead) {
    groups.resize(std::min(kGroupsOfARead, table.group_count() - first));
    ASR_CHECK(table.ReadGroups(first, groups));
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (!groups[i].is_unknown()) continue;
      ChunkRow row{};
      ASR_CHECK(table.ReadChunks(first + i, row));
      chunks += static_cast<std::uint64_t>(
          std::ranges::count_if(row, [](const Digest& digest) { return digest.is_unknown(); }));
    }
  }
  return chunks;
}

// Errors with what to do about just this document.
Result<Item> DecodeNamedItem(const std::string& name, const std::string& text) {
  auto item = DecodeItem(name, text);
  if (item) return item;
  const std::string id = name.substr(layout::kItems.size());
  return Fail(ItemUnreadable({id.substr(0, id.find('/'))}, std::move(item).error()));
}

}  // namespace

ItemCheck::ItemCheck(BlobStore& store, ItemId id, Timestamp now, VaultReport& report)
    : store_(store), id_(std::move(id)), now_(now), findings_(report, id_.value), report_(report) {}

void ItemCheck::Run() {
  const std::string document = layout::ItemDocument(id_);
  const std::size_t documents = report_.document_count;
  auto item = findings_.Read(store_, document, DecodeNamedItem);
  if (report_.document_count == documents) return CheckLeftOvers();
  ++report_.item_count;
  if (!item) return;
  if (item->id != id_) {
    findings_.Add(Severity::kError, document,
                  fmt::format("the document is that of item {}", item->id.value),
                  "bring the right document back from a copy of the vault");
    return;
  }
  item_ = *std::move(item);
  findings_.NameItem(item_.name);
  report_.items.push_back(item_);
  CheckItem();
}

void ItemCheck::CheckLeftOvers() {
  const auto blobs = store_.List(layout::ItemPrefix(id_));
  if (!blobs) return findings_.Add("", blobs.error());
  const auto points = std::ranges::count_if(*blobs, [&](const BlobInfo& blob) {
    return !StemBetween(blob.name, layout::PointsPrefix(id_), layout::kDocumentEnding).empty();
  });
  const std::string file = std::string(layout::kItems) + id_.value;
  if (blobs->empty()) {
    // A file in the place of a directory; or the item was deleted meanwhile.
    if (!store_.Get(file)) return;
    findings_.Add(Severity::kWarning, file, "this is no item",
                  "remove it by hand if nobody needs it; nothing uses it");
  } else if (points > 0) {
    findings_.Add(
        Severity::kError, layout::ItemDocument(id_),
        fmt::format("the item's document is missing; its {} recovery point(s) are there", points),
        ItemUnreadable(id_, MakeError(ErrorKind::kCorrupt, ErrorCode::kVaultFormat, "")).action);
  } else {
    findings_.Add(Severity::kWarning, blobs->front().name,
                  fmt::format("{} blob(s) of an item that does not exist", blobs->size()),
                  std::string(kLetCopyingEnd) +
                      "then remove them by hand if nobody needs them; nothing uses them");
  }
}

void ItemCheck::CheckItem() {
  if (item_.state != ProtectionState::kUnprotected &&
      IsGone(layout::PolicyDocument(item_.policy))) {
    findings_.Add(Severity::kError, layout::ItemDocument(id_),
                  fmt::format("the item's policy '{}' does not exist", item_.policy),
                  fmt::format("bring it back from a copy of the vault, or make it again, with the "
                              "retention that it had: asr policy set {} --retention D",
                              ShellQuote(item_.policy)));
  }
  CheckState();
  // Snapshots before points: a point that is sealed meanwhile has all that it needs.
  ListSnapshots();
  if (!SortBlobs()) return;
  for (const ItemDisk& disk : item_.disks) CheckDisk(disk);
  for (const PointId& point : points_) CheckPoint(point);
  CheckUnsealed();
  if (points_.empty() && item_.state == ProtectionState::kProtected) {
    findings_.Add(Severity::kError, layout::PointsPrefix(id_),
                  "the item is protected, and the documents of all its recovery points are gone",
                  "bring them back from a copy of the vault; nothing replicates before");
  } else if (points_.empty() && !IsUnfinished()) {
    findings_.Add(Severity::kWarning, "", "the item has no recovery point",
                  "nothing can be restored from it: asr items delete " + ShellQuote(item_.name));
  }
}

bool ItemCheck::IsUnfinished() const {
  return item_.state == ProtectionState::kEnablingProtection ||
         item_.state == ProtectionState::kInitialReplicationInProgress ||
         item_.state == ProtectionState::kFinalizingProtection ||
         item_.state == ProtectionState::kDisablingProtection;
}

bool ItemCheck::MayLackBlobs() const {
  return points_.empty() && item_.state != ProtectionState::kProtected;
}

bool ItemCheck::IsGone(const std::string& blob) {
  const auto text = store_.Get(blob);
  return !text && IsNotFound(text.error());
}

void ItemCheck::CheckState() {
  if (!IsUnfinished()) return;
  const std::string name = ShellQuote(item_.name);
  const bool disables = item_.state == ProtectionState::kDisablingProtection;
  findings_.Add(Severity::kNote, layout::ItemDocument(id_),
                fmt::format("its state is {}: a job runs, or was interrupted",
                            ProtectionStateName(item_.state)),
                disables ? fmt::format("unless a job runs, delete the rest: asr disable {}", name)
                         : fmt::format("unless a job runs, go on: asr enable {} --policy {}", name,
                                       ShellQuote(item_.policy)));
}

void ItemCheck::ListSnapshots() {
  for (const ItemDisk& disk : item_.disks) {
    for (const std::string& blob :
         {layout::DiskBlob(id_, disk.name), layout::DigestBlob(id_, disk.name)}) {
      const auto snapshots = store_.ListSnapshots(blob);
      if (!snapshots && !IsNotFound(snapshots.error())) findings_.Add(blob, snapshots.error());
      if (!snapshots) continue;
      for (const SnapshotId& snapshot : *snapshots) snapshots_.try_emplace(snapshot, blob);
    }
  }
}

bool ItemCheck::SortBlobs() {
  const auto blobs = store_.List(layout::ItemPrefix(id_));
  if (!blobs) {
    findings_.Add("", blobs.error());
    return false;
  }
  std::set<std::string> known;
  for (const ItemDisk& disk : item_.disks) {
    known.insert(layout::DiskBlob(id_, disk.name));
    known.insert(layout::DigestBlob(id_, disk.name));
  }
  for (const BlobInfo& blob : *blobs) {
    const std::string name = blob.name.substr(layout::ItemPrefix(id_).size());
    if (known.contains(blob.name)) {
      page_blobs_[blob.name] = blob.size_bytes;
      ++report_.blob_count;
    } else if (name.starts_with("points/")) {
      SortPointBlob(blob.name, name);
    } else if (name.starts_with("pins/") && name.ends_with(layout::kDocumentEnding)) {
      CheckPin(blob.name);
    } else if (name != "item.json") {
      findings_.Add(Severity::kWarning, blob.name, "this is no blob of the item",
                    "remove it by hand if nobody needs it; nothing uses it");
    }
  }
  return true;
}

void ItemCheck::SortPointBlob(const std::string& blob, const std::string& name) {
  const std::string dropped = layout::DroppedStem(StemBetween(name, "points/", ""));
  if (ParseCompactTime(dropped)) {
    dropped_.insert(dropped);
    return;
  }
  if (const PointId kept{layout::FirmwareStem(StemBetween(name, "points/", ""))};
      ParseCompactTime(kept.value)) {
    ++report_.blob_count;
    if (IsGone(layout::PointDocument(id_, kept))) {
      findings_.Add(Severity::kNote, blob,
                    "no point has these firmware variables: a seal or a removal runs, or was "
                    "interrupted",
                    "nothing: they go with the next point that retention removes");
    }
    return;
  }
  const std::string point = StemBetween(name, "points/", layout::kDocumentEnding);
  if (!point.empty()) {
    // Marks are listed before documents.
    if (dropped_.contains(point) && store_.Get(blob).value_or("-").empty()) return;
    points_.push_back({point});
    return;
  }
  const std::size_t proof = name.find(kProof);
  const bool is_picture = name.ends_with(kPng);
  const std::string time = proof == std::string::npos
                               ? ""
                               : StemBetween(name, name.substr(0, proof + kProof.size()),
                                             is_picture ? kPng : layout::kDocumentEnding);
  if (!ParseCompactTime(time)) {
    findings_.Add(Severity::kWarning, blob, "this is no blob of the item",
                  "remove it by hand if nobody needs it; nothing uses it");
    return;
  }
  if (is_picture) return;  // its proof is looked at, and names it
  const auto document = findings_.Read(store_, blob, DecodeProof);
  if (document && document->screenshot) CheckScreenshot(blob, *document->screenshot);
  const PointId proved{StemBetween(name.substr(0, proof), "points/", "")};
  if (IsGone(layout::PointDocument(id_, proved))) {
    findings_.Add(Severity::kNote, blob, "the point that this proves something of is gone",
                  "nothing: it does no harm");
  }
}

void ItemCheck::CheckDisk(const ItemDisk& disk) {
  CheckSize(layout::DiskBlob(id_, disk.name), PaddedDiskBytes(disk.size_bytes) + kVhdFooterBytes);
  CheckSize(layout::DigestBlob(id_, disk.name), DigestBlobBytes(disk.size_bytes));
  CountUnknown(disk);
}

void ItemCheck::CheckSize(const std::string& blob, std::uint64_t right_bytes) {
  const auto found = page_blobs_.find(blob);
  if (found == page_blobs_.end()) {
    // Made with the first replication, and removed after the last point.
    if (MayLackBlobs()) return;
    findings_.Add(Severity::kError, blob, "the blob is missing",
                  "bring it back from a copy of the vault; without it no recovery point of the "
                  "disk can be read");
    return;
  }
  if (found->second == right_bytes) return;
  findings_.Add(
      Severity::kError, blob,
      fmt::format("the blob has {} bytes, {} are right", found->second, right_bytes),
      "bring it back from a copy of the vault; see what can be restored: asr points verify " +
          ShellQuote(item_.name));
}

void ItemCheck::CountUnknown(const ItemDisk& disk) {
  const std::string blob = layout::DigestBlob(id_, disk.name);
  if (!report_.identity || !page_blobs_.contains(blob)) return;
  const auto count = [&]() -> Result<std::uint64_t> {
    ASR_TRY(auto live, store_.OpenPageBlobReader(blob, std::nullopt));
    ASR_TRY(const auto table,
            DigestTableReader::Open(std::move(live), report_.identity->algorithm, disk.size_bytes));
    return UnknownChunks(*table);
  };
  const auto chunks = count();
  if (!chunks && IsNotFound(chunks.error()) && MayLackBlobs()) return;
  if (!chunks) return findings_.Add(blob, chunks.error());
  if (*chunks == 0) return;
  findings_.Add(
      Severity::kNote, blob,
      fmt::format("a replication runs, or was interrupted: {} chunk(s) of 64 KiB of the "
                  "live replica are between two points",
                  *chunks),
      item_.state == ProtectionState::kUnprotected
          ? "put it back to the newest point: asr vault rollback " + id_.value
          : fmt::format("nothing: the next replication sends {} chunk(s) again", *chunks));
}

void ItemCheck::CheckPoint(const PointId& id) {
  const std::string blob = layout::PointDocument(id_, id);
  ++report_.point_count;
  const auto point = findings_.Read(store_, blob, DecodePoint);
  if (!point) return;
  if (point->id != id || point->item != id_) {
    findings_.Add(Severity::kError, blob,
                  fmt::format("the document is that of point {} of item {}", point->id.value,
                              point->item.value),
                  "bring the right document back from a copy of the vault");
    return;
  }
  if (point->parent && *point->parent >= id) {
    findings_.Add(Severity::kError, blob,
                  fmt::format("the point's parent {} is not older", point->parent->value),
                  "bring the document back from a copy of the vault");
  }
  if (point->epoch > item_.epoch) {
    findings_.Add(Severity::kWarning, layout::ItemDocument(id_),
                  fmt::format("the item's epoch is {}, that of its point {} is {}", item_.epoch,
                              id.value, point->epoch),
                  "bring the newest item.json back, if there is a copy");
  }
  if (point->firmware) CheckFirmware(*point);
  if (!report_.identity) return;
  for (const PointDisk& disk : point->disks) CheckSnapshot(*point, disk);
}

void ItemCheck::CheckSnapshot(const RecoveryPoint& point, const PointDisk& disk) {
  const SnapshotId snapshot{point.id.value};
  const auto look = [&]() -> Status {
    const std::string pages = layout::DiskBlob(id_, disk.name);
    ASR_TRY(const auto image, store_.OpenPageBlobReader(pages, snapshot));
    const std::uint64_t right_bytes = PaddedDiskBytes(disk.size_bytes) + kVhdFooterBytes;
    if (image->size_bytes() != right_bytes) {
      return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                            fmt::format("its snapshot of {} has {} bytes, {} are right", pages,
                                        image->size_bytes(), right_bytes))
                      .WithAction("bring the vault's files back from a copy"));
    }
    ASR_TRY(auto table, store_.OpenPageBlobReader(layout::DigestBlob(id_, disk.name), snapshot));
    ASR_CHECK(
        DigestTableReader::Open(std::move(table), report_.identity->algorithm, disk.size_bytes));
    return {};
  };
  const Status seen = look();
  if (seen) return;
  const std::string document = layout::PointDocument(id_, point.id);
  // Retention removes the document first.
  if (IsNotFound(seen.error()) && IsGone(document)) return;
  if (!FindingList::IsDamage(seen.error())) {
    return findings_.Add(document,
                         Error(seen.error()).WithContext(fmt::format("disk {}", disk.name.value)));
  }
  findings_.Add(
      Severity::kError, document,
      fmt::format("disk {} of the point cannot be read: {}", disk.name.value, seen.error().Line()),
      seen.error().action.empty() || IsNotFound(seen.error())
          ? "restore another point: asr points verify " + ShellQuote(item_.name)
          : seen.error().action);
}

}  // namespace asr
