#include "core/model/throttle_rules.h"

#include <algorithm>
#include <ctime>
#include <regex>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace asr {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 7> kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr int kMinutesOfADay = 24 * 60;
constexpr double kBytesOfAMegabit = 1e6 / 8;

Error Wrong(const std::string& option, const std::string& value, const std::string& example) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("{}: '{}' cannot be read", option, value))
      .WithAction(fmt::format("for example {} {}", option, example));
}

Json MbpsJson(const std::optional<std::uint32_t>& mbps) { return mbps ? Json(*mbps) : Json(); }

}  // namespace

Status ParseWorkHours(const std::string& text, ThrottleRules& rules) {
  static const std::regex form(R"((\d{1,2}):(\d\d)-(\d{1,2}):(\d\d))");
  std::smatch parts;
  if (!std::regex_match(text, parts, form)) return Fail(Wrong("--work-hours", text, "9:00-18:00"));
  const auto minute = [&](std::size_t at) {
    return std::stoi(parts[at]) * 60 + std::stoi(parts[at + 1]);
  };
  const bool fits = std::stoi(parts[2]) < 60 && std::stoi(parts[4]) < 60 &&
                    minute(1) < kMinutesOfADay && minute(3) <= kMinutesOfADay;
  if (!fits || minute(1) == minute(3)) return Fail(Wrong("--work-hours", text, "9:00-18:00"));
  rules.work_begin_minute = minute(1);
  rules.work_end_minute = minute(3);
  return {};
}

std::string FormatWorkHours(const ThrottleRules& rules) {
  return fmt::format("{:02}:{:02}-{:02}:{:02}", rules.work_begin_minute / 60,
                     rules.work_begin_minute % 60, rules.work_end_minute / 60,
                     rules.work_end_minute % 60);
}

Status ParseWorkDays(const std::string& text, ThrottleRules& rules) {
  static const std::regex form(
      "((sun|mon|tue|wed|thu|fri|sat)(-(sun|mon|tue|wed|thu|fri|sat))?(,|$))+");
  if (!std::regex_match(text, form) || text.ends_with(',')) {
    return Fail(Wrong("--work-days", text, "mon-fri"));
  }
  std::array<bool, 7> days{};
  for (std::size_t at = 0; at < text.size();) {
    const auto day_at = [&](std::size_t where) {
      const auto found = std::ranges::find(kDays, text.substr(where, 3));
      return static_cast<std::size_t>(found - kDays.begin());
    };
    const bool is_range = at + 3 < text.size() && text[at + 3] == '-';
    const std::size_t last = day_at(is_range ? at + 4 : at);
    for (std::size_t day = day_at(at);; day = (day + 1) % 7) {
      days[day] = true;
      if (day == last) break;
    }
    at += is_range ? 8 : 4;
  }
  rules.work_days = days;
  return {};
}

std::string FormatWorkDays(const ThrottleRules& rules) {
  std::vector<std::string_view> names;
  for (std::size_t i = 1; i <= 7; ++i) {
    if (rules.work_days[i % 7]) names.push_back(kDays[i % 7]);
  }
  return fmt::format("{}", fmt::join(names, ","));
}

std::string EncodeThrottleRules(const ThrottleRules& rules) {
  return Json({{"workHours", FormatWorkHours(rules)},
               {"workDays", FormatWorkDays(rules)},
               {"workMbps", MbpsJson(rules.work_mbps)},
               {"otherMbps", MbpsJson(rules.other_mbps)}})
      .dump();
}

std::optional<ThrottleRules> DecodeThrottleRules(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto word = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto mbps = [&](const char* key) -> std::optional<std::uint32_t> {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
    return found->get<std::uint32_t>();
  };
  ThrottleRules rules;
  if (!ParseWorkHours(word("workHours"), rules)) return std::nullopt;
  if (!ParseWorkDays(word("workDays"), rules)) return std::nullopt;
  rules.work_mbps = mbps("workMbps");
  rules.other_mbps = mbps("otherMbps");
  return rules;
}

bool IsWorkTime(const ThrottleRules& rules, Timestamp now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr) return false;
  const int minute = local.tm_hour * 60 + local.tm_min;
  const auto today = static_cast<std::size_t>(local.tm_wday);
  const bool over_midnight = rules.work_end_minute <= rules.work_begin_minute;
  if (!over_midnight) {
    return rules.work_days[today] && minute >= rules.work_begin_minute &&
           minute < rules.work_end_minute;
  }
  return (rules.work_days[today] && minute >= rules.work_begin_minute) ||
         (rules.work_days[(today + 6) % 7] && minute < rules.work_end_minute);
}

std::optional<double> LimitBytesPerSecond(const ThrottleRules& rules, Timestamp now) {
  const auto mbps = IsWorkTime(rules, now) ? rules.work_mbps : rules.other_mbps;
  if (!mbps) return std::nullopt;
  return *mbps * kBytesOfAMegabit;
}

}  // namespace asr
