// Durations as people type them: "30s", "5m", "24h", "7d".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace asr {

// A whole number and one of s, m, h, d; "0" needs no unit. nullopt for anything else.
[[nodiscard]] std::optional<std::chrono::seconds> ParseDuration(std::string_view text);

// In the largest unit that is exact: 300 s -> "5m", 90 s -> "90s", 604800 s -> "7d", 0 -> "0"; only
// a single day is "24h".
[[nodiscard]] std::string FormatDuration(std::chrono::seconds duration);

}  // namespace asr
