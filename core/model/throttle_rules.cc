#include "core/model/throttle_rules.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string_view>
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

std::optional<int> Number(std::string_view text, std::size_t least_digits) {
  int number = 0;
  const auto end = text.data() + text.size();
  const bool fits =
      text.size() >= least_digits && text.size() <= 2 &&
      std::ranges::all_of(text, [](char digit) { return digit >= '0' && digit <= '9'; });
  if (!fits || std::from_chars(text.data(), end, number).ptr != end) return std::nullopt;
  return number;
}

// "9:00"; "24:00" is the end of the day.
std::optional<int> MinuteOfDay(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto hour = Number(text.substr(0, colon), 1);
  const auto minute = Number(text.substr(colon + 1), 2);
  if (!hour || !minute || *minute >= 60 || *hour * 60 + *minute > kMinutesOfADay) {
    return std::nullopt;
  }
  return *hour * 60 + *minute;
}

std::optional<std::size_t> DayOf(std::string_view name) {
  const auto found = std::ranges::find(kDays, name);
  if (found == kDays.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kDays.begin());
}

Json MbpsJson(const std::optional<std::uint32_t>& mbps) { return mbps ? Json(*mbps) : Json(); }

}  // namespace

Status ParseWorkHours(const std::string& text, ThrottleRules& rules) {
  const std::size_t dash = text.find('-');
  const auto begin = MinuteOfDay(std::string_view(text).substr(0, dash));
  const auto end = dash == std::string::npos ? std::nullopt
                                             : MinuteOfDay(std::string_view(text).substr(dash + 1));
  if (!begin || !end || *begin == *end || *begin == kMinutesOfADay) {
    return Fail(Wrong("--work-hours", text, "9:00-18:00"));
  }
  rules.work_begin_minute = *begin;
  rules.work_end_minute = *end;
  return {};
}

std::string FormatWorkHours(const ThrottleRules& rules) {
  return fmt::format("{:02}:{:02}-{:02}:{:02}", rules.work_begin_minute / 60,
                     rules.work_begin_minute % 60, rules.work_end_minute / 60,
                     rules.work_end_minute % 60);
}

Status ParseWorkDays(const std::string& text, ThrottleRules& rules) {
  std::array<bool, 7> days{};
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto first = DayOf(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : DayOf(part.substr(dash + 1));
    if (!first || !last) return Fail(Wrong("--work-days", text, "mon-fri"));
    for (std::size_t day = *first;; day = (day + 1) % kDays.size()) {
      days[day] = true;
      if (day == *last) break;
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
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
