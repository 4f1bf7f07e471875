// The agent, what it is asked for, and the schedules of the items that it replicates.
#include <array>
#include <utility>

#include "core/model/error_json.h"
#include "core/state/implementation.h"

namespace asr {
namespace {

constexpr std::string_view kSelectSchedules =
    "SELECT vault_id, item, last_start, last_app_consistent, paused_since, missed_cycles, "
    "retry_attempt, retry_next, retry_since, retry_error, vm, vault, next_due, view, known_state "
    "FROM item_schedules";
constexpr std::array kKinds = {"run", "cancel", "cycle"};

std::optional<Timestamp> TimeAt(const SqlStatement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return FromMilliseconds(row.Integer(column));
}

std::optional<std::int64_t> Column(const std::optional<Timestamp>& time) {
  if (!time) return std::nullopt;
  return ToMilliseconds(*time);
}

ItemSchedule ReadSchedule(const SqlStatement& row) {
  ItemSchedule schedule;
  schedule.vault_id = row.Text(0);
  schedule.item = {row.Text(1)};
  schedule.last_start = TimeAt(row, 2);
  schedule.last_app_consistent = TimeAt(row, 3);
  schedule.paused_since = TimeAt(row, 4);
  schedule.missed_cycles = row.Unsigned(5);
  schedule.vm = row.Text(10);
  schedule.vault = row.Text(11);
  schedule.next_due = TimeAt(row, 12);
  schedule.view = row.Text(13);
  schedule.known_state = TimeAt(row, 14);
  const auto attempt = static_cast<int>(row.Integer(6));
  if (attempt == 0) return schedule;
  schedule.retry = RetryState{.attempt = attempt,
                              .next_try = TimeAt(row, 7),
                              .since = FromMilliseconds(row.Integer(8)),
                              .error = ErrorFromJsonText(row.View(9))};
  return schedule;
}

}  // namespace

Result<ItemSchedule> StateDatabase::FindItemSchedule(const std::string& vault_id,
                                                     const ItemId& item) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row,
          implementation_->database.Prepare(
              std::string(kSelectSchedules) + " WHERE vault_id = ?1 AND item = ?2",
              {vault_id, item.value}));
  ASR_TRY(const bool found, row.Step());
  if (found) return ReadSchedule(row);
  ItemSchedule none;
  none.vault_id = vault_id;
  none.item = item;
  return none;
}

Result<std::vector<ItemSchedule>> StateDatabase::ListItemSchedules() {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement rows, implementation_->database.Prepare(kSelectSchedules, {}));
  std::vector<ItemSchedule> schedules;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return schedules;
    schedules.push_back(ReadSchedule(rows));
  }
}

Status StateDatabase::NoteScheduled(const std::string& vault_id, const ItemId& item,
                                    const std::string& vm, const std::string& vault,
                                    const std::optional<Timestamp>& next_due,
                                    const std::string& view) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT INTO item_schedules (vault_id, item, vm, vault, next_due, view) VALUES (?1, ?2, ?3, "
      "?4, ?5, ?6) ON CONFLICT DO UPDATE SET vm = ?3, vault = ?4, next_due = ?5, view = ?6",
      {vault_id, item.value, vm, vault, Column(next_due), view}));
  return {};
}

Status StateDatabase::NoteKnownState(const std::string& vault_id, const ItemId& item,
                                     Timestamp time) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "UPDATE item_schedules SET known_state = ?3 WHERE vault_id = ?1 AND item = ?2 AND "
      "known_state IS NOT ?3",
      {vault_id, item.value, ToMilliseconds(time)}));
  return {};
}

Status StateDatabase::NoteCycleStart(const std::string& vault_id, const ItemId& item,
                                     Timestamp start, std::uint64_t missed_cycles,
                                     Timestamp next_due) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT INTO item_schedules (vault_id, item, last_start, missed_cycles, next_due) VALUES "
      "(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET last_start = ?3, missed_cycles = "
      "missed_cycles + ?4, next_due = ?5",
      {vault_id, item.value, ToMilliseconds(start), missed_cycles, ToMilliseconds(next_due)}));
  return {};
}

Status StateDatabase::NoteAppConsistent(const std::string& vault_id, const ItemId& item,
                                        Timestamp start) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "UPDATE item_schedules SET last_app_consistent = ?3 WHERE vault_id = ?1 AND item = ?2",
      {vault_id, item.value, ToMilliseconds(start)}));
  return {};
}

Status StateDatabase::SetRetry(const std::string& vault_id, const ItemId& item,
                               const std::optional<RetryState>& retry) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  if (!retry) {
    ASR_CHECK(
        database.Run("UPDATE item_schedules SET retry_attempt = 0, retry_next = NULL, "
                     "retry_since = NULL, retry_error = NULL WHERE vault_id = ?1 AND item = "
                     "?2 AND retry_attempt != 0",
                     {vault_id, item.value}));
    return {};
  }
  ASR_CHECK(database.Run(
      "INSERT INTO item_schedules (vault_id, item, retry_attempt, retry_next, retry_since, "
      "retry_error) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET retry_attempt = ?3, "
      "retry_next = ?4, retry_since = ?5, retry_error = ?6",
      {vault_id, item.value, retry->attempt, Column(retry->next_try), ToMilliseconds(retry->since),
       ErrorToJsonText(retry->error)}));
  return {};
}

Status StateDatabase::SetPaused(const std::string& vault_id, const ItemId& item,
                                const std::optional<Timestamp>& since) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT INTO item_schedules (vault_id, item, paused_since) VALUES (?1, ?2, ?3) ON CONFLICT "
      "DO UPDATE SET paused_since = ?3",
      {vault_id, item.value, Column(since)}));
  return {};
}

Status StateDatabase::RemoveItemSchedule(const std::string& vault_id, const ItemId& item) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "DELETE FROM item_schedules WHERE vault_id = ?1 AND item = ?2", {vault_id, item.value}));
  return {};
}

Status StateDatabase::PutAgent(const AgentProcess& agent) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT OR REPLACE INTO agent VALUES (1, ?1, ?2, ?3, ?4, ?5)",
      {agent.process.pid, agent.process.start_ticks, agent.process.boot_id,
       ToMilliseconds(agent.since), agent.version}));
  return {};
}

Result<std::optional<AgentProcess>> StateDatabase::FindAgent() {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row, implementation_->database.Prepare(
                                "SELECT pid, start_ticks, boot_id, since, version FROM agent", {}));
  ASR_TRY(const bool found, row.Step());
  if (!found) return std::optional<AgentProcess>{};
  AgentProcess agent;
  agent.process = {.pid = static_cast<int>(row.Integer(0)),
                   .start_ticks = row.Unsigned(1),
                   .boot_id = row.Text(2)};
  agent.since = FromMilliseconds(row.Integer(3));
  agent.version = row.Text(4);
  return std::optional<AgentProcess>{std::move(agent)};
}

Status StateDatabase::AddRequest(AgentRequest::Kind kind, const std::string& subject,
                                 Timestamp due) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT INTO agent_requests (kind, subject, due) VALUES (?1, ?2, ?3)",
      {kKinds[static_cast<std::size_t>(kind)], subject, ToMilliseconds(due)}));
  return {};
}

Result<std::vector<AgentRequest>> StateDatabase::ListRequests() {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement rows,
          implementation_->database.Prepare(
              "SELECT number, kind, subject, due FROM agent_requests ORDER BY number", {}));
  std::vector<AgentRequest> requests;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return requests;
    AgentRequest request;
    request.number = rows.Integer(0);
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      if (rows.View(1) == kKinds[i]) request.kind = static_cast<AgentRequest::Kind>(i);
    }
    request.subject = rows.Text(2);
    request.due = FromMilliseconds(rows.Integer(3));
    requests.push_back(std::move(request));
  }
}

Status StateDatabase::RemoveRequest(std::int64_t number) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(
      implementation_->database.Run("DELETE FROM agent_requests WHERE number = ?1", {number}));
  return {};
}

}  // namespace asr
