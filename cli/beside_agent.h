// Replications that a person starts while the agent may run one of the same item.
#pragma once

#include <functional>

#include "core/jobs/environment.h"
#include "core/jobs/replicate.h"

namespace asr {

// Waits, at most ten minutes, until the agent's cycle of the item has ended, then runs `replicate`;
// again where the agent was faster. A success ends the retries of the item.
[[nodiscard]] Result<ReplicateOutcome> BesideAgent(
    Environment& environment, const Vault& vault, const Item& item,
    const std::function<Result<ReplicateOutcome>()>& replicate);

}  // namespace asr
