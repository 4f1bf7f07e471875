#include "core/vault/machine_document.h"

#include <algorithm>

namespace asr {
namespace {

using Json = nlohmann::ordered_json;

// The sign without its wait.
Json EncodeSign(const SignOfLife& sign) {
  Json json = {{"serialText", sign.serial_text}};
  if (sign.tcp_port != 0) json["tcpPort"] = sign.tcp_port;
  if (sign.guest_agent) json["guestAgent"] = true;
  return json;
}

SignOfLife DecodeSign(DocumentReader& life) {
  SignOfLife sign;
  sign.serial_text = life.TextOr("serialText", "");
  const std::uint64_t port = life.UnsignedOr("tcpPort", 0);
  if (port > kHighestTcpPort) life.Reject("tcpPort", "0 to 65535");
  sign.tcp_port = static_cast<std::uint16_t>(std::min(port, kHighestTcpPort));
  sign.guest_agent = life.OptionalBool("guestAgent").value_or(false);
  return sign;
}

GuestNetwork DecodeNetwork(DocumentReader& reader) {
  const auto network = ParseGuestNetwork(reader.TextOr("network", "none"));
  if (!network) reader.Reject("network", "none or isolated");
  return network.value_or(GuestNetwork::kNone);
}

std::chrono::seconds ToSeconds(std::uint64_t count) {
  return std::chrono::seconds(static_cast<std::int64_t>(count));
}

}  // namespace

nlohmann::ordered_json EncodeSettings(const MachineSettings& settings) {
  Json life = EncodeSign(settings.sign_of_life);
  life["waitSeconds"] = settings.sign_of_life.wait.count();
  Json json = {{"generation", settings.generation},
               {"cpuCount", settings.cpu_count},
               {"memoryBytes", settings.memory_bytes},
               {"signOfLife", life}};
  if (settings.network != GuestNetwork::kNone) json["network"] = GuestNetworkName(settings.network);
  if (!settings.domain_xml.empty()) json["domainXml"] = settings.domain_xml;
  return json;
}

MachineSettings DecodeSettings(DocumentReader& reader) {
  DocumentReader machine = reader.Object("machine");
  MachineSettings settings;
  settings.generation = static_cast<int>(machine.Unsigned("generation"));
  settings.cpu_count = static_cast<int>(machine.Unsigned("cpuCount"));
  settings.memory_bytes = machine.Unsigned("memoryBytes");
  DocumentReader life = machine.Object("signOfLife");
  settings.sign_of_life = DecodeSign(life);
  settings.sign_of_life.wait = ToSeconds(life.Unsigned("waitSeconds"));
  settings.network = DecodeNetwork(machine);
  settings.domain_xml = machine.TextOr("domainXml", "");
  if (settings.generation > 2) machine.Reject("generation", "0, 1 or 2");
  machine.Adopt(life);
  reader.Adopt(machine);
  return settings;
}

nlohmann::ordered_json EncodeTarget(const TargetSettings& target) {
  Json json = Json::object();
  if (target.cpu_count) json["cpuCount"] = *target.cpu_count;
  if (target.memory_bytes) json["memoryBytes"] = *target.memory_bytes;
  if (target.network) json["network"] = GuestNetworkName(*target.network);
  if (target.sign_of_life) json["signOfLife"] = EncodeSign(*target.sign_of_life);
  if (target.sign_of_life_wait) json["waitSeconds"] = target.sign_of_life_wait->count();
  return json;
}

TargetSettings DecodeTarget(DocumentReader& reader) {
  TargetSettings target;
  if (!reader.Has("target")) return target;
  DocumentReader object = reader.Object("target");
  if (object.Has("cpuCount")) target.cpu_count = static_cast<int>(object.Unsigned("cpuCount"));
  if (object.Has("memoryBytes")) target.memory_bytes = object.Unsigned("memoryBytes");
  if (object.Has("network")) target.network = DecodeNetwork(object);
  if (object.Has("signOfLife")) {
    DocumentReader life = object.Object("signOfLife");
    target.sign_of_life = DecodeSign(life);
    object.Adopt(life);
  }
  if (object.Has("waitSeconds"))
    target.sign_of_life_wait = ToSeconds(object.Unsigned("waitSeconds"));
  reader.Adopt(object);
  return target;
}

}  // namespace asr
