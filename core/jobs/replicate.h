// One delta cycle.
#pragma once

#include <optional>

#include "core/jobs/environment.h"
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

// Sends what changed since the newest point, seals a new one, applies retention. kState unless the
// item is Protected.
[[nodiscard]] Result<ReplicateOutcome> Replicate(Environment& environment, Vault& vault,
                                                 const Item& item);

[[nodiscard]] Result<Plan> PlanReplicate(Environment& environment, Vault& vault, const Item& item);

}  // namespace asr
