#include "core/jobs/check_vault.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/send_changes.h"
#include "core/jobs/vaults.h"
#include "core/jobs/waiting_changes.h"
#include "core/vault/finding_list.h"
#include "core/vault/layout.h"
#include "storage/base/text.h"

namespace asr {
namespace {

void CheckVaultPlace(Environment& environment, const VaultRegistration& registration,
                     VaultReport& report) {
  FindingList findings(report, "");
  const std::string warning = NetworkWarning(environment, registration);
  if (!warning.empty()) {
    findings.Add(Severity::kWarning, "", warning,
                 "let one machine alone use the vault, or move it to a local file system");
  }
  if (!report.identity || report.identity->id == registration.id) return;
  findings.Add(
      Severity::kError, std::string(layout::kVaultDocument),
      fmt::format("this is another vault than the one registered as '{}'", registration.name),
      fmt::format("if it is meant: asr vault disconnect {0}; asr vault connect {0} --target {1}",
                  ShellQuote(registration.name), ShellQuote(registration.target)));
}

void CheckWaiting(Environment& environment, const Vault& vault, VaultReport& report) {
  for (const Item& item : report.items) {
    FindingList findings(report, item.name);
    const auto waiting = LogSetsOf(environment, vault.identity().id, item.id).ListWaiting();
    if (!waiting) {
      findings.Add("", waiting.error());
    } else if (!waiting->empty()) {
      findings.Add(Severity::kNote, "",
                   fmt::format("the changes of {} point(s) wait on this machine, the first of {}",
                               waiting->size(), waiting->front().value),
                   "nothing: the next replication sends them; at once: asr replicate " +
                       ShellQuote(item.name));
    }
  }
}

// Of items that another machine ended the protection of.
void CheckWaitingOfGone(Environment& environment, const Vault& vault, VaultReport& report) {
  const auto waiting = ListWaitingChanges(environment, vault.identity().id);
  if (!waiting) return FindingList(report, "").Add("", waiting.error());
  for (const WaitingChanges& changes : *waiting) {
    if (std::ranges::find(report.items, changes.item, &Item::id) != report.items.end()) continue;
    FindingList(report, changes.item.value)
        .Add(
            Severity::kNote, "",
            "changes that were not sent wait on this machine for an item that is not in the vault, "
            "or cannot be read",
            "if its document is damaged, bring it back; those of an item that is gone are removed "
            "by the next replication or asr enable");
  }
}

}  // namespace

Result<VaultReport> CheckVault(Environment& environment, const VaultRegistration& registration) {
  ASR_TRY(const auto store, OpenVaultStore(environment, registration));
  ASR_TRY(VaultReport report, CheckContent(*store, environment.clock.Now(), environment.stop));
  CheckVaultPlace(environment, registration, report);
  // Fails where the content's check has found why.
  const auto vault = OpenVault(environment, registration.name);
  if (!vault) return report;
  CheckWaiting(environment, **vault, report);
  CheckWaitingOfGone(environment, **vault, report);
  return report;
}

}  // namespace asr
