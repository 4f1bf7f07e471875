// How much of the line may be used, by weekday and hour.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

struct ThrottleRules {
  // Minutes of the day, local time. An end that is not after the begin is of the next day.
  int work_begin_minute = 9 * 60;
  int work_end_minute = 18 * 60;
  // On which days work hours begin; Sunday is 0.
  std::array<bool, 7> work_days = {false, true, true, true, true, true, false};
  // Megabits (10^6) a second; none: no limit.
  std::optional<std::uint32_t> work_mbps;
  std::optional<std::uint32_t> other_mbps;
  bool operator==(const ThrottleRules&) const = default;
};

// "9:00-18:00". kUsage.
[[nodiscard]] Status ParseWorkHours(const std::string& text, ThrottleRules& rules);
[[nodiscard]] std::string FormatWorkHours(const ThrottleRules& rules);  // "09:00-18:00"
// "mon-fri", "mon,wed,sat-sun"; a range may go over the week's end. kUsage.
[[nodiscard]] Status ParseWorkDays(const std::string& text, ThrottleRules& rules);
[[nodiscard]] std::string FormatWorkDays(const ThrottleRules& rules);  // "mon,tue,wed"

[[nodiscard]] std::string EncodeThrottleRules(const ThrottleRules& rules);
// nullopt for a text that is none.
[[nodiscard]] std::optional<ThrottleRules> DecodeThrottleRules(const std::string& text);

// In the machine's time zone.
[[nodiscard]] bool IsWorkTime(const ThrottleRules& rules, Timestamp now);
// nullopt: no limit.
[[nodiscard]] std::optional<double> LimitBytesPerSecond(const ThrottleRules& rules, Timestamp now);

}  // namespace asr
