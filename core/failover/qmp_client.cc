#include "core/failover/qmp_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/failover/machine_socket.h"
#include "storage/base/bytes.h"

namespace asr {
namespace {

constexpr std::size_t kLongestMessage = 16 * kMiB;
constexpr std::size_t kMostEvents = 1000;

Error ProtocolError(std::string message) {
  return MakeError(ErrorKind::kIo, ErrorCode::kIo, std::move(message));
}

Error HungUp(const std::string& what_for) {
  return ProtocolError(fmt::format("QEMU hung up ({})", what_for));
}

// Waits until the socket is ready for `events`; fails at the deadline.
Status WaitForSocket(Clock& clock, int socket, short events, double deadline,
                     const std::string& what_for) {
  while (true) {
    const double left = deadline - clock.MonotonicSeconds();
    if (left <= 0) {
      return Fail(
          ProtocolError(fmt::format("QEMU did not answer in time ({})", what_for)).Retryable());
    }
    pollfd request{socket, events, 0};
    const int milliseconds = static_cast<int>(std::ceil(std::min(left, 60.0) * 1000));
    const int ready = ::poll(&request, 1, milliseconds);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Fail(ErrnoError(errno, "cannot wait for QEMU"));
  }
}

}  // namespace

Result<std::unique_ptr<QmpClient>> QmpClient::Connect(Clock& clock, const std::string& directory,
                                                      const std::string& name,
                                                      double timeout_seconds) {
  ASR_TRY(FileDescriptor socket, ConnectToMachine(directory, name));
  return Greet(clock, std::move(socket), timeout_seconds);
}

Result<std::unique_ptr<QmpClient>> QmpClient::Greet(Clock& clock, FileDescriptor socket,
                                                    double timeout_seconds) {
  const double deadline = clock.MonotonicSeconds() + timeout_seconds;
  std::unique_ptr<QmpClient> client(new QmpClient(clock, std::move(socket)));
  ASR_TRY(const nlohmann::json greeting, client->ReadMessage(deadline, "greeting"));
  if (!greeting.contains("QMP")) {
    return Fail(ProtocolError("what answers on the socket is not QEMU's machine protocol"));
  }
  ASR_CHECK(client->Execute("qmp_capabilities", deadline - clock.MonotonicSeconds()));
  return client;
}

Result<nlohmann::json> QmpClient::Execute(const std::string& command, double timeout_seconds) {
  return Execute(command, nlohmann::json::object(), timeout_seconds);
}

Result<nlohmann::json> QmpClient::Execute(const std::string& command,
                                          const nlohmann::json& arguments, double timeout_seconds) {
  const double deadline = clock_.MonotonicSeconds() + timeout_seconds;
  const std::uint64_t id = ++last_id_;
  nlohmann::json request = {{"execute", command}, {"id", id}};
  if (!arguments.empty()) request["arguments"] = arguments;
  ASR_CHECK(Send(request.dump() + "\n", deadline));
  while (true) {
    ASR_TRY(nlohmann::json message, ReadMessage(deadline, command));
    const auto event = message.find("event");
    if (event != message.end() && event->is_string()) {
      if (events_.size() >= kMostEvents) events_.erase(events_.begin());
      events_.push_back({event->get<std::string>(), std::move(message["data"])});
      continue;
    }
    const auto answered = message.find("id");
    if (answered == message.end() || *answered != id) continue;
    const auto value = message.find("return");
    if (value != message.end()) return std::move(*value);
    return Fail(ProtocolError(
        fmt::format("QEMU refused {}: {}", command, message["error"].dump(-1, ' ', true))));
  }
}

std::vector<QmpEvent> QmpClient::TakeEvents() { return std::exchange(events_, {}); }

// The next line that is a JSON object.
Result<nlohmann::json> QmpClient::ReadMessage(double deadline, const std::string& what_for) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = received_.find('\n', searched);
    if (end != std::string::npos) {
      nlohmann::json message = nlohmann::json::parse(
          received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
          /*allow_exceptions=*/false);
      received_.erase(0, end + 1);
      if (message.is_object()) return message;
      return Fail(ProtocolError(fmt::format("QEMU sent a line that is no JSON ({})", what_for)));
    }
    searched = received_.size();
    if (searched > kLongestMessage) {
      return Fail(ProtocolError(fmt::format("QEMU's answer is too long ({})", what_for)));
    }
    ASR_CHECK(ReadMore(deadline, what_for));
  }
}

Status QmpClient::ReadMore(double deadline, const std::string& what_for) {
  ASR_CHECK(WaitForSocket(clock_, socket_.get(), POLLIN, deadline, what_for));
  char bytes[16384];
  const ssize_t count = ::recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
  if (count > 0) received_.append(bytes, static_cast<std::size_t>(count));
  if (count == 0) return Fail(HungUp(what_for));
  if (count < 0 && errno != EINTR && errno != EAGAIN) {
    if (errno == ECONNRESET) return Fail(HungUp(what_for));
    return Fail(ErrnoError(errno, fmt::format("cannot read QEMU's answer ({})", what_for)));
  }
  return {};
}

Status QmpClient::Send(const std::string& text, double deadline) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    ASR_CHECK(WaitForSocket(clock_, socket_.get(), POLLOUT, deadline, "sending"));
    const ssize_t count =
        ::send(socket_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) sent += static_cast<std::size_t>(count);
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
      // What QEMU said before it went is still there; who reads it finds the end.
      if (errno == EPIPE || errno == ECONNRESET) return {};
      return Fail(ErrnoError(errno, "cannot talk to QEMU"));
    }
  }
  return {};
}

}  // namespace asr
