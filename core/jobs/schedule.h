// When which item is replicated: a pure decision, so that every corner of it can be tested.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/model/ids.h"
#include "storage/base/clock.h"

namespace asr {

struct ItemKey {
  std::string vault_id;
  ItemId item;
  auto operator<=>(const ItemKey&) const = default;
};

struct ScheduledItem {
  ItemKey key;
  std::string host;
  std::string vm;  // of the host; into several vaults it is replicated one after the other
  std::chrono::seconds frequency{300};
  std::chrono::seconds app_consistent{0};  // 0: never
  std::optional<Timestamp> last_start;
  std::optional<Timestamp> last_app_consistent;
  bool is_paused = false;
  bool is_failing = false;            // its last cycle failed
  std::optional<Timestamp> next_try;  // while it fails; none: not before it is resumed
  // While it fails, what changes is logged between the tries: since then its vault is away.
  std::optional<Timestamp> logs_since;
  std::optional<Timestamp> log_not_before;
  bool waits_for_vault = false;  // its job waits for a vault that is away, and takes no place
  // Of its policy.
  std::chrono::seconds shortest_retry_delay{60};
  std::chrono::seconds longest_retry_delay{1800};
};

struct ScheduleLimits {
  std::size_t jobs = 4;
  std::size_t jobs_of_a_host = 2;
};

struct CycleStart {
  ItemKey key;
  bool app_consistent = false;
  std::uint64_t missed_cycles = 0;  // since the last one, which could not start within their period
  bool is_asked = false;
  bool only_logs = false;  // no try to reach the vault is due
};

struct ScheduleDecision {
  std::vector<CycleStart> starts;  // the longest overdue first
  Timestamp look_again{};  // nothing becomes due earlier; the end of a job may let more start
};

// A cycle is due one period after the start of the last one. First cycles, and all that became due
// while nobody looked (the agent was down, the machine slept, the clock jumped), are spread over a
// period, at most a minute. While a vault is away, what is logged in its stead gets rarer the
// longer that lasts: each set becomes a recovery point, and has to be kept until then. The last
// place for jobs, in all and of a host, is kept for items of another vault that are due within half
// a minute, where one vault has all others: one that does not answer may take minutes to fail. Not
// thread-safe.
class Schedule {
 public:
  // `now`: when the agent began to look.
  explicit Schedule(Timestamp now) : watched_since_(now) {}

  // The wall clock moved by itself: what became due by that is no missed cycle.
  void ClockJumped(Timestamp now) { watched_since_ = now; }
  // `item` is to be replicated as soon as a job may start, whatever its schedule says.
  void Ask(const ItemKey& item) { asked_.insert(item); }

  // When the next cycle of `item` is due; nullopt: not before it is resumed. Items that were never
  // seen before count as joined at `now`.
  [[nodiscard]] std::optional<Timestamp> DueAt(const ScheduledItem& item, Timestamp now);

  // `running`: items of which a job runs, with their hosts. Those that are started here count as
  // running from now on, and are asked for no more.
  [[nodiscard]] ScheduleDecision Decide(const std::vector<ScheduledItem>& items,
                                        const std::map<ItemKey, std::string>& running,
                                        const ScheduleLimits& limits, Timestamp now);

 private:
  [[nodiscard]] Timestamp JoinedAt(const ItemKey& item, Timestamp now);
  [[nodiscard]] static std::optional<Timestamp> NextTry(const ScheduledItem& item, Timestamp now);

  Timestamp watched_since_;
  std::map<ItemKey, Timestamp> joined_;
  std::set<ItemKey> asked_;
};

// The next time that the machine's clock on the wall shows `start` ("HH:MM", in the local time
// zone), or `now` for "now". In a night in which the clock is put forward over it: right after.
[[nodiscard]] Timestamp NextStart(const std::string& start, Timestamp now);

}  // namespace asr
