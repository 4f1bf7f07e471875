// The text of a document: JSON whose last line but one holds the checksum of all lines before it
// (man/asr-vault.5, "Documents"), so that `head -n -2 DOCUMENT | sha256sum` tells the same.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace asr {

// `json` is an object with at least one member, and none named "checksum".
[[nodiscard]] std::string WriteDocument(const nlohmann::ordered_json& json);
[[nodiscard]] bool HasRightChecksum(std::string_view text);

}  // namespace asr
