// What the agent knows of its items, in the text format of Prometheus.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/jobs/agent.h"

namespace asr {

struct AgentMetrics {
  std::string version;
  Timestamp now{};
  std::map<std::string, ItemCounters> counters;  // as AgentSettings::on_tick is given them
  std::vector<ItemSchedule> schedules;           // those of items that are replicated count
};

// Families of asr_agent_* and asr_item_*, each item with the labels vault, vm and item. What is not
// known (the RPO before a cycle succeeded) is left out.
[[nodiscard]] std::string MetricsText(const AgentMetrics& metrics);

}  // namespace asr
