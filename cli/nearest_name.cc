#include "cli/nearest_name.h"

#include <algorithm>

#include <fmt/format.h>

namespace asr {
namespace {

// Optimal string alignment distance, three rows at a time.
std::size_t TypingErrors(std::string_view from, std::string_view to) {
  std::vector<std::size_t> before_last(to.size() + 1);
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t change = from[i - 1] == to[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool swapped =
          i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[to.size()];
}

std::size_t MostErrors(std::size_t length) {
  if (length <= 4) return 1;
  return length <= 7 ? 2 : 3;
}

}  // namespace

std::optional<std::string> NearestName(std::string_view typed,
                                       const std::vector<std::string>& candidates) {
  constexpr std::size_t kShortestBeginning = 3;
  std::optional<std::string> nearest;
  std::size_t fewest = MostErrors(typed.size()) + 1;
  for (const std::string& candidate : candidates) {
    std::size_t errors = TypingErrors(typed, candidate);
    if (typed.size() >= kShortestBeginning && candidate.starts_with(typed)) {
      errors = std::min<std::size_t>(errors, 1);
    }
    if (errors < fewest) {
      fewest = errors;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view typed, const std::vector<std::string>& candidates) {
  const auto near = NearestName(typed, candidates);
  return near ? fmt::format("; did you mean '{}'?", *near) : std::string();
}

}  // namespace asr
