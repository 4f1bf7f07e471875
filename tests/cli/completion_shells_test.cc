// The scripts of `asr completion`, in the shells that they are for. PowerShell is none of Debian's:
// of its script only the brackets are counted.
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A program on a terminal of its own.
class TerminalProgram {
 public:
  explicit TerminalProgram(std::vector<std::string> words) {
    winsize size{.ws_row = 40, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ != 0) return;
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~TerminalProgram() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(terminal_);
  }
  TerminalProgram(const TerminalProgram&) = delete;
  TerminalProgram& operator=(const TerminalProgram&) = delete;

  void Type(const std::string& text) {
    ASSERT_EQ(::write(terminal_, text.data(), text.size()), std::ssize(text));
  }

  // Reads until `text` was printed. False, with what was, if it is not in time.
  ::testing::AssertionResult Await(const std::string& text) {
    constexpr std::chrono::seconds kLongest{60};
    const auto end = std::chrono::steady_clock::now() + kLongest;
    std::string seen;
    while (seen.find(text) == std::string::npos && std::chrono::steady_clock::now() < end) {
      pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 100) <= 0) continue;
      std::array<char, 4096> block{};
      const ssize_t count = ::read(terminal_, block.data(), block.size());
      if (count <= 0) break;
      seen.append(block.data(), static_cast<std::size_t>(count));
    }
    if (seen.find(text) != std::string::npos) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "'" << text << "' is not in: " << seen;
  }

 private:
  pid_t pid_ = 0;
  int terminal_ = -1;
};

class CompletionShellsTest : public ::testing::Test {
 protected:
  CompletionShellsTest() {
    cli.SetUpLab();
    for (const char* name : {"my vm", "it's $HOME", "a:b", "colon:c"}) {
      std::filesystem::create_directories(cli.Path("vms/" + std::string(name)));
      cli.WriteFile("vms/" + std::string(name) + "/root.raw", std::string(kMiB, 'x'));
    }
    cli.Json("config set output json");
    const std::filesystem::path binary = ASR_BINARY;
    setting_ = fmt::format("export PATH='{}':$PATH ASR_STATE_DIR='{}'\n",
                           binary.parent_path().string(), cli.Path("state"));
  }

  // The lines that a script for `shell` prints.
  std::vector<std::string> Run(const std::string& shell, const std::string& script) {
    cli.WriteFile("script", script);
    const std::string command = fmt::format("{} '{}' 2>&1", shell, cli.Path("script"));
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string text;
    std::array<char, 4096> block{};
    for (std::size_t count = 1; count > 0;) {
      count = ::fread(block.data(), 1, block.size(), pipe);
      text.append(block.data(), count);
    }
    ::pclose(pipe);
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  // What bash would put in the place of the word that `line` ends with.
  std::vector<std::string> Bash(const std::string& line) {
    cli.WriteFile("line", line);
    return Run("bash", setting_ + fmt::format(R"(
source '{}/completions/asr.bash'
compopt() {{ echo "compopt $*"; }}
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_LINE=$(cat '{}')
COMP_POINT=${{#COMP_LINE}}
_asr
printf '%s\n' "${{COMPREPLY[@]}}")",
                                              ASR_SOURCE_DIR, cli.Path("line")));
  }

  std::vector<std::string> Fish(const std::string& line) {
    cli.WriteFile("line", line);
    return Run("fish --no-config",
               setting_ + fmt::format("source '{}/completions/asr.fish'\n"
                                      "complete -C (cat '{}' | string collect -N)\n",
                                      ASR_SOURCE_DIR, cli.Path("line")));
  }

  // Types `line` in `shell`, which was made ready by `start`, and expects it to run `asr vm show`
  // on the VM of `directory`.
  void TypeIntoTerminal(const std::vector<std::string>& shell, const std::string& start,
                        const std::string& line, const std::string& directory) {
    cli.WriteFile("start", setting_ + start + "\nPS1='rea''dy> '\n");
    TerminalProgram program(shell);
    program.Type(". '" + cli.Path("start") + "'\n");
    ASSERT_TRUE(program.Await("ready> "));
    program.Type(line);
    program.Type("\n");
    EXPECT_TRUE(program.Await("vms/" + directory + "/root.raw")) << line;
  }

  CliRunner cli;
  std::string setting_;
};

TEST_F(CompletionShellsTest, ScriptsInTheTreeAreThoseThatAsrPrints) {
  const std::string top = std::string(ASR_SOURCE_DIR) + "/completions/";
  for (const auto& [shell, file] : {std::pair{"bash", "asr.bash"},
                                    {"zsh", "_asr"},
                                    {"fish", "asr.fish"},
                                    {"powershell", "asr.ps1"}}) {
    const CommandResult result = cli.RunWords({"completion", shell});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.out, FileText(top + file))
        << "make it anew: asr completion " << shell << " > completions/" << file;
  }
}

TEST_F(CompletionShellsTest, BashOffersWordsAndValues) {
  EXPECT_THAT(Bash("asr vault c"), ElementsAre("create", "connect", "check"));
  EXPECT_THAT(Bash("asr vault list -o j"), ElementsAre("json"));
  EXPECT_THAT(Bash("asr vault list --output j"), ElementsAre("json"));
  EXPECT_THAT(Bash("asr  policy   show\t"), ElementsAre("gold"));
  EXPECT_THAT(Bash("asr vault c x"), ElementsAre(""));
}

TEST_F(CompletionShellsTest, BashGetsOnlyWhatItReplaces) {
  EXPECT_THAT(Bash("asr vault list --output=j"), ElementsAre("json"));
  EXPECT_THAT(Bash("asr vault list --output="),
              ElementsAre("table", "json", "yaml", "tsv", "none"));
  EXPECT_THAT(Bash("asr vm show a:"), ElementsAre("b"));
  EXPECT_THAT(Bash("asr vm show col"), ElementsAre("colon:c"));
  EXPECT_THAT(Bash("asr vm show \"colon:"), ElementsAre("colon:c"));
}

TEST_F(CompletionShellsTest, BashGetsNamesQuotedAsTheyWereBegun) {
  EXPECT_THAT(Bash("asr vm show my"), ElementsAre("my\\ vm"));
  EXPECT_THAT(Bash("asr vm show my\\ v"), ElementsAre("my\\ vm"));
  EXPECT_THAT(Bash("asr vm show \"my v"), ElementsAre("my vm"));
  EXPECT_THAT(Bash("asr vm show 'my v"), ElementsAre("my vm"));
  EXPECT_THAT(Bash("asr vm show it"), ElementsAre("it\\'s\\ \\$HOME"));
  EXPECT_THAT(Bash("asr vm show 'it"), ElementsAre("it'\\''s $HOME"));
  EXPECT_THAT(Bash("asr vm show \"it"), ElementsAre("it's \\$HOME"));
}

TEST_F(CompletionShellsTest, BashRunsNothingThatStandsOnTheLine) {
  EXPECT_THAT(Bash("asr vm show $(touch " + cli.Path("ran") + ") ``my"), ElementsAre(""));
  EXPECT_FALSE(std::filesystem::exists(cli.Path("ran")));
}

TEST_F(CompletionShellsTest, BashCompletesPathsItself) {
  EXPECT_THAT(Bash("asr hrl show /t"), ElementsAre("compopt -o default", ""));
  EXPECT_THAT(Bash("asr restore web --to=/t"), ElementsAre("compopt -o dirnames", ""));
}

TEST_F(CompletionShellsTest, BashOnATerminal) {
  const std::vector<std::string> bash = {"bash", "--norc", "--noprofile", "-i"};
  const std::string start = "source '" + std::string(ASR_SOURCE_DIR) +
                            "/completions/asr.bash'; bind 'set bell-style none'";
  TypeIntoTerminal(bash, start, "asr vm sh\tmy\t", "my vm");
  TypeIntoTerminal(bash, start, "asr --output=js\tvm show \"my\t", "my vm");
  TypeIntoTerminal(bash, start, "true; asr vm show 'it\t", "it's $HOME");
  TypeIntoTerminal(bash, start, "asr vm show a:\t", "a:b");
}

TEST_F(CompletionShellsTest, ZshOnATerminal) {
  const std::vector<std::string> zsh = {"zsh", "-f", "-i"};
  const std::string start = fmt::format(
      "fpath=('{}/completions' $fpath)\n"
      "autoload -Uz compinit; compinit -u -d '{}'",
      ASR_SOURCE_DIR, cli.Path("zcompdump"));
  TypeIntoTerminal(zsh, start, "asr vm sh\tmy\t", "my vm");
  TypeIntoTerminal(zsh, start, "asr --output=js\tvm show \"my\t", "my vm");
  TypeIntoTerminal(zsh, start, "asr vm show it\t", "it's $HOME");
  TypeIntoTerminal(zsh, start, "asr vm show a:\t", "a:b");
  TypeIntoTerminal(zsh, start, "asr disk show " + cli.Path("vms/web/ro") + "\t", "web");
}

TEST_F(CompletionShellsTest, ZshTakesTheScriptFromItsFirstLinesToo) {
  const std::string start =
      fmt::format("autoload -Uz compinit; compinit -u -d '{}'; source <(asr completion zsh)",
                  cli.Path("zcompdump"));
  TypeIntoTerminal({"zsh", "-f", "-i"}, start, "asr vm show my\t", "my vm");
}

TEST_F(CompletionShellsTest, FishOffersWordsAndValues) {
  EXPECT_THAT(Fish("asr vault us"), ElementsAre("use\tMake a vault the default one"));
  EXPECT_THAT(Fish("asr vault list --output=j"), ElementsAre("--output=json"));
  EXPECT_THAT(Fish("asr vault list -o j"), ElementsAre("json"));
  EXPECT_THAT(Fish("asr vm show my"), ElementsAre("my vm\tVM of host lab"));
  EXPECT_THAT(Fish("asr vm show \"my v"), ElementsAre("my vm\tVM of host lab"));
  EXPECT_THAT(Fish("asr vm show my\\ v"), ElementsAre("my vm\tVM of host lab"));
  EXPECT_THAT(Fish("asr vault c x"), IsEmpty());
  EXPECT_THAT(Fish("asr vault show --deb"), ElementsAre(::testing::StartsWith("--debug\t")));
}

TEST_F(CompletionShellsTest, FishCompletesPathsItself) {
  EXPECT_THAT(Fish("asr hrl show " + cli.Path("vms/we")),
              ElementsAre(HasSubstr(cli.Path("vms/web/"))));
  EXPECT_THAT(Fish("asr restore web --to " + cli.Path("vms/we")),
              ElementsAre(HasSubstr(cli.Path("vms/web/"))));
}

TEST_F(CompletionShellsTest, BracketsOfThePowerShellScriptMatch) {
  const std::string script = FileText(std::string(ASR_SOURCE_DIR) + "/completions/asr.ps1");
  ASSERT_FALSE(script.empty());
  std::string open;
  char quote = 0;
  bool is_comment = false;
  for (const char c : script) {
    if (c == '\n') {
      EXPECT_EQ(quote, 0) << "a text that does not end on its line";
      is_comment = false;
    }
    if (is_comment || (quote != 0 && c != quote)) continue;
    if (c == '\'' || c == '"') quote = quote == 0 ? c : '\0';
    if (quote != 0) continue;
    if (c == '#') is_comment = true;
    if (c == '(' || c == '[' || c == '{') open.push_back(c);
    if (c != ')' && c != ']' && c != '}') continue;
    ASSERT_FALSE(open.empty());
    EXPECT_EQ(open.back(), c == ')' ? '(' : c == ']' ? '[' : '{');
    open.pop_back();
  }
  EXPECT_EQ(open, "");
}

}  // namespace
}  // namespace asr::testing
