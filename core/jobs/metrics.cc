#include "core/jobs/metrics.h"

#include <algorithm>
#include <functional>
#include <optional>

#include <fmt/format.h>

#include "core/jobs/health.h"

namespace asr {
namespace {

struct ItemFacts {
  const ItemSchedule* schedule = nullptr;
  const ItemCounters* counters = nullptr;  // null: the agent has not seen it yet
};

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? "\\n" : std::string(1, c);
  }
  return escaped;
}

std::optional<double> RpoSeconds(const ItemFacts& item, Timestamp now) {
  if (item.counters == nullptr || !item.counters->last_good_start) return std::nullopt;
  const auto age = std::chrono::duration<double>(now - *item.counters->last_good_start);
  return std::max(0.0, age.count());
}

double HealthOf(const ItemFacts& item, Timestamp now) {
  HealthFacts facts;
  facts.now = now;
  // Without a cycle only the retries tell.
  facts.newest_point = now;
  facts.retry = item.schedule->retry;
  facts.paused_since = item.schedule->paused_since;
  if (item.counters != nullptr) {
    facts.newest_point = item.counters->last_good_start.value_or(now);
    facts.frequency = item.counters->frequency;
  }
  return static_cast<double>(JudgeHealth(facts).health);
}

struct Family {
  const char* name;
  const char* type;
  const char* help;
  std::function<std::optional<double>(const ItemFacts&, Timestamp)> value;
};

// The value of a counter, if a cycle has ended.
template <class Member>
auto OfCounters(Member member) {
  return [member](const ItemFacts& item, Timestamp) -> std::optional<double> {
    if (item.counters == nullptr) return 0;
    return static_cast<double>(item.counters->*member);
  };
}

const std::vector<Family>& Families() {
  static const std::vector<Family> families = {
      {"asr_item_rpo_seconds", "gauge", "Age of the state that the newest recovery point holds.",
       RpoSeconds},
      {"asr_item_health", "gauge", "0 normal, 1 warning, 2 critical.", HealthOf},
      {"asr_item_backlog_bytes", "gauge", "Bytes of change logs that wait to be sent.",
       OfCounters(&ItemCounters::backlog_bytes)},
      {"asr_item_sent_bytes_total", "counter", "Bytes that were sent since the agent started.",
       OfCounters(&ItemCounters::bytes_sent)},
      {"asr_item_cycles_total", "counter", "Cycles that ended since the agent started.",
       OfCounters(&ItemCounters::cycles)},
      {"asr_item_failed_cycles_total", "counter", "Those of them that failed.",
       OfCounters(&ItemCounters::failed_cycles)},
      {"asr_item_missed_cycles_total", "counter", "Cycles that could not start in their period.",
       [](const ItemFacts& item, Timestamp) -> std::optional<double> {
         return static_cast<double>(item.schedule->missed_cycles);
       }},
      {"asr_item_last_cycle_succeeded", "gauge", "1 unless the newest cycle failed.",
       [](const ItemFacts& item, Timestamp) -> std::optional<double> {
         if (item.counters == nullptr || item.counters->cycles == 0) return std::nullopt;
         return item.counters->last_succeeded ? 1 : 0;
       }},
      {"asr_item_last_cycle_seconds", "gauge", "How long the newest cycle took.",
       [](const ItemFacts& item, Timestamp) -> std::optional<double> {
         return item.counters == nullptr ? std::nullopt : item.counters->last_seconds;
       }},
      {"asr_item_failures_in_a_row", "gauge", "0 if the newest cycle did not fail.",
       [](const ItemFacts& item, Timestamp) -> std::optional<double> {
         return item.schedule->retry ? item.schedule->retry->attempt : 0;
       }},
      {"asr_item_paused", "gauge", "1 while scheduled replication is paused.",
       [](const ItemFacts& item, Timestamp) -> std::optional<double> {
         return item.schedule->paused_since ? 1 : 0;
       }}};
  return families;
}

}  // namespace

std::string MetricsText(const AgentMetrics& metrics) {
  std::vector<ItemFacts> items;
  for (const ItemSchedule& schedule : metrics.schedules) {
    if (schedule.vm.empty()) continue;
    const auto counters = metrics.counters.find(schedule.vault_id + "/" + schedule.item.value);
    items.push_back({.schedule = &schedule,
                     .counters = counters == metrics.counters.end() ? nullptr : &counters->second});
  }
  std::string text = fmt::format(
      "# HELP asr_agent_info The agent that runs.\n# TYPE asr_agent_info gauge\n"
      "asr_agent_info{{version=\"{}\"}} 1\n"
      "# HELP asr_agent_time_seconds When this was written.\n# TYPE asr_agent_time_seconds gauge\n"
      "asr_agent_time_seconds {:.3f}\n"
      "# HELP asr_agent_items Items that it replicates.\n# TYPE asr_agent_items gauge\n"
      "asr_agent_items {}\n",
      Escaped(metrics.version),
      std::chrono::duration<double>(metrics.now.time_since_epoch()).count(), items.size());
  for (const Family& family : Families()) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", family.name, family.help, family.type);
    for (const ItemFacts& item : items) {
      const auto value = family.value(item, metrics.now);
      if (!value) continue;
      text += fmt::format("{}{{vault=\"{}\",vm=\"{}\",item=\"{}\"}} {}\n", family.name,
                          Escaped(item.schedule->vault), Escaped(item.schedule->vm),
                          Escaped(item.schedule->item.value), *value);
    }
  }
  return text;
}

}  // namespace asr
