// The whole main job dies at each call to the file system in turn: enable, two deltas with
// retention, a restore. After each death the same command is run again and goes on, and every point
// that was sealed reads back bit by bit. The same with single calls that fail.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "tests/support/fault_file_system.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using testing::FaultFileSystem;
using World = testing::ReplicationWorld;

// Runs `verb` in a world of its own with death (or one failure) at call 1, 2, ... until it ends
// before that; after each, the same verb must succeed on a sound file system.
void TryEveryCall(bool dies, std::size_t points_before, const std::function<void(World&)>& prepare,
                  const std::function<Status(World&, FileSystem&)>& verb,
                  const std::function<void(World&)>& check) {
  // Every call near the beginning, where the steps are; then in growing strides, but nightly.
  const bool every_call = std::getenv("ASR_NIGHTLY") != nullptr;
  const std::uint64_t strides = std::getenv("ASR_FEW_CALLS") != nullptr ? 5 : 16;
  for (std::uint64_t call = 1;; call += every_call ? 1 : 1 + call / strides) {
    World world(call);
    prepare(world);
    FaultFileSystem faulty(PosixFileSystem());
    dies ? faulty.DieAt(call) : faulty.FailAt(call, ENOSPC);
    const Status status = verb(world, faulty);
    if (!faulty.has_failed()) {
      EXPECT_TRUE(status) << status.error().Line();
      EXPECT_GT(call, 20U) << "the verb does not go through the seam";
      return;
    }
    world.CheckPoints(points_before);
    const Status again = verb(world, PosixFileSystem());
    ASSERT_TRUE(again) << "after call " << call << ": " << again.error().Line();
    check(world);
    world.ExpectNoChangeLogs();
    if (::testing::Test::HasFailure()) FAIL() << "at call " << call;
  }
}

class MainJobCrashTest : public ::testing::TestWithParam<bool> {};

TEST_P(MainJobCrashTest, EnableGoesOn) {
  TryEveryCall(
      GetParam(), 0, [](World&) {}, [](World& world, FileSystem& fs) { return world.Enable(fs); },
      [](World& world) { world.CheckPoints(1); });
}

TEST_P(MainJobCrashTest, DeltaGoesOnAndKeepsOldPoints) {
  TryEveryCall(
      GetParam(), 4,
      [](World& world) {
        ASSERT_TRUE(world.Enable(PosixFileSystem()));
        world.CheckPoints(1);
        for (int i = 0; i < 4; ++i) {
          world.Advance(std::chrono::minutes(6));
          world.Change();
          ASSERT_TRUE(world.Delta(PosixFileSystem()));
          world.CheckPoints(2);
        }
        // The next delta finds a point older than the policy keeps, and removes it.
        world.Advance(std::chrono::minutes(6));
        world.Change();
      },
      [](World& world, FileSystem& fs) { return world.Delta(fs); },
      [](World& world) { world.CheckPoints(4); });
}

TEST_P(MainJobCrashTest, RestoreGoesOn) {
  TryEveryCall(
      GetParam(), 2,
      [](World& world) {
        ASSERT_TRUE(world.Enable(PosixFileSystem()));
        world.CheckPoints(1);
        world.Advance(std::chrono::minutes(6));
        world.Change();
        ASSERT_TRUE(world.Delta(PosixFileSystem()));
        world.CheckPoints(2);
      },
      [](World& world, FileSystem& fs) { return world.Restore(fs); },
      [](World& world) {
        world.ExpectRestored();
        world.CheckPoints(2);
      });
}

INSTANTIATE_TEST_SUITE_P(Faults, MainJobCrashTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Death" : "FullDisk"; });

}  // namespace
}  // namespace asr
