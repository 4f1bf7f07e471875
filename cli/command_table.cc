#include "cli/command_table.h"

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>

#include "cli/did_you_mean.h"

namespace asr {
namespace {

constexpr std::string_view kIntroduction =
    "asr keeps virtual machines recoverable: it replicates their disks into a vault,\n"
    "and brings them back from there.\n"
    "\n"
    "usage: asr COMMAND [ARGUMENTS] [OPTIONS]\n";

constexpr std::array kGroups = {
    std::pair{HelpGroup::kSetUp, "Set up"},
    std::pair{HelpGroup::kProtect, "Protect"},
    std::pair{HelpGroup::kRecover, "Recover"},
    std::pair{HelpGroup::kLook, "Look"},
};

// Both spellings of a noun name the same.
std::string PluralOf(const std::string& noun) {
  if (noun.ends_with('y')) return noun.substr(0, noun.size() - 1) + "ies";
  return noun.ends_with('s') ? noun : noun + "s";
}

std::string FirstWord(const std::string& path) { return path.substr(0, path.find(' ')); }

bool IsNoun(const Command& command) { return command.path.find(' ') != std::string::npos; }

const Command* FindByPath(const std::string& path) {
  const auto& all = Commands();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Command& c) { return c.path == path; });
  return found == all.end() ? nullptr : &*found;
}

Error UsageError(std::string message, std::string action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, std::move(message))
      .WithAction(std::move(action));
}

// What other tools call it.
struct OtherWord {
  std::string_view word;
  std::string_view command;
};
constexpr std::array kOtherWords = {
    OtherWord{"logout", "credential remove"},
    OtherWord{"signin", "login"},
    OtherWord{"sign-in", "login"},
    OtherWord{"protect", "enable"},
    OtherWord{"unprotect", "disable"},
    OtherWord{"backup", "replicate"},
    OtherWord{"sync", "replicate"},
    OtherWord{"recover", "restore"},
    OtherWord{"snapshot", "points list"},
    OtherWord{"snapshots", "points list"},
};

Error UnknownFirstWord(const std::string& word) {
  if (word.starts_with('-')) {
    return UsageError(
        fmt::format("unknown option '{}'{}", word, DidYouMean(word, GlobalOptionNames())),
        "see asr --help; options of a command come after it");
  }
  for (const OtherWord& other : kOtherWords) {
    if (word != other.word) continue;
    return UsageError(fmt::format("unknown command '{}'; did you mean '{}'?", word, other.command),
                      fmt::format("see asr {} --help, or asr --help", other.command));
  }
  return UsageError(fmt::format("unknown command '{}'{}", word, DidYouMean(word, FirstWords())),
                    "see asr --help");
}

Error UnknownVerb(const std::string& noun, const std::string& verb) {
  const std::vector<std::string> verbs = VerbsOf(noun);
  return UsageError(fmt::format("'{}' has no command '{}'{}", noun, verb, DidYouMean(verb, verbs)),
                    fmt::format("give one of: {}", fmt::join(verbs, ", ")));
}

// Goes on in column `indent` of the next line where a part would reach beyond the 80th column.
void AppendWrapped(std::string& text, const std::vector<std::string>& parts, std::size_t column,
                   std::size_t indent) {
  constexpr std::size_t kColumns = 80;
  for (const std::string& part : parts) {
    if (column > indent && column + 1 + part.size() > kColumns) {
      text += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      text += " ";
      ++column;
    }
    text += part;
    column += part.size();
  }
  text += "\n";
}

std::vector<std::string> WordsOf(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

void AppendRows(std::string& text, const std::vector<std::pair<std::string, std::string>>& rows) {
  constexpr std::size_t kWidestLabel = 26;
  std::size_t width = 0;
  for (const auto& [label, meaning] : rows) {
    if (label.size() <= kWidestLabel) width = std::max(width, label.size());
  }
  for (const auto& [label, meaning] : rows) {
    text += fmt::format("  {:<{}}", label, width);
    const std::size_t indent = width + 4;
    text += label.size() > width ? "\n" + std::string(indent, ' ') : "  ";
    AppendWrapped(text, WordsOf(meaning), indent, indent);
  }
}

std::string AllHelp() {
  std::string text(kIntroduction);
  for (const auto& [group, title] : kGroups) {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const Command& command : Commands()) {
      if (command.group == group) rows.emplace_back(command.path, command.summary);
    }
    text += fmt::format("\n{}:\n", title);
    AppendRows(text, rows);
  }
  text += "\nOptions, anywhere on the line:\n";
  std::vector<std::pair<std::string, std::string>> rows;
  for (const GlobalOptionHelp& option : GlobalOptionsHelp()) {
    std::string label = option.letter != 0 ? fmt::format("-{}, ", option.letter) : "    ";
    label += option.name;
    if (!option.value_name.empty()) label += " " + option.value_name;
    rows.emplace_back(std::move(label), option.text);
  }
  AppendRows(text, rows);
  text += "\nasr COMMAND --help tells more of one command; the manual is asr(1).\n";
  return text;
}

std::string NounHelp(const std::string& noun) {
  std::string text = fmt::format("usage: asr {} COMMAND [ARGUMENTS] [OPTIONS]\n\n", noun);
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& command : Commands()) {
    if (IsNoun(command) && FirstWord(command.path) == noun) {
      rows.emplace_back(command.path.substr(noun.size() + 1), command.summary);
    }
  }
  AppendRows(text, rows);
  return text;
}

std::string CommandHelp(const Command& command) {
  VerbArguments arguments;
  const VerbRunner owner_of_variables = command.declare(arguments);
  const std::string beginning = "usage: asr " + command.path;
  std::string text = fmt::format("{}\n\n{}", command.summary, beginning);
  AppendWrapped(text, arguments.UsageParts(), beginning.size(), std::string("usage: ").size());
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& declaration : arguments.declarations()) {
    std::string label = declaration.name;
    if (!declaration.value_name.empty()) label += " " + declaration.value_name;
    rows.emplace_back(std::move(label), declaration.help);
  }
  if (!rows.empty()) text += "\n";
  AppendRows(text, rows);
  text += fmt::format("\nexample: asr {}\n\nasr --help lists the options of every command.\n",
                      command.example);
  return text;
}

}  // namespace

const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = [] {
    std::vector<Command> all;
    AddVaultCommands(all);
    AddHostCommands(all);
    AddLoginCommands(all);
    AddCredentialCommands(all);
    AddShareCommands(all);
    AddVmCommands(all);
    AddPolicyCommands(all);
    AddThrottleCommands(all);
    AddConfigCommands(all);
    AddCompletionCommands(all);
    AddProtectCommands(all);
    AddDoctorCommands(all);
    AddAgentCommands(all);
    AddItemCommands(all);
    AddPointsCommands(all);
    AddPinCommands(all);
    AddRecoverCommands(all);
    AddTestFailoverCommands(all);
    AddStatusCommands(all);
    AddJobsCommands(all);
    AddEventCommands(all);
    AddDiskCommands(all);
    AddHrlCommands(all);
    return all;
  }();
  return commands;
}

std::string NounOf(const std::string& word) {
  for (const Command& command : Commands()) {
    if (!IsNoun(command)) continue;
    std::string noun = FirstWord(command.path);
    if (PluralOf(noun) == PluralOf(word)) return noun;
  }
  return "";
}

std::vector<std::string> FirstWords() {
  std::vector<std::string> words;
  for (const Command& command : Commands()) {
    const std::string word = FirstWord(command.path);
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

std::vector<std::string> VerbsOf(const std::string& noun) {
  std::vector<std::string> verbs;
  for (const Command& command : Commands()) {
    if (IsNoun(command) && FirstWord(command.path) == noun) {
      verbs.push_back(command.path.substr(noun.size() + 1));
    }
  }
  return verbs;
}

Result<FoundCommand> FindCommand(const std::vector<std::string>& words) {
  const std::string& first = words.front();
  if (const Command* verb = FindByPath(first)) {
    return FoundCommand{verb, {words.begin() + 1, words.end()}};
  }
  const std::string noun = NounOf(first);
  if (noun.empty()) return Fail(UnknownFirstWord(first));
  if (words.size() < 2) {
    return Fail(UsageError(fmt::format("'{}' needs a command", first),
                           fmt::format("give one of: {}", fmt::join(VerbsOf(noun), ", "))));
  }
  const Command* command = FindByPath(noun + " " + words[1]);
  if (command == nullptr) return Fail(UnknownVerb(noun, words[1]));
  return FoundCommand{command, {words.begin() + 2, words.end()}};
}

Status RunVerb(Session& session, const std::vector<std::string>& words) {
  ASR_TRY(const FoundCommand found, FindCommand(words));
  VerbArguments arguments;
  const VerbRunner run = found.command->declare(arguments);
  ASR_CHECK(arguments.Parse(found.command->path, found.arguments));
  return run(session);
}

Result<std::string> HelpText(const std::vector<std::string>& words) {
  if (words.empty()) return AllHelp();
  const std::string noun = NounOf(words.front());
  if (words.size() == 1 && !noun.empty()) return NounHelp(noun);
  ASR_TRY(const FoundCommand found, FindCommand(words));
  return CommandHelp(*found.command);
}

}  // namespace asr
