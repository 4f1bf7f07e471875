// The agent's metrics over HTTP, asked for with curl.
#include <netinet/in.h>
#include <sys/socket.h>

#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>

#include "storage/http/status_server.h"
#include "tests/cli/agent_fixture.h"
#include "tests/support/loopback_listener.h"
#include "tests/support/shell_command.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class AgentMetricsTest : public AgentTest {
 protected:
  // "http://127.0.0.1:PORT" as the log tells it.
  std::string Url() {
    std::smatch found;
    const auto is_told = [&] {
      const std::string log = Log();
      static const std::regex wanted("metrics: (http://[^ ]*:[1-9][0-9]*)/metrics");
      std::smatch match;
      if (!std::regex_search(log, match, wanted)) return false;
      url_ = match[1];
      return true;
    };
    EXPECT_TRUE(BecomesTrue(is_told)) << Log();
    return url_;
  }
  static std::string Curl(const std::string& words) {
    return RunShell("curl -sS --noproxy '*' --max-time 10 " + words).text;
  }

 private:
  std::string url_;
};

// What `promtool check metrics` asks for: each family is described once before its samples, which
// stand together; names and labels are well formed; counters end in _total; every value is a
// number.
void ExpectWellFormed(const std::string& text) {
  static const std::regex help("# HELP ([a-z_]+) [A-Z0-9].*");
  static const std::regex type("# TYPE ([a-z_]+) (gauge|counter)");
  static const std::regex sample(
      R"re(([a-z_]+)(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? ([-+0-9.e]+))re");
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text.back(), '\n');
  std::istringstream lines(text);
  std::set<std::string> families;
  std::set<std::string> samples;
  std::string family;
  std::string typed;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      family = match[1];
      EXPECT_TRUE(families.insert(family).second) << line;
    } else if (std::regex_match(line, match, type)) {
      EXPECT_EQ(match[1], family) << line;
      typed = match[1];
      EXPECT_EQ(match[2] == "counter", family.ends_with("_total")) << line;
    } else if (std::regex_match(line, match, sample)) {
      EXPECT_EQ(match[1], family) << line;
      EXPECT_EQ(match[1], typed) << line;
      EXPECT_TRUE(samples.insert(match[1].str() + match[2].str()).second) << line;
    } else {
      ADD_FAILURE() << line;
    }
  }
  EXPECT_GE(families.size(), 12U);
}

TEST_F(AgentMetricsTest, EveryVmIsToldOfFromTheFirstMomentOn) {
  cli.Json("policy set slow --frequency 24h --retention 2d");
  AddVm("slow", 1, "slow");
  AddVm("web");
  const auto agent = StartAgent({"--metrics", "127.0.0.1:0"});
  const std::string url = Url();
  EXPECT_THAT(url, MatchesRegex("http://127\\.0\\.0\\.1:[0-9]+"));
  // A VM whose first cycle is a minute away: what its newest point holds is known.
  const std::string labels = "{vault=\"main\",vm=\"slow\",";
  EXPECT_TRUE(BecomesTrue([&] {
    return Curl(url + "/metrics").find("asr_item_rpo_seconds" + labels) != std::string::npos;
  })) << Curl(url + "/metrics");
  const std::string head = Curl("-i " + url + "/metrics");
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(head, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] {
    static const std::regex wanted("asr_item_cycles_total\\{[^}]*vm=\"web\"[^}]*\\} [1-9]");
    return std::regex_search(Curl(url + "/metrics"), wanted);
  }));
  const std::string text = Curl(url + "/metrics");
  ExpectWellFormed(text);
  EXPECT_THAT(text, HasSubstr("asr_agent_items 2\n"));
  EXPECT_THAT(Curl(url + "/healthz"), "ok\n");
  EXPECT_THAT(Curl("-I " + url + "/metrics"), HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(Curl("-i " + url + "/"), HasSubstr("HTTP/1.1 404"));
  EXPECT_THAT(Curl("-i -d x=y " + url + "/metrics"), HasSubstr("HTTP/1.1 405"));
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  EXPECT_THAT(Curl(url + "/metrics"), Not(HasSubstr("asr_agent_items")));
}

TEST_F(AgentMetricsTest, ADisconnectedVaultsRowsGo) {
  cli.Json("vault create second --target {dir}/second");
  cli.Json("policy set fast --frequency 5s --retention 10m --vault second");
  AddVm("there", 1, "");
  cli.Json("enable there --policy fast --vault second");
  AddVm("web");
  auto agent = StartAgent({"--metrics", "127.0.0.1:0"});
  const std::string url = Url();
  const auto is_told = [&] {
    return Curl(url + "/metrics").find("vm=\"there\"") != std::string::npos;
  };
  EXPECT_TRUE(BecomesTrue(is_told));
  EXPECT_EQ(cli.Run("vault disconnect second -y").exit_code, 0);
  agent->Signal(SIGHUP);
  EXPECT_TRUE(BecomesTrue([&] { return !is_told(); })) << Curl(url + "/metrics");
  EXPECT_THAT(Curl(url + "/metrics"), HasSubstr("vm=\"web\""));
  // Also one that went while no agent ran.
  agent->Kill();
  EXPECT_EQ(cli.Run("vault disconnect main -y").exit_code, 0);
  agent = StartAgent();
  EXPECT_TRUE(BecomesTrue([&] { return Status()["items"].empty(); })) << Status();
}

TEST_F(AgentMetricsTest, ClientsThatDoNotReadOrSendHoldUpNothing) {
  AddVm("web");
  const auto agent = StartAgent({"--metrics", "[::1]:0"});
  const std::string url = Url();
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  std::vector<FileDescriptor> clients;
  for (int i = 0; i < 200; ++i) {
    FileDescriptor client(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    static_cast<void>(
        ::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    static_cast<void>(::send(client.get(), "GET /met", 8, MSG_NOSIGNAL));
    clients.push_back(std::move(client));
  }
  // The agent goes on with its work, and they are dropped one after the other.
  const std::size_t points = PointsOf("web");
  EXPECT_TRUE(BecomesTrue([&] {
    Change("web");
    SystemClock().SleepSeconds(1);
    return PointsOf("web") > points;
  })) << Log();
  const auto threads = MustRunShell(fmt::format("ls /proc/{}/task | wc -l", agent->pid()));
  EXPECT_LT(std::stoi(threads), 12);
  clients.resize(8);
  EXPECT_TRUE(BecomesTrue([&] { return Curl("-g '" + url + "/healthz'") == "ok\n"; }));
  const double begun = SystemClock().MonotonicSeconds();
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  EXPECT_LT(SystemClock().MonotonicSeconds() - begun, 4);
}

TEST_F(AgentMetricsTest, OnlyThisMachineMayAsk) {
  for (const char* address : {"0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "localhost:9464",
                              ":9464", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                              "127.0.0.1:9464x", "[fe80::1]:9464", "::1:9464"}) {
    for (const char* verb : {"agent run", "agent install --unit-dir {dir}"}) {
      const CommandResult result = cli.Run(fmt::format("{} --metrics {} -o json", verb, address));
      EXPECT_EQ(result.exit_code, 2) << verb << " " << address << result.err;
      EXPECT_THAT(result.err, HasSubstr("[::1]:9464")) << address;
    }
  }
  EXPECT_FALSE(std::filesystem::exists(cli.Path("asr-agent.service")));
}

TEST_F(AgentMetricsTest, APortThatIsTakenIsToldAtTheStart) {
  const LoopbackListener other;
  const CommandResult result =
      cli.Run(fmt::format("agent run --metrics 127.0.0.1:{} -o json", other.port()));
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(result.err, HasSubstr(fmt::format("127.0.0.1:{} already", other.port())));
  // Of an agent that runs already that is said instead, whatever port it has.
  const auto agent = StartAgent();
  EXPECT_THAT(cli.Run(fmt::format("agent run --metrics 127.0.0.1:{}", other.port())).err,
              HasSubstr("ASR5006"));
}

// Of a service nobody sees that it does not start; VMs are worth more than their figures.
TEST_F(AgentMetricsTest, AServiceReplicatesAlsoWhileItsPortIsTaken) {
  AddVm("web");
  auto other = std::make_unique<LoopbackListener>();
  const std::string address = fmt::format("127.0.0.1:{}", other->port());
  ::setenv("NOTIFY_SOCKET", cli.Path("notify").c_str(), 1);
  const auto agent = StartAgent({"--metrics", address});
  ::unsetenv("NOTIFY_SOCKET");
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
  EXPECT_THAT(Log(), HasSubstr("it goes on without --metrics"));
  other.reset();
  EXPECT_TRUE(BecomesTrue([&] { return Curl("http://" + address + "/healthz") == "ok\n"; }));
}

TEST_F(AgentMetricsTest, WhatIsNotKnownIsNoEmptyPage) {
  std::optional<std::string> text;
  const auto address = ParseLoopbackAddress("127.0.0.1:0");
  ASSERT_TRUE(address);
  const auto server = StatusServer::Start(
      *address, {{"/metrics", {.content_type = "text/plain", .text = [&] { return text; }}}});
  ASSERT_TRUE(server) << server.error().Line();
  const std::string page = (*server)->url() + "/metrics";
  EXPECT_THAT(Curl("-i " + page), HasSubstr("HTTP/1.1 503"));
  text = "a 1\n";
  EXPECT_THAT(Curl("-i " + page), HasSubstr("HTTP/1.1 200"));
}

TEST_F(AgentMetricsTest, TheUnitHasTheOptions) {
  const std::string unit = cli.Run(
                                  "agent install --dry-run --metrics 127.0.0.1:9464 "
                                  "--metrics-file {dir}/a%b.prom --log json")
                               .out;
  EXPECT_THAT(unit, HasSubstr(fmt::format("agent run \"--log\" \"json\" \"--metrics\" "
                                          "\"127.0.0.1:9464\" \"--metrics-file\" \"{}\"\n",
                                          cli.Path("a%%b.prom"))));
  EXPECT_THAT(unit, HasSubstr("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"));
}

}  // namespace
}  // namespace asr::testing
