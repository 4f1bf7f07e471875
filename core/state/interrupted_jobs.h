// Jobs whose process is gone: recorded as running, but nobody runs them. Of this folder only.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "core/model/job.h"
#include "storage/base/process.h"
#include "storage/base/result.h"
#include "storage/sqlite/database.h"

namespace asr {

// The processes that are gone, by the number of the job that each of them ran.
using Orphans = std::map<std::int64_t, ProcessIdentity>;

// As schema.cc has it in an index.
inline constexpr std::string_view kIsRunning = "state IN ('InProgress', 'WaitingForInput')";

// A job that is read after this call and is still running will stay so: its process is dead, and
// all that it wrote can be seen.
[[nodiscard]] Result<Orphans> FindOrphans(SqlDatabase& database);

// Makes it Failed and retryable, and its running tasks Failed.
void MarkInterrupted(Job& job, const ProcessIdentity& process, Timestamp found);

}  // namespace asr
