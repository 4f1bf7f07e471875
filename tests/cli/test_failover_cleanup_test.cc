// Test failovers whose traces were lost, or whose cleanup meets what is in its way.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/failover/qmp_client.h"
#include "storage/base/subprocess.h"
#include "storage/sqlite/database.h"
#include "tests/cli/test_failover_fixture.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

class TestFailoverCleanupTest : public TestFailoverTest {
 protected:
  ~TestFailoverCleanupTest() override {
    if (guest_) static_cast<void>(SignalProcess(guest_->process, SIGKILL));
  }

  void StartGuest(const std::string& options = "") {
    cli.Json(kStart + options);
    guest_ = Guest();
    ASSERT_TRUE(guest_);
  }

  [[nodiscard]] bool ACleanerHasTheStateOpen() const {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      if (cli.ReadFile(entry.path() / "cmdline").find("--when-due") == std::string::npos) continue;
      const std::string maps = cli.ReadFile(entry.path() / "maps");
      if (maps.find(cli.Path("state/state.db-shm")) != std::string::npos) return true;
    }
    return false;
  }

  std::optional<RunningMachine> guest_;  // ends with the test whatever becomes of it
};

unsigned ModeOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777U;
}

TEST_F(TestFailoverCleanupTest, AGuestWhoseDirectoryWasRemovedIsKnownAndStopped) {
  StartGuest();
  std::filesystem::remove_all(GuestDirectory());
  EXPECT_EQ(Shown()["guestRunning"], true);
  EXPECT_EQ(cli.Run(kStart).exit_code, 4);  // and no second one beside it
  EXPECT_TRUE(IsRunning(*guest_));
  cli.Json("test-failover-cleanup web");
  EXPECT_FALSE(IsRunning(*guest_));
  EXPECT_EQ(Shown(), nullptr);
  ExpectNothingLeft();
}

TEST_F(TestFailoverCleanupTest, AGuestWhosePidFileWasLostIsKnownAndStopped) {
  StartGuest();
  std::filesystem::remove(GuestDirectory() + "/qemu.pid");
  EXPECT_EQ(Shown()["guestRunning"], true);
  cli.Json("test-failover-cleanup web");
  EXPECT_FALSE(IsRunning(*guest_));
  ExpectNothingLeft();
}

TEST_F(TestFailoverCleanupTest, AStrangerWithTheGuestsPidIsLeftAlone) {
  StartGuest();
  const auto stranger = SpawnDetached({FindProgram("sleep"), "60"}, {cli.Path(""), "log"});
  ASSERT_TRUE(stranger) << stranger.error().Line();
  ASSERT_TRUE(StopMachine(SystemClock(), *guest_));
  {
    auto rows = SqlDatabase::Open(cli.Path("state/state.db"), {});
    ASSERT_TRUE(rows);
    ASSERT_TRUE(rows->Run("UPDATE test_failovers SET machine = json_set(machine, '$.pid', " +
                              std::to_string(stranger->pid) + ")",
                          {}));
  }
  EXPECT_EQ(Shown()["guestRunning"], false);
  EXPECT_THAT(cli.Run("items list").err,
              HasSubstr("asr test-failover-cleanup " + item_ + " --vault main"));
  cli.Json("test-failover-cleanup web");
  EXPECT_TRUE(IsAlive(*stranger));
  EXPECT_TRUE(SignalProcess(*stranger, SIGKILL));
}

TEST_F(TestFailoverCleanupTest, WithTheStateTheGuestGoesToo) {
  StartGuest(" --auto-cleanup-after 1h");
  ASSERT_TRUE(BecomesTrue([&] { return ACleanerHasTheStateOpen(); }, 60));
  std::filesystem::remove_all(cli.Path("state"));
  EXPECT_TRUE(BecomesTrue([&] { return Cleaners() == 0; }, 60));
  EXPECT_FALSE(IsRunning(*guest_));
  EXPECT_FALSE(std::filesystem::exists(cli.Path("state")));
}

TEST_F(TestFailoverCleanupTest, AnotherVaultAndAnotherHostEndNothing) {
  StartGuest();
  cli.Json("vault create other --target {dir}/other");
  for (const char* place : {"vault", "nowhere"}) {
    for (const std::string& target : {std::string("web --vault other"), item_ + " --vault other",
                                      std::string("there/web"), std::string("db")}) {
      EXPECT_EQ(cli.Run("test-failover-cleanup " + target).exit_code, 3) << place << target;
      EXPECT_EQ(cli.Run("test-failover-cleanup --dry-run " + target).exit_code, 3) << target;
    }
    EXPECT_TRUE(IsRunning(*guest_));
    // The second round is without either vault.
    if (std::string(place) == "nowhere") break;
    std::filesystem::rename(cli.Path("vault"), cli.Path("vault-away"));
    std::filesystem::rename(cli.Path("other"), cli.Path("other-away"));
  }
  EXPECT_EQ(cli.Run("test-failover-cleanup web --vault main").exit_code, 0);
  EXPECT_FALSE(IsRunning(*guest_));
  std::filesystem::rename(cli.Path("vault-away"), cli.Path("vault"));
  ExpectNothingLeft();
}

TEST_F(TestFailoverCleanupTest, ItsIdIsEnoughOnceItsVaultIsForgotten) {
  StartGuest();
  ASSERT_EQ(cli.Run("vault disconnect main").exit_code, 0);
  EXPECT_NE(cli.Run("test-failover-cleanup web").exit_code, 0);
  EXPECT_TRUE(IsRunning(*guest_));
  cli.Json("test-failover-cleanup " + item_);
  EXPECT_FALSE(IsRunning(*guest_));
  cli.Json("vault connect main --target {dir}/vault");
}

TEST_F(TestFailoverCleanupTest, NotesThatTheVaultDoesNotTakeDoNotKeepTheRest) {
  StartGuest();
  const Json proof = cli.Json("points show web")["proof"];
  const std::filesystem::path proofs =
      std::filesystem::path(cli.Path("vault/" + proof["screenshot"]["path"].get<std::string>()))
          .parent_path();
  // No user, not even root, puts a file below a file.
  std::filesystem::rename(proofs, cli.Path("proofs-away"));
  std::ofstream(proofs) << "no directory";
  const CommandResult result = cli.Run("test-failover-cleanup web --notes seen");
  std::filesystem::remove(proofs);
  std::filesystem::rename(cli.Path("proofs-away"), proofs);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the notes are not kept: "));
  EXPECT_FALSE(IsRunning(*guest_));
  EXPECT_EQ(Shown(), nullptr);
  ExpectNothingLeft();
}

TEST_F(TestFailoverCleanupTest, DirectoriesAreTheirOwnersAloneInAnOpenStateDirectoryToo) {
  std::filesystem::permissions(cli.Path("state"), std::filesystem::perms(0755));
  StartGuest();
  EXPECT_EQ(ModeOf(cli.Path("state")), 0755U);
  EXPECT_EQ(ModeOf(cli.Path("state/test-failovers")), 0700U);
  EXPECT_EQ(ModeOf(GuestDirectory()), 0700U);
  cli.Json("test-failover-cleanup web");
}

TEST_F(TestFailoverCleanupTest, AGuestThatStaysWritesNoLogAnyMore) {
  StartGuest();
  const auto client = QmpClient::Connect(SystemClock(), GuestDirectory(), kQmpSocketName, 15);
  ASSERT_TRUE(client) << client.error().Line();
  const auto devices = (*client)->Execute("query-chardev", 15);
  ASSERT_TRUE(devices) << devices.error().Line();
  std::string backend;
  for (const auto& device : *devices) {
    if (device["label"] == kSerialId) backend = device["filename"];
  }
  EXPECT_EQ(backend, "null");
  EXPECT_THAT(cli.ReadFile(GuestDirectory() + "/serial.log"), HasSubstr("web is ready"));
}

}  // namespace
}  // namespace asr::testing
