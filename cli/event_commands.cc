#include <algorithm>
#include <array>
#include <limits>
#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"

namespace asr {
namespace {

using Kind = Column::Kind;

struct ListOptions {
  std::optional<std::string> item;
  std::optional<std::string> severity;
  std::optional<std::string> limit;
  std::optional<std::string> since;
};

constexpr std::size_t kRowsOfTable = 50;

const View& EventView() {
  static const auto make = [](const char* header, const char* pointer, Kind kind) {
    return Column{.header = header, .pointer = pointer, .kind = kind};
  };
  static const std::vector<Column> columns = [] {
    std::vector<Column> all = {
        make("Time", "/lastTime", Kind::kTime), make("Severity", "/severity", Kind::kState),
        make("VM", "/vm", Kind::kText),         make("Count", "/count", Kind::kText),
        make("Event", "/message", Kind::kText), make("What to do", "/action", Kind::kText)};
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
  EventFilter filter;
  if (options.item) filter.item = options.item->substr(options.item->rfind('/') + 1);
  if (options.severity) {
    const auto* const found = std::ranges::find(kEventSeverityNames, *options.severity);
    filter.least = static_cast<EventSeverity>(found - kEventSeverityNames.begin());
  }
  if (options.limit) {
    ASR_TRY(filter.limit,
            ParseNumber("--limit", *options.limit, 1, std::numeric_limits<std::uint32_t>::max()));
  }
  if (options.since) {
    ASR_TRY(filter.since, ParseSince(*options.since, session.Now()));
  }
  return filter;
}

Status RunList(Session& session, const ListOptions& options) {
  ASR_TRY(EventFilter filter, FilterOf(session, options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  if (filter.limit == 0 && session.format() == OutputFormat::kTable) filter.limit = kRowsOfTable;
  ASR_TRY(const auto events, environment->state.ListEvents(filter));
  Json list = Json::array();
  for (const ItemEvent& event : events) list.push_back(EventJson(event));
  session.Print(list, EventView());
  if (events.empty()) session.Note("No events. The agent notes them: asr agent status");
  if (!options.limit && events.size() == filter.limit) {
    session.Note("The newest 50; more: --limit N");
  }
  return {};
}

}  // namespace

void AddEventCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"events list", HelpGroup::kLook, "List what happened to replicated VMs, newest first",
       "events list --severity Warning --since 24h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ListOptions>();
         arguments.Option("--item", "VM", options->item, "only those of this VM", ValueKind::kItem)
             .Option("--severity", "S", options->severity, "only those of it, or graver",
                     OneOf({"Info", "Warning", "Critical"}))
             .Option("--limit", "N", options->limit, "at most so many (tables: 50, else all)",
                     ValueKind::kFree)
             .Option("--since", "T", options->since,
                     "not older than this time, or than this duration", ValueKind::kFree);
         return [options](Session& session) { return RunList(session, *options); };
       }});
}

}  // namespace asr
