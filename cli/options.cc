#include "cli/options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/did_you_mean.h"

namespace asr {
namespace {

using Options = GlobalOptions;

// An option is a flag, or takes a value; exactly one of the two members is set.
struct GlobalOption {
  char letter;  // 0: none
  std::string_view name;
  std::string_view value_name;
  bool Options::*flag;
  Status (*set)(Options&, const std::string& value);
  ValueKind takes;
  std::string_view help;
};

Status SetOutput(Options& options, const std::string& value) {
  options.output = ParseOutputFormat(value);
  if (options.output) return {};
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("'{}' is not an output format{}", value,
                                    DidYouMean(value, OutputFormatWords())))
                  .WithAction("give table, json, yaml, tsv or none"));
}

Status SetText(std::optional<std::string>& member, std::string_view option,
               const std::string& value) {
  if (value.empty()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          fmt::format("option {} was given an empty value", option))
                    .WithAction(fmt::format("give a value: {} VALUE", option)));
  }
  member = value;
  return {};
}

Status SetJq(Options& options, const std::string& value) {
  return SetText(options.jq, "--jq", value);
}
Status SetVault(Options& options, const std::string& value) {
  return SetText(options.vault, "--vault", value);
}
Status SetStateDirectory(Options& options, const std::string& value) {
  return SetText(options.state_directory, "--state-dir", value);
}
Status SetCredential(Options& options, const std::string& value) {
  return SetText(options.credential, "--credential", value);
}
Status SetAuthorityFile(Options& options, const std::string& value) {
  return SetText(options.ca_file, "--ca-file", value);
}

constexpr std::array kOptions = {
    GlobalOption{'o', "output", "FORMAT", nullptr, SetOutput, ValueKind::kOutputFormat,
                 "table (default), json, yaml, tsv or none; also ASR_OUTPUT"},
    GlobalOption{0, "jq", "EXPR", nullptr, SetJq, ValueKind::kFree,
                 "print what this jq program makes of the json; implies -o json"},
    GlobalOption{0, "vault", "NAME", nullptr, SetVault, ValueKind::kVault,
                 "the vault to use instead of the default; also ASR_VAULT"},
    GlobalOption{0, "state-dir", "DIR", nullptr, SetStateDirectory, ValueKind::kDirectory,
                 "where this machine keeps its state; also ASR_STATE_DIR"},
    GlobalOption{0, "credential", "NAME", nullptr, SetCredential, ValueKind::kCredential,
                 "the credential for a vault that needs one"},
    GlobalOption{0, "ca-file", "FILE", nullptr, SetAuthorityFile, ValueKind::kFile,
                 "the authorities to trust for TLS, as PEM; also SSL_CERT_FILE"},
    GlobalOption{0, "no-wait", "", &Options::no_wait, nullptr, ValueKind::kFree,
                 "leave the job to the agent instead of running it here"},
    GlobalOption{0, "dry-run", "", &Options::dry_run, nullptr, ValueKind::kFree,
                 "print what would be done, and change nothing"},
    GlobalOption{'y', "yes", "", &Options::yes, nullptr, ValueKind::kFree,
                 "answer every question with yes"},
    GlobalOption{'q', "quiet", "", &Options::quiet, nullptr, ValueKind::kFree,
                 "no progress, notes or warnings"},
    GlobalOption{'v', "verbose", "", &Options::verbose, nullptr, ValueKind::kFree,
                 "a line for each task that ends"},
    GlobalOption{0, "debug", "", &Options::debug, nullptr, ValueKind::kFree,
                 "also what was opened where, and how long it took"},
    GlobalOption{0, "no-color", "", &Options::no_color, nullptr, ValueKind::kFree,
                 "no colours; also NO_COLOR"},
    GlobalOption{0, "version", "", &Options::version, nullptr, ValueKind::kFree,
                 "print the version"},
    GlobalOption{'h', "help", "", &Options::help, nullptr, ValueKind::kFree, "print help"},
};

const GlobalOption* FindByName(std::string_view name) {
  const auto* found = std::find_if(kOptions.begin(), kOptions.end(),
                                   [&](const GlobalOption& o) { return o.name == name; });
  return found == kOptions.end() ? nullptr : found;
}

const GlobalOption* FindByLetter(char letter) {
  const auto* found = std::find_if(kOptions.begin(), kOptions.end(), [&](const GlobalOption& o) {
    return o.letter != 0 && o.letter == letter;
  });
  return found == kOptions.end() ? nullptr : found;
}

class Splitter {
 public:
  explicit Splitter(const std::vector<std::string>& arguments) : arguments_(arguments) {}

  SplitArguments Run() {
    for (; next_ < arguments_.size(); ++next_) {
      const std::string& argument = arguments_[next_];
      if (argument == "--") break;
      if (!(argument.starts_with("--") ? TakeLong(argument) : TakeShort(argument))) {
        split_.rest.push_back(argument);
      }
    }
    for (; next_ < arguments_.size(); ++next_) split_.rest.push_back(arguments_[next_]);
    return std::move(split_);
  }

 private:
  // "--name", "--name=value", "--name value". False if it is not ours.
  bool TakeLong(const std::string& argument) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const GlobalOption* option = FindByName(name);
    if (option == nullptr) return false;
    if (equals != std::string::npos) {
      Apply(*option, argument.substr(equals + 1));
    } else {
      Apply(*option, std::nullopt);
    }
    return true;
  }

  // "-q", "-qy", "-o json", "-ojson", "-qo=json". False if any letter of it is not ours.
  bool TakeShort(const std::string& argument) {
    if (argument.size() < 2 || argument[0] != '-') return false;
    for (std::size_t i = 1; i < argument.size(); ++i) {
      const GlobalOption* option = FindByLetter(argument[i]);
      if (option == nullptr) return false;
      if (option->flag == nullptr) break;
    }
    for (std::size_t i = 1; i < argument.size(); ++i) {
      const GlobalOption& option = *FindByLetter(argument[i]);
      const std::string after = argument.substr(i + 1);
      if (option.flag == nullptr && !after.empty()) {
        Apply(option, after[0] == '=' ? after.substr(1) : after);
        return true;
      }
      Apply(option, std::nullopt);
    }
    return true;
  }

  void Apply(const GlobalOption& option, std::optional<std::string> value) {
    if (option.flag != nullptr) {
      if (value) {
        Note(MakeError(
                 ErrorKind::kUsage, ErrorCode::kUsage,
                 fmt::format("option --{} takes no value, but was given '{}'", option.name, *value))
                 .WithAction(fmt::format("give it alone: --{}", option.name)));
      }
      split_.options.*option.flag = true;
      return;
    }
    if (!value && next_ + 1 < arguments_.size() && arguments_[next_ + 1] != "--") {
      value = arguments_[++next_];
    }
    if (!value) {
      Note(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                     fmt::format("option --{} needs a value", option.name))
               .WithAction(fmt::format("give --{} {}", option.name, option.value_name)));
      return;
    }
    if (Status status = option.set(split_.options, *value); !status) Note(status.error());
  }

  void Note(Error error) {
    if (split_.status) split_.status = Fail(std::move(error));
  }

  const std::vector<std::string>& arguments_;
  std::size_t next_ = 0;
  SplitArguments split_;
};

// What a variable gives, if the flag did not; an empty variable counts as not set.
void TakeVariable(SplitArguments& split, const EnvironmentLookup& environment,
                  const std::string& variable, bool given_by_flag,
                  Status (*set)(Options&, const std::string&)) {
  if (given_by_flag) return;
  const auto value = environment(variable);
  if (!value || value->empty()) return;
  Status status = set(split.options, *value);
  if (status || !split.status) return;
  split.status =
      Fail(std::move(status).error().WithContext(fmt::format("environment variable {}", variable)));
}

// A filter works on json alone; other formats asked for by flag contradict it.
void ApplyFilter(SplitArguments& split) {
  Options& options = split.options;
  if (!options.jq) return;
  const OutputFormat asked_for = options.output.value_or(OutputFormat::kJson);
  options.output = OutputFormat::kJson;
  if (asked_for == OutputFormat::kJson || !split.status) return;
  split.status = Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                                "option --jq works on json, but --output asks for another format")
                          .WithAction("leave --output out"));
}

}  // namespace

std::optional<OutputFormat> ParseOutputFormat(const std::string& word) {
  if (word == "table") return OutputFormat::kTable;
  if (word == "json") return OutputFormat::kJson;
  if (word == "yaml") return OutputFormat::kYaml;
  if (word == "tsv") return OutputFormat::kTsv;
  if (word == "none") return OutputFormat::kNone;
  return std::nullopt;
}

const std::vector<std::string>& OutputFormatWords() {
  static const std::vector<std::string> words = {"table", "json", "yaml", "tsv", "none"};
  return words;
}

const std::vector<GlobalOptionHelp>& GlobalOptionsHelp() {
  static const std::vector<GlobalOptionHelp> rows = [] {
    std::vector<GlobalOptionHelp> built;
    for (const GlobalOption& option : kOptions) {
      built.push_back({.letter = option.letter,
                       .name = fmt::format("--{}", option.name),
                       .value_name = std::string(option.value_name),
                       .takes = option.takes,
                       .text = std::string(option.help)});
    }
    return built;
  }();
  return rows;
}

std::vector<std::string> GlobalOptionNames() {
  std::vector<std::string> names;
  for (const GlobalOption& option : kOptions) names.push_back(fmt::format("--{}", option.name));
  return names;
}

SplitArguments TakeGlobalOptions(const std::vector<std::string>& arguments,
                                 const EnvironmentLookup& environment) {
  SplitArguments split = Splitter(arguments).Run();
  ApplyFilter(split);
  const Options& options = split.options;
  TakeVariable(split, environment, "ASR_OUTPUT", options.output.has_value(), SetOutput);
  TakeVariable(split, environment, "ASR_VAULT", options.vault.has_value(), SetVault);
  TakeVariable(split, environment, "ASR_STATE_DIR", options.state_directory.has_value(),
               SetStateDirectory);
  return split;
}

}  // namespace asr
