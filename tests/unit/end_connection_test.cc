#include "storage/base/end_connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "storage/base/file_descriptor.h"

namespace asr {
namespace {

// As QEMU does that waits to write: for room, and for nothing else.
bool MayWrite(const FileDescriptor& socket) {
  struct pollfd waiting {
    .fd = socket.get(), .events = POLLOUT, .revents = 0
  };
  ::poll(&waiting, 1, 0);
  return (waiting.revents & POLLOUT) != 0;
}

TEST(EndConnectionTest, WhoWaitsForRoomFindsOutThoughOthersHoldTheSocket) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor reader(ends[0]);
  const FileDescriptor writer(ends[1]);
  const FileDescriptor held(::dup(reader.get()));
  const std::vector<char> bytes(64 * 1024);
  while (::send(writer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(MayWrite(writer));
  EndConnection(held.get());
  EXPECT_TRUE(MayWrite(writer));
  EXPECT_EQ(::send(writer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace asr
