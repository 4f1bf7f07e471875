// A restore that is killed in the middle of a disk goes on with what it has written.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>

#include <gtest/gtest.h>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/fs/file_system.h"
#include "storage/image/disk.h"
#include "tests/support/asr_process.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

class KilledRestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cli_.SetUpLab();
    std::mt19937_64 random(1);
    content_.resize(200 * kMiB);
    std::ranges::generate(content_, [&] { return static_cast<char>(random()); });
    std::ofstream(cli_.Path("vms/web/big.raw"), std::ios::binary) << content_;
    cli_.Json("enable web --policy gold");
  }

  std::unique_ptr<AsrProcess> Start(std::vector<std::string> words) {
    words.insert(words.end(), {"--state-dir", cli_.Path("state")});
    return std::make_unique<AsrProcess>(words, cli_.Path("output"));
  }

  // Kills a restore once it has written some of the big disk.
  void RestoreAndKill(const std::string& format) {
    const std::string partial = cli_.Path("out/big." + format + ".partial-" + format);
    const auto has_begun = [&] {
      const auto file = PosixFileSystem().Stat(partial);
      return file && file->allocated_bytes > 20 * kMiB;
    };
    // It may be done before we look.
    for (int i = 0; i < 10; ++i) {
      std::filesystem::remove_all(cli_.Path("out"));
      const auto process = Start({"restore", "web", "--to", cli_.Path("out"), "--format", format});
      for (int k = 0; k < 20000 && !has_begun(); ++k) {
        if (Exists(PosixFileSystem(), cli_.Path("out/big." + format))) break;
        SystemClock().SleepSeconds(0.001);
      }
      if (process->Kill() && Exists(PosixFileSystem(), partial)) return;
    }
    FAIL() << "every restore was done before it could be killed: "
           << cli_.ReadFile(cli_.Path("output"));
  }

  CliRunner cli_;
  std::string content_;
};

TEST_F(KilledRestoreTest, JobsResumeGoesOn) {
  RestoreAndKill("raw");
  const auto jobs = cli_.Json("jobs list");
  const std::string id = jobs[0]["id"];
  EXPECT_EQ(jobs[0]["type"], "Restore");
  const auto resume = Start({"jobs", "resume", id});
  ASSERT_EQ(resume->Wait(), 0) << cli_.ReadFile(cli_.Path("output"));
  EXPECT_TRUE(cli_.ReadFile(cli_.Path("out/big.raw")) == content_);
  const auto resumed = cli_.Json("jobs list")[0];
  EXPECT_EQ(resumed["state"], "Succeeded");
  EXPECT_GT(resumed["stats"]["bytesResumed"], 15 * kMiB);
  EXPECT_LT(resumed["stats"]["bytesRead"], 190 * kMiB);
  for (const auto& entry : std::filesystem::directory_iterator(cli_.Path("out"))) {
    EXPECT_EQ(entry.path().string().find(".partial"), std::string::npos) << entry.path();
  }
}

TEST_F(KilledRestoreTest, TheSameCommandGoesOnWithAVhdx) {
  RestoreAndKill("vhdx");
  const auto again = cli_.Json("restore web --to {dir}/out --format vhdx");
  EXPECT_GT(again["stats"]["bytesResumed"], 15 * kMiB) << again.dump();
  const auto disk = OpenDisk(PosixFileSystem(), cli_.Path("out/big.vhdx"));
  ASSERT_TRUE(disk) << disk.error().Line();
  std::string held(content_.size(), '\0');
  ASSERT_TRUE((*disk)->Read(0, std::as_writable_bytes(std::span(held.data(), held.size()))));
  EXPECT_TRUE(held == content_);
}

}  // namespace
}  // namespace asr::testing
