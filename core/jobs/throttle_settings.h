// The limits of this machine's line into vaults, as `asr throttle` sets them.
#pragma once

#include <memory>
#include <optional>

#include "core/jobs/environment.h"
#include "core/model/throttle_rules.h"
#include "core/transfer/throttle.h"

namespace asr {

// nullopt: there are none.
[[nodiscard]] Result<std::optional<ThrottleRules>> FindThrottleRules(StateDatabase& state);
[[nodiscard]] Status SetThrottleRules(StateDatabase& state,
                                      const std::optional<ThrottleRules>& rules);

// Follows the rules, also as they change while it is used. `state` and `clock` outlive it.
[[nodiscard]] std::shared_ptr<Throttle> MakeThrottle(StateDatabase& state, Clock& clock);

}  // namespace asr
