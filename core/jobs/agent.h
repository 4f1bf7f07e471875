// The agent: replicates every item of this machine on its schedule, until it is stopped.
#pragma once

#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "core/jobs/environment.h"

namespace asr {

enum class LogLevel : std::uint8_t { kInfo, kWarning, kError };

struct LogEntry {
  LogLevel level = LogLevel::kInfo;
  std::string message;
  std::string vault = {};  // names; empty: it is about none
  std::string vm = {};
};

// Of one item since the agent started, for those who watch it.
struct ItemCounters {
  std::string vm;
  std::string vault;
  std::uint64_t cycles = 0;  // that ended; what follows of the newest one needs one
  std::uint64_t failed_cycles = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t backlog_bytes = 0;    // of change logs that wait to be sent
  bool knows_backlog = false;         // by a job of its own; before, as it was found at the start
  std::chrono::seconds frequency{0};  // of its policy
  // The time whose state the newest point holds: the start of the newest cycle that succeeded, or
  // as it was found when the agent started.
  std::optional<Timestamp> last_good_start;
  std::optional<double> last_seconds;  // how long the newest one took
  bool last_succeeded = true;
};

struct AgentSettings {
  std::string version;
  // The words that replicate a VM of a vault by hand, for the jobs' records.
  std::function<JobCommand(const std::string& vm, const std::string& vault)> command_of;
  // Runs what the job was queued with, until it has ended or `stop` is asked for.
  std::function<Status(const Job&, const JobCommand&, const std::stop_token& stop, JobOutput&)>
      run_queued;
  // From any thread.
  std::function<void(const LogEntry&)> log;
  // True once after each request to read everything anew.
  std::function<bool()> take_reload;
  // Once no other agent can run, before anything is done; its error ends the agent.
  std::function<Status()> on_start;
  // Called about twice a second with everything that is known.
  std::function<void(const std::map<std::string, ItemCounters>&)> on_tick;
  // Nothing that was asked to stop may keep the process longer than this; then it ends at once.
  std::function<void()> give_up;
};

// `asr config`: how many jobs at once, in all and of one host.
inline constexpr const char* kMostJobsSetting = "agent.max-jobs";
inline constexpr const char* kMostJobsOfAHostSetting = "agent.max-jobs-per-host";
inline constexpr int kDefaultMostJobs = 4;
inline constexpr int kDefaultMostJobsOfAHost = 2;

// The agent that runs on this state now.
[[nodiscard]] Result<std::optional<AgentProcess>> FindRunningAgent(Environment& environment);

// The same, if it is another process than this one and notes what queued jobs print
// (StateDatabase::PutJobOutput): agents of older versions do not.
[[nodiscard]] Result<std::optional<AgentProcess>> FindServingAgent(Environment& environment);

// kState (kAgentNotRunning) unless one runs.
[[nodiscard]] Status RequireAgent(Environment& environment);

// Returns once environment.stop was asked for and every job has ended, resumable. kState
// (kAgentRunning) if an agent runs on this state already.
[[nodiscard]] Status RunAgent(Environment& environment, const AgentSettings& settings);

}  // namespace asr
