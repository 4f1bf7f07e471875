// What scripts rely on: keys, formats, exit codes, options anywhere, questions, dry runs.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "cli/command_table.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

constexpr const char* kTime = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z";

class ContractTest : public ::testing::Test {
 protected:
  CliRunner cli;
};

TEST_F(ContractTest, JsonKeysAreThoseOfTheManual) {
  cli.SetUpLab();
  const Json job = cli.Json("enable web --policy gold");
  EXPECT_THAT(Keys(job), ElementsAre("id", "type", "item", "state", "retryable", "startTime",
                                     "endTime", "tasks", "error", "stats"));
  EXPECT_THAT(Keys(job["tasks"][0]),
              ElementsAre("name", "state", "bytesDone", "bytesTotal", "error"));
  EXPECT_THAT(Keys(job["stats"]), ElementsAre("bytesRead", "bytesSent", "bytesSkipped", "bytesZero",
                                              "bytesCleared", "bytesResumed", "bytesSeeded"));
  EXPECT_THAT(job["startTime"].get<std::string>(), MatchesRegex(kTime));
  const Json item = cli.Json("items show web");
  EXPECT_THAT(Keys(item), ElementsAre("id", "name", "host", "vault", "policy", "protectionState",
                                      "replicationHealth", "resyncState", "testFailoverState",
                                      "activeLocation", "allowedOperations", "healthErrors",
                                      "disks", "latestPoint", "rpoSeconds", "backlogBytes",
                                      "backlogPoints", "backlogBytesPerSecond", "targetSettings",
                                      "testFailover", "pausedSince", "missedCycles", "retry"));
  EXPECT_THAT(Keys(item["targetSettings"]),
              ElementsAre("memoryBytes", "cpuCount", "network", "signOfLife", "signOfLifeSeconds"));
  EXPECT_THAT(Keys(item["disks"][0]), ElementsAre("name", "path", "sizeBytes"));
  const Json point = item["latestPoint"];
  EXPECT_THAT(Keys(point),
              ElementsAre("id", "time", "consistency", "item", "new", "disks", "nvram",
                          "frozenMilliseconds", "changedBytes", "sealed", "held", "proof"));
  EXPECT_THAT(point["id"].get<std::string>(), MatchesRegex("[0-9]{8}T[0-9]{6}[.][0-9]{3}Z"));
  EXPECT_THAT(point["time"].get<std::string>(), MatchesRegex(kTime));
  EXPECT_THAT(Keys(point["disks"][0]), ElementsAre("name", "sizeBytes"));
  const Json vm = cli.Json("vm show web");
  EXPECT_THAT(Keys(vm),
              ElementsAre("name", "host", "state", "protectable", "reasons", "generation",
                          "cpuCount", "memoryBytes", "machineType", "networkCards", "disks"));
  EXPECT_THAT(Keys(vm["disks"][0]), ElementsAre("name", "path", "format", "sizeBytes", "bus"));
}

TEST_F(ContractTest, EmptyListsAreEmptyArrays) {
  EXPECT_EQ(cli.Run("vault list -o json").out, "[]\n");
  EXPECT_EQ(cli.Run("host list -o json").out, "[]\n");
  EXPECT_EQ(cli.Run("vm list -o json").out, "[]\n");
  EXPECT_EQ(cli.Run("jobs list -o json").out, "[]\n");
  cli.Json("vault create main --target {dir}/vault");
  EXPECT_EQ(cli.Run("policy list -o json").out, "[]\n");
  EXPECT_EQ(cli.Run("items list -o json").out, "[]\n");
}

TEST_F(ContractTest, AllFiveFormats) {
  cli.SetUpLab();
  const std::string target = "file://" + cli.Path("vault");
  EXPECT_THAT(cli.Run("vault list").out, StartsWith("Name  Target"));
  EXPECT_EQ(Json::parse(cli.Run("vault list -o json").out)[0]["target"], target);
  EXPECT_EQ(YAML::Load(cli.Run("vault list -o yaml").out)[0]["target"].as<std::string>(), target);
  EXPECT_THAT(cli.Run("vault list -o tsv").out, StartsWith("main\t" + target + "\ttrue\t"));
  EXPECT_EQ(cli.Run("vault list -o none").out, "");
}

TEST_F(ContractTest, OptionsStandAnywhere) {
  cli.SetUpLab();
  cli.variables.erase("ASR_STATE_DIR");
  for (const char* line : {"--state-dir {dir}/state -o json vm show web",
                           "vm --state-dir={dir}/state show -o json web",
                           "vm show web --output=json --state-dir {dir}/state",
                           "vms show -ojson web --state-dir {dir}/state"}) {
    EXPECT_EQ(cli.Run(line).OutJson()["name"], "web") << line;
  }
}

TEST_F(ContractTest, NounsAreSpelledEitherWay) {
  cli.SetUpLab();
  for (const char* line : {"vaults list", "hosts list", "vms list", "policies list", "item list",
                           "items list", "job list", "jobs list"}) {
    EXPECT_EQ(cli.Run(line).exit_code, 0) << line;
  }
}

TEST_F(ContractTest, WhatIsWrongOnItsFaceIs2AndCreatesNothing) {
  for (const char* line : {"frobnicate",
                           "vault",
                           "vault frob",
                           "vault create",
                           "vault create main",
                           "vault create main --target s3://bucket",
                           "vault create main --target https://a/b",
                           "vault create main --target file://relative",
                           "vault create ../x --target {dir}/v",
                           "vault create main --target {dir}/v --digest md5",
                           "vault list extra",
                           "vault list --frob",
                           "host add lab --kind hyperv --path {dir}",
                           "host add lab --kind folder",
                           "policy set gold --frequency 1s",
                           "policy set gold --frequency often",
                           "policy set gold --retention 5x",
                           "policy set gold --app-consistent 5m",
                           "policy set gold --start 25:00",
                           "policy set gold --frequency 25h",
                           "restore web",
                           "restore web --to {dir}/o --format qcow3",
                           "restore web --to {dir}/o --point yesterday",
                           "points list web --limit 0",
                           "points list web --limit many",
                           "points list web --since then",
                           "points show web never",
                           "points verify web never",
                           "points verify",
                           "jobs list --state Done",
                           "test-failover web --wait-seconds 0",
                           "vault list -o xml",
                           "vault list -o",
                           "failover web",
                           "failback web",
                           "disable web",
                           "vault delete main",
                           "items delete web",
                           "config set colour red"}) {
    const CommandResult result = cli.Run(line);
    EXPECT_EQ(result.exit_code, 2) << line << "\n" << result.err;
    EXPECT_EQ(result.out, "") << line;
    EXPECT_THAT(result.err, StartsWith("ERROR ASR")) << line;
    EXPECT_THAT(result.err, HasSubstr("What to do: ")) << line;
  }
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(cli.Path("v")));
}

TEST_F(ContractTest, WhatDoesNotExistIs3) {
  EXPECT_EQ(cli.Run("items list").exit_code, 3);  // no vault at all
  cli.SetUpLab();
  for (const char* line : {"vault show nope",
                           "vault use nope",
                           "vault disconnect nope",
                           "vault delete nope -y",
                           "vault connect x --target {dir}/nowhere",
                           "host show nope",
                           "host remove nope",
                           "host add h2 --kind folder --path {dir}/nowhere",
                           "vm show nope",
                           "vm list --host nope",
                           "policy show nope",
                           "policy delete nope",
                           "check nope",
                           "check web --policy nope",
                           "enable nope --policy gold",
                           "enable web --policy nope",
                           "replicate nope",
                           "disable nope -y",
                           "items show nope",
                           "items delete nope -y",
                           "points list nope",
                           "points verify nope",
                           "vault check nope",
                           "restore nope --to {dir}/o",
                           "test-failover nope",
                           "test-failover-cleanup nope",
                           "jobs show nope",
                           "items list --vault nope"}) {
    const CommandResult result = cli.Run(line);
    EXPECT_EQ(result.exit_code, 3) << line << "\n" << result.err;
    EXPECT_THAT(result.err, StartsWith("ERROR ASR")) << line;
  }
  EXPECT_EQ(cli.Run("enable web --policy gold").exit_code, 0);
  EXPECT_EQ(cli.Run("points show web 20000101T000000.000Z").exit_code, 3);
  EXPECT_EQ(cli.Run("points show web 2000-01-01T00:00:00Z").exit_code, 3);
  EXPECT_EQ(cli.Run("points verify web 20000101T000000.000Z").exit_code, 3);
  EXPECT_EQ(cli.Run("restore web --to {dir}/o --disk nope").exit_code, 3);
}

TEST_F(ContractTest, CreatingAgainIsFineWithTheSameAnd4WithOther) {
  cli.SetUpLab();
  EXPECT_EQ(cli.Run("vault create main --target file://{dir}/vault").exit_code, 0);
  EXPECT_EQ(cli.Run("vault create main --target {dir}/other").exit_code, 4);
  EXPECT_EQ(cli.Run("vault create main --target {dir}/vault --digest xxh3").exit_code, 4);
  EXPECT_EQ(cli.Run("host add lab --kind folder --path {dir}/vms").exit_code, 0);
  EXPECT_EQ(cli.Run("host add lab --kind folder --path {dir}").exit_code, 4);
  EXPECT_EQ(cli.Run("enable web --policy gold").exit_code, 0);
  EXPECT_EQ(cli.Run("policy delete gold").exit_code, 4);
}

TEST_F(ContractTest, PolicySetKeepsWhatIsNotGiven) {
  cli.SetUpLab();
  const Json made = cli.Json("policy set p --frequency 15m --retention 1h:all,24h:30m");
  EXPECT_EQ(made["frequencySeconds"], 900);
  const Json changed = cli.Json("policy set p --app-consistent 2h");
  EXPECT_EQ(changed["frequencySeconds"], 900);
  EXPECT_EQ(changed["retention"], made["retention"]);
  EXPECT_EQ(changed["appConsistentSeconds"], 7200);
  EXPECT_EQ(changed["retryDelays"], "1m,2m,4m,8m,10m,30m");
  const Json delayed = cli.Json("policy set p --retry-delays 5s,60s,24h");
  EXPECT_EQ(delayed["retryDelays"], "5s,1m,24h");
  EXPECT_EQ(delayed["appConsistentSeconds"], 7200);
  EXPECT_EQ(cli.Json("policy show p"), delayed);
  EXPECT_EQ(cli.Json("policy set p --frequency 10m")["retryDelays"], "5s,1m,24h");
  EXPECT_EQ(cli.Run("policy set p --retry-delays 25h").exit_code, 2);
  EXPECT_EQ(cli.Run("policy set p --retry-delays soon").exit_code, 2);
}

TEST_F(ContractTest, NoWaitNeedsAnAgent) {
  for (const char* line : {"enable web --policy gold --no-wait", "replicate web --no-wait",
                           "restore web --to {dir}/o --no-wait", "points verify web --no-wait",
                           "disable web -y --no-wait"}) {
    const CommandResult result = cli.Run(std::string(line) + " -o json");
    EXPECT_EQ(result.exit_code, 4) << line;
    EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR5003") << line;
  }
}

TEST_F(ContractTest, LossIsNamedAndAskedForOnATerminal) {
  cli.SetUpLab();
  ASSERT_EQ(cli.Run("enable web --policy gold").exit_code, 0);
  EXPECT_EQ(cli.Run("disable web -o json").ErrJson()["error"]["code"], "ASR9002");
  cli.terminal = {.in_is_terminal = true, .out_is_terminal = true, .err_is_terminal = true};
  for (const char* answer : {"n\n", "\n", "", "what\n"}) {
    cli.typed = answer;
    const CommandResult no = cli.Run("disable web");
    EXPECT_EQ(no.exit_code, 130);
    EXPECT_THAT(no.err, HasSubstr("replica of VM web (2 disks, 4.0 MiB) in vault main and its 1"));
    EXPECT_THAT(no.err, HasSubstr("[y/N]"));
  }
  EXPECT_EQ(cli.Json("items list").size(), 1U);
  cli.typed = "y\n";
  EXPECT_EQ(cli.Run("disable web").exit_code, 0);
  EXPECT_EQ(cli.Json("items list").size(), 0U);
  cli.typed = "n\n";
  EXPECT_EQ(cli.Run("vault delete main").exit_code, 130);
  EXPECT_TRUE(std::filesystem::exists(cli.Path("vault/vault.json")));
  cli.typed = "yes\n";
  EXPECT_EQ(cli.Run("vault delete main").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(cli.Path("vault")));
}

TEST_F(ContractTest, DryRunsChangeNothing) {
  EXPECT_EQ(cli.Run("vault create main --target {dir}/vault --dry-run").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(cli.Path("vault")));
  EXPECT_FALSE(std::filesystem::exists(cli.Path("state")));
  cli.SetUpLab();
  const auto expect_no_change = [&](const std::string& line) {
    const auto vault_before = cli.Tree("vault");
    const Json jobs_before = cli.Json("jobs list");
    const Json plan = cli.Json(line + " --dry-run");
    EXPECT_THAT(Keys(plan), ElementsAre("plan", "warnings")) << line;
    ASSERT_FALSE(plan["plan"].empty()) << line;
    EXPECT_THAT(Keys(plan["plan"][0]), ElementsAre("step", "item", "disk", "bytes", "seconds"));
    EXPECT_EQ(cli.Tree("vault"), vault_before) << line;
    EXPECT_EQ(cli.Json("jobs list"), jobs_before) << line;
    EXPECT_EQ(cli.Json("host list").size(), 1U) << line;
    EXPECT_EQ(cli.Json("vault list").size(), 1U) << line;
  };
  expect_no_change("enable web --policy gold");
  expect_no_change("policy delete gold");
  expect_no_change("policy set new");
  expect_no_change("host remove lab");
  expect_no_change("host add lab2 --kind folder --path {dir}");
  expect_no_change("vault disconnect main");
  ASSERT_EQ(cli.Run("enable web --policy gold").exit_code, 0);
  cli.WriteDisk("root.raw", 0, "x");
  expect_no_change("replicate web");
  expect_no_change("points hold web");
  expect_no_change("points verify web");
  expect_no_change("test-failover web");
  expect_no_change("restore web --to {dir}/out");
  EXPECT_FALSE(std::filesystem::exists(cli.Path("out")));
  expect_no_change("disable web");
  expect_no_change("disable web --keep-data");
  expect_no_change("vault delete main");
  ASSERT_EQ(cli.Run("disable web --keep-data").exit_code, 0);
  expect_no_change("items delete web");
}

TEST_F(ContractTest, TypingErrorsAreAnsweredWithTheNearest) {
  EXPECT_THAT(cli.Run("valt list").err, HasSubstr("did you mean 'vault'?"));
  // Words of other tools, whose commands are there.
  for (const auto& [word, command] :
       {std::pair{"logout", "credential remove"}, std::pair{"protect", "enable"},
        std::pair{"snapshots", "points list"}, std::pair{"sync", "replicate"}}) {
    EXPECT_THAT(cli.Run(word).err, HasSubstr(std::string("did you mean '") + command + "'?"));
    EXPECT_EQ(cli.Run(std::string(command) + " --help").exit_code, 0);
  }
  EXPECT_THAT(cli.Run("vault lsit").err, HasSubstr("did you mean 'list'?"));
  EXPECT_THAT(cli.Run("replicte web").err, HasSubstr("did you mean 'replicate'?"));
  EXPECT_THAT(cli.Run("vault list --quite").err, HasSubstr("did you mean '--quiet'?"));
  EXPECT_THAT(cli.Run("--quite vault list").err, HasSubstr("did you mean '--quiet'?"));
}

TEST_F(ContractTest, MistypedNamesAreAnsweredWithTheNearest) {
  cli.SetUpLab();
  cli.Json("enable web --policy gold");
  const std::string point = cli.Json("points list web")[0]["id"];
  const std::string job = cli.Json("jobs list")[0]["id"];
  const std::string end_of_job = job.substr(1);
  for (const auto& [line, nearest] : std::vector<std::pair<std::string, std::string>>{
           {"vm show wbe", "'web'"},
           {"items show wbe", "'web'"},
           {"policy show golt", "'gold'"},
           {"enable web --policy golt", "'gold'"},
           {"vault show mian", "main"},
           {"policy list --vault mian", "main"},
           {"host show lba", "lab"},
           {"vm list --host lba", "lab"},
           {"points show web 20200101T" + point.substr(9), "'" + point + "'"},
           {"jobs show " + end_of_job, job},
       }) {
    const CommandResult result = cli.Run(line);
    EXPECT_EQ(result.exit_code, 3) << line;
    EXPECT_THAT(result.err, HasSubstr("did you mean " + nearest + "?")) << line;
  }
  const CommandResult word = cli.Run("points show web latets");
  EXPECT_EQ(word.exit_code, 2);
  EXPECT_THAT(word.err, HasSubstr("did you mean 'latest'?"));
}

TEST_F(ContractTest, SettingsAreDefaultsOfOptions) {
  cli.SetUpLab();
  cli.Json("vault create second --target {dir}/second");
  cli.Json("config set vault second");
  EXPECT_EQ(cli.Json("policy list"), Json::array());
  EXPECT_EQ(cli.Json("policy list --vault main").size(), 1U);
  cli.variables["ASR_VAULT"] = "main";
  EXPECT_EQ(cli.Json("policy list").size(), 1U);
  cli.Json("config set output json");
  EXPECT_EQ(cli.Run("policy list").OutJson().size(), 1U);
  EXPECT_THAT(cli.Run("policy list -o table").out, StartsWith("Name"));
  EXPECT_EQ(cli.Run("policy show nope").ErrJson()["error"]["code"], "ASR2101");
}

TEST_F(ContractTest, OnlyTheAddressedVaultIsOpened) {
  cli.SetUpLab();
  cli.Json("vault create gone --target {dir}/gone");
  std::filesystem::remove_all(cli.Path("gone"));
  EXPECT_EQ(cli.Run("items list").exit_code, 0);
  EXPECT_EQ(cli.Run("vault list").exit_code, 0);
  EXPECT_NE(cli.Run("items list --vault gone").exit_code, 0);
  EXPECT_EQ(cli.Run("vault disconnect gone").exit_code, 0);
}

TEST_F(ContractTest, ColoursOnlyOnATerminalThatMayHaveThem) {
  cli.SetUpLab();
  ASSERT_EQ(cli.Run("enable web --policy gold").exit_code, 0);
  EXPECT_THAT(cli.Run("items list").out, Not(HasSubstr("\x1b")));
  cli.terminal = {.out_is_terminal = true, .width = 100};
  EXPECT_THAT(cli.Run("items list").out, HasSubstr("\x1b[32mProtected"));
  EXPECT_THAT(cli.Run("items list --no-color").out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(cli.Run("items list -o json").out, Not(HasSubstr("\x1b")));
  cli.variables["NO_COLOR"] = "1";
  EXPECT_THAT(cli.Run("items list").out, Not(HasSubstr("\x1b")));
}

TEST_F(ContractTest, EveryCommandHasHelpWithAnExampleThatParses) {
  for (const Command& command : Commands()) {
    const CommandResult help = cli.Run(command.path + " --help");
    EXPECT_EQ(help.exit_code, 0) << command.path;
    EXPECT_THAT(help.out, HasSubstr("usage: asr " + command.path));
    EXPECT_THAT(help.out, HasSubstr("example: asr " + command.example));
    EXPECT_THAT(command.example, StartsWith(command.path));
  }
  EXPECT_EQ(cli.Run("").out, cli.Run("--help").out);
  EXPECT_EQ(cli.Run("help vault create").out, cli.Run("vault create -h").out);
  for (const char* group : {"\nSet up:\n", "\nProtect:\n", "\nRecover:\n", "\nLook:\n"}) {
    EXPECT_THAT(cli.Run("").out, HasSubstr(group));
  }
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
}

// The page that documents a verb: that of its noun, else asr.1.
std::string PageOf(const std::string& path) {
  const std::size_t blank = path.find(' ');
  return blank == std::string::npos ? "asr.1" : "asr-" + path.substr(0, blank) + ".1";
}

std::vector<std::string> OptionsOf(const Command& command) {
  VerbArguments arguments;
  const VerbRunner owner = command.declare(arguments);
  std::vector<std::string> options;
  for (const auto& declaration : arguments.declarations()) {
    if (declaration.kind == VerbArguments::Declaration::Kind::kPositional) continue;
    options.push_back(declaration.name.substr(1));
  }
  return options;
}

TEST_F(ContractTest, TheManualNamesEveryCommandAndOption) {
  for (const Command& command : Commands()) {
    const std::string manual = cli.ReadFile(ASR_SOURCE_DIR "/man/" + PageOf(command.path));
    const std::size_t begin = std::min(manual.find(".It Ic " + command.path + " "),
                                       manual.find(".It Ic " + command.path + "\n"));
    ASSERT_NE(begin, std::string::npos) << command.path << " in " << PageOf(command.path);
    const std::string entry = manual.substr(begin, manual.find(".It Ic ", begin + 1) - begin);
    for (const std::string& option : OptionsOf(command)) {
      EXPECT_THAT(entry, HasSubstr("Fl " + option)) << command.path;
    }
  }
  const std::string manual = cli.ReadFile(ASR_SOURCE_DIR "/man/asr.1");
  for (const std::string& option : GlobalOptionNames()) {
    EXPECT_THAT(manual, HasSubstr(" -" + option.substr(2))) << option;
  }
}

TEST_F(ContractTest, TheManualNamesNoCommandOrOptionThatIsNot) {
  const std::regex head("\\.It Ic ((?:[a-z-]+ ?)+)((?:[^\n]|\\\\\n)*)");
  const std::regex option("Fl (-[a-z-]+)");
  std::size_t found_heads = 0;
  for (const auto& file : std::filesystem::directory_iterator(ASR_SOURCE_DIR "/man")) {
    if (file.path().extension() != ".1") continue;
    const std::string manual = cli.ReadFile(file.path().string());
    for (std::sregex_iterator entry(manual.begin(), manual.end(), head), end; entry != end;
         ++entry) {
      std::string path = (*entry)[1];
      path.erase(path.find_last_not_of(' ') + 1);
      const auto& commands = Commands();
      const auto command =
          std::find_if(commands.begin(), commands.end(),
                       [&](const Command& candidate) { return candidate.path == path; });
      ASSERT_NE(command, commands.end()) << path << " in " << file.path();
      ++found_heads;
      const std::string rest = (*entry)[2];
      for (std::sregex_iterator named(rest.begin(), rest.end(), option); named != end; ++named) {
        EXPECT_THAT(OptionsOf(*command), Contains((*named)[1].str())) << path;
      }
    }
  }
  EXPECT_EQ(found_heads, Commands().size());
}

TEST_F(ContractTest, Version) {
  EXPECT_THAT(cli.Run("--version").out, MatchesRegex("asr [0-9]+[.][0-9]+[.][0-9]+\n"));
  EXPECT_THAT(Keys(cli.Json("--version")), ElementsAre("version"));
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
}

// The executable itself: wiring of streams, environment and exit codes.
struct Finished {
  int exit_code = 0;
  std::string out;
};

Finished Shell(const std::string& command) {
  Finished finished;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    finished.out.append(buffer.data(), count);
  }
  const int status = ::pclose(pipe);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

TEST(BinaryTest, RunsCommandsAndEndsWithTheirCodes) {
  const TempDir directory;
  const std::string asr = "ASR_STATE_DIR=" + directory / "state" + " " ASR_BINARY " ";
  EXPECT_EQ(Shell(asr + "vault create main --target " + directory / "vault").exit_code, 0);
  EXPECT_EQ(Json::parse(Shell(asr + "vault list -o json").out)[0]["name"], "main");
  EXPECT_EQ(Shell(asr + "frob 2>/dev/null").exit_code, 2);
  EXPECT_EQ(Shell(asr + "vm show nope 2>/dev/null").exit_code, 3);
  const Finished refused = Shell(asr + "vault create main --target /elsewhere 2>&1 >/dev/null");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.out, StartsWith("ERROR ASR2002"));
  EXPECT_EQ(Shell(asr + "vault delete main </dev/null 2>/dev/null").exit_code, 2);
}

TEST(BinaryTest, AResultThatCannotBeWrittenIsAFailure) {
  EXPECT_EQ(Shell(ASR_BINARY " --version >/dev/full 2>/dev/null").exit_code, 1);
}

}  // namespace
}  // namespace asr::testing
