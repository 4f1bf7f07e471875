// Test failovers from the first word to the last trace, with guests of 512 bytes in the real QEMU.
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/subprocess.h"
#include "storage/sqlite/database.h"
#include "tests/cli/test_failover_fixture.h"
#include "tests/support/asr_process.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

TEST_F(TestFailoverTest, TheGuestOutlivesItsCommandAndASecondOneIsRefused) {
  {
    AsrProcess process({"test-failover", "web", "--serial-text", "ready", "--wait-seconds", "120",
                        "--state-dir", cli.Path("state"), "-o", "json"},
                       cli.Path("output"));
    EXPECT_EQ(process.Wait(), 0) << cli.ReadFile(cli.Path("output"));
  }
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  const Json shown = Shown();
  EXPECT_EQ(shown["guestRunning"], true);
  EXPECT_EQ(shown["cleanupAt"], nullptr);
  EXPECT_EQ(shown["directory"], GuestDirectory());
  EXPECT_EQ(cli.Run(kStart).exit_code, 4);
  EXPECT_EQ(cli.Run(std::string(kStart) + " --dry-run").exit_code, 4);
  EXPECT_EQ(Guest(), guest);
  cli.Json("replicate web");  // goes on beside it
  cli.Json("test-failover-cleanup web");
  EXPECT_FALSE(IsRunning(*guest));
  EXPECT_EQ(Shown(), nullptr);
  ExpectNothingLeft();
  EXPECT_EQ(cli.Run("test-failover-cleanup web").exit_code, 4);
}

TEST_F(TestFailoverTest, ScreenAndNotesAreKeptWithThePointAndGoWithIt) {
  const std::string point = cli.Json("points show web")["id"];
  cli.Json(kStart);
  EXPECT_EQ(cli.RunWords({"test-failover-cleanup", "web", "--notes", "it came up"}).exit_code, 0);
  const Json proof = cli.Json("points show web --screenshot {dir}/screen.png")["proof"];
  EXPECT_EQ(proof["booted"], true);
  EXPECT_EQ(proof["notes"], "it came up");
  EXPECT_EQ(proof["signOfLife"], "web is ready");
  const std::string picture = cli.ReadFile(cli.Path("screen.png"));
  EXPECT_THAT(picture, ::testing::StartsWith("\x89PNG"));
  EXPECT_EQ(proof["screenshot"]["sizeBytes"], picture.size());
  EXPECT_THAT(cli.Run("points show web").out, HasSubstr("it came up"));
  // A file that exists is not replaced.
  const CommandResult exists = cli.Run("points show web --screenshot {dir}/screen.png");
  EXPECT_EQ(exists.exit_code, 4);
  EXPECT_THAT(exists.err, HasSubstr("exists already"));
  EXPECT_EQ(cli.Json("vault check")["findings"], Json::array());

  const std::string blob = cli.Path("vault/" + proof["screenshot"]["path"].get<std::string>());
  std::ofstream(blob, std::ios::app) << "x";
  EXPECT_EQ(cli.Run("points show web --screenshot {dir}/other.png").exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(cli.Path("other.png")));
  EXPECT_THAT(cli.Json("vault check")["findings"], SizeIs(1));
  std::filesystem::remove(blob);
  EXPECT_THAT(cli.Json("vault check")["findings"], SizeIs(1));
  EXPECT_EQ(cli.Run("points show web --screenshot {dir}/other.png").exit_code, 3);

  // Proof and picture go with their point.
  std::ofstream(blob) << picture;
  cli.WriteDisk("root.raw", 1 * kMiB, "changed");
  cli.Json("replicate web");
  cli.Json("disable web -y");
  EXPECT_FALSE(std::filesystem::exists(blob));
}

TEST_F(TestFailoverTest, AFailedOneKeepsItsScreenToo) {
  const CommandResult result = cli.Run("test-failover web --serial-text never --wait-seconds 1");
  EXPECT_EQ(result.exit_code, 1);
  const Json proof = cli.Json("points show web --screenshot {dir}/screen.png")["proof"];
  EXPECT_EQ(proof["booted"], false);
  EXPECT_GT(std::filesystem::file_size(cli.Path("screen.png")), 100U);
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, ItGoesByItselfWhenItsTimeHasCome) {
  const Json job = cli.Json(std::string(kStart) + " --auto-cleanup-after 6s");
  EXPECT_NE(job["guest"]["cleanupAt"], nullptr);
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  EXPECT_EQ(Shown()["cleanupAt"], job["guest"]["cleanupAt"]);
  EXPECT_EQ(Cleaners(), 1);
  EXPECT_TRUE(BecomesTrue([&] { return Shown() == nullptr; }, 60));
  EXPECT_FALSE(IsRunning(*guest));
  ExpectNothingLeft();
  EXPECT_TRUE(BecomesTrue(
      [&] {
        const Json newest = cli.Json("jobs list")[0];
        return newest["type"] == "TestFailoverCleanup" && newest["state"] == "Succeeded";
      },
      60));
}

TEST_F(TestFailoverTest, WhatWasToCleanUpLeavesALaterOneAlone) {
  cli.Json(std::string(kStart) + " --auto-cleanup-after 6s");
  const auto due = *ParseTime(Shown()["cleanupAt"].get<std::string>());
  cli.Json("test-failover-cleanup web");
  cli.Json(kStart);
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  EXPECT_TRUE(BecomesTrue([&] { return Cleaners() == 0; }, 60));
  while (SystemClock().Now() < due + std::chrono::seconds(3)) SystemClock().SleepSeconds(0.2);
  EXPECT_TRUE(IsRunning(*guest));
  EXPECT_EQ(Shown()["cleanupAt"], nullptr);
  EXPECT_EQ(cli.Run("test-failover-cleanup web --when-due").exit_code, 4);
}

TEST_F(TestFailoverTest, AGuestThatDiedIsToldAndMakesRoomForTheNext) {
  cli.Json(kStart);
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  ASSERT_TRUE(SignalProcess(guest->process, SIGKILL));
  ASSERT_TRUE(BecomesTrue([&] { return !IsRunning(*guest); }, 60));
  EXPECT_THAT(cli.Run("items list").err, HasSubstr("does not run any more"));
  EXPECT_EQ(Shown()["guestRunning"], false);
  const CommandResult next = cli.Run(kStart);
  EXPECT_EQ(next.exit_code, 0) << next.err;
  EXPECT_THAT(next.err, HasSubstr("is over, and is cleaned up now"));
  EXPECT_TRUE(Guest());
  cli.Json("test-failover-cleanup web");
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, WhatNobodyCleanedUpInTimeIsToldAndMakesRoomForTheNext) {
  cli.program = "/bin/true";  // it ends at once, as everything does when the machine restarts
  cli.Json(std::string(kStart) + " --auto-cleanup-after 1s");
  {
    auto rows = SqlDatabase::Open(cli.Path("state/state.db"), {});
    ASSERT_TRUE(rows);
    ASSERT_TRUE(rows->Run("UPDATE test_failovers SET cleanup_due = cleanup_due - 3600000", {}));
  }
  EXPECT_THAT(cli.Run("items list").err, HasSubstr("should have been cleaned up"));
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  EXPECT_EQ(cli.Run(kStart).exit_code, 0);
  EXPECT_FALSE(IsRunning(*guest));
  EXPECT_TRUE(Guest());
}

TEST_F(TestFailoverTest, WithoutTheStateTheGuestIsStillFound) {
  cli.Json(kStart);
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  for (const char* name : {"state.db", "state.db-wal", "state.db-shm"}) {
    std::filesystem::remove(cli.Path(std::string("state/") + name));
  }
  cli.Json("vault connect main --target {dir}/vault");
  EXPECT_THAT(cli.Run("items list").err, HasSubstr("its guest still runs"));
  EXPECT_EQ(cli.Run(kStart).exit_code, 4);
  EXPECT_TRUE(IsRunning(*guest));
  cli.Json("test-failover-cleanup web");
  EXPECT_FALSE(IsRunning(*guest));
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, ItIsCleanedUpWithoutItsVault) {
  cli.Json(kStart);
  const auto guest = Guest();
  ASSERT_TRUE(guest);
  std::filesystem::rename(cli.Path("vault"), cli.Path("elsewhere"));
  EXPECT_EQ(cli.Run("test-failover-cleanup db").exit_code, 3);
  const CommandResult result = cli.Run("test-failover-cleanup web --notes seen");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the notes are not kept"));
  EXPECT_FALSE(IsRunning(*guest));
  EXPECT_THAT(cli.Tree("state/test-failovers"), IsEmpty());
  std::filesystem::rename(cli.Path("elsewhere"), cli.Path("vault"));
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, ItIsCleanedUpWhenAnotherMachineHasEndedTheProtection) {
  cli.Json(kStart);
  EXPECT_EQ(cli.Run("disable web -y").exit_code, 4);
  cli.Json("vault connect main --target {dir}/vault --state-dir {dir}/other");
  cli.Json("disable web -y --state-dir {dir}/other");
  EXPECT_EQ(cli.Run("items show web").exit_code, 3);
  cli.Json("test-failover-cleanup web");
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, APlanTellsTheSpaceAndStartsNothing) {
  const Json plan = cli.Json(
      "test-failover web --cpus 2 --memory-mib 64 --network isolated --auto-cleanup-after 1h "
      "--dry-run");
  ASSERT_THAT(plan["plan"], SizeIs(6));
  EXPECT_THAT(plan["plan"][0]["step"].get<std::string>(), HasSubstr("MiB of space in"));
  EXPECT_GT(plan["plan"][1]["bytes"], 0);
  EXPECT_GT(plan["plan"][2]["bytes"], 0);
  EXPECT_EQ(plan["plan"][3]["step"],
            "Start guest: 2 CPU(s), 64 MiB of memory, an isolated network");
  EXPECT_EQ(plan["plan"][5]["step"], "Clean up after 1h");
  EXPECT_EQ(plan["warnings"], Json::array());
  ExpectNothingLeft();
}

TEST_F(TestFailoverTest, TargetSettingsAreKeptAndShown) {
  const auto settings = [&] { return cli.Json("items show web")["targetSettings"]; };
  EXPECT_EQ(settings(), Json::parse(R"({"memoryBytes":1073741824,"cpuCount":1,"network":"none",
                                        "signOfLife":"disk","signOfLifeSeconds":120})"));
  cli.Json("items update web --memory-mib 64 --sign-of-life tcp:22");
  cli.Json("items update web --cpus 2 --sign-of-life-timeout 5m");
  const Json expected = Json::parse(R"({"memoryBytes":67108864,"cpuCount":2,"network":"isolated",
                      "signOfLife":"tcp:22","signOfLifeSeconds":300})");
  EXPECT_EQ(settings(), expected);
  // What was set stays, whatever the VM's description says; the rest follows it.
  cli.WriteFile("vms/web/vm.json", R"({"cpuCount": 7, "generation": 1, "memory": "2GiB"})");
  cli.WriteDisk("root.raw", 1 * kMiB, "changed");
  cli.Json("replicate web");
  EXPECT_EQ(settings(), expected);
  const auto document = [&] {
    return cli.ReadFile(cli.Path("vault/items/" + item_ + "/item.json"));
  };
  const std::string before = document();
  cli.Json("items update web --cpus 2");
  EXPECT_EQ(document(), before);
  EXPECT_EQ(cli.Run("items update web --network none").exit_code, 4);
  cli.Json("items update web --sign-of-life serial:ready --dry-run");
  EXPECT_EQ(document(), before);
  cli.Json("items update web --sign-of-life serial:ready --network none");
  EXPECT_EQ(settings()["network"], "none");
  // They are what a test is started with.
  const Json job = cli.Json("test-failover web");
  EXPECT_EQ(job["guest"]["signOfLife"], "web is ready");
  const std::string command =
      cli.ReadFile(fmt::format("/proc/{}/cmdline", job["guest"]["processId"].get<int>()));
  EXPECT_THAT(command, HasSubstr(std::string("-smp\0002\0", 7)));
  EXPECT_THAT(command, HasSubstr("64M"));
}

TEST_F(TestFailoverTest, SettingsThatAreUnsetFollowTheHostAgain) {
  const auto settings = [&] { return cli.Json("items show web")["targetSettings"]; };
  const Json of_host = settings();
  cli.Json(
      "items update web --memory-mib 64 --cpus 2 --sign-of-life tcp:22 --network isolated "
      "--sign-of-life-timeout 5m");
  // A port that is to be reached needs the network; with both gone nothing does.
  EXPECT_EQ(cli.Run("items update web --network none").exit_code, 4);
  cli.Json("items update web --unset sign-of-life --unset network --unset memory-mib --dry-run");
  EXPECT_EQ(settings()["signOfLife"], "tcp:22");
  cli.Json("items update web --unset sign-of-life --unset network --unset memory-mib");
  EXPECT_EQ(settings()["signOfLife"], of_host["signOfLife"]);
  EXPECT_EQ(settings()["network"], of_host["network"]);
  EXPECT_EQ(settings()["memoryBytes"], of_host["memoryBytes"]);
  EXPECT_EQ(settings()["cpuCount"], 2);
  // What is unset and set in one command is set.
  cli.Json("items update web --unset cpus --unset sign-of-life-timeout --cpus 3");
  EXPECT_EQ(settings()["cpuCount"], 3);
  EXPECT_EQ(settings()["signOfLifeSeconds"], of_host["signOfLifeSeconds"]);
}

TEST_F(TestFailoverTest, ImpossibleSettingsAreWrongOnTheirFace) {
  for (const char* options :
       {"", "--memory-mib 31", "--memory-mib 16777217", "--cpus 0", "--cpus 241", "--cpus two",
        "--sign-of-life", "--sign-of-life ssh", "--sign-of-life serial:", "--sign-of-life tcp:0",
        "--sign-of-life tcp:65536", "--sign-of-life-timeout 0", "--sign-of-life-timeout 25h",
        "--network bridge", "--unset", "--unset memory", "--network none --sign-of-life tcp:22"}) {
    EXPECT_EQ(cli.Run(std::string("items update web ") + options).exit_code, 2) << options;
  }
  for (const char* options :
       {"--auto-cleanup-after 0", "--auto-cleanup-after 31d", "--cpus 0",
        "--serial-text a --sign-of-life disk", "--wait-seconds 1 --sign-of-life-timeout 1s"}) {
    EXPECT_EQ(cli.Run(std::string("test-failover web ") + options).exit_code, 2) << options;
  }
  EXPECT_EQ(cli.Run("items update db --cpus 2").exit_code, 3);
}

}  // namespace
}  // namespace asr::testing
