#include "cli/options.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/arguments.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Variables = std::map<std::string, std::string>;

SplitArguments Take(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  return TakeGlobalOptions(arguments, [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::optional<std::string>() : found->second;
  });
}

TEST(OptionsTest, OutputIsTakenInEverySpellingAndPlace) {
  const std::vector<std::vector<std::string>> lines = {
      {"--output", "json", "vault", "list"}, {"vault", "--output=json", "list"},
      {"vault", "list", "-o", "json"},       {"vault", "list", "-ojson"},
      {"vault", "list", "-qo", "json"},      {"vault", "list", "-qo=json"},
  };
  for (const auto& line : lines) {
    const SplitArguments split = Take(line);
    ASSERT_TRUE(split.status);
    EXPECT_EQ(split.options.output, OutputFormat::kJson);
    EXPECT_THAT(split.rest, ElementsAre("vault", "list"));
  }
}

TEST(OptionsTest, FlagWinsOverEnvironment) {
  const Variables variables = {{"ASR_OUTPUT", "yaml"}, {"ASR_VAULT", "a"}};
  EXPECT_EQ(Take({}, variables).options.output, OutputFormat::kYaml);
  EXPECT_EQ(Take({}, variables).options.vault, "a");
  EXPECT_EQ(Take({"-o", "tsv"}, variables).options.output, OutputFormat::kTsv);
  EXPECT_EQ(Take({"--vault", "b"}, variables).options.vault, "b");
}

TEST(OptionsTest, AnEmptyVariableIsNotSet) {
  const SplitArguments split = Take({}, {{"ASR_OUTPUT", ""}});
  EXPECT_TRUE(split.status);
  EXPECT_FALSE(split.options.output.has_value());
}

TEST(OptionsTest, NothingIsTakenAfterTwoDashes) {
  const SplitArguments split = Take({"vm", "show", "--", "-q"});
  EXPECT_FALSE(split.options.quiet);
  EXPECT_THAT(split.rest, ElementsAre("vm", "show", "--", "-q"));
}

TEST(OptionsTest, LettersThatAreNotOursAreLeft) {
  const SplitArguments split = Take({"-qz"});
  EXPECT_FALSE(split.options.quiet);
  EXPECT_THAT(split.rest, ElementsAre("-qz"));
}

TEST(OptionsTest, WrongValuesAreUsageErrorsThatNameTheNearest) {
  const SplitArguments split = Take({"-o", "jsn"});
  ASSERT_FALSE(split.status);
  EXPECT_EQ(split.status.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(split.status.error().message, HasSubstr("did you mean 'json'?"));
  EXPECT_FALSE(Take({"--vault"}).status);
  EXPECT_FALSE(Take({"--vault="}).status);
  EXPECT_FALSE(Take({"--quiet=no"}).status);
  EXPECT_FALSE(Take({}, {{"ASR_OUTPUT", "xml"}}).status);
}

TEST(OptionsTest, AnErrorIsStillPrintedInTheAskedFormat) {
  EXPECT_EQ(Take({"--vault=", "-o", "json"}).options.output, OutputFormat::kJson);
}

struct Given {
  std::string vm;
  std::string to;
  std::optional<std::string> point;
  std::optional<std::string> notes;
  std::optional<std::string> format;
  std::vector<std::string> disks;
  bool force = false;
};

Status Parse(Given& given, const std::vector<std::string>& words) {
  VerbArguments arguments;
  arguments.Required("VM", given.vm, "", ValueKind::kItem)
      .RequiredOption("--to", "DIR", given.to, "", ValueKind::kDirectory)
      .Option("--point", "P", given.point, "", ValueKind::kPoint)
      .Repeated("--disk", "D", given.disks, "", ValueKind::kDisk)
      .Option("--format", "F", given.format, "", OneOf({"raw", "vhdx"}))
      .Flag("--force", given.force, "")
      .Option("--notes", "T", given.notes, "", ValueKind::kFree);
  arguments.MayBeEmpty();
  return arguments.Parse("restore", words);
}

TEST(ArgumentsTest, ReadsArgumentsInAnyOrder) {
  Given given;
  ASSERT_TRUE(Parse(given, {"--disk", "a", "--to=/x", "web", "--force", "--disk", "[b,c]"}));
  EXPECT_EQ(given.vm, "web");
  EXPECT_EQ(given.to, "/x");
  EXPECT_TRUE(given.force);
  EXPECT_THAT(given.disks, ElementsAre("a", "[b,c]"));
  EXPECT_FALSE(given.point.has_value());
}

TEST(ArgumentsTest, NamesThatBeginWithADashFollowTwoDashes) {
  Given given;
  ASSERT_TRUE(Parse(given, {"--to", "/x", "--", "-odd"}));
  EXPECT_EQ(given.vm, "-odd");
}

TEST(ArgumentsTest, RefusesWhatIsWrong) {
  const std::vector<std::vector<std::string>> lines = {
      {},                                      // all is missing
      {"web"},                                 // the option is missing
      {"web", "--to"},                         // its value is missing
      {"web", "--to="},                        // empty
      {"", "--to", "/x"},                      // empty
      {"web", "extra", "--to", "/x"},          // one too many
      {"web", "--to", "/x", "--to", "/y"},     // twice
      {"web", "--to", "--force"},              // an option in place of the value
      {"web", "--to", "/x", "--force=false"},  // a flag with a value
      {"web", "--to", "/x", "--pont", "p"},    // unknown
      {"web", "--to", "/x", "-z"},             // unknown
  };
  for (const auto& line : lines) {
    Given given;
    const Status status = Parse(given, line);
    ASSERT_FALSE(status) << ::testing::PrintToString(line);
    EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(status.error().action, HasSubstr("restore VM --to DIR"));
  }
}

TEST(ArgumentsTest, AnUnknownOptionNamesTheNearest) {
  Given given;
  EXPECT_THAT(Parse(given, {"web", "--to", "/x", "--pont", "p"}).error().message,
              HasSubstr("did you mean '--point'?"));
  EXPECT_THAT(Parse(given, {"web", "--to", "/x", "--vualt", "p"}).error().message,
              HasSubstr("did you mean '--vault'?"));
}

TEST(ArgumentsTest, AWordIsOneOfThoseThatArePossible) {
  Given given;
  ASSERT_TRUE(Parse(given, {"web", "--to", "/x", "--format", "vhdx"}));
  EXPECT_EQ(given.format, "vhdx");
  const Status status = Parse(given, {"web", "--to", "/x", "--format", "vhxd"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(status.error().message, HasSubstr("did you mean 'vhdx'?"));
}

TEST(ArgumentsTest, OnlyWhatMayBeEmptyIs) {
  Given given;
  ASSERT_TRUE(Parse(given, {"web", "--to", "/x", "--notes", ""}));
  EXPECT_EQ(given.notes, "");
}

}  // namespace
}  // namespace asr
