// What queued jobs printed.
#include <nlohmann/json.hpp>

#include "core/state/implementation.h"

namespace asr {

Status StateDatabase::PutJobOutput(const JobId& job, const JobOutput& output) {
  const std::string warnings = nlohmann::json(output.warnings)
                                   .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT OR REPLACE INTO job_outputs SELECT number, ?2, ?3 FROM jobs WHERE id = ?1",
      {job.value, output.json, warnings}));
  return {};
}

Result<std::optional<JobOutput>> StateDatabase::FindJobOutput(const JobId& job) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row,
          implementation_->database.Prepare(
              "SELECT json, warnings FROM job_outputs JOIN jobs ON number = job WHERE id = ?1",
              {job.value}));
  ASR_TRY(const bool is_there, row.Step());
  if (!is_there) return std::optional<JobOutput>();
  JobOutput output{.json = row.Text(0), .warnings = {}};
  const auto warnings = nlohmann::json::parse(row.View(1), nullptr, false);
  if (warnings.is_array()) output.warnings = warnings.get<std::vector<std::string>>();
  return output;
}

}  // namespace asr
