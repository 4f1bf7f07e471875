// A machine that stops between the logging of changes and the sealing of their point: what the
// next run makes of the logs that it finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fault_file_system.h"
#include "tests/support/image_file.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using testing::FaultFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using World = testing::ReplicationWorld;

std::string LogOf(const World& world) {
  for (const std::string& path : world.ChangeLogs()) {
    if (path.ends_with(".hrl")) return path;
  }
  return "";
}

bool HasWaitingSet(const World& world) {
  return std::ranges::any_of(world.ChangeLogs(),
                             [](const std::string& path) { return path.ends_with(".json"); });
}

class DeltaCrashTest : public ::testing::Test {
 protected:
  // A protected VM whose disk changed, and a set of logs that was not sent: the process died in the
  // first call after it existed.
  void SetUp() override {
    for (std::uint64_t call = 1;; ++call) {
      world_ = std::make_unique<World>(7);
      ASSERT_TRUE(world_->Enable(PosixFileSystem()));
      world_->CheckPoints(1);
      world_->Advance(std::chrono::minutes(6));
      world_->Change();
      FaultFileSystem faulty(PosixFileSystem());
      faulty.DieAt(call);
      const Status status = world_->Delta(faulty);
      ASSERT_TRUE(faulty.has_failed()) << "no death leaves a set of logs";
      if (!status && HasWaitingSet(*world_)) break;
      call += 4;
    }
    world_->ExpectPointOfNow();
    world_->warnings.lines.clear();
    world_->Advance(std::chrono::minutes(6));
  }

  void ExpectDelta(std::size_t points) {
    const Status status = world_->Delta(PosixFileSystem());
    ASSERT_TRUE(status) << status.error().Line();
    world_->CheckPoints(points);
    world_->ExpectNoChangeLogs();
  }

  std::unique_ptr<World> world_;
};

TEST_F(DeltaCrashTest, TheNextRunSendsWhatWaits) {
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, IsEmpty());
}

TEST_F(DeltaCrashTest, WhatWaitsBecomesAPointOfItsOwn) {
  world_->Change();
  ExpectDelta(3);
  EXPECT_THAT(world_->warnings.lines, IsEmpty());
}

TEST_F(DeltaCrashTest, ALogThatIsGoneIsSaidAndTheDiskCompared) {
  testing::MustSucceed(PosixFileSystem().RemoveFile(LogOf(*world_)));
  world_->Change();
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("the disks are compared instead")));
}

TEST_F(DeltaCrashTest, ADamagedLogIsSaidAndTheDiskCompared) {
  const std::string log = LogOf(*world_);
  const std::uint64_t size_bytes = testing::FileSize(log);
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{44}, std::uint64_t{8192 + 100}, size_bytes - 4096 + 33}) {
    SetUp();
    const std::string path = LogOf(*world_);
    std::vector<std::byte> byte(1);
    testing::MustSucceed(PosixFileSystem().Open(path, {}).value()->ReadAt(at, byte));
    testing::OverwriteFile(path, at, std::vector{byte[0] ^ std::byte{0xFF}});
    world_->Change();
    ExpectDelta(2);
    EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("the disks are compared instead")));
  }
}

TEST_F(DeltaCrashTest, ACutLogIsSaidAndTheDiskCompared) {
  testing::ResizeFile(LogOf(*world_), 9000);
  world_->Change();
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("change log")));
}

TEST_F(DeltaCrashTest, ADamagedDocumentIsSaidAndTheDiskCompared) {
  for (const std::string& path : world_->ChangeLogs()) {
    if (path.ends_with(".json")) testing::ResizeFile(path, 20);
  }
  world_->Change();
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("was damaged")));
}

// Another machine replicated meanwhile: what waits here is older than what the vault holds.
TEST_F(DeltaCrashTest, WhatWaitsIsNeverSentOverANewerPoint) {
  world_->Change();
  world_->machine = "other";
  ASSERT_TRUE(world_->AddVaultAndHost());
  ASSERT_TRUE(world_->Delta(PosixFileSystem()));
  world_->CheckPoints(2);
  world_->Advance(std::chrono::minutes(6));
  world_->machine = "state";
  world_->Change();
  ExpectDelta(3);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("build on recovery point")));
}

TEST_F(DeltaCrashTest, DisablingProtectionRemovesWhatWaits) {
  ASSERT_TRUE(world_->Disable(PosixFileSystem()));
  world_->ExpectNoChangeLogs();
}

}  // namespace
}  // namespace asr
