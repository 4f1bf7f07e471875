// Jobs that are left to the agent: their requests, and what they printed.
#include <nlohmann/json.hpp>

#include "core/model/error_json.h"
#include "core/state/implementation.h"

namespace asr {

Status StateDatabase::PutJobOutput(const JobId& job, const JobOutput& output) {
  const std::string warnings = nlohmann::json(output.warnings)
                                   .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::optional<std::string> error;
  if (output.error) error = ErrorToJsonText(*output.error);
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT OR REPLACE INTO job_outputs SELECT number, ?2, ?3, ?4 FROM jobs WHERE id = ?1",
      {job.value, output.json, warnings, error}));
  return {};
}

Result<std::optional<JobOutput>> StateDatabase::FindJobOutput(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row, implementation_->database.Prepare(
                                "SELECT json, warnings, job_outputs.error FROM job_outputs JOIN "
                                "jobs ON number = job WHERE id = ?1",
                                {job.value}));
  ASR_TRY(const bool is_there, row.Step());
  if (!is_there) return std::optional<JobOutput>();
  JobOutput output{.json = row.Text(0), .warnings = {}, .error = {}};
  const auto warnings = nlohmann::json::parse(row.View(1), nullptr, false);
  if (warnings.is_array()) output.warnings = warnings.get<std::vector<std::string>>();
  if (!row.IsNull(2)) output.error = ErrorFromJsonText(row.View(2));
  return output;
}

Result<bool> StateDatabase::TakeBackJob(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  // What a process works on by now is not ours.
  ASR_TRY(const auto running,
          database.QueryInteger("SELECT number FROM jobs WHERE id = ?1 AND state IN ('InProgress', "
                                "'WaitingForInput')",
                                {job.value}));
  if (running) return false;
  ASR_TRY(
      const auto removed,
      database.Run("DELETE FROM agent_requests WHERE kind = 'run' AND subject = ?1", {job.value}));
  if (removed == 0) return false;
  ASR_CHECK(
      database.Run("UPDATE jobs SET state = 'Cancelled', retryable = 1, end_time = ?2 WHERE "
                   "id = ?1 AND state = 'NotStarted'",
                   {job.value, ToMilliseconds(implementation_->clock.Now())}));
  ASR_CHECK(transaction.Commit());
  return true;
}

Result<bool> StateDatabase::PutBackJob(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto put_back,
          database.Run("UPDATE jobs SET state = 'NotStarted', retryable = 0, error = NULL, "
                       "end_time = NULL WHERE id = ?1 AND state != 'Succeeded' AND id IN (SELECT "
                       "subject FROM agent_requests WHERE kind = 'run')",
                       {job.value}));
  if (put_back == 0) return false;
  ASR_CHECK(transaction.Commit());
  return true;
}

}  // namespace asr
