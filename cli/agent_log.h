// The agent's log: lines on stderr, which journald takes from there.
#pragma once

#include <ostream>
#include <string>

#include "core/jobs/agent.h"
#include "storage/base/clock.h"

namespace asr {

enum class LogFormat : std::uint8_t { kText, kJson };

// One line, with its end. `to_journal`: text begins with the level as sd-daemon(3) has it, and
// leaves out the time, which journald adds.
[[nodiscard]] std::string FormatLogLine(const LogEntry& entry, LogFormat format, Timestamp now,
                                        bool to_journal);

}  // namespace asr
