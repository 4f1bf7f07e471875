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

}  // namespace

Timestamp Schedule::JoinedAt(const ItemKey& item, Timestamp now) {
  Timestamp& joined = joined_.try_emplace(item, now).first->second;
  // Neither lies ahead, also after the clock was put back.
  joined = std::min(joined, now);
  watched_since_ = std::min(watched_since_, now);
  return std::max(joined, watched_since_);
}

std::optional<Timestamp> Schedule::DueAt(const ScheduledItem& item, Timestamp now) {
  const Timestamp joined = JoinedAt(item.key, now);
  // What does not come due while it is paused, or until a person has mended it, is not missed.
  if (item.is_paused || (item.is_failing && !item.next_try)) {
    joined_[item.key] = now;
    return std::nullopt;
  }
  if (item.is_failing) {
    // Later than any delay: the clock was put back since.
    const Timestamp next = *item.next_try > now + item.longest_retry_delay ? now : *item.next_try;
    // A try that met somebody else's work left everything as it was.
    if (!item.last_start || IsAhead(item.last_start, now)) return next;
    return std::max(next, *item.last_start + std::min({item.frequency, item.shortest_retry_delay,
                                                       kLongestSpread}));
  }
  const Timestamp first = joined + StaggerOf(item);
  if (!item.last_start) return first;
  if (IsAhead(item.last_start, now)) return now;
  const Timestamp due = *item.last_start + item.frequency;
  return due < joined ? first : due;
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
  std::map<std::string, std::size_t> jobs_of_host;
  for (const auto& [key, host] : running) ++jobs_of_host[host];
  std::vector<Candidate> candidates;
  for (const ScheduledItem& item : items) {
    const auto due = DueAt(item, now);
    if (running.contains(item.key)) continue;
    const bool is_asked = asked_.contains(item.key) && !item.is_paused;
    if (is_asked || (due && *due <= now)) {
      candidates.push_back({&item, due.value_or(now), is_asked});
    } else if (due) {
      decision.look_again = std::min(decision.look_again, *due);
    }
  }
  std::ranges::stable_sort(candidates, [](const Candidate& a, const Candidate& b) {
    return std::pair(!a.is_asked, a.due) < std::pair(!b.is_asked, b.due);
  });
  std::size_t jobs = running.size();
  for (const auto& [item, due, is_asked] : candidates) {
    if (jobs >= limits.jobs) break;
    std::size_t& of_host = jobs_of_host[item->host];
    if (of_host >= limits.jobs_of_a_host) continue;
    ++of_host;
    ++jobs;
    asked_.erase(item->key);
    const bool is_late = !item->is_failing && !is_asked && due < now && item->frequency.count() > 0;
    decision.starts.push_back(
        {.key = item->key,
         .app_consistent = IsAppConsistentDue(*item, now),
         .missed_cycles = is_late ? static_cast<std::uint64_t>((now - due) / item->frequency) : 0});
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
