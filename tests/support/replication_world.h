// A host with one VM, a vault and the state of this machine, for tests of whole jobs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/jobs/protect.h"
#include "core/jobs/prune.h"
#include "core/jobs/replicate.h"
#include "core/jobs/restore.h"
#include "core/jobs/resync.h"
#include "core/jobs/rollback.h"
#include "core/jobs/vaults.h"
#include "core/points/sealed_disk.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline constexpr std::uint64_t kWorldDiskBytes = 6 * kMiB + 512;

// A host with one VM, a vault and the state of this machine, below one temporary directory.
class ReplicationWorld {
 public:
  // Vault, VM and change logs lie on `disk`; the state's database, which SQLite keeps safe, does
  // not.
  explicit ReplicationWorld(std::uint64_t seed, FileSystem& disk = PosixFileSystem())
      : disk_(disk), random_(seed), content_(kWorldDiskBytes) {
    EXPECT_TRUE(disk_.CreateDirectories(directory_ / "vms/web"));
    EXPECT_TRUE(WriteFileAtomic(disk_, directory_ / "vms/web/root.raw", content_));
    clock_.Set(*ParseTime("2026-11-23T06:30:00Z"));
    Change();
    const Status made = Run(disk_, [&](Environment& environment) -> Status {
      ASR_CHECK(CreateVault(environment, "v", directory_ / "vault", DigestAlgorithm::kSha256));
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      Policy policy{.name = "p", .retention = {{std::chrono::minutes(20), {}}}};
      ASR_CHECK(vault->PutPolicy(policy));
      return environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"});
    });
    EXPECT_TRUE(made) << made.error().Line();
  }

  // Writes some of the disk anew, as a guest does.
  void Change() {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t at = random_() % (kWorldDiskBytes / 512) * 512;
      const std::uint64_t length = std::min<std::uint64_t>(kWorldDiskBytes - at, 100 * kKiB);
      for (std::uint64_t k = 0; k < length; ++k) {
        content_[at + k] = i == 0 ? std::byte{0} : static_cast<std::byte>(random_());
      }
    }
    WriteDisk();
  }

  // The disk grows, over the end of a MiB, and the VM gets another one.
  void GrowAndAddDisk() {
    for (int k = 0; k < 3 * 1024 * 1024; ++k) content_.push_back(static_cast<std::byte>(random_()));
    WriteDisk();
    const std::vector<std::byte> added(kMiB + 1536, std::byte{7});
    ASSERT_TRUE(WriteFileAtomic(disk_, directory_ / "vms/web/data.raw", added));
  }
  // The newest point has both as they are now.
  void ExpectBothDisks() {
    ASSERT_TRUE(Restore(disk_));
    ExpectRestored();
    const auto added = ReadWholeFile(disk_, directory_ / "out/data.raw");
    ASSERT_TRUE(added) << added.error().Line();
    EXPECT_EQ(*added, std::string(kMiB + 1536, '\7'));
  }

  // Writes over half of the disk anew.
  void ChangeMost() {
    for (std::uint64_t k = 0; k < kWorldDiskBytes * 3 / 4; ++k) {
      content_[k] = static_cast<std::byte>(random_());
    }
    WriteDisk();
  }

  // Writes all of these bytes anew.
  void ChangeAt(std::uint64_t offset_bytes, std::uint64_t length_bytes) {
    for (std::uint64_t k = 0; k < length_bytes; ++k) {
      content_[offset_bytes + k] ^= static_cast<std::byte>(random_() | 1);
    }
    WriteDisk();
  }

  [[nodiscard]] FileSystem& disk() { return disk_; }

  // As a pass that is cut after some groups: they are in the live replica, and no point is sealed.
  void SendHalf() {
    const Status status = Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto lease, vault->LeaseItem(item));
      ASR_TRY(const auto replicas, OpenReplicas(*vault, *lease, /*create=*/false));
      const std::vector<ChangedChunks> changes = {{.group = 0, .chunk_mask = 0xFF}};
      ASR_CHECK(replicas[0]->Prepare(changes));
      return replicas[0]->Write(0, ByteSpan(content_).first(3 * kChunkBytes));
    });
    EXPECT_TRUE(status) << status.error().Line();
  }

  // Another file with other content takes the disk's place.
  void ReplaceDisk() {
    content_[kMiB] ^= std::byte{1};
    ASSERT_TRUE(WriteFileAtomic(disk_, directory_ / "vms/web/root.raw", content_));
  }

  Status Run(FileSystem& fs, const std::function<Status(Environment&)>& verb) {
    ASR_TRY(const auto state, StateDatabase::Open(PosixFileSystem(), clock_, directory_ / machine));
    Environment environment{.fs = fs,
                            .clock = clock_,
                            .state = *state,
                            .progress = warnings,
                            .state_directory = directory_ / machine,
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

  // An image of which the disk shares half, and which has data where the disk has zeros.
  void WriteSeed() {
    std::vector<std::byte> seed = content_;
    for (std::uint64_t k = kMiB; k < kWorldDiskBytes / 2; ++k) seed[k] |= std::byte{0x10};
    EXPECT_TRUE(WriteFileAtomic(disk_, directory_ / "seed.raw", seed));
  }
  Status EnableFromSeed(FileSystem& fs) {
    return Run(fs, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      auto job = EnableProtection(
          environment, *vault,
          {.vm = "web", .policy = "p", .seed = {.seeds = {directory_ / "seed.raw"}}});
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

  // For a machine that knows nothing yet.
  Status AddVaultAndHost() {
    return Run(disk_, [&](Environment& environment) -> Status {
      ASR_CHECK(ConnectVault(environment, "v", directory_ / "vault"));
      return environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"});
    });
  }

  Status ResyncNow(FileSystem& fs, bool deep) {
    return Run(fs, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto outcome, Resync(environment, *vault, item, deep));
      return OutcomeOf(outcome.job);
    });
  }

  Status RollBack(FileSystem& fs) {
    return Run(fs, [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const Job job, RollBackItem(environment, *vault, item));
      return OutcomeOf(job);
    });
  }

  Status Prune(FileSystem& fs) {
    return Run(fs, [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const Job job, PrunePoints(environment, *vault, item, LostPoints::kRefuse));
      return OutcomeOf(job);
    });
  }
  std::size_t PointCount() {
    std::size_t count = 0;
    const Status status = Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto ids, vault->ListPointIds(item.id));
      count = ids.size();
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    return count;
  }

  // The live replica is what the newest point is, and says so.
  void ExpectRolledBack() {
    const Status status = Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto lease, vault->LeaseItem(item));
      ASR_TRY(const auto replicas, OpenReplicas(*vault, *lease, /*create=*/false));
      ASR_TRY(const auto newest, vault->NewestPoint(item.id));
      ASR_TRY(const bool holds, replicas[0]->HoldsPoint(newest->id));
      EXPECT_TRUE(holds);
      ASR_TRY(const auto sealed, SealedDisk::Open(*vault, *newest, newest->disks[0]));
      std::vector<std::byte> live(kWorldDiskBytes);
      std::vector<std::byte> point(kWorldDiskBytes);
      ASR_CHECK(replicas[0]->Read(0, live));
      ASR_CHECK(sealed->Read(0, point));
      EXPECT_TRUE(live == point);
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
  }

  // The newest point reads as its digests say.
  void ExpectNewestPointWhole() { ASSERT_TRUE(Restore(disk_)); }
  // The newest point holds what the disk does now; older ones may have been damaged.
  void ExpectNewestPointOfNow() {
    ASSERT_TRUE(Restore(disk_));
    ExpectRestored();
  }

  Status Disable(FileSystem& fs) {
    return Run(fs, [](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const Job job, DisableProtection(environment, *vault, item, /*keep_data=*/true));
      return OutcomeOf(job);
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
    const Status status = Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const auto listing, vault->ListItems());
      std::size_t count = 0;
      for (const Item& item : listing.items) {
        ASR_TRY(const auto ids, vault->ListPointIds(item.id));
        count += ids.size();
        for (const PointId& id : ids) {
          ASR_TRY(const RecoveryPoint point, vault->ReadPoint(item.id, id));
          ASR_TRY(const auto sealed, SealedDisk::Open(*vault, point, point.disks[0]));
          std::vector<std::byte> bytes(point.disks[0].size_bytes);
          ASR_CHECK(sealed->Read(0, bytes));
          const bool is_waited_for = std::ranges::find(expected_, bytes) != expected_.end();
          const auto [known, is_new] = models_.try_emplace(id, is_waited_for ? bytes : content_);
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
    const auto text = ReadWholeFile(disk_, directory_ / "out/root.raw");
    ASSERT_TRUE(text) << text.error().Line();
    EXPECT_TRUE(std::ranges::equal(AsBytes(*text), content_));
  }

  // Nothing is left of any log, nor of what names it.
  void ExpectNoChangeLogs() const { EXPECT_EQ(ChangeLogs(), std::vector<std::string>()); }

  // Logs beside the disk, and documents of sets.
  [[nodiscard]] std::vector<std::string> ChangeLogs() const {
    std::vector<std::string> found;
    for (const std::string& path : FilesBelow(directory_ / "vms")) {
      if (path.find(".hrl") != std::string::npos) found.push_back(path);
    }
    for (const std::string& path : FilesBelow(directory_ / machine + "/changes")) {
      if (!path.ends_with(".lock")) found.push_back(path);
    }
    return found;
  }

  [[nodiscard]] std::vector<std::string> FilesBelow(const std::string& folder) const {
    std::vector<std::string> files;
    const auto entries = disk_.List(folder);
    if (!entries) return files;
    for (const DirectoryEntry& entry : *entries) {
      const std::string path = JoinPath(folder, entry.name);
      if (!entry.is_directory) files.push_back(path);
      if (entry.is_directory) std::ranges::copy(FilesBelow(path), std::back_inserter(files));
    }
    return files;
  }

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_ / name; }

  // The item as the vault has it.
  Item CurrentItem() {
    Item item;
    const Status status = Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(item, vault->FindItem("web"));
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    return item;
  }

  // Remembers what the disk holds now; a point may be sealed of it later, when it holds more.
  void ExpectPointOfNow() { expected_.push_back(content_); }

  void Advance(std::chrono::minutes time) { clock_.Set(clock_.Now() + time); }

  std::string machine = "state";  // of this machine; another name is another machine

  // What the last verbs warned of.
  struct Warnings : ProgressSink {
    void TaskStarted(const std::string&, std::uint64_t) override {}
    void TaskAdvanced(std::uint64_t) override {}
    void TaskEnded(bool) override {}
    void Warn(const std::string& message) override { lines.push_back(message); }
    std::vector<std::string> lines;
  };
  Warnings warnings;

 private:
  void WriteDisk() {
    const auto file = disk_.Open(directory_ / "vms/web/root.raw", {.mode = OpenMode::kWrite});
    ASSERT_TRUE(file && (*file)->WriteAt(0, content_) && (*file)->Sync());
  }

  FileSystem& disk_;
  std::vector<std::vector<std::byte>> expected_;
  TempDir directory_;
  FakeClock clock_;
  std::mt19937_64 random_;
  std::vector<std::byte> content_;
  std::map<PointId, std::vector<std::byte>> models_;
};

}  // namespace asr::testing
