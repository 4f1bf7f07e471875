// `asr doctor`: what is wrong with this machine, its hosts and its vaults.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

class DoctorTest : public ::testing::Test {
 protected:
  // The entry of that name; null if there is none.
  static Json Entry(const Json& entries, const std::string& name) {
    for (const Json& entry : entries) {
      if (entry["name"] == name) return entry;
    }
    return nullptr;
  }
  static std::string StateOf(const Json& entries, const std::string& name) {
    const Json entry = Entry(entries, name);
    return entry.is_null() ? "none" : entry["state"].get<std::string>();
  }
  Json Look(int exit_code = 0) {
    const CommandResult result = cli.Run("doctor -o json");
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return result.OutJson();
  }

  CliRunner cli;
};

TEST_F(DoctorTest, OfAMachineThatWorksNothingIsBroken) {
  cli.SetUpLab();
  cli.Json("enable web --policy gold");
  const auto before = cli.Tree("vault");
  const Json entries = Look();
  for (const char* name : {"State directory", "Database", "Clock", "Library libnbd",
                           "Program qemu-img", "Vault main", "Host lab"}) {
    EXPECT_EQ(StateOf(entries, name), "ok") << name << entries.dump(2);
  }
  EXPECT_EQ(StateOf(entries, "Agent"), "warning");
  EXPECT_THAT(Entry(entries, "Agent")["action"].get<std::string>(), HasSubstr("agent"));
  EXPECT_EQ(cli.Tree("vault"), before);
  const CommandResult table = cli.Run("doctor");
  EXPECT_THAT(table.out, StartsWith("State"));
  EXPECT_THAT(table.out, HasSubstr("What to do"));
}

TEST_F(DoctorTest, OfAnEmptyMachineItSaysWhatToDoFirst) {
  const Json entries = Look();
  EXPECT_EQ(StateOf(entries, "Vaults"), "warning");
  EXPECT_EQ(StateOf(entries, "Hosts"), "warning");
  EXPECT_EQ(StateOf(entries, "Agent"), "ok");
}

TEST_F(DoctorTest, WhatDoesNotWorkEndsItWith1) {
  cli.SetUpLab();
  std::filesystem::rename(cli.Path("vault"), cli.Path("elsewhere"));
  std::filesystem::rename(cli.Path("vms"), cli.Path("gone"));
  const Json entries = Look(1);
  EXPECT_EQ(StateOf(entries, "Vault main"), "broken");
  EXPECT_EQ(StateOf(entries, "Host lab"), "broken");
  const CommandResult result = cli.Run("doctor");
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("ERROR ASR9004"), HasSubstr("2 thing(s)"), HasSubstr("Host lab: ")));
}

TEST_F(DoctorTest, AFrozenGuestThatACutCycleLeftIsNamed) {
  cli.SetUpLab();
  std::filesystem::create_directories(cli.Path("state/frozen"));
  cli.WriteFile("state/frozen/web-1a2b3c4d", "7");
  const Json entry = Entry(Look(), "Frozen guest");
  EXPECT_EQ(entry["state"], "warning");
  EXPECT_THAT(entry["detail"].get<std::string>(), HasSubstr("web-1a2b3c4d"));
}

}  // namespace
}  // namespace asr::testing
