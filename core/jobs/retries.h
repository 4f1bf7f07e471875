// What becomes of an item's schedule when a replication ends.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/retry_class.h"
#include "core/model/policy.h"

namespace asr {

// The state after this failure at `now`; nullopt if it is none that a retry is about: then what
// was known before stays true. `delays`: of the item's policy.
[[nodiscard]] std::optional<RetryState> NextRetry(
    const std::optional<RetryState>& before, const Error& error, Timestamp now,
    const std::vector<std::chrono::seconds>& delays = StandardRetryDelays());

// For people: what failed, how often, and when it is tried again, or that it waits for them.
[[nodiscard]] Error DescribeRetry(const RetryState& retry);

// Notes how a replication of the item ended, whoever ran it. A success resets its retries.
[[nodiscard]] Status NoteReplicationEnd(
    Environment& environment, const std::string& vault_id, const ItemId& item,
    const Status& outcome, const std::vector<std::chrono::seconds>& delays = StandardRetryDelays());

}  // namespace asr
