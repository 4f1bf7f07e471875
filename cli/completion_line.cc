#include "cli/completion_line.h"

#include <algorithm>
#include <utility>

namespace asr {
namespace {

std::vector<LineOption> OptionsOfEveryCommand() {
  std::vector<LineOption> options;
  for (const GlobalOptionHelp& option : GlobalOptionsHelp()) {
    options.push_back({.letter = option.letter,
                       .name = option.name,
                       .takes_value = !option.value_name.empty(),
                       .repeated = false,
                       .takes = option.takes,
                       .help = option.text});
  }
  return options;
}

}  // namespace

CompletionLine::CompletionLine(const std::vector<std::string>& before)
    : options_(OptionsOfEveryCommand()) {
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string& word = before[i];
    const bool is_last = i + 1 == before.size();
    if (std::exchange(skips_, false)) continue;
    if (options_have_ended_ || !word.starts_with('-') || word == "-") {
      TakeWord(word);
    } else if (word == "--") {
      options_have_ended_ = true;
    } else if (word.starts_with("--")) {
      TakeLong(word, is_last);
    } else {
      TakeShort(word, is_last);
    }
  }
}

void CompletionLine::TakeLong(const std::string& word, bool is_last) {
  const std::size_t equals = word.find('=');
  const LineOption* option = FindOption(word.substr(0, equals));
  if (option == nullptr) return;
  given_.insert(option->name);
  if (!option->takes_value || equals != std::string::npos) return;
  skips_ = true;
  if (is_last) pending_ = option;
}

// "-y", "-qy", "-o", "-ojson".
void CompletionLine::TakeShort(const std::string& word, bool is_last) {
  for (std::size_t i = 1; i < word.size(); ++i) {
    const LineOption* option = FindOption(word[i]);
    if (option == nullptr) return;
    given_.insert(option->name);
    if (!option->takes_value) continue;
    if (i + 1 < word.size()) return;
    skips_ = true;
    if (is_last) pending_ = option;
  }
}

void CompletionLine::TakeWord(const std::string& word) {
  const auto take = [&](const std::string& path) {
    const auto& all = Commands();
    const auto found = std::ranges::find(all, path, &Command::path);
    if (found == all.end()) return false;
    TakeCommand(*found);
    return true;
  };
  switch (asked_) {
    case Asked::kFirstWord:
      if (word == "help" && !asks_for_help_) {
        asks_for_help_ = true;
      } else if (!take(word)) {
        noun_ = NounOf(word);
        asked_ = noun_.empty() ? Asked::kNothing : Asked::kVerb;
      }
      return;
    case Asked::kVerb:
      if (!take(noun_ + " " + word)) asked_ = Asked::kNothing;
      return;
    case Asked::kArgument:
      arguments_.push_back(word);
      return;
    case Asked::kNothing:
      return;
  }
}

void CompletionLine::TakeCommand(const Command& command) {
  asked_ = asks_for_help_ ? Asked::kNothing : Asked::kArgument;
  if (asks_for_help_) return;
  VerbArguments arguments;
  const VerbRunner owner_of_variables = command.declare(arguments);
  std::vector<LineOption> of_verb;
  for (const auto& declaration : arguments.declarations()) {
    if (declaration.kind == VerbArguments::Declaration::Kind::kPositional) {
      positionals_.push_back(declaration.takes);
      continue;
    }
    of_verb.push_back({.letter = 0,
                       .name = declaration.name,
                       .takes_value = declaration.kind == VerbArguments::Declaration::Kind::kOption,
                       .repeated = declaration.repeated,
                       .takes = declaration.takes,
                       .help = declaration.help});
  }
  options_of_verb_ = of_verb.size();
  options_.insert(options_.begin(), of_verb.begin(), of_verb.end());
}

const ValueType* CompletionLine::NextArgument() const {
  if (asked_ != Asked::kArgument || arguments_.size() >= positionals_.size()) return nullptr;
  return &positionals_[arguments_.size()];
}

std::string CompletionLine::Argument(ValueKind kind) const {
  std::string found;
  for (std::size_t i = 0; i < std::min(arguments_.size(), positionals_.size()); ++i) {
    if (positionals_[i].kind == kind) found = arguments_[i];
  }
  return found;
}

std::string CompletionLine::LastArgument() const {
  return arguments_.empty() ? std::string() : arguments_.back();
}

bool CompletionLine::IsUsedUp(const LineOption& option) const {
  return !option.repeated && given_.contains(option.name);
}

const LineOption* CompletionLine::FindOption(const std::string& name) const {
  const auto found = std::ranges::find(options_, name, &LineOption::name);
  return found == options_.end() ? nullptr : &*found;
}

const LineOption* CompletionLine::FindOption(char letter) const {
  const auto found = std::ranges::find(options_, letter, &LineOption::letter);
  return letter == 0 || found == options_.end() ? nullptr : &*found;
}

}  // namespace asr
