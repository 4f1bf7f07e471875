// Whether a guest answers on a TCP port, seen from the host's side of QEMU's own network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/clock.h"
#include "storage/base/file_descriptor.h"

namespace asr {

// What QEMU's monitor tells of its network ("info usernet").
struct ForwardTable {
  std::uint16_t host_port = 0;      // on 127.0.0.1, of the one port that is forwarded; 0: none
  bool guest_has_answered = false;  // there is a connection whose handshake the guest completed
};
[[nodiscard]] ForwardTable ParseForwardTable(std::string_view text);

// QEMU accepts a connection of the host before it asks the guest, so that one that is open proves
// nothing. What does: bytes of the guest, or a handshake that the guest's side has completed, as
// QEMU's table says, and a connection that is still open kStaySeconds later. Not thread-safe.
class TcpWatch {
 public:
  // A program that takes a connection and ends at once does not live.
  static constexpr double kStaySeconds = 1;
  // A guest without an address yet loses what was sent to it: a new connection asks anew.
  static constexpr double kSilenceSeconds = 5;

  TcpWatch(Clock& clock, std::uint16_t guest_port) : clock_(clock), guest_port_(guest_port) {}

  // What was seen, once it is a sign of life. `table` is from just before.
  [[nodiscard]] std::optional<std::string> Look(const ForwardTable& table);
  // Why there is no sign, in words.
  [[nodiscard]] std::string Cause() const;

 private:
  void Connect(std::uint16_t host_port);
  void HangUp(double seconds_until_next);

  Clock& clock_;
  std::uint16_t guest_port_;
  FileDescriptor socket_;
  double connected_at_ = 0;
  double next_try_at_ = 0;
  std::optional<double> answered_at_;  // this connection
  bool was_closed_ = false;            // the last one, by the guest's side
};

}  // namespace asr
