// Follows a job that another process runs.
#pragma once

#include <functional>
#include <optional>

#include "core/jobs/environment.h"
#include "core/model/job.h"

namespace asr {

// Between two looks at what another process does.
inline constexpr double kLookSeconds = 0.1;

// Shows the job's progress until `is_over`, which is asked about ten times a second. kCancelled on
// Ctrl-C, which does not touch the job.
[[nodiscard]] Result<Job> FollowJobUntil(Environment& environment, const JobId& id,
                                         const std::function<Result<bool>(const Job&)>& is_over);

// Shows the job's progress until it has ended, or for `limit_seconds`; then it may still run. A job
// whose process died has ended, too. kCancelled on Ctrl-C, which does not touch the job.
[[nodiscard]] Result<Job> FollowJob(Environment& environment, const JobId& id,
                                    std::optional<double> limit_seconds);

}  // namespace asr
