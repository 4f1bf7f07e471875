// What lists of this machine's rows (jobs, events) can be asked for.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "cli/command_table.h"
#include "cli/values.h"

namespace asr {

struct RowOptions {
  std::optional<std::string> item;
  std::optional<std::string> limit;
  std::optional<std::string> since;
};

// Tables show no more unless they are asked to.
inline constexpr std::size_t kRowsOfTable = 50;

inline void AddItemOption(VerbArguments& arguments, RowOptions& options) {
  arguments.Option("--item", "VM", options.item, "only those of this VM", ValueKind::kItem);
}

inline void AddLimitOptions(VerbArguments& arguments, RowOptions& options) {
  arguments
      .Option("--limit", "N", options.limit, "at most so many (tables: 50, else all)",
              ValueKind::kFree)
      .Option("--since", "T", options.since, "not older than this time, or than this duration",
              ValueKind::kFree);
}

// `Filter`: JobFilter, EventFilter.
template <class Filter>
Result<Filter> FilterOfRows(Session& session, const RowOptions& options) {
  Filter filter;
  // Rows know VMs by name alone.
  if (options.item) filter.item = options.item->substr(options.item->rfind('/') + 1);
  if (session.format() == OutputFormat::kTable) filter.limit = kRowsOfTable;
  if (options.limit) {
    ASR_TRY(filter.limit,
            ParseNumber("--limit", *options.limit, 1, std::numeric_limits<std::uint32_t>::max()));
  }
  if (options.since) {
    ASR_TRY(filter.since, ParseSince(*options.since, session.Now()));
  }
  return filter;
}

inline void NoteMoreRows(Session& session, const RowOptions& options, std::size_t count) {
  const bool is_cut = session.format() == OutputFormat::kTable && count == kRowsOfTable;
  if (is_cut && !options.limit) session.Note("The newest 50; more: --limit N");
}

}  // namespace asr
