// A host with one VM, a vault and the state of this machine, for tests of whole jobs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/jobs/protect.h"
#include "core/jobs/recover.h"
#include "core/jobs/replicate.h"
#include "core/jobs/vaults.h"
#include "core/points/sealed_disk.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline constexpr std::uint64_t kWorldDiskBytes = 6 * kMiB + 512;

// A host with one VM, a vault and the state of this machine, below one temporary directory.
class ReplicationWorld {
 public:
  explicit ReplicationWorld(std::uint64_t seed) : random_(seed), content_(kWorldDiskBytes) {
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
      const std::uint64_t at = random_() % (kWorldDiskBytes / 512) * 512;
      const std::uint64_t length = std::min<std::uint64_t>(kWorldDiskBytes - at, 100 * kKiB);
      for (std::uint64_t k = 0; k < length; ++k) {
        content_[at + k] = i == 0 ? std::byte{0} : static_cast<std::byte>(random_());
      }
    }
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), directory_ / "vms/web/root.raw", content_));
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
    return Run(PosixFileSystem(), [&](Environment& environment) -> Status {
      ASR_CHECK(ConnectVault(environment, "v", directory_ / "vault"));
      return environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"});
    });
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
          std::vector<std::byte> bytes(kWorldDiskBytes);
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
    const auto text = ReadWholeFile(PosixFileSystem(), directory_ / "out/root.raw");
    ASSERT_TRUE(text) << text.error().Line();
    EXPECT_TRUE(std::ranges::equal(AsBytes(*text), content_));
  }

  // Nothing is left of any log, nor of what names it.
  void ExpectNoChangeLogs() const { EXPECT_EQ(ChangeLogs(), std::vector<std::string>()); }

  // Logs beside the disk, and documents of sets.
  [[nodiscard]] std::vector<std::string> ChangeLogs() const {
    std::vector<std::string> found;
    for (const std::string& folder : {directory_ / "vms", directory_ / machine}) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        const std::string path = entry.path();
        if (path.find(".hrl") != std::string::npos ||
            (path.find("/changes/") != std::string::npos && entry.is_regular_file())) {
          found.push_back(path);
        }
      }
    }
    return found;
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
  std::vector<std::vector<std::byte>> expected_;
  TempDir directory_;
  FakeClock clock_;
  std::mt19937_64 random_;
  std::vector<std::byte> content_;
  std::map<PointId, std::vector<std::byte>> models_;
};

}  // namespace asr::testing
