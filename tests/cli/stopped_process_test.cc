// A writer that is stopped in the middle of its work, and wakes up later, does no harm.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "tests/support/asr_process.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;

TEST(StoppedProcessTest, NobodyElseWritesAndItGoesOnWhenItWakes) {
  CliRunner cli;
  cli.SetUpLab();
  std::mt19937_64 random(1);
  std::string content(128 * kMiB, '\0');
  std::ranges::generate(content, [&] { return static_cast<char>(random()); });
  std::ofstream(cli.Path("vms/web/big.raw"), std::ios::binary) << content;

  // Another machine, for the stopped process may hold the database of this one.
  const std::string other = " --state-dir {dir}/other";
  cli.Json("vault connect main --target {dir}/vault" + other);
  cli.Json("host add lab --kind folder --path {dir}/vms" + other);

  AsrProcess process({"enable", "web", "--policy", "gold", "--state-dir", cli.Path("state")},
                     cli.Path("output"));
  const auto is_at_work = [&] {
    const auto items = cli.Json("items list" + other);
    return items.size() == 1 && items[0]["protectionState"] == "InitialReplicationInProgress";
  };
  for (int i = 0; i < 3000 && !is_at_work(); ++i) SystemClock().SleepSeconds(0.005);
  process.Signal(SIGSTOP);
  ASSERT_TRUE(is_at_work()) << cli.ReadFile(cli.Path("output"));

  for (const char* verb : {"enable web --policy gold", "disable web -y"}) {
    const CommandResult refused = cli.Run(verb + other);
    EXPECT_EQ(refused.exit_code, 1) << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("ASR2204"));
  }
  process.Signal(SIGCONT);
  EXPECT_EQ(process.Wait(), 0) << cli.ReadFile(cli.Path("output"));
  EXPECT_EQ(cli.Json("points list web").size(), 1U);
  cli.Json("restore web --disk big --to {dir}/out");
  EXPECT_TRUE(cli.ReadFile(cli.Path("out/big.raw")) == content);
}

}  // namespace
}  // namespace asr::testing
