// The second half of a delta: change logs that wait on this machine are sent to the vault, and
// their recovery points are sealed.
#pragma once

#include <optional>
#include <string>

#include "core/jobs/log_sets.h"
#include "core/jobs/replication.h"

namespace asr {

// Where this machine keeps what it needs of the change logs of a vault's items, one folder each.
[[nodiscard]] std::string ChangesDirectoryOf(const Environment& environment,
                                             const std::string& vault_id);
[[nodiscard]] LogSets LogSetsOf(Environment& environment, const std::string& vault_id,
                                const ItemId& item);

// True for errors of the logs themselves, or of their order: the disks have to be compared instead.
[[nodiscard]] bool IsOfChangeLogs(const Error& error);

// What sending needs.
struct LogSender {
  Environment& environment;
  Vault& vault;
  ItemLease& lease;
  const Replicas& replicas;  // in the order of the item's disks
  JobRun& run;
};

// Sends the logs of a set and seals its point. nullopt if the replicas held it already.
[[nodiscard]] Result<std::optional<RecoveryPoint>> SendLogSet(const LogSender& sender,
                                                              const LogSet& set);
// What cannot be removed is left to the next run, with a warning.
void RemoveLogSet(Environment& environment, LogSets& sets, const LogSet& set);
// Warns why the set is not used, and removes it.
void RemoveUnusable(Environment& environment, LogSets& sets, const LogSet& set,
                    const Error& reason);

// Sends what an interrupted run logged and did not send, and seals it. What cannot be used, for it
// is damaged, missing or out of order, is removed with a warning: the pass that follows compares
// the disks. True if a point was sealed.
[[nodiscard]] Result<bool> SendWaitingChanges(const LogSender& sender);
// Removes them, with a warning that names what is lost: the item is not replicated any more.
[[nodiscard]] Status DropWaitingChanges(Environment& environment, const std::string& vault_id,
                                        const Item& item);

}  // namespace asr
