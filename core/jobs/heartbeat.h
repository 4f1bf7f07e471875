// The agent's sign of life in a vault: agents/AGENT.json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/vault/vault.h"

namespace asr {

struct Heartbeat {
  std::string agent;    // its id: the same for as long as the machine keeps its state
  std::string machine;  // the host's name
  std::string version;
  Timestamp time{};
  std::vector<std::string> items;  // ids of those that it replicates
};

[[nodiscard]] std::string EncodeHeartbeat(const Heartbeat& heartbeat);

// The id of this machine's agent; made when it is first asked for.
[[nodiscard]] Result<std::string> AgentId(Environment& environment);
[[nodiscard]] std::string MachineName();

// Writes it once a minute. For one thread.
class HeartbeatWriter {
 public:
  explicit HeartbeatWriter(Clock& clock) : clock_(clock) {}
  // Nothing unless a minute has passed since the last try, good or bad.
  [[nodiscard]] Status Beat(Vault& vault, Heartbeat heartbeat);

 private:
  Clock& clock_;
  std::optional<double> last_seconds_;
};

}  // namespace asr
