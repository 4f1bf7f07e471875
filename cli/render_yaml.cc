#include <algorithm>
#include <array>
#include <cctype>

#include <yaml-cpp/yaml.h>

#include "cli/render.h"
#include "cli/text_format.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// Readers of YAML 1.1 take words like "no" and figures like 1e3 or times for something else than
// text. Plain is what starts with a letter and holds nothing that YAML gives a meaning to.
bool IsPlain(const std::string& text) {
  constexpr std::array<std::string_view, 9> kReserved = {"y",   "n",     "yes", "no",  "true",
                                                         "off", "false", "on",  "null"};
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text.front())) == 0) return false;
  const bool harmless = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' ||
           c == '/';
  });
  if (!harmless) return false;
  return std::find(kReserved.begin(), kReserved.end(), AsciiLowerCase(text)) == kReserved.end();
}

void Emit(YAML::Emitter& out, const Json& value);

void EmitString(YAML::Emitter& out, const std::string& text) {
  if (!IsPlain(text)) out << YAML::DoubleQuoted;
  out << text;
}

void EmitArray(YAML::Emitter& out, const Json& value) {
  if (value.empty()) {
    out << YAML::Flow << YAML::BeginSeq << YAML::EndSeq;
    return;
  }
  out << YAML::BeginSeq;
  for (const Json& element : value) Emit(out, element);
  out << YAML::EndSeq;
}

void EmitObject(YAML::Emitter& out, const Json& value) {
  if (value.empty()) {
    out << YAML::Flow << YAML::BeginMap << YAML::EndMap;
    return;
  }
  out << YAML::BeginMap;
  for (const auto& [key, member] : value.items()) {
    out << YAML::Key << key << YAML::Value;
    Emit(out, member);
  }
  out << YAML::EndMap;
}

void Emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    EmitObject(out, value);
  } else if (value.is_array()) {
    EmitArray(out, value);
  } else if (value.is_string()) {
    EmitString(out, value.get<std::string>());
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    // Booleans and numbers are written alike in both notations.
    out << CompactJson(value);
  }
}

}  // namespace

std::string RenderYaml(const Json& value) {
  YAML::Emitter out;
  Emit(out, value);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace asr
