#include "storage/base/end_connection.h"

#include <sys/socket.h>

#include <vector>

#include "storage/base/bytes.h"

namespace asr {

void EndConnection(int socket) {
  ::shutdown(socket, SHUT_RDWR);
  std::vector<std::byte> nobody_wants(256 * kKiB);
  while (::recv(socket, nobody_wants.data(), nobody_wants.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace asr
