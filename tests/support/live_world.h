// A vault, a state directory and a live guest, driven by the executable as a user would. For tests
// that libvirt_lab.sh runs.
#pragma once

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

  [[nodiscard]] std::string state_directory() const { return directory_ / "state"; }
  [[nodiscard]] const TempDir& directory() const { return directory_; }

 private:
  TempDir directory_;
  mutable std::string said_;
  int restores_ = 0;
};

}  // namespace asr::testing
