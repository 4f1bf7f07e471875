#include "storage/base/text.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace asr {
namespace {

constexpr std::size_t kLettersPerMistake = 3;

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
std::size_t EditDistance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_last(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[right.size()];
}

// Mistakes between the two, or nullopt if they have little in common.
std::optional<std::size_t> Mistakes(const std::string& word, const std::string& candidate) {
  const std::size_t distance = EditDistance(word, candidate);
  if (distance * kLettersPerMistake <= std::max(word.size(), candidate.size())) return distance;
  if (word.size() >= kLettersPerMistake && candidate.starts_with(word)) return distance;
  return std::nullopt;
}

}  // namespace

std::string AsciiLowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string NearestName(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string wanted = AsciiLowerCase(word);
  std::string nearest;
  std::optional<std::size_t> fewest;
  for (const std::string& candidate : candidates) {
    const auto mistakes = Mistakes(wanted, AsciiLowerCase(candidate));
    if (mistakes && (!fewest || *mistakes < *fewest)) {
      nearest = candidate;
      fewest = mistakes;
    }
  }
  return nearest;
}

std::string ShellQuote(std::string_view word) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:@+,=").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "'";
}

}  // namespace asr
