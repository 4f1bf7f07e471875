#include "core/vault/document_reader.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "core/vault/document_text.h"

namespace asr {
namespace {

Error DocumentError(const std::string& name, const std::string& problem) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kVaultFormat,
                   fmt::format("the vault's document {} {}", name, problem))
      .WithCause("it was edited by hand, or damaged")
      .WithAction("restore the document from a copy of the vault");
}

}  // namespace

DocumentReader::DocumentReader(std::string name, nlohmann::json json)
    : name_(std::move(name)), json_(std::move(json)) {}

Result<DocumentReader> DocumentReader::Parse(const std::string& name, const std::string& text,
                                             int newest_version) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(DocumentError(name, "is not a JSON object"));
  DocumentReader reader(name, std::move(json));
  const std::uint64_t version = reader.Unsigned("version");
  ASR_CHECK(reader.status());
  if (version < 1 || version > static_cast<std::uint64_t>(newest_version)) {
    return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kVaultFormat,
                          fmt::format("the vault's document {} has version {}; this program knows "
                                      "versions up to {}",
                                      name, version, newest_version))
                    .WithCause("a newer asr wrote it")
                    .WithAction("install the newer asr on this machine too"));
  }
  if (!HasRightChecksum(text)) {
    return Fail(DocumentError(name, "does not match the checksum that is in it"));
  }
  return reader;
}

const nlohmann::json* DocumentReader::Find(const std::string& key) const {
  if (!json_.is_object()) return nullptr;
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

void DocumentReader::Reject(const std::string& key, const std::string& wanted) {
  if (problem_.empty()) problem_ = fmt::format("has no good \"{}\" ({} wanted)", key, wanted);
}

void DocumentReader::Adopt(const DocumentReader& element) {
  if (problem_.empty()) problem_ = element.problem_;
}

Status DocumentReader::status() const {
  if (problem_.empty()) return {};
  return Fail(DocumentError(name_, problem_));
}

bool DocumentReader::Has(const std::string& key) const { return Find(key) != nullptr; }

std::string DocumentReader::Text(const std::string& key) {
  const auto* value = Find(key);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  Reject(key, "a text");
  return "";
}

std::string DocumentReader::TextOr(const std::string& key, const std::string& fallback) {
  return Find(key) == nullptr ? fallback : Text(key);
}

std::uint64_t DocumentReader::Unsigned(const std::string& key) {
  const auto* value = Find(key);
  if (value != nullptr && value->is_number_unsigned()) return value->get<std::uint64_t>();
  Reject(key, "a whole number");
  return 0;
}

std::uint64_t DocumentReader::UnsignedOr(const std::string& key, std::uint64_t fallback) {
  return Find(key) == nullptr ? fallback : Unsigned(key);
}

Timestamp DocumentReader::Time(const std::string& key) {
  if (const auto time = ParseTime(Text(key))) return *time;
  Reject(key, "a time");
  return {};
}

std::optional<Timestamp> DocumentReader::OptionalTime(const std::string& key) {
  if (Find(key) == nullptr) return std::nullopt;
  return Time(key);
}

std::optional<bool> DocumentReader::OptionalBool(const std::string& key) {
  const auto* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  Reject(key, "true or false");
  return std::nullopt;
}

std::optional<double> DocumentReader::OptionalNumber(const std::string& key) {
  const auto* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) return value->get<double>();
  Reject(key, "a number");
  return std::nullopt;
}

Bits128 DocumentReader::HexBits(const std::string& key) {
  const std::string text = Text(key);
  Bits128 bits{};
  bool good = text.size() == bits.size() * 2;
  for (std::size_t i = 0; good && i < bits.size(); ++i) {
    unsigned byte = 0;
    const char* begin = text.data() + 2 * i;
    good = std::from_chars(begin, begin + 2, byte, 16).ptr == begin + 2;
    bits[i] = static_cast<std::byte>(byte);
  }
  if (!good) Reject(key, "32 hex digits");
  return bits;
}

std::vector<DocumentReader> DocumentReader::Objects(const std::string& key) {
  std::vector<DocumentReader> readers;
  const auto* value = Find(key);
  if (value == nullptr || !value->is_array()) {
    Reject(key, "a list");
    return readers;
  }
  for (const auto& element : *value) {
    if (!element.is_object()) Reject(key, "a list of objects");
    readers.push_back(DocumentReader(name_, element));
  }
  return readers;
}

DocumentReader DocumentReader::Object(const std::string& key) {
  const auto* value = Find(key);
  if (value != nullptr && value->is_object()) return {name_, *value};
  Reject(key, "an object");
  return {name_, nlohmann::json::object()};
}

std::vector<std::string> DocumentReader::Texts(const std::string& key) {
  std::vector<std::string> texts;
  const auto* value = Find(key);
  if (value == nullptr || !value->is_array()) {
    Reject(key, "a list");
    return texts;
  }
  for (const auto& element : *value) {
    if (element.is_string()) {
      texts.push_back(element.get<std::string>());
    } else {
      Reject(key, "a list of texts");
    }
  }
  return texts;
}

}  // namespace asr
