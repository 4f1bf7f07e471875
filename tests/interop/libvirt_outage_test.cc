// The vault cannot be reached while a live guest goes on writing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/becomes_true.h"
#include "tests/support/live_outage_fixture.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtOutageTest : public LiveOutageFixture {};

TEST_F(LibvirtOutageTest, EachCycleOfItBecomesAPointOnceTheVaultIsBack) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  const std::size_t before = PointCount();
  Open();
  SetVaultAway(true);
  std::vector<std::int64_t> synced;
  for (int i = 0; i < 4; ++i) {
    synced.push_back(guest.WaitForMoreSynced(3));
    const Job job = ReplicateInVain();
    ASSERT_TRUE(job.error);
    EXPECT_THAT(job.error->causes.back(), HasSubstr(fmt::format("changes of {} recovery", i + 1)));
  }
  EXPECT_EQ(warnings_.text, "");
  const CommandOutput status = world_.TryAsr("status");
  EXPECT_NE(status.exit_code, 0);
  EXPECT_THAT(status.text, HasSubstr("of changes of VM "));
  EXPECT_THAT(status.text, HasSubstr("4 points; they grow by "));
  guest.WaitForMoreSynced(3);
  SetVaultAway(false);
  EXPECT_EQ(world_.AsrJson("items show web").at("backlogPoints"), 4);
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  Json points = world_.AsrJson("points list web");  // the newest first
  ASSERT_EQ(points.size(), before + 5);
  for (std::size_t i = 0; i < synced.size(); ++i) {
    const std::string id = points[4 - i].at("id");
    const GuestJournal journal = world_.Restore(guest, id, JournalState::kCrash);
    EXPECT_EQ(journal.problem, "") << id;
    EXPECT_GE(journal.SyncedNumber(), synced[i]) << id;
    if (i + 1 == synced.size()) continue;
    EXPECT_LT(journal.SyncedNumber(), synced[i + 1] + 3) << id;
  }
  world_.Asr("points verify web");
  world_.ExpectExact(guest);
  EXPECT_EQ(
      MustRunShell(fmt::format("ls {} | grep -c -e scratch -e hrl || true", guest.directory())),
      "0\n");
  EXPECT_EQ(MustRunShell("virsh -c qemu:///system checkpoint-list web --name | grep -c ^asr-"),
            "1\n");
}

// As a file system that is unmounted: each of its tries logs.
TEST_F(LibvirtOutageTest, TheAgentLogsWithEachTry) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.Asr("policy set fast --frequency 5s --retry-delays 1s");
  world_.AsrJson("enable web --policy fast");
  AsrProcess agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return PointCount() >= 2; })) << Log();
  const std::size_t before = PointCount();
  SetVaultAway(true);
  EXPECT_TRUE(BecomesTrue([&] { return WaitingSets() >= 3; })) << Log();
  // Nothing came to lie where the vault was.
  EXPECT_FALSE(std::filesystem::exists(world_.directory() / "vault"));
  SetVaultAway(false);
  EXPECT_TRUE(BecomesTrue([&] { return PointCount() >= before + 4; })) << Log();
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0) << Log();
  world_.Asr("points verify web");
  world_.ExpectExact(guest);
}

// Between its tries, which are ten minutes apart, it logs as often as the policy says.
TEST_F(LibvirtOutageTest, AnAgentThatIsStartedDuringItLogsOnSchedule) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.Asr("policy set fast --frequency 5s --retry-delays 10m");
  world_.AsrJson("enable web --policy fast");
  ASSERT_NO_FATAL_FAILURE(RunAgentForOnePoint());
  const std::size_t before = PointCount();
  SetVaultAway(true);
  AsrProcess agent = StartAgent();
  EXPECT_TRUE(BecomesTrue([&] { return WaitingSets() >= 4; }, 50)) << Log();
  const std::int64_t synced = guest.WaitForMoreSynced(1);
  const Json item = world_.AsrJson("agent status").at("items").at(0);
  EXPECT_EQ(item.at("name"), "web");
  EXPECT_EQ(item.at("retry").at("attempt"), 1) << item;
  EXPECT_GE(item.at("rpoSeconds"), 15) << item;
  EXPECT_NE(item.at("replicationHealth"), "Normal") << item;
  const std::size_t sets = WaitingSets();
  EXPECT_TRUE(BecomesTrue([&] { return WaitingSets() > sets; }, 30)) << Log();
  SetVaultAway(false);
  EXPECT_TRUE(BecomesTrue([&] { return PointCount() >= before + sets + 1; }, 90)) << Log();
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0) << Log();
  const std::string newest = world_.AsrJson("points list web").at(0).at("id");
  EXPECT_GE(world_.Restore(guest, newest, JournalState::kCrash).SyncedNumber(), synced);
  world_.Asr("points verify web");
  world_.ExpectExact(guest);
}

TEST_F(LibvirtOutageTest, AnAppConsistentPointThatIsDueMeanwhileIsTaken) {
  // The newest first.
  const auto frozen_points = [&] {
    std::vector<std::string> ids;
    for (const Json& point : world_.AsrJson("points list web")) {
      if (point.at("consistency") == "app") ids.push_back(point.at("id"));
    }
    return ids;
  };
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  world_.Asr("policy set fast --frequency 5s --retry-delays 10m --app-consistent 1h");
  world_.AsrJson("enable web --policy fast");
  ASSERT_NO_FATAL_FAILURE(RunAgentForOnePoint());
  const std::size_t before = PointCount();
  EXPECT_EQ(frozen_points().size(), 1U) << Log();
  Open();
  ASSERT_TRUE(state_->NoteAppConsistent(vault_->identity().id, item_.id,
                                        SystemClock().Now() - std::chrono::hours(2)));
  SetVaultAway(true);
  AsrProcess agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return WaitingSets() >= 3; }, 50)) << Log();
  SetVaultAway(false);
  ASSERT_TRUE(BecomesTrue([&] { return PointCount() >= before + 3; }, 90)) << Log();
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0) << Log();
  // Not with each cycle.
  const auto frozen = frozen_points();
  ASSERT_EQ(frozen.size(), 2U) << Log();
  EXPECT_EQ(world_.Restore(guest, frozen[0], JournalState::kFrozen).problem, "");
}

// No try can help before a person has renewed it; the VM is logged all the same.
TEST_F(LibvirtOutageTest, WhatIsWrittenWhileACredentialHasEndedBecomesPoints) {
  PageBlobServer server;
  auto add_sas = [&, hours = 300](const std::string& options) mutable {
    const std::string path = world_.directory() / "sas";
    const auto sas = server.AccountSas("racwdl", std::chrono::hours(hours++));
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), path, AsBytes(sas)));
    MustRunShell("chmod 600 " + path);
    world_.Asr("credential add x --sas-file " + path + " " + options);
  };
  add_sas("");
  world_.Asr("vault create azure --credential x --target " + server.url() + "/vault");
  world_.Asr("vault use azure");
  world_.Asr("policy set fast --frequency 5s");
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy fast");
  AsrProcess agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return PointCount() >= 2; }, 60)) << Log();
  server.AddFault({.action = FaultAction::kExpireCredential});
  ASSERT_TRUE(BecomesTrue([&] { return WaitingSets() >= 3; }, 90)) << Log();
  const Json item = world_.AsrJson("agent status").at("items").at(0);
  EXPECT_EQ(item.at("replicationHealth"), "Critical") << item;
  EXPECT_EQ(item.at("retry").at("recoverable"), false) << item;
  EXPECT_THAT(item.at("retry").at("error").dump(), HasSubstr("asr credential add x"));
  // One more cycle may be what the vault has already.
  const std::size_t sets = WaitingSets();
  const std::int64_t synced = guest.WaitForMoreSynced(3);
  ASSERT_TRUE(BecomesTrue([&] { return WaitingSets() > sets; }, 30)) << Log();
  const std::int64_t logged = guest.WaitForMoreSynced(1);
  EXPECT_GT(logged, synced);
  add_sas("--replace");
  const std::size_t before = PointCount();
  EXPECT_TRUE(BecomesTrue([&] { return PointCount() >= before + sets + 1; }, 120)) << Log();
  EXPECT_TRUE(BecomesTrue([&] {
    return world_.AsrJson("agent status").at("items").at(0).at("retry").is_null();
  })) << Log();
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0) << Log();
  world_.Asr("points verify web");
  world_.ExpectExact(guest);
}

// What does not fit into logs is found by the guest's own bitmap once the vault is back.
TEST_F(LibvirtOutageTest, LogsStopAtTheirLimitAndNothingIsLost) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  world_.AsrJson("config set log-limit-percent 5");  // 12.8 MiB
  Open();
  SetVaultAway(true);
  ReplicateInVain();
  EXPECT_EQ(warnings_.text, "");
  guest.WriteRandomFile("/data/random", 16 * kMiB);
  const std::int64_t synced = guest.WaitForMoreSynced(3);
  const Job job = ReplicateInVain();
  EXPECT_THAT(warnings_.text, HasSubstr("is not logged while the vault cannot be reached"));
  EXPECT_THAT(job.error->causes.back(), HasSubstr("changes of 1 recovery points"));
  SetVaultAway(false);
  world_.AsrJson("config set log-limit-percent 50");
  const std::size_t before = PointCount();
  const Json replicated = world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  EXPECT_EQ(PointCount(), before + 2);
  const GuestJournal journal =
      world_.Restore(guest, replicated.at("point").at("id"), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  world_.ExpectExact(guest);
}

// QEMU dies, and the guest starts anew: a bitmap that was born since the last clean end is gone.
TEST_F(LibvirtOutageTest, AGuestThatIsStartedAnewIsComparedOnceTheVaultIsBack) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  Open();
  SetVaultAway(true);
  ReplicateInVain();
  guest.KillQemu();
  guest.Start();
  const std::int64_t synced = guest.WaitForMoreSynced(3);
  ReplicateInVain();
  EXPECT_THAT(warnings_.text, HasSubstr("is not logged while the vault cannot be reached"));
  SetVaultAway(false);
  const std::size_t before = PointCount();
  const Json replicated = world_.AsrJson("replicate web");
  EXPECT_EQ(PointCount(), before + 2);
  const GuestJournal journal =
      world_.Restore(guest, replicated.at("point").at("id"), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  world_.ExpectExact(guest);
}

}  // namespace
}  // namespace asr::testing
