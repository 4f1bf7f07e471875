#include "core/jobs/agent_loop.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/retries.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/vaults.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kPassInterval{500};
constexpr milliseconds kShortestWait{5};
constexpr std::chrono::minutes kFreezeRetry{15};
constexpr double kSecondsBetweenLooks = 30;
constexpr double kSecondsBetweenRemovals = 3600;
constexpr double kClockJumpSeconds = 2;
// Of thousands of cycles a day nobody reads more; other jobs are few.
constexpr hours kSucceededCyclesKept{24};
constexpr hours kJobsKept{30 * 24};

class LoggedProgress : public ProgressSink {
 public:
  LoggedProgress(const AgentSettings& settings, std::string vault, std::string vm)
      : settings_(settings), vault_(std::move(vault)), vm_(std::move(vm)) {}
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t) override {}
  void TaskEnded(bool) override {}
  void Warn(const std::string& message) override {
    settings_.log({.level = LogLevel::kWarning, .message = message, .vault = vault_, .vm = vm_});
  }

 private:
  const AgentSettings& settings_;
  const std::string vault_;
  const std::string vm_;
};

Status OutcomeOf(const Result<ReplicateOutcome>& outcome) {
  if (!outcome) return Fail(outcome.error());
  const Job& job = outcome->job;
  if (job.state == JobState::kSucceeded) return {};
  return Fail(job.error.value_or(Error{}));
}

double SecondsBetween(Timestamp begin, Timestamp end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

AgentLoop::AgentLoop(Environment& environment, const AgentSettings& settings, std::string agent_id)
    : environment_(environment),
      settings_(settings),
      agent_id_(std::move(agent_id)),
      schedule_(environment.clock.Now()),
      clock_seen_(environment.clock.Now()),
      clock_seen_seconds_(environment.clock.MonotonicSeconds()) {}

void AgentLoop::Tell(LogLevel level, const std::string& message, const std::string& vault,
                     const std::string& vm) {
  settings_.log({.level = level, .message = message, .vault = vault, .vm = vm});
}

// A database that is full or locked for a while: said once, and tried again with the next pass.
void AgentLoop::TellTrouble(const Status& passed) {
  const std::string trouble = passed ? "" : passed.error().Line();
  if (trouble != told_ && !trouble.empty()) {
    Tell(LogLevel::kError, fmt::format("the schedule cannot be followed: {}", trouble));
  }
  told_ = trouble;
}

void AgentLoop::Run() {
  while (!environment_.stop.stop_requested()) {
    LookAtClock();
    LookAtVaults();
    jobs_.Collect();
    const Status passed = Pass();
    if (!passed) next_due_ = environment_.clock.Now() + kPassInterval;
    TellTrouble(passed);
    std::map<std::string, ItemCounters> counters;
    {
      const std::lock_guard lock(mutex_);
      counters = counters_;
    }
    settings_.on_tick(counters);
    // A cycle that begins late moves all that follow it.
    const auto until_due = std::chrono::ceil<milliseconds>(next_due_ - environment_.clock.Now());
    jobs_.WaitForChange(std::clamp(until_due, kShortestWait, kPassInterval));
  }
  jobs_.StopAll();
  const std::size_t running = jobs_.Running().size();
  Tell(LogLevel::kInfo, fmt::format("stopping; {} jobs are asked to end", running));
}

void AgentLoop::LookAtClock() {
  const Timestamp now = environment_.clock.Now();
  const double seconds = environment_.clock.MonotonicSeconds();
  const double jump = SecondsBetween(clock_seen_, now) - (seconds - clock_seen_seconds_);
  if (std::abs(jump) > kClockJumpSeconds) {
    schedule_.ClockJumped(now);
    Tell(LogLevel::kWarning, fmt::format("the clock jumped by {:.0f} s", jump));
  }
  clock_seen_ = now;
  clock_seen_seconds_ = seconds;
}

std::size_t AgentLoop::Setting(const char* key, int fallback) {
  const auto text = environment_.state.FindSetting(key);
  std::size_t number = 0;
  if (text && *text) {
    std::from_chars((*text)->data(), (*text)->data() + (*text)->size(), number);
  }
  return number == 0 ? static_cast<std::size_t>(fallback) : number;
}

void AgentLoop::LookAtVaults() {
  if (wants_look_.exchange(false)) {
    for (const auto& watch : watches_) watch->Poke();
  }
  const double now = environment_.clock.MonotonicSeconds();
  const bool is_reload = settings_.take_reload();
  if (!is_reload && vaults_seen_seconds_ && now - *vaults_seen_seconds_ < kSecondsBetweenLooks) {
    return;
  }
  vaults_seen_seconds_ = now;
  knows_vaults_ = false;
  limits_.jobs = Setting(kMostJobsSetting, kDefaultMostJobs);
  limits_.jobs_of_a_host = Setting(kMostJobsOfAHostSetting, kDefaultMostJobsOfAHost);
  if (auto hosts = environment_.state.ListHosts()) hosts_ = *std::move(hosts);
  const auto vaults = environment_.state.ListVaults();
  if (!vaults) {
    TellTrouble(Fail(vaults.error()));
    return;
  }
  const auto is_same = [](VaultRegistration a, const VaultRegistration& b) {
    a.is_default = b.is_default;
    return a == b;
  };
  std::erase_if(retired_, [](const auto& watch) { return watch->has_ended(); });
  std::erase_if(watches_, [&](std::unique_ptr<VaultWatch>& watch) {
    const bool is_gone = std::ranges::none_of(*vaults, [&](const VaultRegistration& vault) {
      return is_same(vault, watch->registration());
    });
    // A request that is on its way may take minutes; nobody waits for it.
    if (is_gone) watch->Retire();
    if (is_gone) retired_.push_back(std::move(watch));
    return is_gone;
  });
  for (const VaultRegistration& vault : *vaults) {
    const bool is_watched = std::ranges::any_of(
        watches_, [&](const auto& watch) { return is_same(vault, watch->registration()); });
    if (is_watched) continue;
    watches_.push_back(std::make_unique<VaultWatch>(environment_, settings_, vault, agent_id_));
  }
  knows_vaults_ = true;
  if (!is_reload) return;
  for (const auto& watch : watches_) watch->Poke();
  Tell(LogLevel::kInfo, "settings, vaults and items are read anew");
}

Status AgentLoop::Pass() {
  RemoveOldJobs();
  ASR_CHECK(ReadItems());
  LookAtHosts();
  ASR_CHECK(NoteMembers());
  ASR_CHECK(TakeRequests());
  return StartDue();
}

void AgentLoop::RemoveOldJobs() {
  const double seconds = environment_.clock.MonotonicSeconds();
  if (jobs_removed_seconds_ && seconds - *jobs_removed_seconds_ < kSecondsBetweenRemovals) return;
  jobs_removed_seconds_ = seconds;
  const Timestamp now = environment_.clock.Now();
  const auto removed =
      environment_.state.RemoveOldJobs("Replicate", now - kSucceededCyclesKept, now - kJobsKept);
  if (!removed) TellTrouble(Fail(removed.error()));
}

Status AgentLoop::StartDue() {
  std::vector<ScheduledItem> items;
  items.reserve(known_.size());
  // Of a VM in two vaults one cycle runs at a time.
  using VmOfHost = std::pair<std::string, std::string>;
  std::set<VmOfHost> busy;
  const auto running = jobs_.Running();
  for (const auto& [key, host] : running) {
    const auto known = known_.find(key);
    if (known != known_.end()) busy.insert({host, known->second.watched.item.name});
  }
  for (const auto& [key, known] : known_) {
    const bool is_busy = busy.contains({known.scheduled.host, known.watched.item.name});
    if (!is_busy || running.contains(key)) items.push_back(known.scheduled);
  }
  const Timestamp now = environment_.clock.Now();
  const ScheduleDecision decision = schedule_.Decide(items, running, limits_, now);
  next_due_ = decision.look_again;
  for (const CycleStart& start : decision.starts) {
    const Known& known = known_.at(start.key);
    if (!busy.insert({known.scheduled.host, known.watched.item.name}).second) continue;
    const Timestamp next_due = now + known.scheduled.frequency;
    // Without it the same cycle would be due again at once.
    ASR_CHECK(environment_.state.NoteCycleStart(start.key.vault_id, start.key.item, now,
                                                start.missed_cycles, next_due));
    noted_.insert_or_assign(start.key, next_due);
    if (start.missed_cycles > 0) {
      Tell(LogLevel::kWarning,
           fmt::format("{} cycles could not start within their period", start.missed_cycles),
           known.vault_name, known.watched.item.name);
    }
    StartCycle(known, start.app_consistent);
  }
  return {};
}

void AgentLoop::StartCycle(const Known& known, bool app_consistent) {
  jobs_.Start(known.scheduled.key, known.watched.item.host, known.watched.item.name,
              known.vault_name, [this, known, app_consistent](const std::stop_token& stop) {
                RunCycle(known, app_consistent, stop);
              });
}

void AgentLoop::RunCycle(const Known& known, bool app_consistent, const std::stop_token& stop) {
  const std::string& vm = known.watched.item.name;
  LoggedProgress progress(settings_, known.vault_name, vm);
  Environment environment{.fs = environment_.fs,
                          .clock = environment_.clock,
                          .state = environment_.state,
                          .progress = progress,
                          .state_directory = environment_.state_directory,
                          .stop = stop,
                          .credential = environment_.credential,
                          .ca_file = environment_.ca_file,
                          .variables = environment_.variables,
                          .command = settings_.command_of(vm, known.vault_name),
                          .throttle = environment_.throttle,
                          .program = environment_.program};
  std::shared_ptr<Vault> vault = known.watched.vault;
  if (environment.throttle) vault = ThrottledVault(environment, vault);
  const Timestamp start = environment_.clock.Now();
  const double begun = environment_.clock.MonotonicSeconds();
  const auto replicate = [&]() -> Result<ReplicateOutcome> {
    try {
      return Replicate(environment, *vault, known.watched.item, {.app_consistent = app_consistent});
    } catch (const std::exception& exception) {
      // One VM's trouble is not the end of all others' replication.
      return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                  std::string("unexpected: ") + exception.what());
    }
  };
  const auto outcome = replicate();
  // One that was not frozen is asked for again, though not with each cycle.
  const bool was_frozen = outcome && outcome->point && outcome->is_new &&
                          outcome->point->consistency == Consistency::kApp;
  if (app_consistent && OutcomeOf(outcome)) {
    const auto interval = known.watched.policy.app_consistent;
    const Timestamp counts_from =
        was_frozen ? start : start - interval + std::min<seconds>(interval, kFreezeRetry);
    const ItemKey& key = known.scheduled.key;
    const Status noted = environment_.state.NoteAppConsistent(key.vault_id, key.item, counts_from);
    if (!noted) Tell(LogLevel::kError, noted.error().Line(), known.vault_name, vm);
  }
  NoteEnd(known, start, environment_.clock.MonotonicSeconds() - begun, outcome);
}

void AgentLoop::NoteEnd(const Known& known, Timestamp start, double seconds,
                        const Result<ReplicateOutcome>& outcome) {
  const std::string& vm = known.watched.item.name;
  const ItemKey& key = known.scheduled.key;
  const Status ended = OutcomeOf(outcome);
  const std::uint64_t backlog =
      LogSetsOf(environment_, *known.watched.vault, key.item).WaitingBytes().value_or(0);
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
  const Status noted = NoteReplicationEnd(environment_, key.vault_id, key.item, ended,
                                          known.watched.policy.retry_delays);
  if (!noted) Tell(LogLevel::kError, noted.error().Line(), known.vault_name, vm);
}

}  // namespace asr
