// While the vault cannot be reached, what changes in a live VM is logged on this machine: each time
// one set of change logs, which becomes a recovery point once the vault is back
// (man/asr-hrl.5, "While the vault is away").
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/jobs/log_sets.h"
#include "core/jobs/replicate.h"
#include "core/model/item.h"
#include "core/vault/vault.h"

namespace asr {

inline constexpr std::string_view kLogChangesJob = "LogChanges";

[[nodiscard]] std::string SpoolLockOf(const Environment& environment, const std::string& vault_id,
                                      const ItemId& item);

// Of two processes of this machine one works on the item's logs, whether the vault's lease can be
// had or not. kBusy (kItemBusy, retryable) if another one does.
[[nodiscard]] Result<std::unique_ptr<FileLock>> LockSpool(Environment& environment,
                                                          const std::string& vault_id,
                                                          const Item& item);

// True if the vault cannot be reached, or refuses us for now; its contents are not to blame.
[[nodiscard]] bool IsOfAway(const Error& error);

// After a cycle that failed for `reason`. Where that is the vault, logs what changed since the last
// set that waits, or since the newest point; `item` is as it was last seen. Sends no request.
// Returns the reason, with what waits now; and a warning says why nothing could be logged.
[[nodiscard]] Error LogWhileAway(Environment& environment, const VaultIdentity& vault,
                                 const Item& item, const ReplicateRequest& request, JobRun& run,
                                 const Error& reason);

// The same as a job of its own, between two tries to reach the vault: it fails if nothing can be
// logged.
[[nodiscard]] Result<Job> LogChangesAsJob(Environment& environment, const VaultIdentity& vault,
                                          const std::string& vault_name, const Item& item,
                                          const ReplicateRequest& request);

}  // namespace asr
