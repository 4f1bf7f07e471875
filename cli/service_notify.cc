#include "cli/service_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace asr {

void NotifyService(const std::string& socket, std::string_view state) {
  sockaddr_un address{};
  if (socket.size() < 2 || socket.size() >= sizeof(address.sun_path)) return;
  if (socket.front() != '/' && socket.front() != '@') return;
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), socket.data(), socket.size());
  if (socket.front() == '@') address.sun_path[0] = '\0';  // an abstract name
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  static_cast<void>(::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), length));
  ::close(descriptor);
}

}  // namespace asr
