// The systemd unit of the agent.
#pragma once

#include <string>
#include <vector>

namespace asr {

struct AgentUnit {
  std::string program;                 // absolute
  std::string state_directory;         // absolute
  std::vector<std::string> arguments;  // of `agent run`
};

// The text of asr-agent.service.
[[nodiscard]] std::string AgentUnitText(const AgentUnit& unit);

// `text` as one word of a line of a unit: quoted, and without specifiers.
[[nodiscard]] std::string UnitWord(const std::string& text);

}  // namespace asr
