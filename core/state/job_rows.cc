// Jobs and their tasks.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "core/model/error_json.h"
#include "core/state/implementation.h"
#include "core/state/interrupted_jobs.h"
#include "storage/base/process.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::string_view kJobColumns =
    "number, id, type, item, vault, state, retryable, start_time, end_time, error, bytes_read, "
    "bytes_sent, bytes_skipped, bytes_zero, bytes_cleared, bytes_resumed, "
    "bytes_seeded";

struct NumberedJob {
  std::int64_t number = 0;
  Job job;
};

std::optional<std::string> ErrorText(const std::optional<Error>& error) {
  if (!error) return std::nullopt;
  return ErrorToJsonText(*error);
}

std::optional<Error> ErrorAt(const SqlStatement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return ErrorFromJsonText(row.View(column));
}

NumberedJob ReadJob(const SqlStatement& row) {
  NumberedJob result;
  Job& job = result.job;
  result.number = row.Integer(0);
  job.id = {row.Text(1)};
  job.type = row.Text(2);
  job.item = row.Text(3);
  job.vault = row.Text(4);
  job.state = ParseJobState(row.View(5)).value_or(JobState::kFailed);
  job.retryable = row.Integer(6) != 0;
  job.start_time = FromMilliseconds(row.Integer(7));
  if (!row.IsNull(8)) job.end_time = FromMilliseconds(row.Integer(8));
  job.error = ErrorAt(row, 9);
  job.stats = {.bytes_read = row.Unsigned(10),
               .bytes_sent = row.Unsigned(11),
               .bytes_skipped = row.Unsigned(12),
               .bytes_zero = row.Unsigned(13),
               .bytes_cleared = row.Unsigned(14),
               .bytes_resumed = row.Unsigned(15),
               .bytes_seeded = row.Unsigned(16)};
  return result;
}

// Columns from 1: name, state, bytes_done, bytes_total, error.
Task ReadTask(const SqlStatement& row) {
  Task task;
  task.name = row.Text(1);
  task.state = ParseJobState(row.View(2)).value_or(JobState::kFailed);
  task.bytes_done = row.Unsigned(3);
  task.bytes_total = row.Unsigned(4);
  task.error = ErrorAt(row, 5);
  return task;
}

// Which tasks to read for `jobs`, the jobs of `selection`: a run of numbers is read faster as such,
// even if it holds some that were not asked for.
std::string TaskCondition(const std::vector<NumberedJob>& jobs, const std::string& selection) {
  constexpr std::int64_t kReadAtMostForOne = 3;
  const auto [first, last] = std::minmax_element(
      jobs.begin(), jobs.end(),
      [](const auto& left, const auto& right) { return left.number < right.number; });
  if (last->number - first->number < kReadAtMostForOne * static_cast<std::int64_t>(jobs.size())) {
    return fmt::format("job BETWEEN {} AND {}", first->number, last->number);
  }
  return fmt::format("job IN (SELECT number {})", selection);
}

Status ReadTasks(SqlDatabase& database, const std::string& selection,
                 std::initializer_list<SqlValue> values, std::vector<NumberedJob>& jobs) {
  if (jobs.empty()) return {};
  std::unordered_map<std::int64_t, Job*> by_number;
  by_number.reserve(jobs.size());
  for (NumberedJob& one : jobs) by_number.emplace(one.number, &one.job);
  const std::string condition = TaskCondition(jobs, selection);
  const bool binds = condition.find('?') != std::string::npos;
  ASR_TRY(SqlStatement rows,
          database.Prepare(
              fmt::format("SELECT job, name, state, bytes_done, bytes_total, error FROM tasks "
                          "WHERE {} ORDER BY job, position",
                          condition),
              binds ? values : std::initializer_list<SqlValue>{}));
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return {};
    const auto found = by_number.find(rows.Integer(0));
    if (found != by_number.end()) found->second->tasks.push_back(ReadTask(rows));
  }
}

// Jobs of "FROM jobs ..." as `selection`, with their tasks, in its order.
Result<std::vector<NumberedJob>> SelectJobs(SqlDatabase& database, const std::string& selection,
                                            std::initializer_list<SqlValue> values) {
  ASR_TRY(const SqlTransaction one_view, database.BeginRead());
  ASR_TRY(SqlStatement rows,
          database.Prepare(fmt::format("SELECT {} {}", kJobColumns, selection), values));
  std::vector<NumberedJob> jobs;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) break;
    jobs.push_back(ReadJob(rows));
  }
  ASR_CHECK(ReadTasks(database, selection, values, jobs));
  return jobs;
}

Status WriteTasks(SqlDatabase& database, std::int64_t number, const std::vector<Task>& tasks) {
  ASR_TRY(SqlStatement insert,
          database.Prepare("INSERT OR REPLACE INTO tasks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", {}));
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Task& task = tasks[i];
    ASR_CHECK(insert.Rebind({number, i, task.name, JobStateName(task.state), task.bytes_done,
                             task.bytes_total, ErrorText(task.error)}));
    ASR_CHECK(insert.Step());
  }
  ASR_CHECK(
      database.Run("DELETE FROM tasks WHERE job = ?1 AND position >= ?2", {number, tasks.size()}));
  return {};
}

Status ReplaceJob(SqlDatabase& database, std::int64_t number, const Job& job) {
  std::optional<std::int64_t> end_time;
  if (job.end_time) end_time = ToMilliseconds(*job.end_time);
  ASR_CHECK(database.Run(
      "UPDATE jobs SET type = ?2, item = ?3, vault = ?4, state = ?5, retryable = ?6, "
      "start_time = ?7, end_time = ?8, error = ?9, bytes_read = ?10, bytes_sent = ?11, "
      "bytes_skipped = ?12, bytes_zero = ?13, bytes_cleared = ?14, bytes_resumed = ?15, "
      "bytes_seeded = ?16 WHERE number = ?1",
      {number, job.type, job.item, job.vault, JobStateName(job.state), job.retryable,
       ToMilliseconds(job.start_time), end_time, ErrorText(job.error), job.stats.bytes_read,
       job.stats.bytes_sent, job.stats.bytes_skipped, job.stats.bytes_zero, job.stats.bytes_cleared,
       job.stats.bytes_resumed, job.stats.bytes_seeded}));
  return WriteTasks(database, number, job.tasks);
}

void MarkOrphans(std::vector<NumberedJob>& jobs, const Orphans& orphans, Timestamp now) {
  for (NumberedJob& one : jobs) {
    const auto found = orphans.find(one.number);
    if (found == orphans.end() || !IsRunning(one.job.state)) continue;
    MarkInterrupted(one.job, found->second, now);
  }
}

std::string NumberList(const Orphans& orphans) {
  std::vector<std::int64_t> numbers;
  for (const auto& [number, process] : orphans) numbers.push_back(number);
  return fmt::format("{}", fmt::join(numbers, ","));
}

// Records what became of the jobs of dead processes.
Status WriteBack(SqlDatabase& database, const Orphans& orphans, Timestamp now) {
  ASR_TRY(auto jobs, SelectJobs(database,
                                fmt::format("FROM jobs WHERE number IN ({}) AND {}",
                                            NumberList(orphans), kIsRunning),
                                {}));
  MarkOrphans(jobs, orphans, now);
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  for (const NumberedJob& one : jobs) {
    ASR_CHECK(ReplaceJob(database, one.number, one.job));
  }
  return transaction.Commit();
}

// Orphans that could not be recorded as such (the disk may be full): their jobs must be marked when
// they are read.
Result<Orphans> SettleOrphans(SqlDatabase& database, Timestamp now) {
  ASR_TRY(Orphans orphans, FindOrphans(database));
  if (!orphans.empty() && WriteBack(database, orphans, now)) orphans.clear();
  return orphans;
}

Error NoSuchJob(const std::string& id, const std::string& nearest = "") {
  const std::string question =
      nearest.empty() ? std::string() : fmt::format("did you mean {}? ", nearest);
  return MakeError(ErrorKind::kNotFound, ErrorCode::kJobNotFound,
                   fmt::format("there is no job '{}' on this machine", id))
      .WithAction(question + "see asr jobs list");
}

Result<std::string> NearestJob(SqlDatabase& database, const std::string& id) {
  ASR_TRY(SqlStatement rows, database.Prepare("SELECT id FROM jobs ORDER BY number DESC", {}));
  std::vector<std::string> ids;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return NearestName(id, ids);
    ids.push_back(rows.Text(0));
  }
}

Error NotQueued(const JobId& job) {
  return MakeError(ErrorKind::kState, ErrorCode::kJobState,
                   fmt::format("job {} does not wait to be run any more", job.value))
      .WithAction("asr jobs show " + job.value);
}

Status AddJob(SqlDatabase& database, const Job& job, const JobCommand& command) {
  const ProcessIdentity process = CurrentProcess();
  ASR_CHECK(database.Run(
      "INSERT INTO jobs VALUES (NULL, ?1, '', '', '', '', 0, 0, NULL, NULL, 0, 0, 0, 0, ?2, ?3, "
      "?4, ?5, ?6, 0, 0, 0)",
      {job.id.value, process.pid, process.start_ticks, process.boot_id, command.words,
       command.working_directory}));
  return ReplaceJob(database, database.last_insert_rowid(), job);
}

}  // namespace

Status StateDatabase::InsertJob(const Job& job, const JobCommand& command) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_CHECK(AddJob(database, job, command));
  return transaction.Commit();
}

Status StateDatabase::QueueJob(const Job& job, const JobCommand& command, Timestamp due) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_CHECK(AddJob(database, job, command));
  ASR_CHECK(database.Run("INSERT INTO agent_requests (kind, subject, due) VALUES ('run', ?1, ?2)",
                         {job.id.value, ToMilliseconds(due)}));
  return transaction.Commit();
}

Status StateDatabase::UpdateQueuedJob(const Job& job) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto number,
          database.QueryInteger("SELECT number FROM jobs WHERE id = ?1 AND state = 'NotStarted'",
                                {job.id.value}));
  if (!number) return Fail(NotQueued(job.id));
  ASR_CHECK(ReplaceJob(database, *number, job));
  return transaction.Commit();
}

Status StateDatabase::UpdateJob(const Job& job) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto number,
          database.QueryInteger("SELECT number FROM jobs WHERE id = ?1", {job.id.value}));
  if (!number) return Fail(NoSuchJob(job.id.value));
  ASR_CHECK(ReplaceJob(database, *number, job));
  return transaction.Commit();
}

Status StateDatabase::ClaimJob(const Job& job) {
  const ProcessIdentity process = CurrentProcess();
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto claimed,
          database.Run("UPDATE jobs SET process_pid = ?2, process_start_ticks = ?3, "
                       "process_boot_id = ?4 WHERE id = ?1 AND state = 'NotStarted'",
                       {job.id.value, process.pid, process.start_ticks, process.boot_id}));
  if (claimed == 0) {
    return Fail(NotQueued(job.id));
  }
  ASR_TRY(const auto number,
          database.QueryInteger("SELECT number FROM jobs WHERE id = ?1", {job.id.value}));
  ASR_CHECK(ReplaceJob(database, number.value_or(0), job));
  return transaction.Commit();
}

Result<std::int64_t> StateDatabase::RemoveOldJobs(const std::string& type,
                                                  Timestamp succeeded_before,
                                                  Timestamp ended_before) {
  const std::lock_guard lock(implementation_->mutex);
  return implementation_->database.Run(
      "DELETE FROM jobs WHERE start_time < ?2 AND end_time IS NOT NULL AND (end_time < ?3 OR "
      "(type = ?1 AND state = 'Succeeded' AND end_time < ?2))",
      {type, ToMilliseconds(succeeded_before), ToMilliseconds(ended_before)});
}

Status StateDatabase::UpdateJobState(const JobId& job, JobState state) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run("UPDATE jobs SET state = ?2 WHERE id = ?1",
                                          {job.value, JobStateName(state)}));
  return {};
}

Status StateDatabase::UpdateTaskProgress(const JobId& job, std::size_t task_index,
                                         std::uint64_t bytes_done) {
  const std::lock_guard lock(implementation_->progress_mutex);
  std::optional<SqlDatabase>& database = implementation_->progress_database;
  if (!database) {
    SqlOptions options;
    options.durable = false;
    options.busy_timeout = std::chrono::milliseconds{0};
    ASR_TRY(database, SqlDatabase::Open(implementation_->database.path(), std::move(options)));
  }
  ASR_CHECK(database->Run(
      "UPDATE tasks SET bytes_done = ?3 WHERE job = (SELECT number FROM jobs WHERE id = ?1) AND "
      "position = ?2",
      {job.value, task_index, bytes_done}));
  return {};
}

Result<std::vector<Job>> StateDatabase::ListJobs(const JobFilter& filter) {
  const std::lock_guard lock(implementation_->mutex);
  const Timestamp now = implementation_->clock.Now();
  ASR_TRY(const Orphans orphans, SettleOrphans(implementation_->database, now));

  std::string selection = "FROM jobs WHERE 1";
  if (!filter.item.empty()) selection += " AND item = ?1";
  // '~' sorts behind every character of an id.
  if (!filter.beginning.empty()) selection += " AND id BETWEEN ?4 AND ?4 || '~'";
  if (filter.state) {
    selection +=
        fmt::format(" AND CASE WHEN {} AND number IN ({}) THEN 'Failed' ELSE state END = ?2",
                    kIsRunning, NumberList(orphans));
  }
  if (filter.is_running) {
    selection += fmt::format(" AND {} AND number NOT IN ({})", kIsRunning, NumberList(orphans));
  }
  if (filter.since) selection += " AND start_time >= ?3";
  selection += " ORDER BY start_time DESC, number DESC LIMIT ?5";

  const SqlValue state = filter.state ? SqlValue(JobStateName(*filter.state)) : SqlValue(nullptr);
  const SqlValue since = filter.since ? SqlValue(ToMilliseconds(*filter.since)) : SqlValue(nullptr);
  const std::int64_t limit = filter.limit == 0 ? -1 : static_cast<std::int64_t>(filter.limit);
  ASR_TRY(auto selected, SelectJobs(implementation_->database, selection,
                                    {filter.item, state, since, filter.beginning, limit}));
  MarkOrphans(selected, orphans, now);
  std::vector<Job> jobs;
  jobs.reserve(selected.size());
  for (NumberedJob& one : selected) jobs.push_back(std::move(one.job));
  return jobs;
}

Result<Job> StateDatabase::FindJob(const std::string& id) {
  if (id.empty()) return Fail(NoSuchJob(id));
  const std::lock_guard lock(implementation_->mutex);
  const Timestamp now = implementation_->clock.Now();
  ASR_TRY(const Orphans orphans, SettleOrphans(implementation_->database, now));
  // '~' sorts behind every character of an id.
  ASR_TRY(auto found,
          SelectJobs(implementation_->database,
                     "FROM jobs WHERE id BETWEEN ?1 AND ?1 || '~' ORDER BY id LIMIT 5", {id}));
  MarkOrphans(found, orphans, now);
  if (found.empty()) {
    ASR_TRY(const std::string nearest, NearestJob(implementation_->database, id));
    return Fail(NoSuchJob(id, nearest));
  }
  // An id that is there in full sorts before those that it begins.
  if (found.size() == 1 || found.front().job.id.value == id) return std::move(found.front().job);
  std::vector<std::string> ids;
  for (const NumberedJob& one : found) ids.push_back(one.job.id.value);
  return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kJobNotFound,
                        fmt::format("more than one job begins with '{}'", id))
                  .WithAction(fmt::format("give more of the id: {}", fmt::join(ids, ", "))));
}

Result<JobCommand> StateDatabase::FindJobCommand(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row,
          implementation_->database.Prepare(
              "SELECT command, working_directory FROM jobs WHERE id = ?1", {job.value}));
  ASR_TRY(const bool found, row.Step());
  if (!found) return Fail(NoSuchJob(job.value));
  return JobCommand{.words = row.Text(0), .working_directory = row.Text(1)};
}

Result<ProcessIdentity> StateDatabase::FindJobProcess(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row, implementation_->database.Prepare(
                                "SELECT process_pid, process_start_ticks, process_boot_id "
                                "FROM jobs WHERE id = ?1",
                                {job.value}));
  ASR_TRY(const bool found, row.Step());
  if (!found) return Fail(NoSuchJob(job.value));
  return ProcessIdentity{.pid = static_cast<int>(row.Integer(0)),
                         .start_ticks = row.Unsigned(1),
                         .boot_id = row.Text(2)};
}

}  // namespace asr
