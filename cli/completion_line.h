// A command line that is being typed: what its last word can be.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cli/command_table.h"

namespace asr {

// An option that may stand on the line.
struct LineOption {
  char letter = 0;  // 0: none
  std::string name;
  bool takes_value = false;
  bool repeated = false;
  ValueType takes;
  std::string help;
};

class CompletionLine {
 public:
  // `before`: the words, without "asr", before the one being typed.
  explicit CompletionLine(const std::vector<std::string>& before);

  enum class Asked : std::uint8_t { kNothing, kFirstWord, kVerb, kArgument };
  // What a word that is no option would be.
  [[nodiscard]] Asked asked() const { return asked_; }
  // The word is the value of this option, which was typed before it; else nullptr.
  [[nodiscard]] const LineOption* pending() const { return pending_; }
  [[nodiscard]] bool options_have_ended() const { return options_have_ended_; }

  // Once it is there, without a verb behind it.
  [[nodiscard]] const std::string& noun() const { return noun_; }
  // What the next argument names; nullptr if the verb takes no more.
  [[nodiscard]] const ValueType* NextArgument() const;
  // The last argument that was given and names what `kind` says; "" if none does.
  [[nodiscard]] std::string Argument(ValueKind kind) const;
  // The argument before the one that is typed; "" if it is the first.
  [[nodiscard]] std::string LastArgument() const;

  // Those of the verb, then those of every command.
  [[nodiscard]] const std::vector<LineOption>& options() const { return options_; }
  [[nodiscard]] std::size_t options_of_verb() const { return options_of_verb_; }
  // Given already, and not to be given again.
  [[nodiscard]] bool IsUsedUp(const LineOption& option) const;
  // nullptr if there is none.
  [[nodiscard]] const LineOption* FindOption(const std::string& name) const;
  [[nodiscard]] const LineOption* FindOption(char letter) const;

 private:
  void TakeLong(const std::string& word, bool is_last);
  void TakeShort(const std::string& word, bool is_last);
  void TakeWord(const std::string& word);
  void TakeCommand(const Command& command);

  bool asks_for_help_ = false;
  bool skips_ = false;  // the next word is the value of an option
  bool options_have_ended_ = false;
  Asked asked_ = Asked::kFirstWord;
  std::string noun_;
  std::vector<LineOption> options_;
  std::size_t options_of_verb_ = 0;
  std::vector<ValueType> positionals_;  // that the verb takes
  std::vector<std::string> arguments_;  // that were given for them
  std::set<std::string> given_;         // names of options
  const LineOption* pending_ = nullptr;
};

}  // namespace asr
