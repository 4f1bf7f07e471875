#include "core/vault/vault_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/model/stop.h"
#include "core/vault/documents.h"
#include "core/vault/item_check.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

constexpr std::string_view kJson = ".json";

void CheckIdentity(BlobStore& store, VaultReport& report) {
  const std::string document(layout::kVaultDocument);
  FindingList findings(report, "");
  report.identity = findings.Read(store, document, DecodeIdentity);
  if (report.identity || report.document_count > 0) return;
  findings.Add(Severity::kError, document, "the vault's document is missing",
               "bring it back from a copy of the vault");
}

// All names, also of documents that cannot be read.
PolicyNames CheckPolicies(BlobStore& store, VaultReport& report) {
  PolicyNames policies;
  FindingList findings(report, "");
  const auto names = store.ListNames(std::string(layout::kPolicies));
  if (!names) {
    findings.Add("", names.error());
    return policies;
  }
  for (const std::string& name : *names) {
    const std::string blob = fmt::format("{}{}", layout::kPolicies, name);
    if (!name.ends_with(kJson)) {
      findings.Add(Severity::kWarning, blob, "this is no policy",
                   "remove it by hand if nobody needs it; nothing uses it");
      continue;
    }
    const std::string stem = name.substr(0, name.size() - kJson.size());
    policies.insert(layout::UnescapeSegment(stem));
    const auto policy = findings.Read(store, blob, DecodePolicy);
    if (policy && layout::PolicyDocument(policy->name) != blob) {
      findings.Add(
          Severity::kError, blob, fmt::format("the document is that of policy '{}'", policy->name),
          "bring the right document back from a copy of the vault, or set the policy again");
    }
  }
  return policies;
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
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kVaultNotFound,
                          fmt::format("there is no vault at {}", store.Description()))
                    .WithCause("the place is empty or not mounted, or the path is wrong")
                    .WithAction("look at the path, or make a vault: asr vault create"));
  }
  VaultReport report;
  CheckIdentity(store, report);
  CheckForeign(names, report);
  const PolicyNames policies = CheckPolicies(store, report);
  for (const std::string& item : items) {
    ASR_CHECK(CheckStop(stop));
    ItemCheck(store, {item}, policies, now, report).Run();
  }
  return report;
}

}  // namespace asr
