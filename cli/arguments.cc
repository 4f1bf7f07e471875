#include "cli/arguments.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/did_you_mean.h"
#include "cli/options.h"
#include "cli/values.h"

namespace asr {
namespace {

using Declaration = VerbArguments::Declaration;

class Parser {
 public:
  Parser(const std::string& command, const VerbArguments& verb) : command_(command), verb_(verb) {}

  Status Run(const std::vector<std::string>& arguments) {
    ASR_CHECK(RefuseEmptyValues(arguments));
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    std::vector<CLI::Option*> options;
    for (const Declaration& declaration : verb_.declarations()) {
      options.push_back(Declare(app, declaration));
    }
    try {
      app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::ArgumentMismatch& error) {
      return Fail(Usage(fmt::format("an option lacks its value ({})", error.what())));
    } catch (const CLI::ParseError& error) {
      return Fail(Usage(error.what()));
    }
    std::vector<std::string> extras = app.remaining();
    std::erase(extras, "--");  // CLI11 leaves the mark itself among them
    ASR_CHECK(RefuseExtras(extras));
    for (std::size_t i = 0; i < options.size(); ++i) {
      ASR_CHECK(Take(verb_.declarations()[i], options[i]->results()));
    }
    return {};
  }

 private:
  static CLI::Option* Declare(CLI::App& app, const Declaration& declaration) {
    if (declaration.kind == Declaration::Kind::kFlag) return app.add_flag(declaration.name);
    CLI::Option* option =
        app.add_option(declaration.name, [](const CLI::results_t&) { return true; });
    if (declaration.kind == Declaration::Kind::kPositional) return option;
    // Each mention takes one value; how many mentions are allowed is looked at afterwards.
    option->type_size(1)->expected(1, CLI::detail::expected_max_vector_size);
    option->allow_extra_args(false);
    return option;
  }

  [[nodiscard]] Error Usage(std::string message) const {
    return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, fmt::format("{}: {}", command_, message))
        .WithAction(
            fmt::format("usage: asr {} {}; see asr {} --help", command_, verb_.Usage(), command_));
  }

  // The parser would take the argument after "--name=" as the value.
  [[nodiscard]] Status RefuseEmptyValues(const std::vector<std::string>& arguments) const {
    for (const std::string& argument : arguments) {
      if (argument == "--") break;
      if (argument.starts_with("--") && argument.ends_with('=') &&
          std::count(argument.begin(), argument.end(), '=') == 1) {
        return Fail(Usage(fmt::format("option {} was given an empty value",
                                      argument.substr(0, argument.size() - 1))));
      }
    }
    return {};
  }

  [[nodiscard]] Status RefuseExtras(const std::vector<std::string>& extras) const {
    if (extras.empty()) return {};
    const std::string& first = extras.front();
    if (!first.starts_with('-') || first == "-") {
      return Fail(Usage(fmt::format("unexpected argument '{}'", first)));
    }
    const std::string name = first.substr(0, first.find('='));
    std::vector<std::string> known = GlobalOptionNames();
    for (const Declaration& declaration : verb_.declarations()) {
      if (declaration.kind != Declaration::Kind::kPositional) known.push_back(declaration.name);
    }
    return Fail(Usage(fmt::format("unknown option '{}'{}", name, DidYouMean(name, known))));
  }

  [[nodiscard]] Status Take(const Declaration& declaration,
                            const std::vector<std::string>& values) const {
    if (values.empty()) {
      if (!declaration.required) return {};
      return Fail(Usage(fmt::format("{} is missing", declaration.name)));
    }
    if (declaration.kind == Declaration::Kind::kFlag) {
      if (values.front() != "true") {
        return Fail(Usage(fmt::format("option {} takes no value", declaration.name)));
      }
      declaration.set("true");
      return {};
    }
    if (values.size() > 1 && !declaration.repeated) {
      return Fail(Usage(fmt::format("{} is given more than once", declaration.name)));
    }
    for (const std::string& value : values) {
      if (value.empty() && !declaration.may_be_empty) {
        return Fail(Usage(fmt::format("{} is empty", declaration.name)));
      }
      if (IsOptionName(value)) {
        return Fail(
            Usage(fmt::format("option {} lacks its value: '{}' follows", declaration.name, value)));
      }
      if (declaration.takes.kind == ValueKind::kWord) {
        ASR_CHECK(CheckWord(declaration.name, value, declaration.takes.words));
      }
      declaration.set(value);
    }
    return {};
  }

  [[nodiscard]] bool IsOptionName(const std::string& value) const {
    const auto& all = verb_.declarations();
    return std::any_of(all.begin(), all.end(), [&](const Declaration& declaration) {
      return declaration.kind != Declaration::Kind::kPositional && declaration.name == value;
    });
  }

  const std::string& command_;
  const VerbArguments& verb_;
};

}  // namespace

VerbArguments& VerbArguments::Required(const std::string& name, std::string& value,
                                       const std::string& help, ValueType takes) {
  return Add({.kind = Declaration::Kind::kPositional,
              .name = name,
              .value_name = {},
              .help = help,
              .takes = std::move(takes),
              .required = true,
              .repeated = false,
              .may_be_empty = false,
              .set = [&value](const std::string& given) { value = given; }});
}

VerbArguments& VerbArguments::Optional(const std::string& name, std::string& value,
                                       const std::string& help, ValueType takes) {
  Required(name, value, help, std::move(takes));
  declarations_.back().required = false;
  return *this;
}

VerbArguments& VerbArguments::RequiredOption(const std::string& name, const std::string& value_name,
                                             std::string& value, const std::string& help,
                                             ValueType takes) {
  Required(name, value, help, std::move(takes));
  declarations_.back().kind = Declaration::Kind::kOption;
  declarations_.back().value_name = value_name;
  return *this;
}

VerbArguments& VerbArguments::Option(const std::string& name, const std::string& value_name,
                                     std::optional<std::string>& value, const std::string& help,
                                     ValueType takes) {
  return Add({.kind = Declaration::Kind::kOption,
              .name = name,
              .value_name = value_name,
              .help = help,
              .takes = std::move(takes),
              .required = false,
              .repeated = false,
              .may_be_empty = false,
              .set = [&value](const std::string& given) { value = given; }});
}

VerbArguments& VerbArguments::Repeated(const std::string& name, const std::string& value_name,
                                       std::vector<std::string>& values, const std::string& help,
                                       ValueType takes) {
  return Add({.kind = Declaration::Kind::kOption,
              .name = name,
              .value_name = value_name,
              .help = help,
              .takes = std::move(takes),
              .required = false,
              .repeated = true,
              .may_be_empty = false,
              .set = [&values](const std::string& given) { values.push_back(given); }});
}

VerbArguments& VerbArguments::Flag(const std::string& name, bool& value, const std::string& help) {
  return Add({.kind = Declaration::Kind::kFlag,
              .name = name,
              .value_name = {},
              .help = help,
              .takes = ValueKind::kFree,
              .required = false,
              .repeated = false,
              .may_be_empty = false,
              .set = [&value](const std::string&) { value = true; }});
}

VerbArguments& VerbArguments::MayBeEmpty() {
  declarations_.back().may_be_empty = true;
  return *this;
}

VerbArguments& VerbArguments::Add(Declaration declaration) {
  declarations_.push_back(std::move(declaration));
  return *this;
}

std::vector<std::string> VerbArguments::UsageParts() const {
  std::vector<std::string> parts;
  for (const Declaration& declaration : declarations_) {
    std::string part = declaration.name;
    if (declaration.kind == Declaration::Kind::kOption)
      part += fmt::format(" {}", declaration.value_name);
    if (!declaration.required) part = fmt::format("[{}]", part);
    if (declaration.repeated) part += "...";
    parts.push_back(std::move(part));
  }
  return parts;
}

std::string VerbArguments::Usage() const { return fmt::format("{}", fmt::join(UsageParts(), " ")); }

Status VerbArguments::Parse(const std::string& command, const std::vector<std::string>& arguments) {
  return Parser(command, *this).Run(arguments);
}

}  // namespace asr
