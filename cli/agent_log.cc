#include "cli/agent_log.h"

#include <array>

#include <fmt/format.h>

#include "cli/json_values.h"
#include "cli/text_format.h"

namespace asr {
namespace {

struct LevelNames {
  const char* json;
  const char* text;
  int syslog;  // syslog(3)
};

constexpr std::array<LevelNames, 3> kLevels = {
    {{"info", "INFO", 6}, {"warning", "WARNING", 4}, {"error", "ERROR", 3}}};

}  // namespace

std::string FormatLogLine(const LogEntry& entry, LogFormat format, Timestamp now, bool to_journal) {
  const LevelNames& level = kLevels[static_cast<std::size_t>(entry.level)];
  if (format == LogFormat::kJson) {
    Json json;
    json["time"] = FormatTime(now);
    json["level"] = level.json;
    json["vault"] = TextJson(entry.vault);
    json["vm"] = TextJson(entry.vm);
    json["message"] = entry.message;
    return CompactJson(json) + "\n";
  }
  std::string about = entry.vault;
  if (!entry.vm.empty()) about += (about.empty() ? "" : "/") + entry.vm;
  if (!about.empty()) about += ": ";
  const std::string head = to_journal ? fmt::format("<{}>", level.syslog)
                                      : fmt::format("{} {} ", FormatTime(now), level.text);
  return head + Printable(about + entry.message) + "\n";
}

}  // namespace asr
