// A machine that stops between the logging of changes and the sealing of their point: what the
// next run makes of the logs that it finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include "core/jobs/send_changes.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/image_file.h"
#include "tests/support/power_loss_file_system.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FaultFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::PowerLossFileSystem;
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

std::uint64_t Stride() {
  if (std::getenv("ASR_NIGHTLY") != nullptr) return 1;
  return std::getenv("ASR_FEW_CALLS") != nullptr ? 23 : 5;
}

class DeltaCrashTest : public ::testing::Test {
 protected:
  // A protected VM whose disk changed, and a set of logs that was not sent: the process died in the
  // first call after it existed.
  void SetUp() override {
    static std::uint64_t call = 1;  // the same one each time
    for (;; call += 5) {
      memory_ = std::make_unique<PowerLossFileSystem>();
      world_ = std::make_unique<World>(7, *memory_);
      ASSERT_TRUE(world_->Enable(*memory_));
      world_->CheckPoints(1);
      world_->Advance(std::chrono::minutes(6));
      world_->Change();
      FaultFileSystem faulty(*memory_);
      faulty.DieAt(call);
      const Status status = world_->Delta(faulty);
      ASSERT_TRUE(faulty.has_failed()) << "no death leaves a set of logs";
      if (!status && HasWaitingSet(*world_)) break;
    }
    world_->ExpectPointOfNow();
    world_->warnings.lines.clear();
    world_->Advance(std::chrono::minutes(6));
  }

  void Flip(const std::string& path, std::uint64_t offset) {
    const auto file = memory_->Open(path, {.mode = OpenMode::kWrite}).value();
    std::vector<std::byte> byte(1);
    testing::MustSucceed(file->ReadAt(offset, byte));
    byte[0] ^= std::byte{0xFF};
    testing::MustSucceed(file->WriteAt(offset, byte));
  }
  void Resize(const std::string& path, std::uint64_t size_bytes) {
    testing::MustSucceed(
        memory_->Open(path, {.mode = OpenMode::kWrite}).value()->Resize(size_bytes));
  }

  void ExpectDelta(std::size_t points) {
    const Status status = world_->Delta(*memory_);
    ASSERT_TRUE(status) << status.error().Line();
    world_->CheckPoints(points);
    world_->ExpectNoChangeLogs();
  }

  // The set as one that was logged while nobody could tell what the replica holds.
  void RemoveDigestsOfSet() {
    const Status status = world_->Run(*memory_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      LogSets sets = LogSetsOf(environment, vault->identity().id, item.id);
      ASR_TRY(auto waiting, sets.ReadWaiting());
      EXPECT_EQ(waiting.size(), 1U);
      for (LogSet& set : waiting) {
        for (LoggedDisk& disk : set.disks) disk.disk_digest.reset();
        ASR_CHECK(sets.Commit(set));
      }
      return {};
    });
    ASSERT_TRUE(status) << status.error().Line();
  }
  // A delta that dies in this call; false if it ended before.
  bool DieInDelta(std::uint64_t call) {
    FaultFileSystem faulty(*memory_);
    faulty.DieAt(call);
    const Status status = world_->Delta(faulty);
    EXPECT_TRUE(faulty.has_failed() || status) << status.error().Line();
    return faulty.has_failed();
  }

  std::unique_ptr<PowerLossFileSystem> memory_;
  std::unique_ptr<World> world_;
};

TEST_F(DeltaCrashTest, ASetWithoutDigestsGoesOnAfterEachDeath) {
  bool was_cut = false;
  for (std::uint64_t call = 1;; call += Stride()) {
    ASSERT_NO_FATAL_FAILURE(SetUp());
    ASSERT_NO_FATAL_FAILURE(RemoveDigestsOfSet());
    if (!DieInDelta(call)) break;
    was_cut |= world_->CurrentItem().applying.has_value();
    world_->CheckPoints(1);
    world_->warnings.lines.clear();
    ExpectDelta(2);
    EXPECT_THAT(world_->warnings.lines, IsEmpty());
    if (HasFailure()) FAIL() << "at call " << call;
  }
  EXPECT_TRUE(was_cut);
}

// What it left in the replica is no part of the set that was being applied.
TEST_F(DeltaCrashTest, AnotherMachineThatDiedMeanwhileIsSeen) {
  std::uint64_t cut = 1;  // soon after the first chunk is sent
  do {
    ASSERT_NO_FATAL_FAILURE(SetUp());
    ASSERT_NO_FATAL_FAILURE(RemoveDigestsOfSet());
    ASSERT_TRUE(DieInDelta(cut++));
  } while (!world_->CurrentItem().applying);
  cut += 3;
  int dropped = 0;
  for (std::uint64_t call = 1;; call += std::min<std::uint64_t>(2 * Stride(), 20)) {
    ASSERT_NO_FATAL_FAILURE(SetUp());
    ASSERT_NO_FATAL_FAILURE(RemoveDigestsOfSet());
    ASSERT_TRUE(DieInDelta(cut));
    ASSERT_TRUE(world_->CurrentItem().applying);
    ASSERT_EQ(world_->PointCount(), 1U);
    world_->machine = "other";
    ASSERT_TRUE(world_->AddVaultAndHost());
    world_->ChangeAt(0, kMiB);
    if (!DieInDelta(call)) break;
    world_->machine = "state";
    world_->CheckPoints(1);
    world_->warnings.lines.clear();
    const Status status = world_->Delta(*memory_);
    ASSERT_TRUE(status) << status.error().Line();
    world_->CheckPoints(2);
    const auto& said = world_->warnings.lines;
    dropped += !said.empty() && said[0].find("is not what recovery point") != std::string::npos;
    if (HasFailure()) FAIL() << "at call " << call;
  }
  EXPECT_GT(dropped, 3);
}

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
  testing::MustSucceed(memory_->RemoveFile(LogOf(*world_)));
  world_->Change();
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("the disks are compared instead")));
}

TEST_F(DeltaCrashTest, ADamagedLogIsSaidAndTheDiskCompared) {
  const std::string log = LogOf(*world_);
  const std::uint64_t size_bytes = memory_->Stat(log)->size_bytes;
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{44}, std::uint64_t{8192 + 100}, size_bytes - 4096 + 33}) {
    SetUp();
    const std::string path = LogOf(*world_);
    Flip(path, at);
    world_->Change();
    ExpectDelta(2);
    EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("the disks are compared instead")));
  }
}

TEST_F(DeltaCrashTest, ACutLogIsSaidAndTheDiskCompared) {
  Resize(LogOf(*world_), 9000);
  world_->Change();
  ExpectDelta(2);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("change log")));
}

TEST_F(DeltaCrashTest, ADamagedDocumentIsSaidAndTheDiskCompared) {
  for (const std::string& path : world_->ChangeLogs()) {
    if (path.ends_with(".json")) Resize(path, 20);
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
  ASSERT_TRUE(world_->Delta(*memory_));
  world_->CheckPoints(2);
  world_->Advance(std::chrono::minutes(6));
  world_->machine = "state";
  world_->Change();
  ExpectDelta(3);
  EXPECT_THAT(world_->warnings.lines, ElementsAre(HasSubstr("build on recovery point")));
}

// What was captured makes a point of those that are kept.
TEST_F(DeltaCrashTest, DisablingProtectionSendsWhatWaits) {
  ASSERT_TRUE(world_->Disable(*memory_));
  world_->CheckPoints(2);
  world_->ExpectNoChangeLogs();
}

// The folder is gone, and with it the logs: nothing stands in the way.
TEST_F(DeltaCrashTest, AFolderThatIsGoneBlocksNothing) {
  testing::MustSucceed(memory_->RemoveTree(world_->Path("vms/web")));
  ASSERT_TRUE(world_->Disable(*memory_));
  world_->CheckPoints(1);
  EXPECT_THAT(world_->warnings.lines, Not(IsEmpty()));
}

// The source cannot be read now; what was captured of it is sent all the same.
TEST_F(DeltaCrashTest, WhatWaitsIsSentThoughTheSourceCannotBeRead) {
  testing::MustSucceed(memory_->RemoveFile(world_->Path("vms/web/root.raw")));
  EXPECT_FALSE(world_->Delta(*memory_));
  world_->CheckPoints(2);
  world_->ExpectNoChangeLogs();
}

// Refuses (EROFS) to make or remove anything below `folder`, also what is not there.
class ReadOnlyFolder : public FaultFileSystem {
 public:
  ReadOnlyFolder(FileSystem& base, std::string folder)
      : FaultFileSystem(base), folder_(std::move(folder)) {}

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override {
    if (options.mode != OpenMode::kRead && IsBelow(path)) return Fail(ErrnoError(EROFS, path));
    return FaultFileSystem::Open(path, options);
  }
  Status RemoveFile(const std::string& path) override {
    if (IsBelow(path)) return Fail(ErrnoError(EROFS, path));
    return FaultFileSystem::RemoveFile(path);
  }

 private:
  [[nodiscard]] bool IsBelow(const std::string& path) const { return path.starts_with(folder_); }
  std::string folder_;
};

class DeltaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.Enable(memory_));
    world_.CheckPoints(1);
    world_.Advance(std::chrono::minutes(6));
  }

  void ExpectDelta(std::size_t points) {
    const Status status = world_.Delta(memory_);
    ASSERT_TRUE(status) << status.error().Line();
    world_.CheckPoints(points);
    world_.ExpectNoChangeLogs();
  }

  PowerLossFileSystem memory_;
  World world_{11, memory_};
};

TEST_F(DeltaTest, OfAnUntouchedDiskIsQuiet) {
  ExpectDelta(1);
  EXPECT_THAT(world_.warnings.lines, IsEmpty());
}

TEST_F(DeltaTest, OfMostOfADiskIsAResync) {
  world_.ChangeMost();
  ExpectDelta(2);
  EXPECT_THAT(world_.warnings.lines, ElementsAre(HasSubstr("a resync is required")));
  EXPECT_EQ(world_.CurrentItem().resync, ResyncState::kNone);
}

TEST_F(DeltaTest, OfAReplacedDiskSaysSo) {
  ExpectDelta(1);
  world_.ReplaceDisk();
  ExpectDelta(2);
  EXPECT_THAT(world_.warnings.lines, ElementsAre(HasSubstr("another file")));
}

// Nobody knows which log the next one follows: it does without, and the point after is whole again.
TEST_F(DeltaTest, ADamagedNewestPointDocumentStopsNothing) {
  const Item item = world_.CurrentItem();
  const std::string points = world_.Path("vault/items/" + item.id.value + "/points");
  const std::string document = world_.FilesBelow(points).front();
  const auto file = memory_.Open(document, {.mode = OpenMode::kWrite}).value();
  const std::vector<std::byte> wrong = {std::byte{'x'}};
  testing::MustSucceed(file->WriteAt(20, wrong));
  world_.Change();
  ASSERT_TRUE(world_.Delta(memory_));
  EXPECT_THAT(world_.warnings.lines, Contains(HasSubstr("without a change log")));
  world_.ExpectNewestPointOfNow();
}

// The VM's folder lies on a file system that is read-only: the logs lie with the state.
TEST_F(DeltaTest, OfAReadOnlyFolderIsQuiet) {
  world_.Change();
  ReadOnlyFolder fs(memory_, world_.Path("vms"));
  ASSERT_TRUE(world_.Delta(fs));
  EXPECT_THAT(world_.warnings.lines, IsEmpty());
  world_.CheckPoints(2);
  world_.ExpectNoChangeLogs();
}

// A pass that found that a resync is due, and died, leaves it due.
TEST_F(DeltaTest, ARequiredResyncOutlivesItsProcess) {
  world_.ChangeMost();
  bool was_due = false;
  for (std::uint64_t call = 1; !was_due; call += 3) {
    FaultFileSystem faulty(memory_);
    faulty.DieAt(call);
    ASSERT_FALSE(world_.Delta(faulty));
    ASSERT_TRUE(faulty.has_failed()) << "no death leaves it due";
    was_due = world_.CurrentItem().resync == ResyncState::kInProgress;
  }
  world_.warnings.lines.clear();
  ExpectDelta(2);
  EXPECT_THAT(world_.warnings.lines, ElementsAre(HasSubstr("a resync is required")));
  EXPECT_EQ(world_.CurrentItem().resync, ResyncState::kNone);
}

TEST_F(DeltaTest, AResyncEndsWithANewPointThoughNothingChanged) {
  ASSERT_TRUE(world_.ResyncNow(memory_, /*deep=*/false));
  world_.CheckPoints(2);
}

// Only who reads the bytes sees that they are damaged.
TEST_F(DeltaTest, ADeepResyncSendsDamagedBytesAgain) {
  const std::string pages =
      world_.Path("vault/items/" + world_.CurrentItem().id.value + "/disks/root.vhd");
  const auto flip = [&] {
    std::vector<std::byte> byte(1);
    const auto file = memory_.Open(pages, {.mode = OpenMode::kWrite}).value();
    testing::MustSucceed(file->ReadAt(3 * kMiB, byte));
    byte[0] ^= std::byte{1};
    testing::MustSucceed(file->WriteAt(3 * kMiB, byte));
  };
  ASSERT_TRUE(world_.ResyncNow(memory_, /*deep=*/false));
  world_.CheckPoints(2);
  flip();
  ASSERT_TRUE(world_.ResyncNow(memory_, /*deep=*/true));
  EXPECT_THAT(world_.warnings.lines, ElementsAre(HasSubstr("were damaged")));
  world_.ExpectRolledBack();
  world_.ExpectNewestPointOfNow();
}

// Reads of the source that give other bytes each time: a point holds what its digests say.
TEST_F(DeltaTest, ASourceThatChangesUnderTheReaderMakesNoWrongPoint) {
  world_.Change();
  std::mt19937_64 random(5);
  FaultFileSystem fickle(memory_);
  fickle.after_read = [&](const std::string& path, std::uint64_t, MutableByteSpan bytes) {
    if (!path.ends_with("root.raw") || bytes.empty()) return;
    bytes[random() % bytes.size()] ^= std::byte{1};
  };
  ASSERT_TRUE(world_.Delta(fickle));
  world_.ExpectNewestPointWhole();
}

// The vault gives other bytes the second time: no restore says that it is done.
TEST_F(DeltaTest, AVaultThatGivesOtherBytesRestoresNothing) {
  FaultFileSystem fickle(memory_);
  fickle.after_read = [&](const std::string& path, std::uint64_t, MutableByteSpan bytes) {
    if (path.ends_with("root.vhd") && bytes.size() >= kChunkBytes) bytes[4711] ^= std::byte{1};
  };
  EXPECT_FALSE(world_.Restore(fickle));
  EXPECT_TRUE(world_.FilesBelow(world_.Path("out")).empty());
  ASSERT_TRUE(world_.Restore(memory_));
  world_.ExpectRestored();
}

}  // namespace
}  // namespace asr
