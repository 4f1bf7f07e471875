#include "core/vault/document_text.h"

#include <fmt/format.h>

#include "storage/base/checksum.h"

namespace asr {
namespace {

constexpr std::string_view kEnd = "\n}";

std::string ChecksumLines(std::string_view lines) {
  return fmt::format("  \"checksum\": \"{}\"\n}}\n", ToHex(ComputeSha256(AsBytes(lines))));
}

}  // namespace

std::string WriteDocument(const nlohmann::ordered_json& json) {
  std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize(text.size() - kEnd.size());
  text += ",\n";
  return text + ChecksumLines(text);
}

bool HasRightChecksum(std::string_view text) {
  const std::size_t length = ChecksumLines("").size();
  if (text.size() < length) return false;
  return text.substr(text.size() - length) == ChecksumLines(text.substr(0, text.size() - length));
}

}  // namespace asr
