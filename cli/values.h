// Values of arguments, looked at before anything is opened. Every error is kUsage and names the
// argument.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Of a value that can be seen to be wrong: "--limit: 'x' is not a number".
[[nodiscard]] Error WrongValue(const std::string& what, const std::string& value,
                               const std::string& why, std::string action);

// A vault's or host's name: 1 to 64 letters, digits, '-', '_' and '.', not beginning with '.'.
[[nodiscard]] Status CheckName(const std::string& what, const std::string& name);

// One of `words`.
[[nodiscard]] Status CheckWord(const std::string& what, const std::string& word,
                               const std::vector<std::string>& words);

// A whole number from `least` to `most`.
[[nodiscard]] Result<std::uint64_t> ParseNumber(const std::string& what, const std::string& text,
                                                std::uint64_t least, std::uint64_t most);

// A duration like 30s, 5m, 24h, 7d.
[[nodiscard]] Result<std::chrono::seconds> ParseDurationValue(const std::string& what,
                                                              const std::string& text);

// A time (2026-11-23T06:30:00Z), or a duration back from `now`.
[[nodiscard]] Result<Timestamp> ParseSince(const std::string& text, Timestamp now);

}  // namespace asr
