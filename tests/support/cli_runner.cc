#include "tests/support/cli_runner.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>

namespace asr::testing {
namespace {

using Json = nlohmann::ordered_json;

// Bytes that differ from place to place, so that a mix-up of chunks is seen.
std::string Pattern(std::size_t size_bytes, unsigned seed) {
  std::string bytes(size_bytes, '\0');
  for (std::size_t i = 0; i < size_bytes; ++i) {
    bytes[i] = static_cast<char>((i / 512 * 31 + i + seed) & 0xFF);
  }
  return bytes;
}

}  // namespace

Json CommandResult::OutJson() const { return Json::parse(out, nullptr, false); }
Json CommandResult::ErrJson() const { return Json::parse(err, nullptr, false); }

std::vector<std::string> Keys(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

CliRunner::CliRunner() { variables["ASR_STATE_DIR"] = directory_ / "state"; }

CommandResult CliRunner::RunWords(const std::vector<std::string>& words) {
  std::istringstream in(typed);
  std::ostringstream out;
  std::ostringstream err;
  const auto lookup = [this](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  CliContext context{.fs = PosixFileSystem(),
                     .clock = SystemClock(),
                     .in = in,
                     .out = out,
                     .err = err,
                     .terminal = terminal,
                     .environment = lookup,
                     .is_root = false,
                     .stop = stop.get_token(),
                     .program = program};
  const int exit_code = RunCommandLine(words, context);
  return {.exit_code = exit_code, .out = out.str(), .err = err.str()};
}

CommandResult CliRunner::Run(const std::string& line) {
  std::string text = line;
  for (std::size_t at = text.find("{dir}"); at != std::string::npos; at = text.find("{dir}")) {
    text.replace(at, 5, directory_.path());
  }
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return RunWords(words);
}

Json CliRunner::Json(const std::string& line) {
  const CommandResult result = Run(line + " -o json");
  EXPECT_EQ(result.exit_code, 0) << line << "\n" << result.err;
  const nlohmann::ordered_json json = result.OutJson();
  EXPECT_FALSE(json.is_discarded()) << line << "\n" << result.out;
  return json;
}

void CliRunner::SetUpLab() {
  std::filesystem::create_directories(Path("vms/web"));
  WriteFile("vms/web/root.raw", Pattern(3 * kMiB + 512, 1));
  WriteFile("vms/web/data.raw", Pattern(kMiB, 2));
  Json("vault create main --target {dir}/vault");
  Json("host add lab --kind folder --path {dir}/vms");
  Json("policy set gold --frequency 5m --retention 24h");
}

void CliRunner::WriteDisk(const std::string& disk, std::uint64_t offset_bytes,
                          const std::string& bytes) {
  const std::string path = Path("vms/web/" + disk);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset_bytes));
  file << bytes;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void CliRunner::WriteFile(const std::string& name, const std::string& content) {
  std::ofstream file(Path(name), std::ios::binary);
  file << content;
  if (!file.flush()) throw std::runtime_error("cannot write " + name);
}

std::string CliRunner::ReadFile(const std::string& path) const {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::map<std::string, std::string> CliRunner::Tree(const std::string& below) const {
  std::map<std::string, std::string> tree;
  const std::string top = Path(below);
  if (!std::filesystem::exists(top)) return tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    const std::string path = entry.path().string();
    tree[path] = entry.is_regular_file() ? ReadFile(path) : "";
  }
  return tree;
}

}  // namespace asr::testing
