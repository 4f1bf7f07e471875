// Time comes through this seam, so that tests decide what time it is.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace asr {

// Milliseconds since 1970-01-01 UTC: the resolution of every time we write down.
using Timestamp = std::chrono::sys_time<std::chrono::milliseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall clock; may jump. Thread-safe.
  [[nodiscard]] virtual Timestamp Now() const = 0;
  // Seconds that never jump, for rates and deadlines.
  [[nodiscard]] virtual double MonotonicSeconds() const = 0;
  // Returns after `seconds`, or at once in tests.
  virtual void SleepSeconds(double seconds) = 0;
};

// The machine's own clock.
[[nodiscard]] Clock& SystemClock();

// "2026-11-23T06:30:00.123Z" (RFC 3339, UTC, always 3 decimals).
[[nodiscard]] std::string FormatTime(Timestamp time);
// Accepts what FormatTime writes, with 0 to 9 decimals and Z or an offset. nullopt if it is none.
[[nodiscard]] std::optional<Timestamp> ParseTime(std::string_view text);

// "20261123T063000.123Z": the same in names of points; sorts by time.
[[nodiscard]] std::string FormatCompactTime(Timestamp time);
[[nodiscard]] std::optional<Timestamp> ParseCompactTime(std::string_view text);

}  // namespace asr
