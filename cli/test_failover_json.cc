#include "cli/test_failover_json.h"

#include <string>

#include "cli/json_values.h"
#include "cli/target_options.h"

namespace asr {

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
  json["point"] = TextJson(status->test.point.value);
  json["startedAt"] = status->is_recorded ? TimeJson(status->test.started) : Json(nullptr);
  json["cleanupAt"] = TimeJson(status->test.cleanup_due);
  json["guestRunning"] = status->guest_runs;
  json["directory"] = status->test.directory;
  return json;
}

}  // namespace asr
