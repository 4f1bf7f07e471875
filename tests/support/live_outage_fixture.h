// A vault that goes away while a live guest goes on writing, and comes back.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>

#include "core/jobs/environment.h"
#include "core/jobs/replicate.h"
#include "core/jobs/vaults.h"
#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/live_world.h"

namespace asr::testing {

class KeptWarnings : public ProgressSink {
 public:
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t) override {}
  void TaskEnded(bool) override {}
  void Warn(const std::string& message) override { text += message + "\n"; }
  std::string text;
};

class LiveOutageFixture : public ::testing::Test {
 protected:
  // As a process that has the vault open when the outage begins.
  void Open() {
    auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), world_.state_directory());
    ASSERT_TRUE(state) << state.error().Line();
    state_ = *std::move(state);
    environment_ =
        std::make_unique<Environment>(Environment{.fs = PosixFileSystem(),
                                                  .clock = SystemClock(),
                                                  .state = *state_,
                                                  .progress = warnings_,
                                                  .state_directory = world_.state_directory(),
                                                  .stop = {},
                                                  .program = ASR_BINARY});
    auto vault = OpenVault(*environment_, "lab");
    ASSERT_TRUE(vault) << vault.error().Line();
    vault_ = *std::move(vault);
    const auto item = vault_->FindItem("web");
    ASSERT_TRUE(item) << item.error().Line();
    item_ = *item;
  }
  void SetVaultAway(bool is_away) {
    const std::string here = world_.directory() / "vault";
    const std::string away = world_.directory() / "elsewhere";
    std::filesystem::rename(is_away ? here : away, is_away ? away : here);
  }
  // A cycle while it is away.
  Job ReplicateInVain() {
    const auto outcome = Replicate(*environment_, *vault_, item_);
    EXPECT_TRUE(outcome) << outcome.error().Line();
    if (!outcome) return {};
    EXPECT_EQ(outcome->job.state, JobState::kFailed);
    EXPECT_TRUE(outcome->job.retryable);
    return outcome->job;
  }
  std::size_t PointCount() { return world_.AsrJson("points list web").size(); }
  [[nodiscard]] AsrProcess StartAgent() const {
    return AsrProcess({"agent", "run", "--state-dir", world_.state_directory()},
                      world_.directory() / "log");
  }
  // After that of the enable; it has seen the VM, then, and ended.
  void RunAgentForOnePoint() {
    AsrProcess agent = StartAgent();
    ASSERT_TRUE(BecomesTrue([&] { return PointCount() >= 2; })) << Log();
    agent.Signal(SIGTERM);
    EXPECT_EQ(agent.Wait(), 0) << Log();
  }
  [[nodiscard]] std::string Log() const {
    return RunShell("cat " + world_.directory() / "log").text;
  }
  [[nodiscard]] std::size_t WaitingSets() const {
    return static_cast<std::size_t>(std::stoi(MustRunShell(
        fmt::format("find {}/changes -name '*.json' | wc -l", world_.state_directory()))));
  }

  LiveWorld world_;
  KeptWarnings warnings_;
  std::unique_ptr<StateDatabase> state_;
  std::unique_ptr<Environment> environment_;
  std::unique_ptr<Vault> vault_;
  Item item_;
};

}  // namespace asr::testing
