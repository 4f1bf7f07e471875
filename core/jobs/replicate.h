// One cycle: what changed is sent, a point is sealed, retention is applied.
#pragma once

#include <optional>

#include "core/jobs/environment.h"
#include "core/jobs/replication.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

struct ReplicateOutcome {
  Job job;                             // holds the error if it failed
  std::optional<RecoveryPoint> point;  // the newest one; it holds the state at the call
  bool is_new = false;                 // false: nothing had changed, so there is no new one
};

struct ReplicateRequest {
  bool app_consistent = false;  // the guest is frozen for it, if that can be
};

// Sends what changed since the newest point, seals a new one, applies retention. kState unless the
// item is Protected.
[[nodiscard]] Result<ReplicateOutcome> Replicate(Environment& environment, Vault& vault,
                                                 const Item& item,
                                                 const ReplicateRequest& request = {});

// A cycle into a vault that is known to be away, for `reason` (IsOfAway): it fails for that, asks
// the vault for nothing, and logs what changed (log_while_away.h).
[[nodiscard]] Result<ReplicateOutcome> ReplicateWhileAway(
    Environment& environment, const VaultIdentity& vault, const std::string& vault_name,
    const Item& item, const ReplicateRequest& request, const Error& reason);

// Replicate with a resync in place of the delta.
[[nodiscard]] Result<ReplicateOutcome> ReplicateByResync(Environment& environment, Vault& vault,
                                                         const Item& item,
                                                         const ResyncRequest& request);

// kState unless the item is Protected.
[[nodiscard]] Status RequireProtected(const Item& item);

[[nodiscard]] Result<Plan> PlanReplicate(Environment& environment, Vault& vault, const Item& item);

}  // namespace asr
