#include "cli/command_words.h"

#include "cli/render.h"

namespace asr {

std::optional<std::vector<std::string>> DecodeWords(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array() || json.empty()) return std::nullopt;
  std::vector<std::string> words;
  for (const Json& word : json) {
    if (!word.is_string()) return std::nullopt;
    words.push_back(word.get<std::string>());
  }
  return words;
}

std::string EncodeWords(const std::vector<std::string>& words) {
  std::string text = CompactJson(Json(words));
  // What is not UTF-8 was replaced on the way.
  return DecodeWords(text) == words ? text : std::string();
}

}  // namespace asr
