#include "core/failover/agent_watch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using ::testing::SizeIs;

// The guest's end of the channel.
class AgentWatchTest : public ::testing::Test {
 protected:
  AgentWatchTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    guest_ = FileDescriptor(ends[0]);
    watch_.emplace(clock_, FileDescriptor(ends[1]));
  }
  // The requests that came since the last call.
  std::vector<nlohmann::json> Hear() {
    std::array<char, 65536> bytes{};
    const ssize_t count = ::recv(guest_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    std::string text(bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    std::vector<nlohmann::json> requests;
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      std::string line = text.substr(0, end);
      text.erase(0, end + 1);
      if (line.front() == '\xFF') line.erase(0, 1);
      requests.push_back(nlohmann::json::parse(line, nullptr, false));
    }
    return requests;
  }
  void Say(const std::string& text) {
    EXPECT_EQ(::send(guest_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  std::uint64_t LookUntilItAsks() {
    EXPECT_FALSE(watch_->Look());
    const auto requests = Hear();
    EXPECT_THAT(requests, SizeIs(1));
    EXPECT_EQ(requests.at(0)["execute"], "guest-sync-delimited");
    return requests.at(0)["arguments"]["id"].get<std::uint64_t>();
  }

  testing::FakeClock clock_;
  FileDescriptor guest_;
  std::optional<AgentWatch> watch_;
};

TEST_F(AgentWatchTest, AnAnswerToThePingIsASign) {
  const auto id = LookUntilItAsks();
  Say(fmt::format("\xFF{{\"return\": {}}}\n", id));
  EXPECT_FALSE(watch_->Look());
  const auto requests = Hear();
  ASSERT_FALSE(requests.empty());
  EXPECT_EQ(requests[0]["execute"], "guest-ping");
  Say("{\"retu");
  EXPECT_FALSE(watch_->Look());
  Say("rn\": {}}\n");
  EXPECT_EQ(watch_->Look(), "the QEMU guest agent answers");
}

TEST_F(AgentWatchTest, WhatOthersLeftInTheChannelIsNoAnswer) {
  const auto id = LookUntilItAsks();
  Say("{\"return\": {}}\n{\"return\": 1}\nnonsense\n{\"error\": {}}\n{\"return\": {}}\n");
  Say(fmt::format("{{\"return\": {}}}\n", id + 1));
  EXPECT_FALSE(watch_->Look());
  EXPECT_FALSE(watch_->Look());
  EXPECT_THAT(Hear(), SizeIs(0));
}

TEST_F(AgentWatchTest, AsksAgainUntilTheAgentStarts) {
  const auto first = LookUntilItAsks();
  EXPECT_FALSE(watch_->Look());
  EXPECT_THAT(Hear(), SizeIs(0));  // not at every look
  clock_.SleepSeconds(2.5);
  const auto second = LookUntilItAsks();
  EXPECT_NE(first, second);
  Say(fmt::format("\xFF{{\"return\": {}}}\n\xFF{{\"return\": {}}}\n", first, second));
  EXPECT_FALSE(watch_->Look());
  Say("{\"return\": {}}\n");
  EXPECT_TRUE(watch_->Look());
}

TEST_F(AgentWatchTest, AGuestThatWritesWithoutEndOrHangsUpGivesNoSign) {
  LookUntilItAsks();
  Say(std::string(100'000, 'x'));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(watch_->Look());
  guest_ = FileDescriptor();
  EXPECT_FALSE(watch_->Look());
  EXPECT_FALSE(watch_->Look());
}

}  // namespace
}  // namespace asr
