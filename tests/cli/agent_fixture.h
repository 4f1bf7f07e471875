// A real agent on a folder host.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {

using Json = nlohmann::ordered_json;

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cli.variables["ASR_STATE_DIR"] = cli.Path("state");
    cli.Json("vault create main --target {dir}/vault");
    std::filesystem::create_directories(cli.Path("vms"));
    cli.Json("host add lab --kind folder --path {dir}/vms");
    cli.Json("policy set fast --frequency 5s --retention 10m");
  }

  void AddVm(const std::string& name, std::size_t mib = 1, const std::string& policy = "fast") {
    std::filesystem::create_directories(cli.Path("vms/" + name));
    std::vector<std::uint64_t> block(kMiB / sizeof(std::uint64_t));
    std::ofstream file(cli.Path("vms/" + name + "/root.raw"), std::ios::binary);
    for (std::size_t i = 0; i < mib; ++i) {
      std::ranges::generate(block, std::ref(random_));
      file.write(reinterpret_cast<const char*>(block.data()), kMiB);
    }
    file.close();
    if (!policy.empty()) cli.Json("enable " + name + " --policy " + policy);
  }

  // A protected VM whose next cycle takes a while: a disk of zeros became full of other bytes.
  void AddBusyVm(const std::string& name, std::size_t mib, const std::string& policy = "fast") {
    std::filesystem::create_directories(cli.Path("vms/" + name));
    cli.WriteFile("vms/" + name + "/root.raw", "");
    std::filesystem::resize_file(cli.Path("vms/" + name + "/root.raw"), mib * kMiB);
    cli.Json("enable " + name + " --policy " + policy);
    AddVm(name, mib, "");
  }

  // Writes some of a disk anew, as a guest does.
  void Change(const std::string& name) {
    std::fstream file(cli.Path("vms/" + name + "/root.raw"),
                      std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(random_() % 200 * 4096));
    std::vector<std::uint64_t> block(512);
    std::ranges::generate(block, std::ref(random_));
    file.write(reinterpret_cast<const char*>(block.data()), 4096);
  }

  std::unique_ptr<AsrProcess> StartAgent(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"agent", "run", "--state-dir", cli.Path("state")};
    words.insert(words.end(), more.begin(), more.end());
    auto agent = std::make_unique<AsrProcess>(words, cli.Path("log"));
    EXPECT_TRUE(BecomesTrue([&] { return Status()["running"] == true; })) << Log();
    return agent;
  }
  std::string Log() { return cli.ReadFile(cli.Path("log")); }
  Json Status() { return cli.Run("agent status -o json").OutJson(); }
  Json StatusOf(const std::string& vm) {
    const Json status = Status();
    for (const Json& item : status["items"]) {
      if (item["name"] == vm) return item;
    }
    return {};
  }
  std::size_t PointsOf(const std::string& vm) { return cli.Json("points list " + vm).size(); }
  Json JobsOf(const std::string& vm, const std::string& state) {
    return cli.Json("jobs list --item " + vm + " --state " + state);
  }

  CliRunner cli;

 private:
  std::mt19937_64 random_{7};
};

}  // namespace asr::testing
