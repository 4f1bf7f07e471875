#include "core/source/remote_stamps.h"

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <ios>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/text.h"

namespace asr {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::size_t kFractionDigits = 9;

// Of SECONDS.NANOSECONDS.
std::optional<std::int64_t> ParseNs(const std::string& text) {
  const std::size_t point = text.find('.');
  if (point == std::string::npos || text.size() - point - 1 != kFractionDigits) {
    return std::nullopt;
  }
  std::istringstream digits(text.substr(0, point) + text.substr(point + 1));
  std::int64_t ns = 0;
  if (!(digits >> ns) || !digits.eof()) return std::nullopt;
  return ns;
}

struct Line {
  unsigned mode = 0;
  FileStamp stamp;
};

std::optional<Line> ParseLine(const std::string& text) {
  std::istringstream words(text);
  Line line;
  std::string modified;
  std::string changed;
  words >> std::hex >> line.mode >> std::dec >> line.stamp.device >> line.stamp.inode >>
      line.stamp.size_bytes >> modified >> changed;
  if (!words) return std::nullopt;
  const auto modified_ns = ParseNs(modified);
  const auto changed_ns = ParseNs(changed);
  if (!modified_ns || !changed_ns) return std::nullopt;
  line.stamp.modified_ns = *modified_ns;
  line.stamp.changed_ns = *changed_ns;
  return line;
}

// A later write in the same tick of a file system's clock would not show.
bool IsAtRest(const FileStamp& stamp, std::int64_t now_seconds) {
  const std::int64_t margin_seconds = std::chrono::seconds(kStampMargin).count();
  return stamp.changed_ns < (now_seconds - margin_seconds) * kNsPerSecond;
}

}  // namespace

Result<RemoteChain> ParseRemoteChain(const std::string& json) {
  const Json list = Json::parse(json, nullptr, false);
  RemoteChain chain;
  chain.is_told_by_stamps = true;
  if (list.is_array()) {
    for (const Json& image : list) {
      if (!image.is_object() || !image.contains("filename")) break;
      const std::string file = image["filename"].is_string() ? image["filename"] : Json("");
      // Another part of its bytes lies in a file whose writes do not show in this one.
      const bool has_data_file = image.contains("/format-specific/data/data-file"_json_pointer);
      chain.is_told_by_stamps &= file.starts_with('/') && !has_data_file;
      chain.files.push_back(file);
    }
  }
  if (list.is_array() && !chain.files.empty() && chain.files.size() == list.size()) return chain;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kIo,
                        fmt::format("its host does not say what an image lies over: {}", json))
                  .WithCause("qemu-img over there is older than 2012, or another program"));
}

// The stamp of a block device tells nothing; the kernel counts what is written to it, unless that
// is switched off (for a partition where its disk's queue is). And of a file that lies on NFS, only
// who opens it is told how it is now.
std::string RemoteStampsCommand(const std::vector<std::string>& files) {
  std::string words;
  for (const std::string& file : files) {
    if (file.starts_with('/')) words += " " + ShellQuote(file);
  }
  return fmt::format(
      "(for file in{}; do "
      ": <\"$file\" && stat -L -c '%f %d %i %s %.9Y %.9Z %y %z' -- \"$file\" && if [ -b \"$file\" "
      "]; then "
      "device=$(readlink -f -- \"/sys/class/block/$(basename \"$(readlink -f -- "
      "\"$file\")\")\") && "
      "{{ read -r counted <\"$device/queue/iostats\" || read -r counted "
      "<\"$device/../queue/iostats\"; }} 2>/dev/null && "
      "read -r _ _ _ _ writes _ sectors _ _ _ _ discards _ "
      "<\"$device/stat\" && "
      "echo \"written $writes $sectors $discards counted $counted\"; fi || exit; "
      "done; date +%s) 2>&1",
      words);
}

RemoteStamps ParseRemoteStamps(const std::vector<std::string>& files, const std::string& said) {
  RemoteStamps found;
  std::vector<std::string> lines;
  std::istringstream stream(said);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::int64_t now_seconds = 0;
  if (!lines.empty()) {
    std::istringstream(lines.back()) >> now_seconds;
    lines.pop_back();
  }
  for (const std::string& line : lines) {
    found.text += line + "\n";
    if (line.starts_with("written ") && !line.ends_with(" counted 1")) found.tells_writes = false;
  }
  bool is_at_rest = lines.size() == files.size();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto line = ParseLine(lines[i]);
    if (i == 0) found.leaf_is_device = line && S_ISBLK(line->mode);
    is_at_rest = is_at_rest && line && S_ISREG(line->mode) && IsAtRest(line->stamp, now_seconds);
    if (is_at_rest) found.stamps.push_back({.path = files[i], .stamp = line->stamp});
  }
  if (!is_at_rest) found.stamps.clear();
  return found;
}

}  // namespace asr
