// VM "web", protected, whose disks start a guest that says so at once; and the test failovers of
// it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/failover/qemu_machine.h"
#include "tests/support/becomes_true.h"
#include "tests/support/boot_sector.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {

inline constexpr const char* kStart = "test-failover web --serial-text ready --wait-seconds 120";

class TestFailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cli.program = ASR_BINARY;
    cli.SetUpLab();
    for (const char* disk : {"data.raw", "root.raw"}) {
      cli.WriteDisk(disk, 0, BootSector(kWriteText, "web is ready\r\n"));
    }
    cli.Json("enable web --policy gold");
    item_ = cli.Json("items show web")["id"];
  }
  ~TestFailoverTest() override {
    if (const auto guest = Guest()) {
      static_cast<void>(StopMachine(SystemClock(), *guest));
    }
    // What waits to clean up ends with its row.
    cli.Run("test-failover-cleanup " + item_);
    EXPECT_TRUE(BecomesTrue([&] { return Cleaners() == 0; }, 60));
  }

  [[nodiscard]] std::string GuestDirectory() const {
    return cli.Path("state/test-failovers/" + item_);
  }
  [[nodiscard]] std::optional<RunningMachine> Guest() const {
    return FindMachine(PosixFileSystem(), GuestDirectory());
  }
  [[nodiscard]] nlohmann::ordered_json Shown() {
    return cli.Json("items show web")["testFailover"];
  }
  // Processes that wait to clean up a test failover of this test.
  [[nodiscard]] int Cleaners() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string line = cli.ReadFile(entry.path() / "cmdline");
      const bool ours = line.find(cli.Path("state")) != std::string::npos;
      if (ours && line.find("--when-due") != std::string::npos) ++count;
    }
    return count;
  }
  void ExpectNothingLeft() {
    EXPECT_FALSE(Guest());
    EXPECT_THAT(cli.Tree("state/test-failovers"), ::testing::IsEmpty());
    EXPECT_THAT(cli.Run("items list").err, ::testing::Not(::testing::HasSubstr("test failover")));
  }

  CliRunner cli;
  std::string item_;
};

}  // namespace asr::testing
