#include "core/jobs/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::kNow;
using ::testing::Not;

AgentMetrics MetricsOfOneItem() {
  AgentMetrics metrics;
  metrics.version = "1";
  metrics.now = kNow;
  ItemSchedule schedule;
  schedule.vault_id = "v";
  schedule.item = {"web-00000001"};
  schedule.vm = "we\"b\\";
  schedule.vault = "main";
  schedule.missed_cycles = 3;
  metrics.schedules = {schedule};
  return metrics;
}

constexpr const char* kLabels = R"({vault="main",vm="we\"b\\",item="web-00000001"} )";

TEST(MetricsTest, OfAnItemThatHasNotRunTheRpoIsLeftOut) {
  const std::string text = MetricsText(MetricsOfOneItem());
  EXPECT_THAT(text, HasSubstr("asr_agent_info{version=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("asr_agent_time_seconds 1795415400.000\n"));
  EXPECT_THAT(text, Not(HasSubstr("asr_item_rpo_seconds{")));
  EXPECT_THAT(text, HasSubstr(std::string("asr_item_missed_cycles_total") + kLabels + "3\n"));
  EXPECT_THAT(text, HasSubstr(std::string("asr_item_health") + kLabels + "0\n"));
}

TEST(MetricsTest, CountersAndHealthAreTold) {
  AgentMetrics metrics = MetricsOfOneItem();
  ItemCounters counters;
  counters.cycles = 7;
  counters.failed_cycles = 2;
  counters.bytes_sent = 1'000'000;
  counters.backlog_bytes = 4096;
  counters.frequency = seconds{5};
  counters.last_good_start = kNow - seconds{61};
  counters.last_seconds = 0.25;
  counters.last_succeeded = false;
  metrics.counters["v/web-00000001"] = counters;
  const std::string text = MetricsText(metrics);
  const auto expect = [&](const std::string& name, const std::string& value) {
    EXPECT_THAT(text, HasSubstr(name + kLabels + value + "\n"));
  };
  expect("asr_item_rpo_seconds", "61");
  expect("asr_item_health", "2");  // more than twelve periods late
  expect("asr_item_cycles_total", "7");
  expect("asr_item_failed_cycles_total", "2");
  expect("asr_item_sent_bytes_total", "1000000");
  expect("asr_item_backlog_bytes", "4096");
  expect("asr_item_last_cycle_succeeded", "0");
  expect("asr_item_last_cycle_seconds", "0.25");
  expect("asr_item_paused", "0");
}

TEST(MetricsTest, ItemsThatLeftAreLeftOut) {
  AgentMetrics metrics = MetricsOfOneItem();
  metrics.schedules[0].vm.clear();
  EXPECT_THAT(MetricsText(metrics), HasSubstr("asr_agent_items 0\n"));
  EXPECT_THAT(MetricsText(metrics), Not(HasSubstr("asr_item_paused{")));
}

}  // namespace
}  // namespace asr
