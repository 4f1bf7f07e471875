#include "core/jobs/agent.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent_loop.h"
#include "core/jobs/heartbeat.h"
#include "storage/base/process.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kLongestStop{25};
// A row of the settings: the process of the newest agent that notes what queued jobs print.
constexpr const char* kServingAgent = "agent.notes-outputs";

std::string TextOf(const ProcessIdentity& process) {
  return fmt::format("{} {} {}", process.pid, process.start_ticks, process.boot_id);
}

Error AlreadyRunning(Environment& environment, const std::string& path) {
  const auto agent = environment.state.FindAgent();
  const std::string pid = agent && *agent ? fmt::format(" (pid {})", (*agent)->process.pid) : "";
  return MakeError(ErrorKind::kState, ErrorCode::kAgentRunning,
                   fmt::format("an agent works on {} already{}", environment.state_directory, pid))
      .WithCause(fmt::format("another process holds {}", path))
      .WithAction("see asr agent status; let it read everything anew: systemctl reload asr-agent");
}

// Ends the process where something does not end by itself.
class LastResort {
 public:
  explicit LastResort(const AgentSettings& settings)
      : thread_([this, &settings](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          over_.wait_for(lock, stop, kLongestStop, [] { return false; });
          if (stop.stop_requested()) return;
          settings.log({.level = LogLevel::kError,
                        .message = "not everything ended in time; the process ends now, and what "
                                   "was cut off can be resumed"});
          settings.give_up();
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any over_;
  std::jthread thread_;
};

}  // namespace

Result<std::optional<AgentProcess>> FindRunningAgent(Environment& environment) {
  ASR_TRY(auto agent, environment.state.FindAgent());
  if (agent && !IsAlive(agent->process)) agent.reset();
  return agent;
}

Result<std::optional<AgentProcess>> FindServingAgent(Environment& environment) {
  ASR_TRY(auto agent, FindRunningAgent(environment));
  if (!agent || agent->process == CurrentProcess()) return std::optional<AgentProcess>();
  ASR_TRY(const auto serving, environment.state.FindSetting(kServingAgent));
  if (!serving || *serving != TextOf(agent->process)) agent.reset();
  return agent;
}

Status RequireAgent(Environment& environment) {
  ASR_TRY(const auto agent, FindRunningAgent(environment));
  if (agent) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAgentNotRunning,
                        "there is no agent running to leave the job to")
                  .WithAction("run the same command without --no-wait; or start the agent: "
                              "systemctl start asr-agent, or asr agent run"));
}

Status RunAgent(Environment& environment, const AgentSettings& settings) {
  const std::string path = JoinPath(environment.state_directory, "agent.lock");
  const auto lock = environment.fs.Lock(path);
  if (!lock && lock.error().kind == ErrorKind::kBusy) {
    return Fail(AlreadyRunning(environment, path));
  }
  ASR_CHECK(lock);
  if (settings.on_start) ASR_CHECK(settings.on_start());
  ASR_TRY(const std::string id, AgentId(environment));
  ASR_CHECK(environment.state.PutAgent({.process = CurrentProcess(),
                                        .since = environment.clock.Now(),
                                        .version = settings.version}));
  ASR_CHECK(environment.state.SetSetting(kServingAgent, TextOf(CurrentProcess())));
  settings.log({.level = LogLevel::kInfo,
                .message = fmt::format("agent {} runs on {}", id, environment.state_directory)});
  std::optional<LastResort> last_resort;  // outlives what it waits for
  {
    AgentLoop loop(environment, settings, id);
    loop.Run();
    last_resort.emplace(settings);
  }
  settings.log({.level = LogLevel::kInfo, .message = "stopped"});
  return {};
}

}  // namespace asr
