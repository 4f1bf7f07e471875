#include "core/jobs/heartbeat.h"

#include <unistd.h>

#include <array>

#include <nlohmann/json.hpp>

#include "core/vault/document_text.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

constexpr double kSecondsBetween = 60;
constexpr const char* kIdSetting = "agent.id";

}  // namespace

std::string EncodeHeartbeat(const Heartbeat& heartbeat) {
  nlohmann::ordered_json json;
  json["version"] = 1;
  json["agent"] = heartbeat.agent;
  json["machine"] = heartbeat.machine;
  json["program"] = heartbeat.version;
  json["time"] = FormatTime(heartbeat.time);
  json["items"] = heartbeat.items;
  return WriteDocument(json);
}

std::string MachineName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

Result<std::string> AgentId(Environment& environment) {
  ASR_TRY(const auto known, environment.state.FindSetting(kIdSetting));
  if (known && !known->empty()) return *known;
  const std::string id = NewItemId(MachineName()).value;
  ASR_CHECK(environment.state.SetSetting(kIdSetting, id));
  return id;
}

Status HeartbeatWriter::Beat(Vault& vault, Heartbeat heartbeat) {
  const double now = clock_.MonotonicSeconds();
  if (last_seconds_ && now - *last_seconds_ < kSecondsBetween) return {};
  last_seconds_ = now;
  heartbeat.time = clock_.Now();
  return vault.store().Put(layout::AgentDocument(heartbeat.agent),
                           AsBytes(EncodeHeartbeat(heartbeat)));
}

}  // namespace asr
