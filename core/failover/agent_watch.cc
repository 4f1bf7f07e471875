#include "core/failover/agent_watch.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/machine_socket.h"
#include "core/failover/qemu_command.h"
#include "storage/base/checksum.h"

namespace asr {
namespace {

constexpr double kSyncSeconds = 2;
constexpr std::size_t kLongestLine = 64 * kKiB;
constexpr char kDelimiter = '\xFF';  // no byte of any UTF-8 text

std::uint64_t RandomId() {
  const Bits128 bits = RandomBits();
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < 4; ++i) id = id << 8 | std::to_integer<std::uint64_t>(bits[i]);
  return id;
}

}  // namespace

AgentWatch::AgentWatch(Clock& clock, std::string directory)
    : clock_(clock), directory_(std::move(directory)), first_id_(RandomId()), next_id_(first_id_) {}

AgentWatch::AgentWatch(Clock& clock, FileDescriptor socket) : AgentWatch(clock, std::string()) {
  socket_ = std::move(socket);
}

std::optional<std::string> AgentWatch::Look() {
  if (!socket_.valid()) {
    auto connected = ConnectToMachine(directory_, kAgentSocketName);
    if (!connected) return std::nullopt;
    socket_ = *std::move(connected);
  }
  Receive();
  if (ReadLines()) return "the QEMU guest agent answers";
  if (clock_.MonotonicSeconds() < next_sync_at_) return std::nullopt;
  Send(fmt::format("{}{{\"execute\":\"guest-sync-delimited\",\"arguments\":{{\"id\":{}}}}}\n",
                   kDelimiter, next_id_++));
  next_sync_at_ = clock_.MonotonicSeconds() + kSyncSeconds;
  return std::nullopt;
}

// What does not fit into the channel is lost: the next try says it again.
void AgentWatch::Send(const std::string& message) {
  static_cast<void>(
      ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

void AgentWatch::Receive() {
  char bytes[4096];
  while (true) {
    const ssize_t count = ::recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count > 0) {
      received_.append(bytes, static_cast<std::size_t>(count));
      if (received_.size() < kLongestLine) continue;
      received_.clear();
    } else if (count == 0 || errno != EAGAIN) {
      socket_ = FileDescriptor();
      received_.clear();
      in_step_ = false;
    }
    return;
  }
}

bool AgentWatch::ReadLines() {
  std::size_t end = 0;
  while ((end = received_.find('\n')) != std::string::npos) {
    std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    const std::size_t delimiter = line.rfind(kDelimiter);
    if (delimiter != std::string::npos) line.erase(0, delimiter + 1);
    const auto message = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!message.is_object() || !message.contains("return")) continue;
    const auto& value = message["return"];
    if (value.is_number_unsigned() && !in_step_) {
      const auto id = value.get<std::uint64_t>();
      in_step_ = id >= first_id_ && id < next_id_;
      if (in_step_) Send("{\"execute\":\"guest-ping\"}\n");
    } else if (in_step_ && value.is_object()) {
      return true;
    }
  }
  return false;
}

}  // namespace asr
