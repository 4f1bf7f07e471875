// Values on their way to people and scripts: table, json, yaml, tsv or nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/options.h"
#include "storage/base/clock.h"

namespace asr {

// Keeps the order in which keys were set.
using Json = nlohmann::ordered_json;

// How one value of a row is shown. The value itself is what json and yaml print; tsv prints it too,
// unrounded; only tables show it as people read it.
struct Column {
  enum class Kind : std::uint8_t {
    kText,
    kState,    // coloured by how good or bad it is
    kBytes,    // 1073741824 -> "1.0 GiB"
    kSeconds,  // 125 -> "2 min 5 s"
    kAge,      // a time -> "3 min ago"
    kTime,     // a time -> "2026-11-23 06:30:00"
    kYesNo,
    kNames,  // an array of strings, or of objects with "name" -> "root, data"
    kSum,    // an array of objects with "sizeBytes" -> their sum, as kBytes
  };
  std::string header;
  std::string pointer;  // JSON pointer into the row; null or missing: an empty cell
  Kind kind = Kind::kText;
  bool elastic = false;   // is cut first where the terminal is too narrow
  bool optional = false;  // is left out next, the last one first
};

struct Section {
  std::string title;
  std::string pointer;  // to an array of objects
  std::vector<Column> columns;
  bool stacked = false;  // an object takes a line for each column, in full, and no row
};

struct View {
  std::vector<Column> columns;    // of a list; of every row of tsv
  std::vector<Column> fields;     // of a single object, one a line; those it lacks are left out
  std::vector<Section> sections;  // below the fields; empty arrays are left out
};

struct RenderSettings {
  OutputFormat format = OutputFormat::kTable;
  std::size_t width = 80;  // columns of the terminal
  bool colour = false;
  Timestamp now{};
};

// `value` is an array (a list) or an object. Ends with a newline, unless it is empty. An empty list
// is "[]" in json and yaml, and nothing in tables and tsv.
[[nodiscard]] std::string Render(const Json& value, const View& view,
                                 const RenderSettings& settings);

// Of an array as columns of kNames have it.
[[nodiscard]] std::string JoinNames(const Json& array, std::string_view separator);

// Of a column of kSum.
[[nodiscard]] std::uint64_t SumOfSizes(const Json& array);

// The parts, each in a file of its own.
[[nodiscard]] std::string RenderTable(const Json& value, const View& view,
                                      const RenderSettings& settings);
[[nodiscard]] std::string RenderYaml(const Json& value);

// One line, without spaces; bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string CompactJson(const Json& value);

}  // namespace asr
