// The whole main job dies at each call to the file system in turn: enable, two deltas with
// retention, a restore. After each death the same command is run again and goes on, and every point
// that was sealed reads back bit by bit. The same with single calls that fail.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

#include "core/jobs/protect.h"
#include "core/jobs/recover.h"
#include "core/jobs/replicate.h"
#include "core/jobs/vaults.h"
#include "core/points/sealed_disk.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::FakeClock;
using testing::FaultFileSystem;
using testing::TempDir;

constexpr std::uint64_t kDiskBytes = 6 * kMiB + 512;

// A host with one VM, a vault and the state of this machine, below one temporary directory.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), content_(kDiskBytes) {
    EXPECT_TRUE(PosixFileSystem().CreateDirectories(directory_ / "vms/web"));
    clock_.Set(*ParseTime("2026-11-23T06:30:00Z"));
    Change();
    const Status made = Run(PosixFileSystem(), [&](Environment& environment) -> Status {
      ASR_CHECK(CreateVault(environment, "v", directory_ / "vault", DigestAlgorithm::kSha256));
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      Policy policy{.name = "p", .retention = {{std::chrono::minutes(20), {}}}};
      ASR_CHECK(vault->PutPolicy(policy));
      return environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"});
    });
    EXPECT_TRUE(made) << made.error().Line();
  }

  // Writes some of the disk anew; long before the next pass, so that stamps can be trusted.
  void Change() {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t at = random_() % (kDiskBytes / 512) * 512;
      const std::uint64_t length = std::min<std::uint64_t>(kDiskBytes - at, 100 * kKiB);
      for (std::uint64_t k = 0; k < length; ++k) {
        content_[at + k] = i == 0 ? std::byte{0} : static_cast<std::byte>(random_());
      }
    }
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), directory_ / "vms/web/root.raw", content_));
  }

  Status Run(FileSystem& fs, const std::function<Status(Environment&)>& verb) {
    ASR_TRY(const auto state, StateDatabase::Open(PosixFileSystem(), clock_, directory_ / "state"));
    Environment environment{.fs = fs,
                            .clock = clock_,
                            .state = *state,
                            .progress = NoProgress(),
                            .state_directory = directory_ / "state",
                            .stop = {}};
    return verb(environment);
  }

  static Status OutcomeOf(const Job& job) {
    return job.error ? Status(Fail(*job.error)) : Status();
  }

  Status Enable(FileSystem& fs) {
    return Run(fs, [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      auto job = EnableProtection(environment, *vault, {.vm = "web", .policy = "p"});
      // The death may have come after the last write: then there is nothing left to do.
      if (!job && job.error().code == ErrorCode::kItemExists) return {};
      ASR_CHECK(job);
      return OutcomeOf(*job);
    });
  }

  Status Delta(FileSystem& fs) {
    return Run(fs, [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto outcome, Replicate(environment, *vault, item));
      return OutcomeOf(outcome.job);
    });
  }

  Status Restore(FileSystem& fs) {
    return Run(fs, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const Job job,
              RestorePoint(environment, *vault, item,
                           {.point = {}, .directory = directory_ / "out", .overwrite = true}));
      return OutcomeOf(job);
    });
  }

  // Every point reads as the disk was when it was first seen; new ones hold the disk as it is now.
  void CheckPoints(std::size_t least) {
    const Status status = Run(PosixFileSystem(), [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const auto listing, vault->ListItems());
      std::size_t count = 0;
      for (const Item& item : listing.items) {
        ASR_TRY(const auto ids, vault->ListPointIds(item.id));
        count += ids.size();
        for (const PointId& id : ids) {
          ASR_TRY(const RecoveryPoint point, vault->ReadPoint(item.id, id));
          ASR_TRY(const auto sealed, SealedDisk::Open(*vault, point, point.disks[0]));
          std::vector<std::byte> bytes(kDiskBytes);
          ASR_CHECK(sealed->Read(0, bytes));
          const auto [known, is_new] = models_.try_emplace(id, content_);
          EXPECT_TRUE(bytes == known->second) << id.value << (is_new ? " (new)" : "");
        }
      }
      EXPECT_LE(listing.items.size(), 1U);
      EXPECT_GE(count, least);
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
  }

  void ExpectRestored() {
    const auto text = ReadWholeFile(PosixFileSystem(), directory_ / "out/root.raw");
    ASSERT_TRUE(text) << text.error().Line();
    EXPECT_TRUE(std::ranges::equal(AsBytes(*text), content_));
  }

  void Advance(std::chrono::minutes time) { clock_.Set(clock_.Now() + time); }

 private:
  TempDir directory_;
  FakeClock clock_;
  std::mt19937_64 random_;
  std::vector<std::byte> content_;
  std::map<PointId, std::vector<std::byte>> models_;
};

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
