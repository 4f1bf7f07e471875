// Small helpers for words, most of which people type.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace asr {

// A to Z in lower case; all other bytes stay, whatever the locale.
[[nodiscard]] std::string AsciiLowerCase(std::string_view text);

// The candidate that `word` most likely meant, or empty if none is near enough. Letter case does
// not count; a swap of two neighbouring letters counts as one mistake, and one mistake is allowed
// for every three letters. A candidate that begins with `word` (3 letters or more) is near, too.
[[nodiscard]] std::string NearestName(std::string_view word,
                                      const std::vector<std::string>& candidates);

// As one word of a shell's command line: quoted if it has to be.
[[nodiscard]] std::string ShellQuote(std::string_view word);

}  // namespace asr
