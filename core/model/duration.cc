#include "core/model/duration.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

namespace asr {
namespace {

struct Unit {
  char letter;
  std::int64_t seconds;
};
constexpr std::array<Unit, 4> kUnits = {{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};

// So far no clock arithmetic on the result overflows, in any unit down to nanoseconds.
constexpr std::int64_t kMostSeconds = std::numeric_limits<std::int64_t>::max() / 4'000'000'000;

}  // namespace

std::optional<std::chrono::seconds> ParseDuration(std::string_view text) {
  if (text == "0") return std::chrono::seconds{0};
  if (text.size() < 2 || text.front() < '0' || text.front() > '9') return std::nullopt;
  std::int64_t count = 0;
  const char* last_digit_end = text.data() + text.size() - 1;
  const auto [end, problem] = std::from_chars(text.data(), last_digit_end, count);
  if (problem != std::errc{} || end != last_digit_end) return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (unit.letter != text.back()) continue;
    if (count > kMostSeconds / unit.seconds) return std::nullopt;
    return std::chrono::seconds{count * unit.seconds};
  }
  return std::nullopt;
}

std::string FormatDuration(std::chrono::seconds duration) {
  const std::int64_t seconds = duration.count();
  if (seconds == 0) return "0";
  // A single day is "24h", as everybody writes it.
  if (seconds == 86400) return "24h";
  for (const Unit& unit : kUnits) {
    if (seconds % unit.seconds == 0)
      return fmt::format("{}{}", seconds / unit.seconds, unit.letter);
  }
  return fmt::format("{}s", seconds);
}

}  // namespace asr
