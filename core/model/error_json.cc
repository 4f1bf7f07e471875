#include "core/model/error_json.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <vector>

#include <nlohmann/json.hpp>

namespace asr {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 10> kKindNames = {
    "Usage", "NotFound", "State", "Unsupported", "Corrupt",
    "Io",    "NoSpace",  "Busy",  "Cancelled",   "Internal"};

ErrorKind ParseKind(std::string_view name) {
  for (std::size_t i = 0; i < kKindNames.size(); ++i) {
    if (kKindNames[i] == name) return static_cast<ErrorKind>(i);
  }
  return ErrorKind::kInternal;
}

// "ASR1001". The number is kept even if this program has no name for it.
ErrorCode ParseCode(std::string_view text) {
  constexpr std::string_view kPrefix = "ASR";
  std::uint16_t number = 0;
  if (!text.starts_with(kPrefix)) return ErrorCode::kInternal;
  text.remove_prefix(kPrefix.size());
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
    return ErrorCode::kInternal;
  }
  return static_cast<ErrorCode>(number);
}

std::string StringAt(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

std::vector<std::string> StringsAt(const json& object, const char* key) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return strings;
  for (const json& element : *found) {
    if (element.is_string()) strings.push_back(element.get_ref<const std::string&>());
  }
  return strings;
}

}  // namespace

json ErrorToJson(const Error& error) {
  return json{
      {"code", error.CodeText()},    {"kind", kKindNames[static_cast<std::size_t>(error.kind)]},
      {"message", error.message},    {"context", error.context},
      {"causes", error.causes},      {"action", error.action},
      {"retryable", error.retryable}};
}

Error ErrorFromJson(const json& object) {
  Error error;
  if (!object.is_object()) return error;
  error.kind = ParseKind(StringAt(object, "kind"));
  error.code = ParseCode(StringAt(object, "code"));
  error.message = StringAt(object, "message");
  error.context = StringsAt(object, "context");
  error.causes = StringsAt(object, "causes");
  error.action = StringAt(object, "action");
  const auto retryable = object.find("retryable");
  error.retryable = retryable != object.end() && retryable->is_boolean() && retryable->get<bool>();
  return error;
}

std::string ErrorToJsonText(const Error& error) {
  return ErrorToJson(error).dump(-1, ' ', false, json::error_handler_t::replace);
}

Error ErrorFromJsonText(std::string_view text) {
  return ErrorFromJson(json::parse(text, nullptr, /*allow_exceptions=*/false));
}

}  // namespace asr
