// Change logs on this machine of an item whose protection another machine ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fault_file_system.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using ::testing::Contains;
using testing::FaultFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using World = testing::ReplicationWorld;

class GoneItemTest : public ::testing::Test {
 protected:
  // A set of logs waits here: the process died in the first call after it existed.
  void SetUp() override {
    static std::uint64_t call = 1;  // the same one each time
    for (;; call += 5) {
      world_ = std::make_unique<World>(5);
      ASSERT_TRUE(world_->Enable(PosixFileSystem()));
      world_->Advance(std::chrono::minutes(6));
      world_->Change();
      FaultFileSystem faulty(PosixFileSystem());
      faulty.DieAt(call);
      const Status status = world_->Delta(faulty);
      ASSERT_TRUE(faulty.has_failed()) << "no death leaves a set of logs";
      const auto logs = world_->ChangeLogs();
      const bool waits = std::ranges::any_of(
          logs, [](const std::string& path) { return path.ends_with(".json"); });
      if (!status && waits) break;
    }
    world_->warnings.lines.clear();
  }

  void EndProtectionElsewhere() {
    world_->machine = "other";
    ASSERT_TRUE(world_->AddVaultAndHost());
    const Status ended = world_->Run(PosixFileSystem(), [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const Job job, DisableProtection(environment, *vault, item, /*keep_data=*/false));
      return World::OutcomeOf(job);
    });
    ASSERT_TRUE(ended) << ended.error().Line();
    world_->machine = "state";
  }

  [[nodiscard]] bool HasChangesFolder() const {
    return std::filesystem::exists(world_->Path("state/changes"));
  }

  std::unique_ptr<World> world_;
};

TEST_F(GoneItemTest, GoWithTheNextProtection) {
  EndProtectionElsewhere();
  ASSERT_TRUE(world_->Enable(PosixFileSystem()));
  world_->ExpectNoChangeLogs();
  EXPECT_FALSE(HasChangesFolder());
  EXPECT_THAT(world_->warnings.lines, Contains(HasSubstr("were not sent yet and are dropped")));
  world_->CheckPoints(1);
}

TEST_F(GoneItemTest, StayWhileTheItemIsThere) {
  // Its document alone is gone: it may come back.
  const Item item = world_->CurrentItem();
  const std::string document = world_->Path("vault/items/" + item.id.value + "/item.json");
  std::filesystem::rename(document, world_->Path("kept.json"));
  EXPECT_FALSE(world_->Enable(PosixFileSystem()));
  std::filesystem::create_directory(world_->Path("vms/mail"));
  std::filesystem::copy(world_->Path("vms/web/root.raw"), world_->Path("vms/mail/root.raw"));
  const Status enabled = world_->Run(PosixFileSystem(), [](Environment& environment) -> Status {
    ASR_TRY(const auto vault, OpenVault(environment, ""));
    ASR_TRY(const Job job, EnableProtection(environment, *vault, {.vm = "mail", .policy = "p"}));
    return World::OutcomeOf(job);
  });
  ASSERT_TRUE(enabled) << enabled.error().Line();
  EXPECT_THAT(world_->ChangeLogs(), Not(IsEmpty()));
  std::filesystem::rename(world_->Path("kept.json"), document);
  ASSERT_TRUE(world_->Delta(PosixFileSystem()));
  world_->ExpectNoChangeLogs();
}

TEST_F(GoneItemTest, StayWhileTheVaultIsNotThere) {
  std::filesystem::rename(world_->Path("vault"), world_->Path("elsewhere"));
  for (const bool mount_point : {false, true}) {
    if (mount_point) std::filesystem::create_directory(world_->Path("vault"));
    EXPECT_FALSE(world_->Enable(PosixFileSystem()));
    EXPECT_THAT(world_->ChangeLogs(), Not(IsEmpty()));
  }
}

// Whatever fails: the logs of an item that is there stay, and those of one that is gone go at last.
TEST_F(GoneItemTest, FailuresOnlyPutItOff) {
  EndProtectionElsewhere();
  for (std::uint64_t call = 1;; call += 11) {
    FaultFileSystem faulty(PosixFileSystem());
    faulty.DieAt(call);
    const Status enabled = world_->Enable(faulty);
    if (enabled && !faulty.has_failed()) break;
  }
  ASSERT_TRUE(world_->Enable(PosixFileSystem()));
  world_->Advance(std::chrono::minutes(6));
  world_->Change();
  ASSERT_TRUE(world_->Delta(PosixFileSystem()));
  world_->ExpectNoChangeLogs();
}

}  // namespace
}  // namespace asr
