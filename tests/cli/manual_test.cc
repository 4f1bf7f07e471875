// Help, manual and completion tell of the same commands and options.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_table.h"
#include "cli/options.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using Words = std::vector<std::string>;
using Kind = VerbArguments::Declaration::Kind;

Words Split(const std::string& text) {
  std::istringstream stream(text);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool IsMacro(const std::string& word) {
  static const std::set<std::string> macros = {"Ar", "Cm", "Fl", "Ic", "It", "Li", "Nm", "No", "Ns",
                                               "Oc", "Oo", "Op", "Pa", "Pq", "Xc", "Xo", "Xr"};
  return macros.contains(word);
}

bool IsPunctuation(const std::string& word) {
  return word.find_first_not_of(",.;:()|") == std::string::npos;
}

// The macro lines of a manual page, each with the lines that continue it.
std::vector<std::string> MacroLines(const std::filesystem::path& page) {
  std::ifstream file(page);
  std::vector<std::string> lines;
  std::string whole;
  bool is_extended = false;  // between Xo and Xc
  for (std::string line; std::getline(file, line);) {
    const bool goes_on = line.ends_with('\\');
    if (goes_on) line.pop_back();
    if (is_extended && line.starts_with('.')) line.erase(0, 1);
    whole += line + " ";
    if (line.ends_with(" Xo")) is_extended = true;
    if (line.starts_with("Xc")) is_extended = false;
    if (goes_on || is_extended) continue;
    if (whole.starts_with('.')) lines.push_back(whole.substr(1));
    whole.clear();
  }
  return lines;
}

// "It Ic restore Ar VM Fl -to Ar dir Op Fl -force"
struct Heading {
  std::string path;
  std::set<std::string> options;
  std::size_t arguments = 0;
};

Heading ReadHeading(const std::string& line) {
  Heading heading;
  std::string macro;
  bool has_option = false;  // what follows is its value
  for (const std::string& word : Split(line)) {
    if (IsMacro(word)) {
      macro = word;
      if (macro == "Op" || macro == "Oo" || macro == "Oc") has_option = false;
      if (macro == "Fl") has_option = true;
    } else if (macro == "Ic") {
      heading.path += (heading.path.empty() ? "" : " ") + word;
    } else if (macro == "Fl" && word.starts_with('-')) {
      heading.options.insert("-" + word);
    } else if (macro == "Ar" && !has_option && !IsPunctuation(word)) {
      ++heading.arguments;
    }
  }
  return heading;
}

// At the beginning of a row of help.
auto MatchesLabel(const std::string& label) {
  return ::testing::AnyOf(HasSubstr("\n  " + label + " "), HasSubstr("\n  " + label + "\n"));
}

class ManualTest : public ::testing::Test {
 protected:
  ManualTest() {
    const std::filesystem::path man = std::filesystem::path(ASR_SOURCE_DIR) / "man";
    for (const auto& entry : std::filesystem::directory_iterator(man)) {
      const auto page = entry.path();
      for (const std::string& line : MacroLines(page)) {
        lines_.emplace_back(page.filename().string(), line);
        if (page.extension() != ".1") continue;
        if (line.starts_with("It Ic ") || line.starts_with("It Xo Ic ")) {
          headings_.push_back(ReadHeading(line));
        }
        if (line.starts_with("It Fl ")) global_options_.merge(ReadHeading(line).options);
      }
    }
  }

  Words Complete(const std::string& line, const std::string& typed) {
    Words words = {"__complete", "--"};
    for (const std::string& word : Split(line)) words.push_back(word);
    words.push_back(typed);
    std::istringstream stream(cli_.RunWords(words).out);
    Words values;
    for (std::string row; std::getline(stream, row);) {
      values.push_back(row.substr(0, row.find('\t')));
    }
    return values;
  }

  CliRunner cli_;
  std::vector<std::pair<std::string, std::string>> lines_;  // page, macro line
  std::vector<Heading> headings_;
  std::set<std::string> global_options_;
};

TEST_F(ManualTest, EveryVerbHasAHeadingWithItsArgumentsAndOptions) {
  for (const Command& command : Commands()) {
    SCOPED_TRACE(command.path);
    ASSERT_EQ(std::ranges::count(headings_, command.path, &Heading::path), 1);
    const Heading& heading = *std::ranges::find(headings_, command.path, &Heading::path);
    VerbArguments arguments;
    const VerbRunner owner_of_variables = command.declare(arguments);
    std::set<std::string> options;
    std::size_t positionals = 0;
    for (const auto& declaration : arguments.declarations()) {
      if (declaration.kind == Kind::kPositional) {
        ++positionals;
      } else {
        options.insert(declaration.name);
      }
    }
    EXPECT_EQ(heading.options, options);
    EXPECT_EQ(heading.arguments, positionals);
  }
}

TEST_F(ManualTest, NoHeadingIsOfAVerbThatDoesNotExist) {
  for (const Heading& heading : headings_) {
    EXPECT_EQ(std::ranges::count(Commands(), heading.path, &Command::path), 1) << heading.path;
  }
}

TEST_F(ManualTest, OptionsOfEveryCommandAreListed) {
  const Words names = GlobalOptionNames();
  EXPECT_EQ(global_options_, std::set<std::string>(names.begin(), names.end()));
}

TEST_F(ManualTest, NoOptionIsSpokenOfThatDoesNotExist) {
  const Words global = GlobalOptionNames();
  std::set<std::string> known(global.begin(), global.end());
  for (const Heading& heading : headings_)
    known.insert(heading.options.begin(), heading.options.end());
  std::size_t count = 0;
  for (const auto& [page, line] : lines_) {
    for (const std::string& option : ReadHeading(line).options) {
      if (option == "--") continue;  // where the options end
      ++count;
      EXPECT_TRUE(known.contains(option)) << page << ": " << option;
    }
  }
  EXPECT_GT(count, 50U);
}

TEST_F(ManualTest, NoCommandIsSpokenOfThatDoesNotExist) {
  std::size_t count = 0;
  for (const auto& [page, line] : lines_) {
    if (!line.starts_with("Ic ")) continue;
    Words words = Split(ReadHeading(line).path);
    std::erase_if(words, IsPunctuation);
    if (!words.empty() && words.front() == "asr") words.erase(words.begin());
    if (words.empty()) continue;
    ++count;
    const std::string noun = NounOf(words.front());
    const bool is_noun_alone = words.size() == 1 && !noun.empty();
    EXPECT_TRUE(is_noun_alone || FindCommand(words).has_value()) << page << ": " << line;
  }
  EXPECT_GT(count, 5U);
}

TEST_F(ManualTest, HelpHasAllOfIt) {
  const std::string help = HelpText({}).value();
  for (const std::string& option : GlobalOptionNames()) EXPECT_THAT(help, HasSubstr(option));
  for (const Command& command : Commands()) {
    EXPECT_THAT(help, MatchesLabel(command.path));
    const std::string own = HelpText(Split(command.path)).value();
    VerbArguments arguments;
    const VerbRunner owner_of_variables = command.declare(arguments);
    for (const auto& declaration : arguments.declarations()) {
      EXPECT_THAT(own, MatchesLabel(declaration.name)) << command.path;
    }
  }
}

TEST_F(ManualTest, CompletionHasAllOfIt) {
  const Words global = GlobalOptionNames();
  for (const Command& command : Commands()) {
    const std::size_t blank = command.path.find(' ');
    const std::string first = command.path.substr(0, blank);
    EXPECT_THAT(Complete("", ""), Contains(first));
    if (blank != std::string::npos) {
      EXPECT_THAT(Complete(first, ""), Contains(command.path.substr(blank + 1)));
    }
    Words options = global;
    VerbArguments arguments;
    const VerbRunner owner_of_variables = command.declare(arguments);
    for (const auto& declaration : arguments.declarations()) {
      if (declaration.kind != Kind::kPositional) options.push_back(declaration.name);
    }
    EXPECT_THAT(Complete(command.path, "--"), ::testing::UnorderedElementsAreArray(options))
        << command.path;
  }
}

// A line that wraps is hard to read where it should be easiest.
TEST_F(ManualTest, HelpFitsIntoEightyColumns) {
  Words texts = {HelpText({}).value()};
  for (const Command& command : Commands()) {
    texts.push_back(HelpText(Split(command.path)).value());
    const std::string noun = Split(command.path).front();
    if (noun != command.path) texts.push_back(HelpText({noun}).value());
  }
  for (const std::string& text : texts) {
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) EXPECT_LE(line.size(), 80U) << line;
  }
}

}  // namespace
}  // namespace asr::testing
