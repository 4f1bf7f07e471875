// kill -9 of the executable at random moments of every verb that writes. After each, every point
// that was sealed reads back bit by bit, the same command run again succeeds, and nothing of what
// was cut off is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "core/jobs/vaults.h"
#include "core/points/sealed_disk.h"
#include "storage/fs/file_system.h"
#include "tests/support/asr_process.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;
using testing::AsrProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::vector<std::string>;
using Content = std::vector<std::byte>;

struct VmContent {
  std::map<std::string, Content> disks = {{"root", Content(5 * kMiB + 512)},
                                          {"data", Content(2 * kMiB)}};
  bool operator==(const VmContent&) const = default;
};

class KillWorld {
 public:
  // Without a target the vault is a directory.
  explicit KillWorld(std::uint64_t seed, const std::string& target = {}) : random_(seed) {
    std::filesystem::create_directories(directory_ / "vms/web");
    Change();
    const std::string vault = target.empty() ? directory_ / "vault" : target;
    MustSucceed({"vault", "create", "main", "--target", vault});
    MustSucceed({"host", "add", "lab", "--kind", "folder", "--path", directory_ / "vms"});
    MustSucceed({"policy", "set", "gold", "--frequency", "5m", "--retention", "24h"});
  }

  // Some of both disks, and what was zeros or becomes zeros.
  void Change() {
    for (auto& [name, content] : content_.disks) {
      for (int i = 0; i < 6; ++i) {
        const std::size_t at = random_() % (content.size() / 512) * 512;
        const std::size_t length = std::min<std::size_t>(content.size() - at, 150 * kKiB);
        const bool is_zeros = i == 0;
        for (std::size_t k = 0; k < length; ++k) {
          content[at + k] = is_zeros ? std::byte{0} : static_cast<std::byte>(random_());
        }
      }
      ASSERT_TRUE(
          WriteFileAtomic(PosixFileSystem(), directory_ / ("vms/web/" + name + ".raw"), content));
    }
  }

  // One point is kept per interval; 0: all.
  void KeepOnePer(std::chrono::seconds interval) {
    InVault([&](Environment&, Vault& vault) -> Status {
      ASR_TRY(Policy policy, vault.FindPolicy("gold"));
      policy.retention = {{std::chrono::hours(24), interval}};
      return vault.PutPolicy(policy);
    });
  }

  // How long the command took.
  double MustSucceed(const Words& words) {
    const auto begun = steady_clock::now();
    const auto process = Start(words);
    EXPECT_EQ(process->Wait(), 0) << words[0] << ": " << Output();
    return duration<double>(steady_clock::now() - begun).count();
  }

  // Kills the command after so many seconds; false if it had ended before.
  bool KillAfter(const Words& words, double seconds) {
    const auto process = Start(words);
    SystemClock().SleepSeconds(seconds);
    return process->Kill();
  }

  // The same command again. What it had done to the end, it need not do again.
  void RunAgain(const Words& words) {
    const auto process = Start(words);
    const int exit_code = process->Wait();
    if (words[0] == "enable" && exit_code == 4) {
      EXPECT_THAT(Output(), HasSubstr("ASR2202"));
    } else if (words[0] == "disable" && exit_code == 3) {
      EXPECT_THAT(Output(), HasSubstr("ASR2201"));
    } else {
      EXPECT_EQ(exit_code, 0) << words[0] << ": " << Output();
    }
  }

  // Every point reads as the VM was when it was first seen, which is soon after it was sealed; new
  // ones hold what the VM holds now. Those that were there are there, unless they `may_go`.
  void CheckPoints(bool may_go) {
    std::set<PointId> found;
    InVault([&](Environment& environment, Vault& vault) -> Status {
      ASR_TRY(const auto listing, vault.ListItems());
      EXPECT_THAT(listing.unreadable, IsEmpty());
      EXPECT_LE(listing.items.size(), 1U);
      for (const Item& item : listing.items) {
        ASR_TRY(const auto ids, vault.ListPointIds(item.id));
        for (const PointId& id : ids) {
          ASR_TRY(const VmContent content, ReadPoint(vault, item, id));
          const auto [known, is_new] = models_.try_emplace(id, content_);
          EXPECT_TRUE(content == known->second) << id.value << (is_new ? " (new)" : "");
          found.insert(id);
        }
      }
      return CheckJobs(environment);
    });
    for (auto model = models_.begin(); model != models_.end();) {
      const bool is_there = found.contains(model->first);
      EXPECT_TRUE(is_there || may_go) << "lost: " << model->first.value;
      model = is_there ? std::next(model) : models_.erase(model);
    }
  }

  void ExpectNewestPointIsTheVm() const {
    ASSERT_FALSE(models_.empty());
    EXPECT_TRUE(std::prev(models_.end())->second == content_);
  }

  void ExpectRestored() const {
    ASSERT_FALSE(models_.empty());
    for (const auto& [name, expected] : std::prev(models_.end())->second.disks) {
      const auto text = ReadWholeFile(PosixFileSystem(), directory_ / ("out/" + name + ".raw"));
      ASSERT_TRUE(text) << text.error().Line();
      EXPECT_TRUE(std::ranges::equal(AsBytes(*text), expected)) << name;
    }
  }

  // Logs, files that were to be renamed, documents of changes.
  void ExpectNothingLeftOver() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      const std::string path = entry.path();
      const bool is_change =
          path.find("/state/changes/") != std::string::npos && !path.ends_with(".lock");
      if (path.find(".hrl") != std::string::npos || path.find(".tmp") != std::string::npos ||
          path.find(".partial") != std::string::npos || (is_change && entry.is_regular_file())) {
        found.push_back(path);
      }
    }
    EXPECT_THAT(found, IsEmpty());
  }

  [[nodiscard]] std::size_t point_count() const { return models_.size(); }
  [[nodiscard]] std::string Path(const std::string& name) const { return directory_ / name; }
  double RandomPart() { return std::uniform_real_distribution<double>(0, 1)(random_); }

 private:
  std::unique_ptr<AsrProcess> Start(Words words) const {
    words.insert(words.end(), {"--state-dir", directory_ / "state"});
    return std::make_unique<AsrProcess>(words, directory_ / "output");
  }

  [[nodiscard]] std::string Output() const {
    return ReadWholeFile(PosixFileSystem(), directory_ / "output").value_or("no output");
  }

  void InVault(const std::function<Status(Environment&, Vault&)>& work) {
    const auto run = [&]() -> Status {
      ASR_TRY(const auto state,
              StateDatabase::Open(PosixFileSystem(), SystemClock(), directory_ / "state"));
      Environment environment{.fs = PosixFileSystem(),
                              .clock = SystemClock(),
                              .state = *state,
                              .progress = NoProgress(),
                              .state_directory = directory_ / "state",
                              .stop = {}};
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      return work(environment, *vault);
    };
    const Status status = run();
    EXPECT_TRUE(status) << status.error().Line();
  }

  static Result<VmContent> ReadPoint(Vault& vault, const Item& item, const PointId& id) {
    VmContent content;
    ASR_TRY(const RecoveryPoint point, vault.ReadPoint(item.id, id));
    EXPECT_EQ(point.disks.size(), content.disks.size());
    for (const PointDisk& disk : point.disks) {
      ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
      ASR_CHECK(sealed->Read(0, content.disks.at(disk.name.value)));
    }
    return content;
  }

  // Whoever was killed is seen to be, and can be run again.
  static Status CheckJobs(Environment& environment) {
    ASR_TRY(const auto jobs, environment.state.ListJobs({.item = {}, .state = {}, .since = {}}));
    for (const Job& job : jobs) {
      EXPECT_TRUE(HasEnded(job.state)) << JobStateName(job.state);
      if (job.state != JobState::kFailed) continue;
      EXPECT_EQ(job.error->code, ErrorCode::kJobInterrupted) << job.error->Line();
      EXPECT_TRUE(job.retryable);
      EXPECT_THAT(job.error->action, HasSubstr("asr jobs resume " + job.id.value));
    }
    return {};
  }

  testing::TempDir directory_;
  std::mt19937_64 random_;
  VmContent content_;
  std::map<PointId, VmContent> models_;
};

struct Step {
  Words words;
  std::function<void(KillWorld&)> prepare;
  std::function<void(KillWorld&)> check;  // of what must hold once the command succeeded
  bool may_remove_points = false;
};

// A life of the VM in the vault, from enable to disable.
std::vector<Step> StepsOfALife(const KillWorld& world) {
  const auto change = [](KillWorld& w) { w.Change(); };
  const auto nothing = [](KillWorld&) {};
  const auto newest_is_the_vm = [](KillWorld& w) { w.ExpectNewestPointIsTheVm(); };
  const Step enable{{"enable", "web", "--policy", "gold"}, change, newest_is_the_vm};
  const Step replicate{{"replicate", "web"}, change, newest_is_the_vm};
  const Step restore{{"restore", "web", "--to", world.Path("out"), "--force"},
                     nothing,
                     [](KillWorld& w) { w.ExpectRestored(); }};
  const Step prune{{"points", "prune", "web", "-y"},
                   [](KillWorld& w) { w.KeepOnePer(std::chrono::hours(1)); },
                   [](KillWorld& w) {
                     // The newest ones, and one or two for the hours.
                     EXPECT_LE(w.point_count(), kLeastPointsOfAnItem + 2);
                     w.ExpectNewestPointIsTheVm();
                     w.KeepOnePer(std::chrono::seconds(0));
                   },
                   true};
  const Step disable{{"disable", "web", "-y"},
                     nothing,
                     [](KillWorld& w) { EXPECT_EQ(w.point_count(), 0U); },
                     true};
  return {enable,    replicate, restore,   replicate, replicate, replicate,
          replicate, prune,     replicate, restore,   disable};
}

#ifdef ASR_SANITIZED
constexpr int kKillsOfANight = 200;  // a sanitized process takes much longer to start
#else
constexpr int kKillsOfANight = 1000;
#endif

int PlannedKills() {
  if (std::getenv("ASR_NIGHTLY") != nullptr) return kKillsOfANight;
  return std::getenv("ASR_FEW_CALLS") != nullptr ? 20 : 100;
}

std::uint64_t Seed() {
  const char* given = std::getenv("ASR_KILL_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

// Kills the life's verbs in turn, `planned` times in all.
void KillAndRunAgain(KillWorld& world, int planned) {
  const auto begun = steady_clock::now();
  const std::vector<Step> life = StepsOfALife(world);
  std::vector<double> usual_seconds;
  for (const Step& step : life) {
    step.prepare(world);
    // The first time is the slowest.
    usual_seconds.push_back(0.8 * world.MustSucceed(step.words));
    world.CheckPoints(step.may_remove_points);
    step.check(world);
    world.ExpectNothingLeftOver();
  }
  int hits = 0;
  for (int kill = 0; kill < planned && !::testing::Test::HasFailure(); ++kill) {
    const std::size_t at = static_cast<std::size_t>(kill) % life.size();
    const Step& step = life[at];
    step.prepare(world);
    const double moment = world.RandomPart() * usual_seconds[at];
    const bool hit = world.KillAfter(step.words, moment);
    hits += hit ? 1 : 0;
    // The machine is not always as fast: whoever comes too late tries earlier next time.
    usual_seconds[at] *= hit ? 1.02 : 0.8;
    world.CheckPoints(step.may_remove_points);
    world.RunAgain(step.words);
    world.CheckPoints(step.may_remove_points);
    step.check(world);
    world.ExpectNothingLeftOver();
    if (::testing::Test::HasFailure()) {
      std::cout << "kill " << kill << ": " << step.words[0] << " after " << moment << " s\n";
    }
  }
  const double seconds = duration<double>(steady_clock::now() - begun).count();
  std::cout << planned << " kills, " << hits << " of a running process, " << seconds << " s\n";
  EXPECT_GE(hits, planned * 6 / 10);
}

TEST(KillTest, NoMomentToDieLosesAPointOrNeedsRepair) {
  const std::uint64_t seed = Seed();
  std::cout << "ASR_KILL_SEED=" << seed << "\n";
  KillWorld world(seed);
  KillAndRunAgain(world, PlannedKills());
}

TEST(AzureKillTest, NoMomentToDieLosesAPointOrNeedsRepair) {
  const std::uint64_t seed = Seed();
  std::cout << "ASR_KILL_SEED=" << seed << "\n";
  testing::PageBlobServer server;
  ::setenv("AZURE_STORAGE_CONNECTION_STRING", server.ConnectionString().c_str(), 1);
  KillWorld world(seed, server.url() + "/vault");
  KillAndRunAgain(world, PlannedKills() / 3);
}

// Of a slow line, a killed process wastes what it had in flight and not noted yet, and no more.
TEST(AzureKillTest, WhatWasSentIsNotSentAgain) {
  constexpr std::uint64_t kDiskBytes = 96 * kMiB;
  constexpr double kLineBytesPerSecond = 12.0 * kMiB;
  testing::TempDir directory;
  std::filesystem::create_directories(directory / "vms/web");
  Content content(kDiskBytes);
  std::mt19937_64 random(1);
  std::ranges::generate(content, [&] { return static_cast<std::byte>(random()); });
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), directory / "vms/web/root.raw", content));
  testing::PageBlobServer server;
  ::setenv("AZURE_STORAGE_CONNECTION_STRING", server.ConnectionString().c_str(), 1);
  const auto start = [&](Words words) {
    words.insert(words.end(), {"--state-dir", directory / "state"});
    return std::make_unique<AsrProcess>(words, directory / "output");
  };
  ASSERT_EQ(start({"vault", "create", "main", "--target", server.url() + "/vault"})->Wait(), 0);
  ASSERT_EQ(start({"host", "add", "lab", "--kind", "folder", "--path", directory / "vms"})->Wait(),
            0);
  ASSERT_EQ(start({"policy", "set", "gold"})->Wait(), 0);
  server.SetLink(kLineBytesPerSecond, 0);
  const auto sent_bytes = [&] {
    std::uint64_t sum = 0;
    for (const auto& record : server.Log()) {
      if (record.blob.ends_with(".vhd")) sum += record.received_bytes;
    }
    return sum;
  };
  // What was sent is noted every four seconds, once all that was begun is there. More was sent
  // since: that note is whole. The digests' header, and what is announced, come before the data.
  const auto is_noted = [&] {
    std::uint64_t sum = 0;
    bool has_note = false;
    for (const auto& record : server.Log()) {
      if (record.blob.ends_with(".vhd")) {
        if (has_note && record.received_bytes > 0) return true;
        sum += record.received_bytes;
      }
      has_note |= record.blob.ends_with(".digests") && record.received_bytes > 0 &&
                  static_cast<double>(sum) >= 3 * kLineBytesPerSecond;
    }
    return false;
  };
  {
    const auto killed = start({"enable", "web", "--policy", "gold"});
    while (sent_bytes() < 64 * kMiB || !is_noted()) SystemClock().SleepSeconds(0.02);
    ASSERT_TRUE(killed->Kill());
  }
  // The log tells of what was in flight once the server has seen that nobody is there.
  SystemClock().SleepSeconds(1);
  const std::uint64_t before = sent_bytes();
  EXPECT_GE(before, 4 * kLineBytesPerSecond);
  const auto again = start({"enable", "web", "--policy", "gold", "-o", "json"});
  const int exit_code = again->Wait();
  const std::string output = ReadWholeFile(PosixFileSystem(), directory / "output").value();
  ASSERT_EQ(exit_code, 0) << output;
  const std::uint64_t resumed_bytes = nlohmann::json::parse(output)["stats"]["bytesResumed"];
  EXPECT_GE(resumed_bytes, 3 * kLineBytesPerSecond);
  EXPECT_LE(sent_bytes(), kDiskBytes + (before - resumed_bytes) + kMiB);
  EXPECT_LE(before - resumed_bytes, 3.5 * kLineBytesPerSecond);
}

}  // namespace
}  // namespace asr
