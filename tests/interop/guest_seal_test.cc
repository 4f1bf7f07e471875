// What a guest in the real QEMU has while it is waited for, and has no more afterwards.
#include "core/failover/guest_seal.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "core/failover/guest_life.h"
#include "core/failover/tcp_watch.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/subprocess.h"
#include "tests/support/boot_sector.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Writes to COM1 without end.
const testing::BootCode kWriteForever = {
    0xBA, 0xF8, 0x03,  // 7C00  mov dx, 03F8  (COM1's data)
    0xB0, 0x78,        // 7C03  mov al, 'x'
    0xEE,              // 7C05  out dx, al
    0xEB, 0xFD,        // 7C06  jmp 7C05
};

class GuestSealTest : public ::testing::Test {
 protected:
  ~GuestSealTest() override {
    if (machine_) static_cast<void>(SignalProcess(machine_->process, SIGKILL));
  }

  void Start(std::uint16_t tcp_port) {
    MachineSpec spec;
    spec.name = "guest";
    spec.directory = directory_.path();
    spec.settings.memory_bytes = 128 * kMiB;
    spec.settings.sign_of_life.tcp_port = tcp_port;
    if (tcp_port != 0) spec.settings.network = GuestNetwork::kIsolated;
    const std::string path = directory_ / "disk.raw";
    std::ofstream(path, std::ios::binary) << testing::BootSector(kWriteForever, "");
    std::filesystem::resize_file(path, 1 * kMiB);
    spec.disks.push_back({path, 512});
    auto machine = StartMachine(PosixFileSystem(), SystemClock(), spec);
    ASSERT_TRUE(machine) << machine.error().Line();
    machine_ = *machine;
    for (int i = 0; i < 600 && LogBytes() == 0; ++i) SystemClock().SleepSeconds(0.1);
    ASSERT_GT(LogBytes(), 0U);
  }

  [[nodiscard]] std::uintmax_t LogBytes() const {
    return std::filesystem::file_size(machine_->SerialLog());
  }

  // Of this machine; 0: none.
  [[nodiscard]] std::uint16_t ForwardedPort() const {
    const auto table = Ask("human-monitor-command", {{"command-line", "info usernet"}});
    return ParseForwardTable(table.get<std::string>()).host_port;
  }

  [[nodiscard]] std::string SerialBackend() const {
    for (const auto& device : Ask("query-chardev", nlohmann::json::object())) {
      if (device["label"] == kSerialId) return device["filename"];
    }
    return "";
  }

  [[nodiscard]] nlohmann::json Ask(const std::string& command,
                                   const nlohmann::json& arguments) const {
    const auto client = QmpClient::Connect(SystemClock(), machine_->directory, kQmpSocketName, 15);
    EXPECT_TRUE(client) << client.error().Line();
    auto answer = (*client)->Execute(command, arguments, 15);
    EXPECT_TRUE(answer) << answer.error().Line();
    return *answer;
  }

  testing::TempDir directory_;
  std::optional<RunningMachine> machine_;
};

bool TakesConnections(std::uint16_t port) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

TEST_F(GuestSealTest, APortIsClosedAndTheLogGrowsNoMore) {
  ASSERT_NO_FATAL_FAILURE(Start(22));
  const std::uint16_t port = ForwardedPort();
  ASSERT_NE(port, 0);
  EXPECT_TRUE(TakesConnections(port));
  const Status sealed = SealGuest(SystemClock(), *machine_);
  ASSERT_TRUE(sealed) << sealed.error().Line();
  EXPECT_EQ(ForwardedPort(), 0);
  EXPECT_FALSE(TakesConnections(port));
  const std::uintmax_t bytes = LogBytes();
  SystemClock().SleepSeconds(1);
  EXPECT_EQ(LogBytes(), bytes);
  EXPECT_TRUE(IsRunning(*machine_));
  EXPECT_TRUE(SealGuest(SystemClock(), *machine_));  // again: fine
}

TEST_F(GuestSealTest, AGuestWithoutANetworkHasNothingToClose) {
  ASSERT_NO_FATAL_FAILURE(Start(0));
  const Status sealed = SealGuest(SystemClock(), *machine_);
  EXPECT_TRUE(sealed) << sealed.error().Line();
  EXPECT_EQ(SerialBackend(), "null");
}

TEST_F(GuestSealTest, AGuestThatWritesTooMuchIsNotListenedToAnyMore) {
  ASSERT_NO_FATAL_FAILURE(Start(0));
  const auto wait = [&](int seconds) {
    const SignOfLife sign{.serial_text = "login:", .wait = std::chrono::seconds{seconds}};
    return WaitForLife(PosixFileSystem(), SystemClock(), *machine_, sign, {});
  };
  ASSERT_FALSE(wait(1));
  EXPECT_NE(SerialBackend(), "null");
  // As if it had been at it for long.
  std::filesystem::resize_file(machine_->SerialLog(), kMostSerialLogBytes + 1);
  const auto none = wait(2);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kGuestNoSignOfLife);
  EXPECT_THAT(none.error().causes, Contains(HasSubstr("more than 64 MiB")));
  EXPECT_EQ(SerialBackend(), "null");
  // What is in the log counts still.
  std::ofstream(machine_->SerialLog(), std::ios::app) << "\nweb login:\n";
  const auto sign = wait(60);
  ASSERT_TRUE(sign) << sign.error().Line();
  EXPECT_EQ(sign->sign, "web login:");
}

TEST_F(GuestSealTest, AGuestWhoseDirectoryIsGoneEnds) {
  ASSERT_NO_FATAL_FAILURE(Start(0));
  std::filesystem::remove_all(directory_.path());
  EXPECT_TRUE(KillMachine(SystemClock(), *machine_));
  EXPECT_FALSE(IsRunning(*machine_));
  EXPECT_TRUE(KillMachine(SystemClock(), *machine_));  // again: fine
}

}  // namespace
}  // namespace asr
