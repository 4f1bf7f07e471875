// Runs commands of the command line in process, against directories of the test's own.
#pragma once

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/application.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

struct CommandResult {
  int exit_code = 0;
  std::string out;
  std::string err;
  // `out` or `err` as JSON; a discarded value if it is none.
  [[nodiscard]] nlohmann::ordered_json OutJson() const;
  [[nodiscard]] nlohmann::ordered_json ErrJson() const;
};

// Of an object, in its order.
[[nodiscard]] std::vector<std::string> Keys(const nlohmann::ordered_json& object);

class CliRunner {
 public:
  CliRunner();

  // `line` is split at blanks; "{dir}" inside it becomes the test's directory.
  CommandResult Run(const std::string& line);
  CommandResult RunWords(const std::vector<std::string>& words);
  // As Run, with JSON output; fails the test unless the command ends with 0.
  nlohmann::ordered_json Json(const std::string& line);

  // Vault "main", host "lab" with VM "web" (raw disks root and data, 3 MiB + 512 and 1 MiB), policy
  // "gold".
  void SetUpLab();
  // Overwrites part of a disk of VM "web".
  void WriteDisk(const std::string& disk, std::uint64_t offset_bytes, const std::string& bytes);
  // Replaces the content of a file of the test.
  void WriteFile(const std::string& name, const std::string& content);
  [[nodiscard]] std::string ReadFile(const std::string& path) const;
  // Path and content of every file below `below`, a directory of the test.
  [[nodiscard]] std::map<std::string, std::string> Tree(const std::string& below) const;

  [[nodiscard]] std::string Path(const std::string& name) const { return directory_ / name; }

  std::map<std::string, std::string> variables;
  TerminalInfo terminal;
  std::string typed;  // what stdin gives
  std::stop_source stop;
  std::string program;  // that goes on with the work of a command: ASR_BINARY

 private:
  TempDir directory_;
};

}  // namespace asr::testing
