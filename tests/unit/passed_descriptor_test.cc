#include "storage/base/passed_descriptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace asr {
namespace {

TEST(PassedDescriptorTest, TheReceiverHasOneOfItsOwnAndNothingBesideOtherBytes) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor receiver(ends[0]);
  FileDescriptor sender(ends[1]);
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe(pipe_ends.data()), 0);
  const FileDescriptor reader(pipe_ends[0]);
  FileDescriptor writer(pipe_ends[1]);
  ASSERT_EQ(::send(sender.get(), "a", 1, 0), 1);
  ASSERT_EQ(SendWithDescriptor(sender.get(), 'b', writer.get()), 1);
  writer = FileDescriptor();
  char word = 0;
  FileDescriptor beside;
  EXPECT_EQ(ReceiveWithDescriptor(receiver.get(), word, beside, 0), 1);
  EXPECT_EQ(word, 'a');
  EXPECT_FALSE(beside.valid());
  EXPECT_EQ(ReceiveWithDescriptor(receiver.get(), word, beside, 0), 1);
  EXPECT_EQ(word, 'b');
  ASSERT_TRUE(beside.valid());
  EXPECT_EQ(::write(beside.get(), "x", 1), 1);
  EXPECT_EQ(::read(reader.get(), &word, 1), 1);
  EXPECT_EQ(word, 'x');
  EXPECT_EQ(ReceiveWithDescriptor(receiver.get(), word, beside, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(beside.valid());
  sender = FileDescriptor();
  EXPECT_EQ(ReceiveWithDescriptor(receiver.get(), word, beside, 0), 0);
}

TEST(PassedDescriptorTest, AReceiverThatIsGoneIsAnErrorAndNoSignal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor sender(ends[1]);
  ::close(ends[0]);
  EXPECT_EQ(SendWithDescriptor(sender.get(), 'a', STDIN_FILENO), -1);
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace asr
