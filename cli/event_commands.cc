#include <algorithm>
#include <array>
#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/row_options.h"
#include "cli/views.h"

namespace asr {
namespace {

using Kind = Column::Kind;

struct ListOptions {
  RowOptions rows;
  std::optional<std::string> severity;
};

const View& EventView() {
  static const std::vector<Column> columns = [] {
    std::vector<Column> all = {Column{"Time", "/lastTime", Kind::kTime},
                               Column{"Severity", "/severity", Kind::kState},
                               Column{"VM", "/vm"},
                               Column{"Count", "/count"},
                               Column{"Event", "/message"},
                               Column{"What to do", "/action"}};
    all.back().elastic = true;
    return all;
  }();
  static const View view = {.columns = columns, .fields = columns, .sections = {}};
  return view;
}

Json EventJson(const ItemEvent& event) {
  Json json;
  json["type"] = event.type;
  json["severity"] = EventSeverityName(event.severity);
  json["firstTime"] = FormatTime(event.first_time);
  json["lastTime"] = FormatTime(event.last_time);
  json["count"] = event.count;
  json["item"] = event.item.value;
  json["vm"] = event.vm;
  json["host"] = event.host;
  json["vault"] = event.vault;
  json["message"] = event.message;
  json["cause"] = TextJson(event.cause);
  json["action"] = TextJson(event.action);
  return json;
}

Result<EventFilter> FilterOf(Session& session, const ListOptions& options) {
  ASR_TRY(auto filter, FilterOfRows<EventFilter>(session, options.rows));
  if (options.severity) {
    const auto* const found = std::ranges::find(kEventSeverityNames, *options.severity);
    filter.least = static_cast<EventSeverity>(found - kEventSeverityNames.begin());
  }
  return filter;
}

Status RunList(Session& session, const ListOptions& options) {
  ASR_TRY(const EventFilter filter, FilterOf(session, options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto events, environment->state.ListEvents(filter));
  Json list = Json::array();
  for (const ItemEvent& event : events) list.push_back(EventJson(event));
  session.Print(list, EventView());
  if (events.empty()) session.Note("No events. The agent notes them: asr agent status");
  NoteMoreRows(session, options.rows, events.size());
  return {};
}

}  // namespace

void AddEventCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"events list", HelpGroup::kLook, "List what happened to replicated VMs, newest first",
       "events list --severity Warning --since 24h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ListOptions>();
         AddItemOption(arguments, options->rows);
         arguments.Option("--severity", "S", options->severity, "only those of it, or graver",
                          OneOf({"Info", "Warning", "Critical"}));
         AddLimitOptions(arguments, options->rows);
         return [options](Session& session) { return RunList(session, *options); };
       }});
}

}  // namespace asr
