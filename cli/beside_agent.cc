#include "cli/beside_agent.h"

#include "cli/job_follower.h"
#include "core/jobs/agent.h"
#include "core/jobs/retries.h"
#include "storage/base/process.h"
#include "storage/base/stop.h"

namespace asr {
namespace {

constexpr double kLongestWaitSeconds = 600;
constexpr int kMostTries = 5;

// Whether the agent, which is not this process, works on the item just now.
Result<bool> IsAgentAtWork(Environment& environment, const Vault& vault, const Item& item) {
  ASR_TRY(const auto agent, FindRunningAgent(environment));
  if (!agent || agent->process == CurrentProcess()) return false;
  ASR_TRY(const auto jobs,
          environment.state.ListJobs({.item = item.name, .state = {}, .since = {}, .limit = 10}));
  for (const Job& job : jobs) {
    if (job.vault != vault.name() || !IsRunning(job.state)) continue;
    ASR_TRY(const ProcessIdentity process, environment.state.FindJobProcess(job.id));
    if (process == agent->process) return true;
  }
  return false;
}

Status WaitForAgent(Environment& environment, const Vault& vault, const Item& item) {
  const double begun = environment.clock.MonotonicSeconds();
  while (environment.clock.MonotonicSeconds() - begun < kLongestWaitSeconds) {
    ASR_TRY(const bool is_at_work, IsAgentAtWork(environment, vault, item));
    if (!is_at_work) return {};
    ASR_CHECK(CheckStop(environment.stop));
    environment.clock.SleepSeconds(kLookSeconds);
  }
  return {};  // the lease says who works on it
}

bool IsBusy(const Result<ReplicateOutcome>& outcome) {
  const Error* const error = !outcome             ? &outcome.error()
                             : outcome->job.error ? &*outcome->job.error
                                                  : nullptr;
  return error != nullptr && error->code == ErrorCode::kItemBusy;
}

}  // namespace

Result<ReplicateOutcome> BesideAgent(Environment& environment, const Vault& vault, const Item& item,
                                     const std::function<Result<ReplicateOutcome>()>& replicate) {
  for (int i = 1;; ++i) {
    ASR_CHECK(WaitForAgent(environment, vault, item));
    auto outcome = replicate();
    if (IsBusy(outcome) && i < kMostTries) {
      ASR_TRY(const bool is_at_work, IsAgentAtWork(environment, vault, item));
      if (is_at_work) continue;
    }
    if (outcome && outcome->job.state == JobState::kSucceeded) {
      ASR_CHECK(NoteReplicationEnd(environment, vault.identity().id, item.id, {}));
    }
    return outcome;
  }
}

}  // namespace asr
