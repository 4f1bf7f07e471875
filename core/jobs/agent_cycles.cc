// The cycles that the agent runs, and what is noted of their ends.
#include <algorithm>
#include <exception>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent_loop.h"
#include "core/jobs/log_while_away.h"
#include "core/jobs/retries.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/vaults.h"

namespace asr {
namespace {

using std::chrono::seconds;

constexpr std::chrono::minutes kFreezeRetry{15};
constexpr std::chrono::minutes kLogRetry{10};  // of what a VM cannot do, or has no room for

// What the cycle before has told already is not told again.
class LoggedProgress : public ProgressSink {
 public:
  LoggedProgress(const AgentSettings& settings, std::string vault, std::string vm,
                 std::set<std::string> told)
      : settings_(settings), vault_(std::move(vault)), vm_(std::move(vm)), told_(std::move(told)) {}
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t) override {}
  void TaskEnded(bool) override {}
  void Warn(const std::string& message) override {
    const std::lock_guard lock(mutex_);
    warnings_.insert(message);
    if (!told_.insert(message).second) return;
    settings_.log({.level = LogLevel::kWarning, .message = message, .vault = vault_, .vm = vm_});
  }
  // What stays true until the next cycle: one that failed may not have come to all of it.
  [[nodiscard]] std::set<std::string> told(bool has_succeeded) {
    const std::lock_guard lock(mutex_);
    return has_succeeded ? warnings_ : told_;
  }

 private:
  const AgentSettings& settings_;
  const std::string vault_;
  const std::string vm_;
  std::mutex mutex_;  // guards what follows
  std::set<std::string> told_;
  std::set<std::string> warnings_;  // of this cycle
};

Status OutcomeOf(const Result<ReplicateOutcome>& outcome) {
  if (!outcome) return Fail(outcome.error());
  const Job& job = outcome->job;
  if (job.state == JobState::kSucceeded) return {};
  return Fail(job.error.value_or(Error{}));
}

bool IsNewAppConsistent(const ReplicateOutcome& outcome) {
  return outcome.point && outcome.is_new && outcome.point->consistency == Consistency::kApp;
}

// One VM's trouble is not the end of all others' replication.
template <class Work>
auto Guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& exception) {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                std::string("unexpected: ") + exception.what());
  }
}

}  // namespace

// Set if no cycle of the item should ask its vault now. Of a vault in the network its watch finds
// out, without a job that waits for it; of a directory, or where the watch has an answer and cycles
// have none, one cycle does at a time.
std::optional<Error> AgentLoop::AwayFor(const Known& known, bool is_asked) {
  if (known.watched.vault == nullptr) return known.away;
  if (known.away && known.watched.vault->is_on_azure()) return known.away;
  const std::lock_guard lock(mutex_);
  const Reach& reach = reach_[known.scheduled.key.vault_id];
  if (reach.trying.empty()) return std::nullopt;
  // Who is asked for asks, unless nobody answers at all.
  if (known.away || is_asked) return known.away;
  return AwayOfCycles(known, reach);
}

std::optional<Error> AgentLoop::AwayOfCycles(const Known& known, const Reach& reach) const {
  return known.looked_seconds < reach.away_seconds ? reach.away : std::nullopt;
}

bool AgentLoop::WaitsForVault(const Known& known) {
  const ItemKey& key = known.scheduled.key;
  const std::lock_guard lock(mutex_);
  const Reach& reach = reach_[key.vault_id];
  return (known.away || AwayOfCycles(known, reach)) && reach.trying.contains(key);
}

void AgentLoop::StartCycle(const Known& known, const Cycle& cycle) {
  if (!cycle.only_logs && !cycle.away) {
    const std::lock_guard lock(mutex_);
    reach_[known.scheduled.key.vault_id].trying.insert(known.scheduled.key);
  }
  jobs_.Start(known.scheduled.key, known.watched.item.host, known.watched.item.name,
              known.vault_name, [this, known, cycle](const std::stop_token& stop) {
                if (cycle.only_logs) {
                  RunLogging(known, cycle, stop);
                } else {
                  RunCycle(known, cycle, stop);
                }
              });
}

Environment AgentLoop::EnvironmentOf(const Known& known, ProgressSink& progress,
                                     const std::stop_token& stop) const {
  return {.fs = environment_.fs,
          .clock = environment_.clock,
          .state = environment_.state,
          .progress = progress,
          .state_directory = environment_.state_directory,
          .stop = stop,
          .credential = environment_.credential,
          .ca_file = environment_.ca_file,
          .variables = environment_.variables,
          .command = settings_.command_of(known.watched.item.name, known.vault_name),
          .throttle = environment_.throttle,
          .program = environment_.program};
}

std::set<std::string> AgentLoop::ToldOf(const ItemKey& key) {
  const std::lock_guard lock(mutex_);
  return told_warnings_[key];
}

void AgentLoop::SetTold(const ItemKey& key, std::set<std::string> told) {
  const std::lock_guard lock(mutex_);
  told_warnings_[key] = std::move(told);
}

void AgentLoop::RunCycle(const Known& known, const Cycle& cycle, const std::stop_token& stop) {
  const WatchedItem& watched = known.watched;
  const ItemKey& key = known.scheduled.key;
  LoggedProgress progress(settings_, known.vault_name, watched.item.name, ToldOf(key));
  Environment environment = EnvironmentOf(known, progress, stop);
  const Timestamp start = environment_.clock.Now();
  const double begun = environment_.clock.MonotonicSeconds();
  const ReplicateRequest request{.app_consistent = cycle.app_consistent};
  const auto outcome = Guarded([&]() -> Result<ReplicateOutcome> {
    if (cycle.away) {
      return ReplicateWhileAway(environment, watched.identity, known.vault_name, watched.item,
                                request, *cycle.away);
    }
    std::shared_ptr<Vault> vault = watched.vault;
    if (environment.throttle) vault = ThrottledVault(environment, vault);
    return Replicate(environment, *vault, watched.item, request);
  });
  const Status ended = OutcomeOf(outcome);
  SetTold(key, progress.told(ended.has_value()));
  if (!cycle.away) NoteReach(key, ended);
  if (cycle.app_consistent) {
    const auto logged = LoggedSince(known, start);
    if (ended) {
      NoteAppConsistent(known, start, IsNewAppConsistent(*outcome));
    } else if (cycle.away || logged) {
      NoteAppConsistent(known, start, logged == Consistency::kApp);
    }
  }
  NoteEnd(known, start, environment_.clock.MonotonicSeconds() - begun, outcome);
}

// What a cycle has left on this machine.
std::optional<Consistency> AgentLoop::LoggedSince(const Known& known, Timestamp start) const {
  const ItemKey& key = known.scheduled.key;
  const auto waiting = LogSetsOf(environment_, key.vault_id, key.item).ReadWaiting();
  if (!waiting || waiting->empty() || waiting->back().point.time < start) return std::nullopt;
  return waiting->back().point.consistency;
}

// One that was not frozen is asked for again, though not with each cycle.
void AgentLoop::NoteAppConsistent(const Known& known, Timestamp start, bool was_frozen) {
  const auto interval = known.watched.policy.app_consistent;
  const Timestamp counts_from =
      was_frozen ? start : start - interval + std::min<seconds>(interval, kFreezeRetry);
  const ItemKey& key = known.scheduled.key;
  const Status noted = environment_.state.NoteAppConsistent(key.vault_id, key.item, counts_from);
  if (!noted) {
    Tell(LogLevel::kError, noted.error().Line(), known.vault_name, known.watched.item.name);
  }
}

void AgentLoop::NoteReach(const ItemKey& key, const Status& ended) {
  const bool is_away = !ended && IsOfAway(ended.error());
  if (is_away) wants_look_ = true;
  const std::lock_guard lock(mutex_);
  Reach& reach = reach_[key.vault_id];
  reach.trying.erase(key);
  reach.away = is_away ? std::optional(ended.error()) : std::nullopt;
  const double now = environment_.clock.MonotonicSeconds();
  reach.away_seconds = now;
  if (ended) reach.good_seconds = now;
}

void AgentLoop::RunLogging(const Known& known, const Cycle& cycle, const std::stop_token& stop) {
  const WatchedItem& watched = known.watched;
  const ItemKey& key = known.scheduled.key;
  LoggedProgress progress(settings_, known.vault_name, watched.item.name, ToldOf(key));
  Environment environment = EnvironmentOf(known, progress, stop);
  const Timestamp start = environment_.clock.Now();
  const auto job = Guarded([&] {
    return LogChangesAsJob(environment, watched.identity, known.vault_name, watched.item,
                           {.app_consistent = cycle.app_consistent});
  });
  SetTold(key, progress.told(/*has_succeeded=*/false));
  if (cycle.app_consistent) {
    NoteAppConsistent(known, start, LoggedSince(known, start) == Consistency::kApp);
  }
  if (!job) Tell(LogLevel::kError, job.error().Line(), known.vault_name, watched.item.name);
  const std::uint64_t backlog =
      LogSetsOf(environment_, key.vault_id, key.item).WaitingBytes().value_or(0);
  const std::lock_guard lock(mutex_);
  ItemCounters& counters = counters_[CounterKey(key)];
  counters.backlog_bytes = backlog;
  counters.knows_backlog = true;
  log_not_before_.erase(key);
  if (job && job->error &&
      (IsOfChangeLogs(*job->error) || job->error->code == ErrorCode::kLogTooLarge)) {
    log_not_before_[key] = environment_.clock.Now() + kLogRetry;
  }
}

void AgentLoop::NoteEnd(const Known& known, Timestamp start, double seconds,
                        const Result<ReplicateOutcome>& outcome) {
  const std::string& vm = known.watched.item.name;
  const ItemKey& key = known.scheduled.key;
  const Status ended = OutcomeOf(outcome);
  const std::uint64_t backlog =
      LogSetsOf(environment_, key.vault_id, key.item).WaitingBytes().value_or(0);
  const bool is_failure = !ended && ClassifyError(ended.error()) != RetryClass::kNextCycle;
  {
    const std::lock_guard lock(mutex_);
    ItemCounters& counters = counters_[CounterKey(key)];
    counters.vm = vm;
    counters.vault = known.vault_name;
    ++counters.cycles;
    if (is_failure) ++counters.failed_cycles;
    if (outcome) counters.bytes_sent += outcome->job.stats.bytes_sent;
    counters.backlog_bytes = backlog;
    counters.knows_backlog = true;
    counters.frequency = known.scheduled.frequency;
    if (ended) counters.last_good_start = start;
    counters.last_seconds = seconds;
    counters.last_succeeded = !is_failure;
  }
  if (!ended) {
    Tell(is_failure ? LogLevel::kError : LogLevel::kInfo,
         fmt::format("the cycle ended early ({}): {}", RetryClassName(ClassifyError(ended.error())),
                     ended.error().Line()),
         known.vault_name, vm);
  }
  const auto note = [&]() -> Status {
    if (ended) ASR_CHECK(environment_.state.NoteKnownState(key.vault_id, key.item, start));
    return NoteReplicationEnd(environment_, key.vault_id, key.item, ended,
                              known.watched.policy.retry_delays);
  };
  if (const Status noted = note(); !noted) {
    Tell(LogLevel::kError, noted.error().Line(), known.vault_name, vm);
  }
}

}  // namespace asr
