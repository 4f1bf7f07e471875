// A vault, a state directory and a live guest, driven by the executable as a user would. For tests
// that libvirt_lab.sh runs.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/guest_journal.h"
#include "tests/support/libvirt_lab.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

class LiveWorld {
 public:
  using Json = nlohmann::json;

  LiveWorld() {
    Asr("vault create lab --target " + directory_ / "vault");
    Asr("host add kvm1 --kind libvirt --uri qemu:///system");
    Asr("policy set gold");
  }

  [[nodiscard]] CommandOutput TryAsr(const std::string& words) const {
    return RunShell(fmt::format("{} {} --state-dir {} -y", ASR_BINARY, words, state_directory()));
  }
  std::string Asr(const std::string& words) const {
    const CommandOutput output = TryAsr(words);
    EXPECT_EQ(output.exit_code, 0) << "asr " << words << "\n" << output.text;
    return output.text;
  }
  // What it says on stdout alone; null if it fails.
  Json AsrJson(const std::string& words) const {
    const CommandOutput output =
        RunShell(fmt::format("{} {} --state-dir {} -y -o json 2>{}", ASR_BINARY, words,
                             state_directory(), directory_ / "stderr"));
    said_ = RunShell("cat " + directory_ / "stderr").text;
    EXPECT_EQ(output.exit_code, 0) << "asr " << words << "\n" << output.text << said_;
    return Json::parse(output.text, nullptr, false);
  }
  // What the last AsrJson said on stderr.
  [[nodiscard]] const std::string& said() const { return said_; }

  // Restores a point of the guest from a state directory that knows nothing but the vault, and
  // looks at what it holds.
  GuestJournal Restore(const LibvirtGuest& guest, const std::string& point, JournalState state) {
    const std::string to = directory_ / fmt::format("restored-{}", ++restores_);
    const std::string other = directory_ / fmt::format("state-{}", restores_);
    MustRunShell(
        fmt::format("{0} vault connect lab --target {1} --state-dir {2} && {0} restore "
                    "{3} --point {4} --to {5} --format raw --state-dir {2}",
                    ASR_BINARY, directory_ / "vault", other, guest.name(), point, to));
    std::vector<std::string> images;
    for (std::size_t i = 0; i < guest.disks().size(); ++i) {
      images.push_back(
          fmt::format("{}/vd{}.raw", to, static_cast<char>('a' + static_cast<int>(i))));
    }
    GuestJournal journal = ReadGuestJournal(images, state);
    MustRunShell(fmt::format("rm -r {} {}", to, other));
    return journal;
  }

  // By what was noted of changes alone, the replica is, to the last chunk, what the guest has.
  // Returns what the last cycle said. The guest's writer is stopped meanwhile.
  Json ExpectExact(const LibvirtGuest& guest) {
    guest.StopWriting();
    Json replicated;
    for (int i = 0; i < kMostTries; ++i) {
      const std::uint64_t written_bytes = guest.WrittenBytes();
      replicated = AsrJson("replicate " + guest.name());
      EXPECT_THAT(said_, ::testing::IsEmpty());
      const Json compared = AsrJson("resync " + guest.name() + " --now").at("stats");
      if (guest.WrittenBytes() != written_bytes) continue;  // its kernel has
      EXPECT_EQ(compared.at("bytesSent"), 0) << compared.dump();
      EXPECT_EQ(compared.at("bytesCleared"), 0);
      EXPECT_GT(compared.at("bytesRead").get<std::uint64_t>(), 500 * kKiB);
      guest.StartWriting();
      return replicated;
    }
    ADD_FAILURE() << guest.name() << " does not stop writing";
    return replicated;
  }

  // A point of now holds what was synced before, and the replica is exact.
  void ExpectGoesOn(const LibvirtGuest& guest) {
    const std::int64_t synced = guest.WaitForMoreSynced(2);
    const Json replicated = AsrJson("replicate " + guest.name());
    const GuestJournal journal =
        Restore(guest, replicated.at("point").at("id").get<std::string>(), JournalState::kCrash);
    EXPECT_EQ(journal.problem, "");
    EXPECT_GE(journal.SyncedNumber(), synced);
    ExpectExact(guest);
  }

  [[nodiscard]] std::string state_directory() const { return directory_ / "state"; }
  [[nodiscard]] const TempDir& directory() const { return directory_; }

 private:
  static constexpr int kMostTries = 5;

  TempDir directory_;
  mutable std::string said_;
  int restores_ = 0;
};

}  // namespace asr::testing
