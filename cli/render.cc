#include "cli/render.h"

namespace asr {
namespace {

constexpr int kIndent = 2;

std::string PrettyJson(const Json& value) {
  return value.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Tabs and line ends inside a value would break the row.
std::string EscapeTsv(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '\t':
        escaped += "\\t";
        break;
      case '\n':
        escaped += "\\n";
        break;
      case '\r':
        escaped += "\\r";
        break;
      case '\\':
        escaped += "\\\\";
        break;
      default:
        escaped.push_back(c);
    }
  }
  return escaped;
}

std::string RawText(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  return CompactJson(value);
}

std::string TsvCell(const Json& row, const Column& column) {
  const Json::json_pointer pointer(column.pointer);
  if (!row.contains(pointer)) return "";
  const Json& value = row.at(pointer);
  if (value.is_array() && column.kind == Column::Kind::kSum)
    return std::to_string(SumOfSizes(value));
  if (value.is_array()) return EscapeTsv(JoinNames(value, ","));
  return EscapeTsv(RawText(value));
}

std::string RenderTsv(const Json& value, const View& view) {
  const Json rows = value.is_array() ? value : Json::array({value});
  std::string text;
  for (const Json& row : rows) {
    for (std::size_t i = 0; i < view.columns.size(); ++i) {
      if (i > 0) text += "\t";
      text += TsvCell(row, view.columns[i]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string JoinNames(const Json& array, std::string_view separator) {
  std::string joined;
  for (const Json& element : array) {
    if (!joined.empty()) joined += separator;
    joined += element.is_object() ? RawText(element.value("name", Json())) : RawText(element);
  }
  return joined;
}

std::uint64_t SumOfSizes(const Json& array) {
  std::uint64_t sum = 0;
  for (const Json& element : array) sum += element.value("sizeBytes", std::uint64_t{0});
  return sum;
}

std::string CompactJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Render(const Json& value, const View& view, const RenderSettings& settings) {
  switch (settings.format) {
    case OutputFormat::kTable:
      return RenderTable(value, view, settings);
    case OutputFormat::kJson:
      return PrettyJson(value);
    case OutputFormat::kYaml:
      return RenderYaml(value);
    case OutputFormat::kTsv:
      return RenderTsv(value, view);
    case OutputFormat::kNone:
      return "";
  }
  return "";
}

}  // namespace asr
