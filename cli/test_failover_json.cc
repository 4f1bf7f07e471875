#include "cli/test_failover_json.h"

#include <string>

#include "cli/target_options.h"

namespace asr {
namespace {

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json TimeOrNull(const std::optional<Timestamp>& time) {
  return time ? Json(FormatTime(*time)) : Json(nullptr);
}

}  // namespace

Json TargetSettingsJson(const MachineSettings& settings) {
  Json json;
  json["memoryBytes"] = settings.memory_bytes;
  json["cpuCount"] = settings.cpu_count;
  json["network"] = settings.has_network() ? "isolated" : "none";
  json["signOfLife"] = FormatSignOfLife(settings.sign_of_life);
  json["signOfLifeSeconds"] = settings.sign_of_life.wait.count();
  return json;
}

Json TestFailoverJson(const std::optional<TestFailoverStatus>& status) {
  if (!status) return nullptr;
  Json json;
  json["point"] = TextOrNull(status->test.point.value);
  json["startedAt"] = status->is_recorded ? TimeOrNull(status->test.started) : Json(nullptr);
  json["cleanupAt"] = TimeOrNull(status->test.cleanup_due);
  json["guestRunning"] = status->guest_runs;
  json["directory"] = status->test.directory;
  return json;
}

}  // namespace asr
