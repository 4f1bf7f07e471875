#include "core/failover/guest_seal.h"

#include <cstdint>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/tcp_watch.h"

namespace asr {
namespace {

Result<std::string> AskMonitor(QmpClient& client, const std::string& line) {
  ASR_TRY(const nlohmann::json answer,
          client.Execute("human-monitor-command", {{"command-line", line}}, kQmpAnswerSeconds));
  return answer.is_string() ? answer.get<std::string>() : std::string();
}

Status CloseForward(QmpClient& client) {
  ASR_TRY(const std::string before, AskMonitor(client, "info usernet"));
  const std::uint16_t port = ParseForwardTable(before).host_port;
  if (port == 0) return {};
  ASR_TRY(const std::string answer,
          AskMonitor(client, fmt::format("hostfwd_remove {} tcp:127.0.0.1:{}", kNetworkId, port)));
  // The monitor tells success and failure alike, in words.
  ASR_TRY(const std::string after, AskMonitor(client, "info usernet"));
  if (ParseForwardTable(after).host_port == 0) return {};
  return Fail(ErrorKind::kIo, ErrorCode::kIo,
              fmt::format("QEMU keeps port {} of 127.0.0.1 open: {}", port,
                          answer.substr(0, answer.find_first_of("\r\n"))));
}

}  // namespace

Status EndSerialLog(QmpClient& client) {
  const nlohmann::json backend = {{"type", "null"}, {"data", nlohmann::json::object()}};
  ASR_CHECK(client.Execute("chardev-change", {{"id", kSerialId}, {"backend", backend}},
                           kQmpAnswerSeconds));
  return {};
}

Status SealGuest(Clock& clock, const RunningMachine& machine) {
  ASR_TRY(const auto client,
          QmpClient::Connect(clock, machine.directory, kQmpSocketName, kQmpAnswerSeconds));
  Status closed = CloseForward(*client);
  ASR_CHECK(EndSerialLog(*client));
  return closed;
}

}  // namespace asr
