#include "core/failover/tcp_watch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "core/failover/serial_watch.h"

namespace asr {
namespace {

constexpr double kRetrySeconds = 0.5;
constexpr std::size_t kShownBytes = 80;

std::vector<std::string_view> WordsOf(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

}  // namespace

// A line is "TCP[STATE] FD SOURCE PORT DESTINATION PORT RECVQ SENDQ".
ForwardTable ParseForwardTable(std::string_view text) {
  ForwardTable table;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = WordsOf(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.size() < 6) continue;
    if (words[0] == "TCP[HOST_FORWARD]") {
      std::from_chars(words[3].data(), words[3].data() + words[3].size(), table.host_port);
    }
    // The guest's network has nobody else to talk to: it must be a connection to that port.
    table.guest_has_answered |= words[0] == "TCP[ESTABLISHED]";
  }
  return table;
}

std::optional<std::string> TcpWatch::Look(const ForwardTable& table) {
  const double now = clock_.MonotonicSeconds();
  if (!socket_.valid()) {
    if (table.host_port != 0 && now >= next_try_at_) Connect(table.host_port);
    return std::nullopt;
  }
  std::array<char, kShownBytes> bytes{};
  const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count > 0) {
    const std::string_view said(bytes.data(), static_cast<std::size_t>(count));
    const std::string line = PrintableText(said.substr(0, said.find_first_of("\r\n")));
    return fmt::format("answers on TCP port {}{}{}", guest_port_, line.empty() ? "" : ": ", line);
  }
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    was_closed_ = true;
    HangUp(kRetrySeconds);
    return std::nullopt;
  }
  if (table.guest_has_answered && !answered_at_) answered_at_ = now;
  if (!answered_at_) {
    if (now - connected_at_ < kSilenceSeconds) return std::nullopt;
    was_closed_ = false;
    HangUp(0);
    return std::nullopt;
  }
  if (now - *answered_at_ < kStaySeconds) return std::nullopt;
  return fmt::format("accepts connections on TCP port {}", guest_port_);
}

std::string TcpWatch::Cause() const {
  if (was_closed_) {
    return fmt::format(
        "nothing in the guest listens on port {}, or it ends each connection at once", guest_port_);
  }
  return "the guest did not answer at all: its network has no driver for the card that QEMU gives "
         "it, it does not take its address by DHCP, or a firewall is in the way";
}

void TcpWatch::Connect(std::uint16_t host_port) {
  const double now = clock_.MonotonicSeconds();
  socket_ = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(host_port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool begun =
      socket_.valid() && (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                                    sizeof(address)) == 0 ||
                          errno == EINPROGRESS);
  if (!begun) return HangUp(kRetrySeconds);
  connected_at_ = now;
  answered_at_.reset();
}

void TcpWatch::HangUp(double seconds_until_next) {
  socket_ = FileDescriptor();
  next_try_at_ = clock_.MonotonicSeconds() + seconds_until_next;
}

}  // namespace asr
