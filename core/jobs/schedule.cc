#include "core/jobs/schedule.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace asr {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kLongestSpread{60};
constexpr seconds kLongestWait{30};
// So long before another vault's cycle is due the last place is kept for it.
constexpr seconds kKeepsPlaceFor{30};

// Where in the period an item stands is its own, so that those that come and go move no other.
std::uint64_t HashOf(const ItemKey& item) {
  std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
  for (const std::string* text : {&item.vault_id, &item.item.value}) {
    for (const char byte : *text) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3U;
    }
  }
  return hash ^ (hash >> 32U);
}

milliseconds StaggerOf(const ScheduledItem& item) {
  const milliseconds spread = std::min<milliseconds>(item.frequency, kLongestSpread);
  if (spread.count() <= 0) return milliseconds{0};
  return milliseconds{
      static_cast<std::int64_t>(HashOf(item.key) % static_cast<std::uint64_t>(spread.count()))};
}

// What was written down before the clock was put back lies in the future.
bool IsAhead(const std::optional<Timestamp>& time, Timestamp now) { return time && *time > now; }

bool IsAppConsistentDue(const ScheduledItem& item, Timestamp now) {
  if (item.app_consistent.count() == 0) return false;
  if (!item.last_app_consistent || IsAhead(item.last_app_consistent, now)) return true;
  return now - *item.last_app_consistent >= item.app_consistent;
}

// Between two sets that are logged: one period, and no more than some hundred sets a day.
milliseconds PeriodOf(const ScheduledItem& item) {
  constexpr int kSetsUntilThen = 120;
  if (!item.is_failing || !item.logs_since || !item.last_start) return item.frequency;
  return std::max<milliseconds>(item.frequency,
                                (*item.last_start - *item.logs_since) / kSetsUntilThen);
}

// Where jobs may run.
class Places {
 public:
  Places(const std::vector<ScheduledItem>& items, const std::map<ItemKey, std::string>& running,
         const ScheduleLimits& limits)
      : limits_(limits) {
    std::set<ItemKey> waiting;
    for (const ScheduledItem& item : items) {
      if (item.waits_for_vault) waiting.insert(item.key);
      if (!running.contains(item.key)) continue;
      KeepPlace(item);
      busy_.insert({item.host, item.vm});
    }
    for (const auto& [key, host] : running) {
      if (waiting.contains(key)) continue;
      all_.Add(key.vault_id);
      of_host_[host].jobs.Add(key.vault_id);
    }
  }

  // For its vault, which is about to need one.
  void KeepPlace(const ScheduledItem& item) {
    vaults_.insert(item.key.vault_id);
    of_host_[item.host].vaults.insert(item.key.vault_id);
  }

  // False if it has to wait.
  bool Take(const ScheduledItem& item) {
    const std::string& vault = item.key.vault_id;
    Host& host = of_host_[item.host];
    if (!all_.HasPlace(vault, limits_.jobs, vaults_.size() > 1)) return false;
    if (!host.jobs.HasPlace(vault, limits_.jobs_of_a_host, host.vaults.size() > 1)) return false;
    if (!busy_.insert({item.host, item.vm}).second) return false;
    all_.Add(vault);
    host.jobs.Add(vault);
    return true;
  }

 private:
  struct Jobs {
    std::size_t count = 0;
    std::map<std::string, std::size_t> of_vault;

    void Add(const std::string& vault) {
      ++count;
      ++of_vault[vault];
    }
    bool HasPlace(const std::string& vault, std::size_t limit, bool has_others) {
      const bool is_last = count + 1 == limit && limit > 1;
      return count < limit && !(has_others && is_last && of_vault[vault] == count);
    }
  };
  struct Host {
    Jobs jobs;
    std::set<std::string> vaults;
  };

  const ScheduleLimits limits_;
  Jobs all_;
  std::map<std::string, Host> of_host_;
  std::set<std::string> vaults_;
  std::set<std::pair<std::string, std::string>> busy_;  // VMs of hosts
};

}  // namespace

Timestamp Schedule::JoinedAt(const ItemKey& item, Timestamp now) {
  Timestamp& joined = joined_.try_emplace(item, now).first->second;
  // Neither lies ahead, also after the clock was put back.
  joined = std::min(joined, now);
  watched_since_ = std::min(watched_since_, now);
  return std::max(joined, watched_since_);
}

// Of an item that fails.
std::optional<Timestamp> Schedule::NextTry(const ScheduledItem& item, Timestamp now) {
  if (!item.next_try) return std::nullopt;
  // Later than any delay: the clock was put back since.
  const Timestamp next = *item.next_try > now + item.longest_retry_delay ? now : *item.next_try;
  // A try that met somebody else's work left everything as it was.
  if (!item.last_start || IsAhead(item.last_start, now)) return next;
  return std::max(next, *item.last_start +
                            std::min({item.frequency, item.shortest_retry_delay, kLongestSpread}));
}

std::optional<Timestamp> Schedule::DueAt(const ScheduledItem& item, Timestamp now) {
  const Timestamp joined = JoinedAt(item.key, now);
  const auto next_try = item.is_failing ? NextTry(item, now) : std::nullopt;
  // What does not come due while it is paused, or until a person has mended it, is not missed.
  if (item.is_paused || (item.is_failing && !next_try && !item.logs_since)) {
    joined_[item.key] = now;
    return std::nullopt;
  }
  if (item.is_failing && !item.logs_since) return next_try;
  const auto next_cycle = [&]() -> Timestamp {
    const Timestamp first = joined + StaggerOf(item);
    if (!item.last_start) return first;
    if (IsAhead(item.last_start, now)) return now;
    const Timestamp due = *item.last_start + PeriodOf(item);
    return due < joined ? first : due;
  };
  const Timestamp due = next_cycle();
  if (!item.is_failing) return due;
  const Timestamp next_log = std::max(due, item.log_not_before.value_or(due));
  return std::min(next_log, next_try.value_or(next_log));
}

ScheduleDecision Schedule::Decide(const std::vector<ScheduledItem>& items,
                                  const std::map<ItemKey, std::string>& running,
                                  const ScheduleLimits& limits, Timestamp now) {
  struct Candidate {
    const ScheduledItem* item;
    Timestamp due;
    bool is_asked;
  };
  ScheduleDecision decision;
  decision.look_again = now + kLongestWait;
  Places places(items, running, limits);
  std::vector<Candidate> candidates;
  for (const ScheduledItem& item : items) {
    const auto due = DueAt(item, now);
    if (running.contains(item.key)) continue;
    const bool is_asked = asked_.contains(item.key) && !item.is_paused;
    if (is_asked || (due && *due <= now + kKeepsPlaceFor)) places.KeepPlace(item);
    if (is_asked || (due && *due <= now)) {
      candidates.push_back({&item, due.value_or(now), is_asked});
    } else if (due) {
      decision.look_again = std::min(decision.look_again, *due);
    }
  }
  std::ranges::stable_sort(candidates, [](const Candidate& a, const Candidate& b) {
    return std::pair(!a.is_asked, a.due) < std::pair(!b.is_asked, b.due);
  });
  for (const auto& [item, due, is_asked] : candidates) {
    if (!places.Take(*item)) continue;
    asked_.erase(item->key);
    const bool is_late = !item->is_failing && !is_asked && due < now && item->frequency.count() > 0;
    const auto next_try = NextTry(*item, now);
    decision.starts.push_back(
        {.key = item->key,
         .app_consistent = IsAppConsistentDue(*item, now),
         .missed_cycles = is_late ? static_cast<std::uint64_t>((now - due) / item->frequency) : 0,
         .is_asked = is_asked,
         .only_logs = item->is_failing && !is_asked && !(next_try && *next_try <= now)});
  }
  return decision;
}

Timestamp NextStart(const std::string& start, Timestamp now) {
  if (start.size() != 5 || start[2] != ':') return now;  // "now"
  const std::time_t seconds_now = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  if (::localtime_r(&seconds_now, &local) == nullptr) return now;
  const auto number = [&](std::size_t at) { return (start[at] - '0') * 10 + start[at + 1] - '0'; };
  for (int day = 0; day < 2; ++day) {
    std::tm wanted = local;
    wanted.tm_mday += day;
    wanted.tm_hour = number(0);
    wanted.tm_min = number(3);
    wanted.tm_sec = 0;
    wanted.tm_isdst = -1;
    const std::time_t at = std::mktime(&wanted);
    const auto time = std::chrono::floor<milliseconds>(std::chrono::system_clock::from_time_t(at));
    if (at != -1 && time >= std::chrono::floor<std::chrono::minutes>(now))
      return std::max(time, now);
  }
  return now;
}

}  // namespace asr
