#include "core/failover/machine_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace asr {

Result<FileDescriptor> ConnectToMachine(const std::string& directory, const std::string& name) {
  const std::string path = fmt::format("{}/{}", directory, name);
  const FileDescriptor folder(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", directory)));
  const std::string short_path = fmt::format("/proc/self/fd/{}/{}", folder.get(), name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (short_path.size() >= sizeof(address.sun_path)) {
    return Fail(ErrnoError(ENAMETOOLONG, fmt::format("cannot connect to {}", path)));
  }
  std::memcpy(address.sun_path, short_path.c_str(), short_path.size() + 1);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot connect to {}", path)));
  }
  return socket;
}

}  // namespace asr
