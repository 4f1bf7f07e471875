#include "cli/completion.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "cli/completion_line.h"
#include "cli/completion_names.h"
#include "cli/text_format.h"

namespace asr {
namespace {

constexpr std::array kCall = {"__complete", "--"};

using Asked = CompletionLine::Asked;

class Completer {
 public:
  Completer(const CompletionLine& line, const std::string& typed, Session& session,
            std::ostream& out)
      : line_(line), typed_(typed), session_(session), out_(out) {}

  void Run() {
    if (line_.pending() != nullptr) return OfferValues(line_.pending()->takes, "");
    if (!line_.options_have_ended() && typed_.starts_with('-')) return OfferOptions();
    switch (line_.asked()) {
      case Asked::kNothing:
        return;
      case Asked::kFirstWord:
        return OfferFirstWords();
      case Asked::kVerb:
        return OfferVerbs();
      case Asked::kArgument:
        if (const ValueType* next = line_.NextArgument()) return OfferValues(*next, "");
        if (!line_.options_have_ended()) OfferNamesOfOptions(line_.options_of_verb());
        return;
    }
  }

 private:
  void Offer(const std::string& value, const std::string& description) {
    if (!value.starts_with(typed_)) return;
    // No shell could take it, and no list could show it.
    if (std::ranges::any_of(value, [](unsigned char c) { return c < ' ' || c == 0x7f; })) return;
    out_ << value << '\t' << Printable(description) << '\n';
  }

  // `before`: the part of the typed word that stands before the value, like "--output=".
  void OfferValues(const ValueType& type, const std::string& before) {
    if (type.kind == ValueKind::kFile) out_ << ":files\n";
    if (type.kind == ValueKind::kDirectory) out_ << ":directories\n";
    for (const Candidate& candidate :
         NamesOf(type, line_, typed_.substr(before.size()), session_)) {
      Offer(before + candidate.value, candidate.description);
    }
  }

  void OfferOptions() {
    if (const std::size_t equals = typed_.find('=');
        typed_.starts_with("--") && equals != std::string::npos) {
      const LineOption* option = line_.FindOption(typed_.substr(0, equals));
      if (option != nullptr && option->takes_value) {
        OfferValues(option->takes, typed_.substr(0, equals + 1));
      }
      return;
    }
    if (typed_.size() > 2 && typed_[1] != '-') {
      const LineOption* option = line_.FindOption(typed_[1]);
      if (option != nullptr && option->takes_value) OfferValues(option->takes, typed_.substr(0, 2));
      return;
    }
    OfferNamesOfOptions(line_.options().size());
  }

  void OfferNamesOfOptions(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const LineOption& option = line_.options()[i];
      if (!line_.IsUsedUp(option)) Offer(option.name, option.help);
    }
  }

  void OfferFirstWords() {
    for (const std::string& word : FirstWords()) {
      const auto& all = Commands();
      const auto verb = std::ranges::find(all, word, &Command::path);
      Offer(word,
            verb != all.end() ? verb->summary : fmt::format("{}", fmt::join(VerbsOf(word), ", ")));
    }
    Offer("help", "Help of all commands, or of one");
  }

  void OfferVerbs() {
    for (const Command& command : Commands()) {
      const std::string beginning = line_.noun() + " ";
      if (!command.path.starts_with(beginning)) continue;
      Offer(command.path.substr(beginning.size()), command.summary);
    }
  }

  const CompletionLine& line_;
  const std::string& typed_;
  Session& session_;
  std::ostream& out_;
};

}  // namespace

bool IsCompletionCall(const std::vector<std::string>& arguments) {
  return arguments.size() >= kCall.size() &&
         std::equal(kCall.begin(), kCall.end(), arguments.begin());
}

void PrintCompletions(const std::vector<std::string>& arguments, CliContext& context) {
  std::vector<std::string> before(arguments.begin() + kCall.size(), arguments.end());
  std::string typed;
  if (!before.empty()) {
    typed = std::move(before.back());
    before.pop_back();
  }
  const CompletionLine line(before);
  Session session(context, TakeGlobalOptions(before, context.environment).options, {});
  session.OnlyLook();
  Completer(line, typed, session, context.out).Run();
}

}  // namespace asr
