// The whole main job meets trouble at each call to the file system in turn: enable, a delta with
// retention, a resync, a rollback, a restore, disable. After each the same command is run again and
// goes on, and every point that was sealed reads back bit by bit.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>

#include "tests/support/fault_file_system.h"
#include "tests/support/power_loss_file_system.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using testing::FaultFileSystem;
using testing::PowerLossFileSystem;
using World = testing::ReplicationWorld;

enum class Trouble : std::uint8_t {
  kNoSpaceOnce,  // one call fails, those after it do not
  kDeath,        // nothing is done any more
  kPowerLoss,    // and what was not synced is lost, or torn
  kFullVault,    // from here on there is no space in the vault
  kFullFolder,   // ... where the VM's disks, and their change logs, are
  kFullState,    // ... in the state directory
};

void Arm(Trouble trouble, std::uint64_t call, const World& world, FaultFileSystem& faulty) {
  switch (trouble) {
    case Trouble::kNoSpaceOnce:
      return faulty.FailAt(call, ENOSPC);
    case Trouble::kDeath:
    case Trouble::kPowerLoss:
      return faulty.DieAt(call);
    case Trouble::kFullVault:
      return faulty.FillAt(call, world.Path("vault"));
    case Trouble::kFullFolder:
      return faulty.FillAt(call, world.Path("vms"));
    case Trouble::kFullState:
      return faulty.FillAt(call, world.Path("state"));
  }
}

// Every call near the beginning, where the steps are; then in growing strides, but nightly. The
// troubles that end a process come closest.
std::uint64_t StridesOf(Trouble trouble) {
  const bool ends_it = trouble == Trouble::kDeath || trouble == Trouble::kPowerLoss;
  if (std::getenv("ASR_FEW_CALLS") != nullptr) return ends_it ? 2 : 1;
  return ends_it ? 16 : 8;
}

// Runs `verb` in a world of its own with trouble at call 1, 2, ... until it ends before that; after
// each, the same verb must succeed on a sound file system.
void TryEveryCall(Trouble trouble, std::size_t points_before,
                  const std::function<void(World&)>& prepare,
                  const std::function<Status(World&, FileSystem&)>& verb,
                  const std::function<void(World&)>& check) {
  const bool every_call = std::getenv("ASR_NIGHTLY") != nullptr;
  const std::uint64_t strides = StridesOf(trouble);
  for (std::uint64_t call = 1;; call += every_call ? 1 : 1 + call / strides) {
    PowerLossFileSystem memory;
    World world(call, memory);
    prepare(world);
    FaultFileSystem faulty(memory);
    Arm(trouble, call, world, faulty);
    const Status status = verb(world, faulty);
    if (call > faulty.calls()) {
      EXPECT_TRUE(status) << status.error().Line();
      EXPECT_GT(call, 20U) << "the verb does not go through the seam";
      return;
    }
    // A seed of 0 loses all that was not synced.
    if (trouble == Trouble::kPowerLoss) memory.LosePower(call % 4 == 0 ? 0 : call);
    world.CheckPoints(points_before);
    const Status again = verb(world, memory);
    ASSERT_TRUE(again) << "after call " << call << ": " << again.error().Line();
    check(world);
    world.ExpectNoChangeLogs();
    if (::testing::Test::HasFailure()) FAIL() << "at call " << call;
  }
}

// A protected VM with one point, whose disk changed since.
void EnableAndChange(World& world) {
  ASSERT_TRUE(world.Enable(world.disk()));
  world.CheckPoints(1);
  world.Advance(std::chrono::minutes(6));
  world.Change();
}

class MainJobCrashTest : public ::testing::TestWithParam<Trouble> {};

TEST_P(MainJobCrashTest, EnableGoesOn) {
  TryEveryCall(
      GetParam(), 0, [](World&) {}, [](World& world, FileSystem& fs) { return world.Enable(fs); },
      [](World& world) { world.CheckPoints(1); });
}

TEST_P(MainJobCrashTest, EnableFromASeedGoesOn) {
  TryEveryCall(
      GetParam(), 0, [](World& world) { world.WriteSeed(); },
      [](World& world, FileSystem& fs) { return world.EnableFromSeed(fs); },
      [](World& world) { world.CheckPoints(1); });
}

// Whatever the seed has brought by then.
TEST_P(MainJobCrashTest, EnableGoesOnWithoutItsSeed) {
  TryEveryCall(
      GetParam(), 0, [](World& world) { world.WriteSeed(); },
      [](World& world, FileSystem& fs) {
        const bool is_first = &fs != &world.disk();
        return is_first ? world.EnableFromSeed(fs) : world.Enable(fs);
      },
      [](World& world) { world.CheckPoints(1); });
}

TEST_P(MainJobCrashTest, DeltaGoesOnAndKeepsOldPoints) {
  TryEveryCall(
      GetParam(), 4,
      [](World& world) {
        ASSERT_TRUE(world.Enable(world.disk()));
        world.CheckPoints(1);
        for (int i = 0; i < 4; ++i) {
          world.Advance(std::chrono::minutes(6));
          world.Change();
          ASSERT_TRUE(world.Delta(world.disk()));
          world.CheckPoints(2);
        }
        // The next delta finds a point older than the policy keeps, and removes it.
        world.Advance(std::chrono::minutes(6));
        world.Change();
      },
      [](World& world, FileSystem& fs) { return world.Delta(fs); },
      [](World& world) { world.CheckPoints(4); });
}

TEST_P(MainJobCrashTest, GrowthGoesOnAndKeepsOldPoints) {
  TryEveryCall(
      GetParam(), 2,
      [](World& world) {
        EnableAndChange(world);
        ASSERT_TRUE(world.Delta(world.disk()));
        world.CheckPoints(2);
        world.Advance(std::chrono::minutes(6));
        world.GrowAndAddDisk();
      },
      [](World& world, FileSystem& fs) { return world.Delta(fs); },
      [](World& world) {
        world.CheckPoints(3);
        world.ExpectBothDisks();
        ASSERT_TRUE(world.RollBack(world.disk()));
      });
}

// What was sent of the new end goes again.
TEST_P(MainJobCrashTest, RollbackOfAGrowthThatWasCutGoesOn) {
  TryEveryCall(
      GetParam(), 1,
      [](World& world) {
        EnableAndChange(world);
        world.GrowAndAddDisk();
        FaultFileSystem faulty(world.disk());
        faulty.DieAt(150);  // the replica has grown by then
        EXPECT_FALSE(world.Delta(faulty));
        EXPECT_EQ(world.CurrentItem().disks.size(), 2U);
      },
      [](World& world, FileSystem& fs) { return world.RollBack(fs); },
      [](World& world) {
        world.CheckPoints(1);
        ASSERT_TRUE(world.Delta(world.disk()));
        world.CheckPoints(2);
        world.ExpectBothDisks();
      });
}

// The disk has grown, and its replica cannot.
TEST(FullVaultTest, PointsAreRemovedThoughAReplicaCannotGrow) {
  PowerLossFileSystem memory;
  World world(1, memory);
  ASSERT_TRUE(world.Enable(world.disk()));
  for (int i = 0; i < 4; ++i) {
    world.CheckPoints(1);
    world.Advance(std::chrono::minutes(6));
    world.Change();
    ASSERT_TRUE(world.Delta(world.disk()));
  }
  world.CheckPoints(4);
  const std::size_t before = world.PointCount();
  world.Advance(std::chrono::minutes(30));
  world.GrowAndAddDisk();
  FaultFileSystem faulty(memory);
  for (std::uint64_t call = 1; world.CurrentItem().disks.size() == 1; ++call) {
    faulty.FillAt(call, world.Path("vault"));
    ASSERT_FALSE(world.Delta(faulty));
  }
  faulty.overwrites_in_place = true;
  faulty.FillAt(1, world.Path("vault"));
  const Status refused = world.Delta(faulty);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kNoSpace) << refused.error().Line();
  const Status pruned = world.Prune(faulty);
  EXPECT_TRUE(pruned) << pruned.error().Line();
  EXPECT_LT(world.PointCount(), before);
  ASSERT_TRUE(world.Delta(world.disk()));
  world.CheckPoints(1);
  world.ExpectBothDisks();
}

TEST_P(MainJobCrashTest, RestoreGoesOn) {
  TryEveryCall(
      GetParam(), 2,
      [](World& world) {
        EnableAndChange(world);
        ASSERT_TRUE(world.Delta(world.disk()));
        world.CheckPoints(2);
      },
      [](World& world, FileSystem& fs) { return world.Restore(fs); },
      [](World& world) {
        world.ExpectRestored();
        world.CheckPoints(2);
      });
}

// Many chunks are sent again, of a replica that was damaged, too.
TEST_P(MainJobCrashTest, DeepResyncGoesOn) {
  TryEveryCall(
      GetParam(), 1, EnableAndChange,
      [](World& world, FileSystem& fs) { return world.ResyncNow(fs, /*deep=*/true); },
      [](World& world) {
        world.CheckPoints(2);
        EXPECT_EQ(world.CurrentItem().resync, ResyncState::kNone);
      });
}

// A delta was cut in the middle of what it sends.
TEST_P(MainJobCrashTest, RollbackGoesOn) {
  TryEveryCall(
      GetParam(), 1,
      [](World& world) {
        EnableAndChange(world);
        world.SendHalf();
      },
      [](World& world, FileSystem& fs) { return world.RollBack(fs); },
      [](World& world) {
        world.ExpectRolledBack();
        world.CheckPoints(1);
      });
}

TEST_P(MainJobCrashTest, DisableGoesOnAndKeepsThePoints) {
  TryEveryCall(
      GetParam(), 1,
      [](World& world) {
        ASSERT_TRUE(world.Enable(world.disk()));
        world.CheckPoints(1);
      },
      [](World& world, FileSystem& fs) {
        const Status disabled = world.Disable(fs);
        // The trouble may have come after the last write.
        if (!disabled && disabled.error().code == ErrorCode::kItemState) return Status();
        return disabled;
      },
      [](World& world) {
        world.CheckPoints(1);
        EXPECT_EQ(world.CurrentItem().state, ProtectionState::kUnprotected);
      });
}

std::string TroubleName(const ::testing::TestParamInfo<Trouble>& test) {
  constexpr std::array kNames = {"NoSpaceOnce", "Death",      "PowerLoss",
                                 "FullVault",   "FullFolder", "FullState"};
  return kNames[static_cast<std::size_t>(test.param)];
}

INSTANTIATE_TEST_SUITE_P(Faults, MainJobCrashTest,
                         ::testing::Values(Trouble::kNoSpaceOnce, Trouble::kDeath,
                                           Trouble::kPowerLoss, Trouble::kFullVault,
                                           Trouble::kFullFolder, Trouble::kFullState),
                         TroubleName);

}  // namespace
}  // namespace asr
