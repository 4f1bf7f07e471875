#include "core/jobs/agent_loop.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/log_while_away.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr milliseconds kPassInterval{500};
constexpr milliseconds kShortestWait{5};
constexpr double kSecondsBetweenLooks = 30;
constexpr double kSecondsBetweenRemovals = 3600;
constexpr double kClockJumpSeconds = 2;
// Of thousands of cycles a day nobody reads more; other jobs are few.
constexpr hours kSucceededCyclesKept{24};
constexpr hours kJobsKept{30 * 24};

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
    {
      const std::lock_guard lock(mutex_);
      log_not_before_.clear();
    }
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
  const auto remove = [&](const std::string& type, hours failed_ones_kept) {
    const auto removed =
        environment_.state.RemoveOldJobs(type, now - kSucceededCyclesKept, now - failed_ones_kept);
    if (!removed) TellTrouble(Fail(removed.error()));
  };
  remove("Replicate", kJobsKept);
  // The cycles between which they ran tell of the outage.
  remove(std::string(kLogChangesJob), kSucceededCyclesKept);
}

Status AgentLoop::StartDue() {
  std::vector<ScheduledItem> items;
  items.reserve(known_.size());
  const auto running = jobs_.Running();
  for (const auto& [key, known] : known_) {
    // Whether its vault can be reached is seen soon.
    const bool is_known = known.watched.vault != nullptr || known.away.has_value();
    if (!is_known && !running.contains(key)) continue;
    // Its protection was ended here; its vault's next look tells.
    if (!known.has_row && noted_.contains(key) && !running.contains(key)) continue;
    items.push_back(known.scheduled);
    items.back().waits_for_vault = WaitsForVault(known);
  }
  const Timestamp now = environment_.clock.Now();
  ScheduleLimits limits = limits_;
  // The next place that becomes free is its.
  if (waits_for_place_ && limits.jobs > 1) --limits.jobs;
  const ScheduleDecision decision = schedule_.Decide(items, running, limits, now);
  next_due_ = decision.look_again;
  for (const CycleStart& start : decision.starts) {
    const Known& known = known_.at(start.key);
    const Timestamp next_due = now + known.scheduled.frequency;
    // Without it the same cycle would be due again at once.
    ASR_CHECK(environment_.state.NoteCycleStart(start.key.vault_id, start.key.item, now,
                                                start.missed_cycles, next_due));
    noted_[start.key].due = next_due;
    if (start.missed_cycles > 0) {
      Tell(LogLevel::kWarning,
           fmt::format("{} cycles could not start within their period", start.missed_cycles),
           known.vault_name, known.watched.item.name);
    }
    StartCycle(known, {.app_consistent = start.app_consistent,
                       .only_logs = start.only_logs,
                       .away = start.only_logs ? std::nullopt : AwayFor(known, start.is_asked)});
  }
  return {};
}

}  // namespace asr
