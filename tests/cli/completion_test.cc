// What `asr __complete` offers for lines that are being typed.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_table.h"
#include "cli/options.h"
#include "core/state/state_database.h"
#include "tests/support/asr_process.h"
#include "tests/support/cli_runner.h"
#include "tests/support/fake_clock.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

class CompletionTest : public ::testing::Test {
 protected:
  // Lines as they are printed.
  Words Lines(const Words& typed) {
    Words words = {"__complete", "--"};
    words.insert(words.end(), typed.begin(), typed.end());
    const CommandResult result = cli.RunWords(words);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    Words lines;
    std::istringstream stream(result.out);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  // Without their descriptions.
  Words Complete(const Words& typed) {
    Words values;
    for (const std::string& line : Lines(typed)) values.push_back(line.substr(0, line.find('\t')));
    return values;
  }

  void AddVm(const std::string& host_directory, const std::string& name) {
    std::filesystem::create_directories(cli.Path(host_directory + "/" + name));
    cli.WriteFile(host_directory + "/" + name + "/root.raw", std::string(kMiB, 'x'));
  }

  // A job of VM web, started `second` s after the hour.
  void AddJob(const std::string& id, JobState state, int second) {
    FakeClock clock;
    auto database = StateDatabase::Open(PosixFileSystem(), clock, cli.Path("state"));
    ASSERT_TRUE(database.has_value());
    Job job;
    job.id = {id};
    job.type = "Replicate";
    job.item = "web";
    job.vault = "main";
    job.state = state;
    job.start_time = *ParseTime("2026-11-23T06:00:00.000Z") + std::chrono::seconds{second};
    ASSERT_TRUE((*database)->InsertJob(job).has_value());
  }

  CliRunner cli;
};

TEST_F(CompletionTest, FirstWordsAreNounsAndVerbsEachOnce) {
  Words expected = FirstWords();
  expected.emplace_back("help");
  EXPECT_EQ(Complete({""}), expected);
  EXPECT_EQ(Complete({}), expected);
  EXPECT_THAT(Complete({"re"}), ElementsAre("replicate", "resync", "resume", "restore"));
  EXPECT_THAT(Lines({"enab"}), ElementsAre(StartsWith("enable\tProtect a VM")));
}

TEST_F(CompletionTest, VerbsFollowTheirNounInEitherSpelling) {
  for (const char* noun : {"policy", "policies"}) {
    EXPECT_THAT(Complete({noun, ""}), ElementsAre("set", "list", "show", "delete"));
  }
  EXPECT_THAT(Complete({"job", "re"}), ElementsAre("retry", "resume"));
  EXPECT_THAT(Complete({"help", "host", "a"}), ElementsAre("add"));
  EXPECT_THAT(Complete({"wrong", ""}), IsEmpty());
  EXPECT_THAT(Complete({"vault", "wrong", ""}), IsEmpty());
}

TEST_F(CompletionTest, OptionsAreThoseOfTheVerbThenThoseOfAll) {
  Words expected = {"--policy", "--exclude-disk", "--seed", "--seed-credential"};
  for (const std::string& name : GlobalOptionNames()) expected.push_back(name);
  EXPECT_EQ(Complete({"enable", "web", "--"}), expected);
  EXPECT_EQ(Complete({"enable", "web", "-"}), expected);
  // Where no argument can follow, they are what can.
  EXPECT_THAT(Complete({"enable", "web", ""}),
              ElementsAre("--policy", "--exclude-disk", "--seed", "--seed-credential"));
  EXPECT_THAT(Complete({"vault", "--deb"}), ElementsAre("--debug"));
}

TEST_F(CompletionTest, OptionsAreNotOfferedTwiceUnlessTheyMayBeGivenTwice) {
  const Words typed = {"enable", "--policy=gold", "-y", "--exclude-disk", "a", "web", "--"};
  EXPECT_THAT(Complete(typed), AllOf(Not(Contains("--policy")), Not(Contains("--yes")),
                                     Contains("--exclude-disk"), Contains("--quiet")));
}

TEST_F(CompletionTest, NothingIsAnOptionBehindTwoDashes) {
  EXPECT_THAT(Complete({"resync", "web", "--", "--"}), IsEmpty());
  EXPECT_THAT(Complete({"resync", "web", "--", ""}), IsEmpty());
}

TEST_F(CompletionTest, ValuesOfOptionsInEveryForm) {
  const Words formats = {"table", "json", "yaml", "tsv", "none"};
  EXPECT_EQ(Complete({"vault", "list", "-o", ""}), formats);
  EXPECT_EQ(Complete({"--output", ""}), formats);
  EXPECT_EQ(Complete({"-qo", ""}), formats);
  EXPECT_THAT(Complete({"vault", "list", "--output=j"}), ElementsAre("--output=json"));
  EXPECT_THAT(Complete({"vault", "list", "-oj"}), ElementsAre("-ojson"));
  EXPECT_THAT(Complete({"restore", "web", "--format", "vhd"}),
              ElementsAre("vhd", "vhd-dynamic", "vhdx"));
  EXPECT_THAT(Complete({"jobs", "list", "--state=F"}), ElementsAre("--state=Failed"));
  EXPECT_THAT(Complete({"completion", ""}), ElementsAre("bash", "zsh", "fish", "powershell"));
  EXPECT_THAT(Complete({"config", "set", "output", "y"}), ElementsAre("yaml"));
}

TEST_F(CompletionTest, PathsAreLeftToTheShell) {
  EXPECT_THAT(Lines({"hrl", "show", ""}), ElementsAre(":files"));
  EXPECT_THAT(Lines({"restore", "web", "--to", "/srv"}), ElementsAre(":directories"));
  EXPECT_THAT(Lines({"--state-dir=/t"}), ElementsAre(":directories"));
  EXPECT_THAT(Lines({"vault", "create", "main", "--target", ""}), ElementsAre(":directories"));
}

TEST_F(CompletionTest, NamesOfVaultsHostsPoliciesAndVms) {
  cli.SetUpLab();
  AddVm("vms", "my vm");
  EXPECT_THAT(Complete({"vault", "use", ""}), ElementsAre("main"));
  EXPECT_THAT(Complete({"config", "set", "vault", ""}), ElementsAre("main"));
  EXPECT_THAT(Complete({"--vault", "m"}), ElementsAre("main"));
  EXPECT_THAT(Complete({"host", "show", ""}), ElementsAre("lab"));
  EXPECT_THAT(Complete({"vm", "list", "--host", ""}), ElementsAre("lab"));
  EXPECT_THAT(Complete({"enable", "web", "--policy", ""}), ElementsAre("gold"));
  EXPECT_THAT(Complete({"enable", ""}), ElementsAre("my vm", "web"));
  EXPECT_THAT(Complete({"vm", "show", "lab/w"}), ElementsAre("lab/web"));
  EXPECT_THAT(Complete({"replicate", ""}), IsEmpty());  // none is protected
  EXPECT_THAT(Complete({"policy", "delete", "gold", ""}), IsEmpty());
}

TEST_F(CompletionTest, VmsThatShareANameAreOfferedWithTheirHosts) {
  cli.SetUpLab();
  AddVm("others", "web");
  cli.Json("host add other --kind folder --path {dir}/others");
  EXPECT_THAT(Complete({"vm", "show", ""}), ElementsAre("lab/web", "other/web"));
}

TEST_F(CompletionTest, ItemsTheirPointsAndTheirDisks) {
  cli.SetUpLab();
  cli.Json("enable web --policy gold");
  cli.WriteDisk("root.raw", 0, "changed");
  const std::string point = cli.Json("replicate web")["point"]["id"];
  EXPECT_THAT(Complete({"replicate", ""}), ElementsAre("web"));
  EXPECT_THAT(Lines({"items", "show", "w"}), ElementsAre("web\tProtected"));
  const Words points = Complete({"points", "show", "web", ""});
  ASSERT_EQ(points.size(), 5U);
  EXPECT_THAT(Words(points.begin(), points.begin() + 4),
              ElementsAre("latest", "latest-processed", "latest-app", point));
  EXPECT_LT(points[4], point);
  EXPECT_THAT(Complete({"restore", "web", "--point", point}), ElementsAre(point));
  EXPECT_THAT(Complete({"restore", "web", "--point=" + point.substr(0, 6)}),
              ElementsAre("--point=" + point, "--point=" + points[4]));
  EXPECT_THAT(Complete({"restore", "--point", "2"}), IsEmpty());  // of which VM?
  EXPECT_THAT(Complete({"restore", "web", "--disk", ""}), ElementsAre("data", "root"));
}

TEST_F(CompletionTest, TheVaultOfTheLineIsTheOneThatIsAsked) {
  cli.SetUpLab();
  cli.Json("vault create second --target {dir}/second");
  cli.Json("policy set silver --vault second");
  const Words names_policy = {"policy", "show", ""};
  EXPECT_THAT(Complete(names_policy), ElementsAre("gold"));
  EXPECT_THAT(Complete({"--vault", "second", "policy", "show", ""}), ElementsAre("silver"));
  EXPECT_THAT(Complete({"policy", "--vault=second", "show", ""}), ElementsAre("silver"));
  cli.variables["ASR_VAULT"] = "second";
  EXPECT_THAT(Complete(names_policy), ElementsAre("silver"));
  EXPECT_THAT(Complete({"policy", "show", "--vault=main", ""}), ElementsAre("gold"));
  cli.variables.erase("ASR_VAULT");
  cli.Json("config set vault second");
  EXPECT_THAT(Complete(names_policy), ElementsAre("silver"));
  cli.variables.erase("ASR_STATE_DIR");
  EXPECT_THAT(Complete({"host", "show", "--state-dir", cli.Path("state"), ""}), ElementsAre("lab"));
}

TEST_F(CompletionTest, JobsAreThoseThatTheVerbCanTake) {
  AddJob("20261123T060001-aaaaaa", JobState::kSucceeded, 1);
  AddJob("20261123T060002-bbbbbb", JobState::kFailed, 2);
  AddJob("20261123T060003-cccccc", JobState::kCancelled, 3);
  AddJob("20261123T060004-dddddd", JobState::kInProgress, 4);  // of this process: it runs
  EXPECT_THAT(Complete({"jobs", "show", ""}),
              ElementsAre("20261123T060004-dddddd", "20261123T060003-cccccc",
                          "20261123T060002-bbbbbb", "20261123T060001-aaaaaa"));
  EXPECT_THAT(Complete({"jobs", "retry", ""}),
              ElementsAre("20261123T060003-cccccc", "20261123T060002-bbbbbb"));
  EXPECT_THAT(Complete({"jobs", "cancel", ""}), ElementsAre("20261123T060004-dddddd"));
  EXPECT_THAT(Lines({"jobs", "show", "20261123T060002"}),
              ElementsAre(StartsWith("20261123T060002-bbbbbb\tReplicate web, Failed, ")));
}

TEST_F(CompletionTest, OldJobsAreFoundByTheirBeginning) {
  AddJob("20261122T060000-oldest", JobState::kSucceeded, 0);
  for (int i = 1; i <= 120; ++i) {
    AddJob(fmt::format("20261123T06{:04}-aaaaaa", i), JobState::kSucceeded, i);
  }
  EXPECT_EQ(Complete({"jobs", "show", ""}).size(), 100U);
  EXPECT_THAT(Complete({"jobs", "show", "20261122"}), ElementsAre("20261122T060000-oldest"));
}

TEST_F(CompletionTest, NothingIsCreatedOrWritten) {
  EXPECT_THAT(Complete({"vault", "use", ""}), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(cli.Path("state")));
  cli.SetUpLab();
  cli.Json("enable web --policy gold");
  const auto before = cli.Tree("");
  for (const Words& typed : std::vector<Words>{{"vault", "use", ""},
                                               {"vm", "show", ""},
                                               {"points", "show", "web", ""},
                                               {"jobs", "show", ""},
                                               {"jobs", "retry", ""},
                                               {"policy", "show", ""}}) {
    Complete(typed);
  }
  EXPECT_EQ(cli.Tree(""), before);
}

TEST_F(CompletionTest, WhatCannotBeReachedIsLeftOutInSilence) {
  cli.SetUpLab();
  cli.Json("enable web --policy gold");
  std::filesystem::rename(cli.Path("vault"), cli.Path("away"));
  EXPECT_THAT(Complete({"replicate", ""}), IsEmpty());
  EXPECT_THAT(Complete({"points", "show", "web", "latest-"}),
              ElementsAre("latest-processed", "latest-app"));
  EXPECT_THAT(Complete({"policy", "show", "--credential", "x", "--debug", ""}), IsEmpty());
  std::filesystem::remove_all(cli.Path("vms"));
  EXPECT_THAT(Complete({"enable", ""}), IsEmpty());
  cli.variables["ASR_OUTPUT"] = "nonsense";
  EXPECT_THAT(Complete({"vault", "use", ""}), ElementsAre("main"));
  cli.WriteFile("state/state.db", "no database");
  EXPECT_THAT(Complete({"vault", "use", ""}), IsEmpty());
}

TEST_F(CompletionTest, NamesThatWouldSpoilTheListAreLeftOut) {
  cli.SetUpLab();
  AddVm("vms", "two\nlines");
  AddVm("vms", "a\ttab");
  EXPECT_THAT(Complete({"vm", "show", ""}), ElementsAre("web"));
}

// A pipe that is full and not read stands for every place that does not answer.
TEST_F(CompletionTest, AShellIsNeverHeldUp) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const std::string block(4096, 'x');
  while (::write(ends[1], block.data(), block.size()) > 0) {
  }
  ::fcntl(ends[1], F_SETFL, 0);
  const auto started = std::chrono::steady_clock::now();
  AsrProcess asr({"__complete", "--", ""}, "/proc/self/fd/" + std::to_string(ends[1]));
  EXPECT_EQ(asr.Wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds{30});
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace asr::testing
