// A client of QEMU's machine protocol (QMP; qemu docs/interop/qmp-spec): JSON lines over a socket.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "storage/base/clock.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"

namespace asr {

// What an answer may take: QEMU may be held up by a slow disk of this machine.
inline constexpr double kQmpAnswerSeconds = 15;

// Something that QEMU tells unasked, for example "RESET" with {"guest":true}.
struct QmpEvent {
  std::string name;
  nlohmann::json data;
};

// One conversation; not thread-safe. QEMU talks to one client at a time: others wait for its end.
class QmpClient {
 public:
  // Connects to the socket `name` in `directory`. kNotFound or kIo if nobody listens.
  [[nodiscard]] static Result<std::unique_ptr<QmpClient>> Connect(Clock& clock,
                                                                  const std::string& directory,
                                                                  const std::string& name,
                                                                  double timeout_seconds);
  // The same on a connected socket: greeting and qmp_capabilities.
  [[nodiscard]] static Result<std::unique_ptr<QmpClient>> Greet(Clock& clock, FileDescriptor socket,
                                                                double timeout_seconds);

  // The reply's "return". kIo if QEMU refuses, hangs up, talks nonsense or lets the time pass; only
  // the last is retryable: a late reply is told from the next one by its id.
  [[nodiscard]] Result<nlohmann::json> Execute(const std::string& command, double timeout_seconds);
  [[nodiscard]] Result<nlohmann::json> Execute(const std::string& command,
                                               const nlohmann::json& arguments,
                                               double timeout_seconds);

  // The events that came since the last call, oldest first.
  [[nodiscard]] std::vector<QmpEvent> TakeEvents();

 private:
  QmpClient(Clock& clock, FileDescriptor socket) : clock_(clock), socket_(std::move(socket)) {}

  Result<nlohmann::json> ReadMessage(double deadline, const std::string& what_for);
  Status ReadMore(double deadline, const std::string& what_for);
  Status Send(const std::string& text, double deadline);

  Clock& clock_;
  FileDescriptor socket_;
  std::string received_;  // not yet a whole line
  std::uint64_t last_id_ = 0;
  std::vector<QmpEvent> events_;
};

}  // namespace asr
