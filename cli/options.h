// Options of every verb, accepted anywhere on the line.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/value_kind.h"
#include "storage/base/result.h"

namespace asr {

enum class OutputFormat : std::uint8_t { kTable, kJson, kYaml, kTsv, kNone };

// nullopt for any other word.
[[nodiscard]] std::optional<OutputFormat> ParseOutputFormat(const std::string& word);
// "table", "json", ...
[[nodiscard]] const std::vector<std::string>& OutputFormatWords();

// Reads a variable of the environment; nullopt if it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string&)>;

struct GlobalOptions {
  // Not given by flag or environment: nullopt, and `asr config` or the default decides.
  std::optional<OutputFormat> output;
  std::optional<std::string> jq;  // implies kJson
  std::optional<std::string> vault;
  std::optional<std::string> state_directory;
  std::optional<std::string> credential;
  std::optional<std::string> ca_file;
  bool no_wait = false;
  bool dry_run = false;
  bool yes = false;
  bool quiet = false;
  bool verbose = false;
  bool debug = false;
  bool no_color = false;
  bool version = false;
  bool help = false;
};

struct GlobalOptionHelp {
  char letter = 0;         // 'o'; 0: none
  std::string name;        // "--output"
  std::string value_name;  // "FORMAT"; empty: a flag
  ValueType takes;
  std::string text;
};
// One row an option, in the order of the manual.
[[nodiscard]] const std::vector<GlobalOptionHelp>& GlobalOptionsHelp();
// "--output", "--vault", ...
[[nodiscard]] std::vector<std::string> GlobalOptionNames();

struct SplitArguments {
  GlobalOptions options;
  std::vector<std::string> rest;  // noun, verb and what is theirs, in order
  Status status;                  // the first thing that was wrong (kUsage)
};

// Takes the global options out of `arguments` (without the program's name), up to a "--". What is
// wrong does not end it, so that `options` tells how the error is to be printed.
[[nodiscard]] SplitArguments TakeGlobalOptions(const std::vector<std::string>& arguments,
                                               const EnvironmentLookup& environment);

}  // namespace asr
