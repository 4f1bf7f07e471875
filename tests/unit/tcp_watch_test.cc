#include "core/failover/tcp_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "tests/support/fake_clock.h"
#include "tests/support/loopback_listener.h"

namespace asr {
namespace {

using ::testing::HasSubstr;

TEST(ForwardTableTest, ReadsWhatTheMonitorTells) {
  const std::string heading =
      "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ "
      "SendQ\r\n";
  const std::string forward =
      "  TCP[HOST_FORWARD]   3       127.0.0.1 46761       10.0.2.15    22     0     0\r\n";
  const std::string asked =
      "  TCP[SYN_SENT]      12       127.0.0.1 46761       10.0.2.15    22     0     0\r\n";
  const std::string answered =
      "  TCP[ESTABLISHED]   13       127.0.0.1 46761       10.0.2.15    22     0     0\r\n";
  EXPECT_EQ(ParseForwardTable(heading).host_port, 0);
  EXPECT_EQ(ParseForwardTable(heading + forward).host_port, 46761);
  EXPECT_FALSE(ParseForwardTable(heading + asked + forward).guest_has_answered);
  EXPECT_TRUE(ParseForwardTable(heading + asked + answered + forward).guest_has_answered);
  EXPECT_EQ(ParseForwardTable("unknown command").host_port, 0);
  EXPECT_EQ(ParseForwardTable("").host_port, 0);
}

// Stands where QEMU does: it accepts before any guest has answered.
class TcpWatchTest : public ::testing::Test {
 protected:
  std::optional<std::string> Look(bool guest_has_answered) {
    return watch_.Look({.host_port = listener_.port(), .guest_has_answered = guest_has_answered});
  }
  [[nodiscard]] FileDescriptor Accept() const {
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(socket.valid());
    return socket;
  }

  testing::LoopbackListener listener_;
  testing::FakeClock clock_;
  TcpWatch watch_{clock_, 22};
};

TEST_F(TcpWatchTest, AConnectionThatOnlyQemuHasAcceptedProvesNothing) {
  EXPECT_FALSE(Look(false));
  const FileDescriptor qemu = Accept();
  for (int i = 0; i < 40; ++i) {
    clock_.SleepSeconds(0.1);
    EXPECT_FALSE(Look(false));
  }
  EXPECT_THAT(watch_.Cause(), HasSubstr("did not answer at all"));
}

TEST_F(TcpWatchTest, AHandshakeOfTheGuestThatLastsIsASign) {
  EXPECT_FALSE(Look(false));
  const FileDescriptor qemu = Accept();
  EXPECT_FALSE(Look(true));
  clock_.SleepSeconds(0.5);
  EXPECT_FALSE(Look(true));  // it may still hang up
  clock_.SleepSeconds(0.6);
  EXPECT_EQ(Look(true), "accepts connections on TCP port 22");
}

TEST_F(TcpWatchTest, BytesOfTheGuestAreASignAtOnce) {
  EXPECT_FALSE(Look(false));
  const FileDescriptor qemu = Accept();
  ASSERT_EQ(::send(qemu.get(), "SSH-2.0-x\r\nmore", 15, MSG_NOSIGNAL), 15);
  std::optional<std::string> sign;
  for (int i = 0; i < 1000 && !sign; ++i) sign = Look(false);
  EXPECT_EQ(sign, "answers on TCP port 22: SSH-2.0-x");
}

TEST_F(TcpWatchTest, AGuestThatRefusesOrHangsUpDoesNotLive) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE(Look(false));
    FileDescriptor qemu = Accept();
    EXPECT_FALSE(Look(round == 2));  // the last time it is accepted first
    qemu = FileDescriptor();
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(Look(false));
    clock_.SleepSeconds(1.1);
  }
  EXPECT_THAT(watch_.Cause(), HasSubstr("nothing in the guest listens on port 22"));
}

TEST_F(TcpWatchTest, SilenceIsAskedAnew) {
  EXPECT_FALSE(Look(false));
  const FileDescriptor first = Accept();
  clock_.SleepSeconds(5.1);
  EXPECT_FALSE(Look(false));  // gives it up
  EXPECT_FALSE(Look(false));  // and connects again
  const FileDescriptor second = Accept();
  EXPECT_FALSE(Look(true));
  clock_.SleepSeconds(1.1);
  EXPECT_TRUE(Look(true));
}

TEST_F(TcpWatchTest, WithoutAForwardedPortNothingIsAsked) {
  EXPECT_FALSE(watch_.Look({}));
  EXPECT_FALSE(watch_.Look({.host_port = 0, .guest_has_answered = true}));
}

}  // namespace
}  // namespace asr
