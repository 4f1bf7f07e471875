// Linux in the real QEMU: its network, its TCP port and its guest agent as signs of life.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "core/failover/guest_life.h"
#include "core/failover/qemu_machine.h"
#include "core/failover/screenshot.h"
#include "tests/support/loopback_listener.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class RealGuestTest : public ::testing::Test {
 protected:
  ~RealGuestTest() override {
    if (machine_) static_cast<void>(StopMachine(SystemClock(), *machine_));
  }

  void AddFile(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(files_ + "/" + name).parent_path());
    std::ofstream(files_ + "/" + name) << content;
    std::filesystem::permissions(files_ + "/" + name, std::filesystem::perms::owner_all);
  }

  static void Shell(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  void Start(int generation, const SignOfLife& sign) {
    const std::string disk = directory_ / "disk.raw";
    Shell(fmt::format("{}/tests/support/build_guest.sh {} {} --files {}", ASR_SOURCE_DIR, disk,
                      generation == 2 ? "--uefi" : "", files_));
    MachineSpec spec;
    spec.name = "guest";
    spec.directory = directory_.path();
    spec.generation = generation;
    spec.settings.memory_bytes = 256 * kMiB;
    spec.settings.sign_of_life = sign;
    spec.disks.push_back({disk, 512});
    auto machine = StartMachine(PosixFileSystem(), SystemClock(), spec);
    ASSERT_TRUE(machine) << machine.error().Line();
    machine_ = *machine;
  }

  Result<LifeSign> Wait(const SignOfLife& sign) {
    return WaitForLife(PosixFileSystem(), SystemClock(), *machine_, sign, {});
  }
  Result<LifeSign> WaitForText(const std::string& text) {
    return Wait({.serial_text = text, .wait = std::chrono::seconds{300}});
  }

  testing::TempDir directory_;
  std::string files_ = directory_ / "files";
  std::optional<RunningMachine> machine_;
};

SignOfLife Port(std::uint16_t port, int seconds) {
  return {.serial_text = "", .wait = std::chrono::seconds{seconds}, .tcp_port = port};
}

// A service of this machine, which a guest of QEMU's user network reaches at 10.0.2.2 unless it is
// kept from it.
class Host : public testing::LoopbackListener {
 public:
  [[nodiscard]] bool WasReached() const {
    pollfd request{get(), POLLIN, 0};
    return ::poll(&request, 1, 0) == 1;
  }
};

// QEMU's side of the network accepts connections from the first moment on.
TEST_F(RealGuestTest, APortIsASignOnlyOnceTheGuestListensAndTheGuestReachesNothing) {
  const Host host;
  AddFile("port", std::to_string(host.port()));
  AddFile("start", R"sh(#!/bin/sh
say() { echo "$*" >/dev/ttyS0; }
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
timeout 30 udhcpc -i eth0 -n -q -s /dhcp >/dev/null 2>&1 && say DHCP-DONE
timeout 4 nc -w 3 10.0.2.2 $(cat /port) </dev/null >/dev/null 2>&1
say NETWORK-TRIED
sleep 10
httpd -p 80 -h /data
say LISTENING
)sh");
  AddFile("dhcp", R"sh(#!/bin/sh
[ "$1" != bound ] || ifconfig eth0 $ip netmask $subnet up
)sh");
  ASSERT_NO_FATAL_FAILURE(Start(2, Port(80, 300)));
  // Before there is any guest, and after it has a network without anybody who listens.
  const auto firmware = Wait(Port(80, 2));
  ASSERT_FALSE(firmware);
  EXPECT_THAT(firmware.error().causes, Contains(HasSubstr("did not answer at all")));
  const auto tried = WaitForText("NETWORK-TRIED");
  ASSERT_TRUE(tried) << tried.error().Line();
  const auto refused = Wait(Port(80, 4));
  ASSERT_FALSE(refused) << refused->sign;
  EXPECT_EQ(refused.error().code, ErrorCode::kGuestNoSignOfLife);
  EXPECT_THAT(refused.error().causes, Contains(HasSubstr("nothing in the guest listens")));
  const auto listens = Wait(Port(80, 120));
  ASSERT_TRUE(listens) << listens.error().Line();
  EXPECT_EQ(listens->sign, "accepts connections on TCP port 80");
  const auto log = ReadWholeFile(PosixFileSystem(), machine_->SerialLog());
  ASSERT_TRUE(log);
  EXPECT_THAT(*log, HasSubstr("DHCP-DONE"));
  EXPECT_THAT(*log, HasSubstr("LISTENING"));
  EXPECT_FALSE(host.WasReached());
}

TEST_F(RealGuestTest, TheGuestAgentIsASignOnceItRunsAndTheScreenIsKept) {
  const std::string agent = ASR_SOURCE_DIR "/build/guest-agent/usr/sbin/qemu-ga";
  ASSERT_TRUE(std::filesystem::exists(agent)) << "run cmake/install-deps.sh test";
  AddFile("start", R"sh(#!/bin/sh
mkdir -p /run /var/run
echo AGENT-WAITS >/dev/ttyS0
sleep 8
exec qemu-ga -m virtio-serial -p "$(ls /dev/vport*p1)" >/dev/ttyS0 2>&1
)sh");
  Shell(
      fmt::format("mkdir -p {0}/bin && cp {1} {0}/bin/ && for library in $(ldd {1} | grep -o "
                  "'/[^ ]*'); do cp --parents -L $library {0}; done",
                  files_, agent));
  const SignOfLife sign{
      .serial_text = "", .wait = std::chrono::seconds{300}, .tcp_port = 0, .guest_agent = true};
  ASSERT_NO_FATAL_FAILURE(Start(1, sign));
  const auto boots = WaitForText("AGENT-WAITS");
  ASSERT_TRUE(boots) << boots.error().Line();
  SignOfLife hurry = sign;
  hurry.wait = std::chrono::seconds{2};
  const auto early = Wait(hurry);
  ASSERT_FALSE(early) << early->sign;
  EXPECT_THAT(early.error().causes, Contains(HasSubstr("guest agent is not installed")));
  const auto answers = Wait(sign);
  ASSERT_TRUE(answers) << answers.error().Line();
  EXPECT_EQ(answers->sign, "the QEMU guest agent answers");
  const auto screen = TakeScreenshot(PosixFileSystem(), SystemClock(), *machine_);
  ASSERT_TRUE(screen) << screen.error().Line();
  EXPECT_THAT(*screen, ::testing::StartsWith("\x89PNG"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / kScreenshotName));
}

}  // namespace
}  // namespace asr
