#include "core/vault/vault_check.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "core/vault/documents.h"
#include "core/vault/item_check.h"
#include "core/vault/layout.h"
#include "storage/base/stop.h"

namespace asr {
namespace {

void CheckIdentity(BlobStore& store, VaultReport& report) {
  const std::string document(layout::kVaultDocument);
  FindingList findings(report, "");
  report.identity = findings.Read(store, document, DecodeIdentity);
  if (report.identity || report.document_count > 0) return;
  findings.Add(Severity::kError, document, "the vault's document is missing",
               "bring it back from a copy of the vault");
}

void CheckPolicies(BlobStore& store, VaultReport& report) {
  FindingList findings(report, "");
  const auto names = store.ListNames(std::string(layout::kPolicies));
  if (!names) {
    findings.Add("", names.error());
    return;
  }
  for (const std::string& name : *names) {
    const std::string blob = fmt::format("{}{}", layout::kPolicies, name);
    if (!name.ends_with(layout::kDocumentEnding)) {
      findings.Add(Severity::kWarning, blob, "this is no policy",
                   "remove it by hand if nobody needs it; nothing uses it");
      continue;
    }
    const auto policy = findings.Read(store, blob, DecodePolicy);
    if (policy && layout::PolicyDocument(policy->name) != blob) {
      findings.Add(
          Severity::kError, blob, fmt::format("the document is that of policy '{}'", policy->name),
          "bring the right document back from a copy of the vault, or set the policy again");
    }
  }
}

void CheckForeign(const std::vector<std::string>& names, VaultReport& report) {
  FindingList findings(report, "");
  for (const std::string& name : names) {
    if (name == layout::kVaultDocument || name == "lost+found") continue;
    if (std::ranges::find(layout::kAllPrefixes, name + "/") != layout::kAllPrefixes.end()) continue;
    findings.Add(Severity::kWarning, name, "this is nothing of a vault",
                 "put it elsewhere: a vault is alone in its place");
  }
}

// What a writer changes that works on the item.
struct ItemState {
  std::string document;
  std::vector<std::string> points;
  bool operator==(const ItemState&) const = default;
};

ItemState StateOf(BlobStore& store, const ItemId& id) {
  return {.document = store.Get(layout::ItemDocument(id)).value_or(""),
          .points = store.ListNames(layout::PointsPrefix(id)).value_or(std::vector<std::string>{})};
}

void Merge(VaultReport one, VaultReport& report) {
  std::ranges::move(one.findings, std::back_inserter(report.findings));
  std::ranges::move(one.items, std::back_inserter(report.items));
  report.document_count += one.document_count;
  report.item_count += one.item_count;
  report.point_count += one.point_count;
  report.blob_count += one.blob_count;
}

// Beside a writer of the item again, until nothing moved meanwhile. Of one that moves all the time
// only what was found twice in a row is told.
void CheckItem(BlobStore& store, const ItemId& id, Timestamp now, VaultReport& report) {
  constexpr int kTries = 5;
  std::vector<Finding> before;
  for (int i = 1;; ++i) {
    const ItemState state = StateOf(store, id);
    VaultReport one;
    one.identity = report.identity;
    ItemCheck(store, id, now, one).Run();
    const bool moved = !one.findings.empty() && StateOf(store, id) != state;
    if (!moved) return Merge(std::move(one), report);
    if (i == kTries) {
      std::erase_if(one.findings, [&](const Finding& finding) {
        return std::ranges::find(before, finding) == before.end();
      });
      return Merge(std::move(one), report);
    }
    before = std::move(one.findings);
  }
}

// An item that cannot be read, or has lost its document, may use what is left of its disks.
bool IsSurelyNoItem(BlobStore& store, const ItemId& id) {
  const auto document = store.Get(layout::ItemDocument(id));
  if (document || !IsNotFound(document.error())) return false;
  const auto points = store.ListNames(layout::PointsPrefix(id));
  return points && std::ranges::none_of(*points, [](const std::string& name) {
           return name.ends_with(layout::kDocumentEnding);
         });
}

// Undo files that no reader uses, which no list of blobs or snapshots shows.
void CheckRemains(BlobStore& store, VaultReport& report) {
  FindingList findings(report, "");
  auto remains = store.ListRemains(std::string(layout::kItems));
  // What a writer was removing just then is gone now.
  const auto again =
      remains && !remains->empty() ? store.ListRemains(std::string(layout::kItems)) : remains;
  if (!again) return findings.Add("", again.error());
  for (const BlobRemains& left : *again) {
    if (std::ranges::find(*remains, left) == remains->end()) continue;
    const std::string id = left.name.substr(
        layout::kItems.size(), left.name.find('/', layout::kItems.size()) - layout::kItems.size());
    const auto item = std::ranges::find(report.items, ItemId{id}, &Item::id);
    const bool is_known = item != report.items.end();
    findings.NameItem(is_known ? item->name : id);
    if (!left.is_gone) {
      findings.Add(Severity::kNote, left.name,
                   fmt::format("{} of its undo files, the first of snapshot {}, belong to no "
                               "snapshot: a removal runs, or was interrupted",
                               left.snapshots.size(), left.snapshots.front().value),
                   is_known && item->state != ProtectionState::kUnprotected
                       ? "nothing: the next replication removes them"
                       : "nothing: they do no harm");
      continue;
    }
    const auto is_its = [&](const ItemDisk& disk) {
      return left.name == layout::DiskBlob(item->id, disk.name) ||
             left.name == layout::DigestBlob(item->id, disk.name);
    };
    // That a blob of an item is missing was told.
    if (is_known ? std::ranges::any_of(item->disks, is_its) : !IsSurelyNoItem(store, {id})) {
      continue;
    }
    findings.Add(
        Severity::kWarning, left.name,
        fmt::format("{} undo file(s) of a disk that no item has", left.snapshots.size()),
        fmt::format("if the vault is being copied or brought back, let that end first; then remove "
                    "{}.undo by hand if nobody needs it; nothing uses it",
                    left.name));
  }
}

}  // namespace

std::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      return "note";
  }
  return "error";
}

bool VaultReport::is_healthy() const {
  return std::ranges::find(findings, Severity::kError, &Finding::severity) == findings.end();
}

Result<VaultReport> CheckContent(BlobStore& store, Timestamp now, const std::stop_token& stop) {
  ASR_TRY(const auto names, store.ListNames(""));
  ASR_TRY(const auto items, store.ListNames(std::string(layout::kItems)));
  if (items.empty() && std::ranges::find(names, layout::kVaultDocument) == names.end()) {
    return Fail(NoVaultAt(store.Description()));
  }
  VaultReport report;
  CheckIdentity(store, report);
  CheckForeign(names, report);
  CheckPolicies(store, report);
  for (const std::string& item : items) {
    ASR_CHECK(CheckStop(stop));
    CheckItem(store, {item}, now, report);
  }
  CheckRemains(store, report);
  return report;
}

}  // namespace asr
