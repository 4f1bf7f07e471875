#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "cli/render.h"
#include "cli/text_format.h"

namespace asr {
namespace {

using Kind = Column::Kind;

constexpr std::size_t kGap = 2;        // between columns
constexpr std::size_t kNarrowest = 6;  // to which a column is cut
constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kPlain = "\x1b[0m";

std::string_view ColourOf(std::string_view state) {
  constexpr std::array<std::string_view, 6> kGood = {"Protected", "Succeeded", "Normal",
                                                     "passed",    "yes",       "Running"};
  constexpr std::array<std::string_view, 6> kBad = {"Failed", "Critical",  "failed",
                                                    "no",     "Cancelled", "error"};
  constexpr std::array<std::string_view, 5> kDull = {"", "None", "Off", "Unprotected", "note"};
  const auto is_one_of = [&](const auto& words) {
    return std::find(words.begin(), words.end(), state) != words.end();
  };
  if (is_one_of(kGood)) return kGreen;
  if (is_one_of(kBad)) return kRed;
  return is_one_of(kDull) ? std::string_view() : kYellow;
}

std::string TimeText(const Json& value, Kind kind, Timestamp now) {
  std::string text = value.is_string() ? value.get<std::string>() : CompactJson(value);
  const auto time = ParseTime(text);
  if (!time) return text;
  if (kind == Kind::kAge) {
    return HumanAge(std::chrono::duration<double>(now - *time).count());
  }
  std::string shown = text.substr(0, text.find('.'));
  std::replace(shown.begin(), shown.end(), 'T', ' ');
  return shown;
}

std::string PlainText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return JoinNames(value, ", ");
  return CompactJson(value);
}

std::string CellText(const Json& row, const Column& column, Timestamp now) {
  const Json::json_pointer pointer(column.pointer);
  if (!row.contains(pointer) || row.at(pointer).is_null()) return "";
  const Json& value = row.at(pointer);
  switch (column.kind) {
    case Kind::kBytes:
      return value.is_number() ? HumanBytes(value.get<std::uint64_t>()) : PlainText(value);
    case Kind::kSeconds:
      return value.is_number() ? HumanSeconds(value.get<double>()) : PlainText(value);
    case Kind::kAge:
    case Kind::kTime:
      return TimeText(value, column.kind, now);
    case Kind::kYesNo:
      return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : PlainText(value);
    case Kind::kSum:
      return value.is_array() ? HumanBytes(SumOfSizes(value)) : PlainText(value);
    case Kind::kText:
    case Kind::kState:
    case Kind::kNames:
      return PlainText(value);
  }
  return PlainText(value);
}

bool IsRightAligned(Kind kind) {
  return kind == Kind::kBytes || kind == Kind::kSeconds || kind == Kind::kSum;
}

// A column with its cells and the width it gets.
struct Lane {
  const Column* column;
  std::vector<std::string> cells;
  std::size_t width = 0;
};

std::size_t TotalWidth(const std::vector<Lane>& lanes) {
  std::size_t total = 0;
  for (const Lane& lane : lanes) total += lane.width;
  return total + (lanes.empty() ? 0 : kGap * (lanes.size() - 1));
}

// Takes what is too much from the widest lanes of a kind.
void Narrow(std::vector<Lane>& lanes, std::size_t width, std::size_t narrowest, bool elastic_only) {
  while (TotalWidth(lanes) > width) {
    Lane* widest = nullptr;
    for (Lane& lane : lanes) {
      if (elastic_only && !lane.column->elastic) continue;
      if (lane.width > narrowest && (widest == nullptr || lane.width > widest->width)) {
        widest = &lane;
      }
    }
    if (widest == nullptr) return;
    const std::size_t excess = TotalWidth(lanes) - width;
    widest->width = std::max(narrowest, widest->width - std::min(excess, widest->width));
  }
}

// Cut what may be cut, leave out what may be left out, at last cut anything.
void Fit(std::vector<Lane>& lanes, std::size_t width) {
  constexpr std::size_t kReadable = 16;
  Narrow(lanes, width, kReadable, true);
  while (TotalWidth(lanes) > width) {
    const auto last = std::find_if(lanes.rbegin(), lanes.rend(),
                                   [](const Lane& lane) { return lane.column->optional; });
    if (last == lanes.rend()) break;
    lanes.erase(std::next(last).base());
  }
  Narrow(lanes, width, kNarrowest, true);
  Narrow(lanes, width, kNarrowest, false);
  Narrow(lanes, width, 1, false);
}

class TablePrinter {
 public:
  explicit TablePrinter(const RenderSettings& settings) : settings_(settings) {}

  void Rows(const Json& rows, const std::vector<Column>& columns, std::size_t indent) {
    std::vector<Lane> lanes;
    for (const Column& column : columns) lanes.push_back(MakeLane(rows, column));
    Fit(lanes, settings_.width > indent ? settings_.width - indent : settings_.width);
    const std::string margin(indent, ' ');
    Header(lanes, margin);
    for (std::size_t row = 0; row < rows.size(); ++row) Row(lanes, row, margin);
  }

  void Fields(const Json& object, const std::vector<Column>& fields, std::size_t indent) {
    std::size_t label_width = 0;
    for (const Column& field : fields) {
      if (!object.contains(Json::json_pointer(field.pointer))) continue;
      label_width = std::max(label_width, DisplayWidth(field.header));
    }
    for (const Column& field : fields) {
      if (!object.contains(Json::json_pointer(field.pointer))) continue;
      std::string text = Printable(CellText(object, field, settings_.now));
      if (text.empty()) text = "-";
      const std::string label = Bold(fmt::format(
          "{}{}", field.header, std::string(label_width - DisplayWidth(field.header), ' ')));
      text_ += fmt::format("{}{}  {}\n", std::string(indent, ' '), label, Coloured(field, text));
    }
  }

  // One below the other, with an empty line between them.
  void Stack(const Json& objects, const std::vector<Column>& fields, std::size_t indent) {
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (i > 0) text_ += "\n";
      Fields(objects[i], fields, indent);
    }
  }

  void Title(const std::string& title) { text_ += fmt::format("\n{}\n", Bold(title)); }

  [[nodiscard]] std::string Take() { return std::move(text_); }

 private:
  [[nodiscard]] Lane MakeLane(const Json& rows, const Column& column) const {
    Lane lane{.column = &column, .cells = {}, .width = DisplayWidth(column.header)};
    for (const Json& row : rows) {
      lane.cells.push_back(Printable(CellText(row, column, settings_.now)));
      lane.width = std::max(lane.width, DisplayWidth(lane.cells.back()));
    }
    return lane;
  }

  void Header(const std::vector<Lane>& lanes, const std::string& margin) {
    std::string line;
    for (const Lane& lane : lanes) {
      if (!line.empty()) line.append(kGap, ' ');
      line += Padded(CutToWidth(lane.column->header, lane.width), lane);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text_ += margin + Bold(line) + "\n";
  }

  void Row(const std::vector<Lane>& lanes, std::size_t row, const std::string& margin) {
    std::string line = margin;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      const Lane& lane = lanes[i];
      const std::string cell = CutToWidth(lane.cells[row], lane.width);
      if (i > 0) line.append(kGap, ' ');
      line += Coloured(*lane.column, Padded(cell, lane), lane.cells[row]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text_ += line + "\n";
  }

  static std::string Padded(const std::string& cell, const Lane& lane) {
    const std::string padding(lane.width - DisplayWidth(cell), ' ');
    return IsRightAligned(lane.column->kind) ? padding + cell : cell + padding;
  }

  [[nodiscard]] std::string Bold(const std::string& text) const {
    return settings_.colour ? fmt::format("{}{}{}", kBold, text, kPlain) : text;
  }

  [[nodiscard]] std::string Coloured(const Column& column, const std::string& shown,
                                     std::string_view state) const {
    if (!settings_.colour || column.kind != Kind::kState) return shown;
    const std::string_view colour = ColourOf(state);
    return colour.empty() ? shown : fmt::format("{}{}{}", colour, shown, kPlain);
  }
  [[nodiscard]] std::string Coloured(const Column& column, const std::string& text) const {
    return Coloured(column, text, text);
  }

  const RenderSettings& settings_;
  std::string text_;
};

}  // namespace

std::string RenderTable(const Json& value, const View& view, const RenderSettings& settings) {
  TablePrinter printer(settings);
  if (value.is_array()) {
    if (value.empty()) return "";
    printer.Rows(value, view.columns, 0);
    return printer.Take();
  }
  printer.Fields(value, view.fields, 0);
  for (const Section& section : view.sections) {
    const Json::json_pointer pointer(section.pointer);
    if (!value.contains(pointer) || !value.at(pointer).is_array()) continue;
    if (value.at(pointer).empty()) continue;
    printer.Title(section.title);
    if (section.stacked) {
      printer.Stack(value.at(pointer), section.columns, kGap);
    } else {
      printer.Rows(value.at(pointer), section.columns, kGap);
    }
  }
  return printer.Take();
}

}  // namespace asr
