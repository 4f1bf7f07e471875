#include "core/failover/qmp_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "tests/support/temp_dir.h"

namespace asr {
namespace {

constexpr const char* kGreeting =
    R"({"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7}},"capabilities":["oob"]}})"
    "\n";

// The other end of the conversation, on a thread of its own.
class FakeQemu {
 public:
  explicit FakeQemu(std::function<void(FakeQemu&)> script) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    client_end_ = FileDescriptor(ends[0]);
    ours_ = FileDescriptor(ends[1]);
    thread_ = std::thread([this, script = std::move(script)] { script(*this); });
  }
  ~FakeQemu() { thread_.join(); }
  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  FileDescriptor ClientEnd() { return std::move(client_end_); }

  void Say(const std::string& text) {
    EXPECT_EQ(::send(ours_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // The next request; null when the client has hung up.
  nlohmann::json Hear() {
    std::string line;
    char byte = 0;
    while (::read(ours_.get(), &byte, 1) == 1) {
      if (byte == '\n') return nlohmann::json::parse(line, nullptr, false);
      line += byte;
    }
    return {};
  }
  void Answer(const nlohmann::json& request, const nlohmann::json& value) {
    Say(nlohmann::json{{"return", value}, {"id", request["id"]}}.dump() + "\r\n");
  }
  void Greet() {
    Say(kGreeting);
    const nlohmann::json request = Hear();
    EXPECT_EQ(request["execute"], "qmp_capabilities");
    Answer(request, nlohmann::json::object());
  }
  void HangUp() { ours_ = FileDescriptor(); }

 private:
  FileDescriptor client_end_;
  FileDescriptor ours_;
  std::thread thread_;
};

Result<std::unique_ptr<QmpClient>> GreetClient(FakeQemu& qemu, double timeout_seconds = 10) {
  return QmpClient::Greet(SystemClock(), qemu.ClientEnd(), timeout_seconds);
}

TEST(QmpClientTest, AnswersAreToldFromEvents) {
  FakeQemu qemu([](FakeQemu& self) {
    self.Greet();
    const nlohmann::json request = self.Hear();
    self.Say(R"({"event":"RESET","data":{"guest":true},"timestamp":{}})"
             "\n");
    self.Say(R"({"event":"STOP"})"
             "\n");
    self.Answer(request, {{"status", "running"}});
  });
  auto client = GreetClient(qemu);
  ASSERT_TRUE(client) << client.error().Line();
  const auto reply = (*client)->Execute("query-status", 10);
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_EQ((*reply)["status"], "running");
  const auto events = (*client)->TakeEvents();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].name, "RESET");
  EXPECT_EQ(events[0].data["guest"], true);
  EXPECT_EQ(events[1].name, "STOP");
  EXPECT_TRUE((*client)->TakeEvents().empty());
}

TEST(QmpClientTest, AnswersMayComeInPiecesOfAnySize) {
  FakeQemu qemu([](FakeQemu& self) {
    self.Greet();
    const nlohmann::json request = self.Hear();
    const std::string reply =
        nlohmann::json{{"return", std::string(100'000, 'x')}, {"id", request["id"]}}.dump();
    self.Say(reply.substr(0, 1));
    self.Say(reply.substr(1, 50'000));
    self.Say(reply.substr(50'001) + "\n");
  });
  auto client = GreetClient(qemu);
  ASSERT_TRUE(client) << client.error().Line();
  const auto reply = (*client)->Execute("query-something", 10);
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_EQ(reply->get<std::string>().size(), 100'000U);
}

TEST(QmpClientTest, RefusalSaysWhatQemuSaid) {
  FakeQemu qemu([](FakeQemu& self) {
    self.Greet();
    const nlohmann::json request = self.Hear();
    self.Say(nlohmann::json{{"error", {{"class", "CommandNotFound"}, {"desc", "no such thing"}}},
                            {"id", request["id"]}}
                 .dump() +
             "\n");
  });
  auto client = GreetClient(qemu);
  ASSERT_TRUE(client) << client.error().Line();
  const auto reply = (*client)->Execute("query-nothing", 10);
  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().message.find("query-nothing"), std::string::npos);
  EXPECT_NE(reply.error().message.find("no such thing"), std::string::npos);
}

TEST(QmpClientTest, LateAnswerIsNotTakenForTheNextOne) {
  FakeQemu qemu([](FakeQemu& self) {
    self.Greet();
    const nlohmann::json first = self.Hear();
    const nlohmann::json second = self.Hear();
    self.Answer(first, "first");
    self.Answer(second, "second");
  });
  auto client = GreetClient(qemu);
  ASSERT_TRUE(client) << client.error().Line();
  const auto late = (*client)->Execute("query-first", 0.05);
  ASSERT_FALSE(late);
  EXPECT_TRUE(late.error().retryable);
  EXPECT_NE(late.error().message.find("in time"), std::string::npos);
  const auto reply = (*client)->Execute("query-second", 10);
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_EQ(*reply, "second");
}

TEST(QmpClientTest, SilenceAtTheGreetingEnds) {
  FakeQemu qemu([](FakeQemu& self) { self.Hear(); });
  const auto client = GreetClient(qemu, 0.05);
  ASSERT_FALSE(client);
  EXPECT_TRUE(client.error().retryable);
}

TEST(QmpClientTest, CutConnectionKeepsTheEventsBeforeIt) {
  FakeQemu qemu([](FakeQemu& self) {
    self.Greet();
    self.Hear();
    self.Say(R"({"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}})"
             "\n{\"ret");
    self.HangUp();
  });
  auto client = GreetClient(qemu);
  ASSERT_TRUE(client) << client.error().Line();
  const auto reply = (*client)->Execute("query-status", 10);
  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().message.find("hung up"), std::string::npos);
  EXPECT_EQ(reply.error().kind, ErrorKind::kIo);
  const auto events = (*client)->TakeEvents();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].data["reason"], "guest-shutdown");
  EXPECT_FALSE((*client)->Execute("query-status", 10));  // and again, without a SIGPIPE
}

TEST(QmpClientTest, NonsenseIsAnError) {
  FakeQemu qemu([](FakeQemu& self) { self.Say("SSH-2.0-OpenSSH_9.2\r\n"); });
  const auto client = GreetClient(qemu);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().kind, ErrorKind::kIo);
}

TEST(QmpClientTest, ConnectsInDirectoriesWithLongNames) {
  const testing::TempDir base;
  std::string directory = base.path();
  for (int i = 0; i < 4; ++i) directory += "/" + std::string(60, static_cast<char>('a' + i));
  std::filesystem::create_directories(directory);
  const auto missing = QmpClient::Connect(SystemClock(), directory, "qmp.sock", 1);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);

  // A socket with that name, made under a short one.
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string short_name = base / "s";
  std::memcpy(address.sun_path, short_name.c_str(), short_name.size() + 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  std::filesystem::rename(short_name, directory + "/qmp.sock");
  const auto silent = QmpClient::Connect(SystemClock(), directory, "qmp.sock", 0.05);
  ASSERT_FALSE(silent);
  EXPECT_TRUE(silent.error().retryable) << silent.error().Line();  // connected; nobody greeted
}

}  // namespace
}  // namespace asr
