#include "cli/values.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "cli/did_you_mean.h"
#include "core/model/duration.h"

namespace asr {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

Error WrongValue(const std::string& what, const std::string& value, const std::string& why,
                 std::string action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("{}: '{}' {}", what, value, why))
      .WithAction(std::move(action));
}

Status CheckName(const std::string& what, const std::string& name) {
  constexpr std::size_t kLongestName = 64;
  const bool fits = !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
                    name.front() != '-' && std::all_of(name.begin(), name.end(), IsNameCharacter);
  if (fits) return {};
  return Fail(
      WrongValue(what, name, "cannot be a name",
                 fmt::format("use 1 to {} letters, digits, '-', '_' and '.', beginning with a "
                             "letter, a digit or '_'",
                             kLongestName)));
}

Status CheckWord(const std::string& what, const std::string& word,
                 const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return {};
  return Fail(WrongValue(what, word, "is not possible" + DidYouMean(word, words),
                         fmt::format("give one of: {}", fmt::join(words, ", "))));
}

Result<std::uint64_t> ParseNumber(const std::string& what, const std::string& text,
                                  std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end && number >= least && number <= most) {
    return number;
  }
  return Fail(WrongValue(what, text, "is out of range",
                         fmt::format("give a whole number from {} to {}", least, most)));
}

Result<std::chrono::seconds> ParseDurationValue(const std::string& what, const std::string& text) {
  if (const auto duration = ParseDuration(text)) return *duration;
  return Fail(
      WrongValue(what, text, "is not a duration", "give a number and s, m, h or d, like 5m"));
}

Result<Timestamp> ParseSince(const std::string& text, Timestamp now) {
  if (const auto time = ParseTime(text)) return *time;
  if (const auto time = ParseCompactTime(text)) return *time;
  if (const auto back = ParseDuration(text)) return now - *back;
  return Fail(
      WrongValue("--since", text, "is neither a time nor a duration",
                 "give a time like 2026-11-23T06:30:00Z, or a duration back from now, like 2h"));
}

}  // namespace asr
