#include "core/state/interrupted_jobs.h"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace asr {

Result<Orphans> FindOrphans(SqlDatabase& database) {
  ASR_TRY(SqlStatement rows,
          database.Prepare("SELECT number, process_pid, process_start_ticks, process_boot_id "
                           "FROM jobs WHERE " +
                               std::string(kIsRunning),
                           {}));
  Orphans orphans;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return orphans;
    ProcessIdentity process;
    process.pid = static_cast<int>(rows.Integer(1));
    process.start_ticks = rows.Unsigned(2);
    process.boot_id = rows.Text(3);
    if (!IsAlive(process)) orphans.emplace(rows.Integer(0), std::move(process));
  }
}

void MarkInterrupted(Job& job, const ProcessIdentity& process, Timestamp found) {
  const bool restarted = process.boot_id != CurrentBootId();
  const Error error =
      MakeError(
          ErrorKind::kIo, ErrorCode::kJobInterrupted,
          fmt::format("the process that ran job {} (pid {}) is gone", job.id.value, process.pid))
          .WithCause(restarted ? "the machine was restarted meanwhile"
                               : "it was killed (by hand, or for want of memory), or it crashed")
          .WithAction(fmt::format("let it go on where it was: asr jobs resume {}; or the same by "
                                  "hand: {}",
                                  job.id.value, RepeatCommand(job)))
          .Retryable();
  for (Task& task : job.tasks) {
    if (task.state != JobState::kInProgress) continue;
    task.state = JobState::kFailed;
    task.error = error;
  }
  job.state = JobState::kFailed;
  job.retryable = true;
  job.end_time = found;
  job.error = error;
}

}  // namespace asr
