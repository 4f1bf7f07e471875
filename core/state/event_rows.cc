// Events of items.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/state/implementation.h"

namespace asr {
namespace {

// Of a guest that starts again and again there is a row of each kind every hour.
constexpr std::chrono::minutes kSameWithin{5};
constexpr std::chrono::hours kLongestRow{1};
constexpr std::int64_t kMostEvents = 10'000;

EventSeverity SeverityOf(std::string_view name) {
  const auto found = std::ranges::find(kEventSeverityNames, name);
  // Of a newer version.
  if (found == kEventSeverityNames.end()) return EventSeverity::kWarning;
  return static_cast<EventSeverity>(found - kEventSeverityNames.begin());
}

ItemEvent ReadEvent(const SqlStatement& row) {
  ItemEvent event;
  event.first_time = FromMilliseconds(row.Integer(0));
  event.last_time = FromMilliseconds(row.Integer(1));
  event.count = row.Unsigned(2);
  event.severity = SeverityOf(row.View(3));
  event.type = row.Text(4);
  event.vault_id = row.Text(5);
  event.item = {row.Text(6)};
  event.vault = row.Text(7);
  event.vm = row.Text(8);
  event.host = row.Text(9);
  event.message = row.Text(10);
  event.cause = row.Text(11);
  event.action = row.Text(12);
  return event;
}

}  // namespace

Result<bool> StateDatabase::AddEvent(const ItemEvent& event) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  const Timestamp now = event.last_time;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto merged,
          database.Run(
              "UPDATE events SET last_time = ?1, count = count + 1 WHERE number = (SELECT "
              "max(number) FROM events WHERE vault_id = ?2 AND item = ?3 AND type = ?4 "
              "AND message = ?5 AND last_time BETWEEN ?6 AND ?1 AND first_time >= ?7)",
              {ToMilliseconds(now), event.vault_id, event.item.value, event.type, event.message,
               ToMilliseconds(now - kSameWithin), ToMilliseconds(now - kLongestRow)}));
  if (merged == 0) {
    ASR_CHECK(database.Run(
        "INSERT INTO events VALUES (NULL, ?1, ?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        {ToMilliseconds(now), EventSeverityName(event.severity), event.type, event.vault_id,
         event.item.value, event.vault, event.vm, event.host, event.message, event.cause,
         event.action}));
    ASR_CHECK(database.Run("DELETE FROM events WHERE number <= ?1",
                           {database.last_insert_rowid() - kMostEvents}));
  }
  ASR_CHECK(transaction.Commit());
  return merged == 0;
}

Result<std::vector<ItemEvent>> StateDatabase::ListEvents(const EventFilter& filter) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement rows,
          implementation_->database.Prepare(
              "SELECT first_time, last_time, count, severity, type, vault_id, item, vault, vm, "
              "host, message, cause, action FROM events WHERE (?1 = '' OR vm = ?1 OR item = ?1) "
              "AND last_time >= ?2 ORDER BY last_time DESC, number DESC",
              {filter.item, filter.since ? ToMilliseconds(*filter.since) : 0}));
  std::vector<ItemEvent> events;
  while (filter.limit == 0 || events.size() < filter.limit) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) break;
    ItemEvent event = ReadEvent(rows);
    if (event.severity >= filter.least) events.push_back(std::move(event));
  }
  return events;
}

}  // namespace asr
