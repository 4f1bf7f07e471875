// A command line as one text, as it is kept with the jobs that it started.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace asr {

// A JSON array. Empty if JSON cannot carry a word (a path need not be UTF-8).
[[nodiscard]] std::string EncodeWords(const std::vector<std::string>& words);

// nullopt if `text` is none of these arrays, or has no words.
[[nodiscard]] std::optional<std::vector<std::string>> DecodeWords(const std::string& text);

}  // namespace asr
