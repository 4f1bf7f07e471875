// A test failover, and what it is started with, as JSON.
#pragma once

#include <optional>

#include "cli/render.h"
#include "core/jobs/test_failover.h"
#include "core/model/virtual_machine.h"

namespace asr {

// {"memoryBytes","cpuCount","network","signOfLife","signOfLifeSeconds"}
[[nodiscard]] Json TargetSettingsJson(const MachineSettings& settings);
// {"point","startedAt","cleanupAt","guestRunning","directory"}, or null.
[[nodiscard]] Json TestFailoverJson(const std::optional<TestFailoverStatus>& status);

}  // namespace asr
