// Runs one job: its tasks in turn, each recorded, so that it can be followed and outlives kill -9
// as a Failed, retryable job.
#pragma once

#include <functional>
#include <string>

#include "core/jobs/environment.h"
#include "core/model/job.h"

namespace asr {

// Handed to the work of a task; thread-safe.
class TaskProgress {
 public:
  virtual ~TaskProgress() = default;
  // More bytes are done; rendered at once, recorded about twice a second.
  virtual void Advance(std::uint64_t bytes) = 0;
};

class JobRun {
 public:
  // Records a job that is InProgress now, with the environment's command.
  [[nodiscard]] static Result<JobRun> Start(Environment& environment, const std::string& type,
                                            const std::string& item, const std::string& vault);
  JobRun(JobRun&&) noexcept;
  ~JobRun();

  // Runs `work` as the next task. Its error is recorded in the task and returned with the task's
  // name as context. `bytes_total` 0: not measured in bytes. A stop that was asked for fails it
  // with kCancelled before it begins.
  [[nodiscard]] Status RunTask(const std::string& name, std::uint64_t bytes_total,
                               const std::function<Status(TaskProgress&)>& work);
  // Adds to the job's figures; thread-safe.
  void AddStats(const TransferStats& stats);
  // For TransferOptions: what is done counts for the task and the job, also of a transfer that
  // fails later. Lives no longer than both.
  [[nodiscard]] std::function<void(const TransferStats&)> Follow(TaskProgress& progress);

  [[nodiscard]] const Job& job() const;

  // Records the end: Succeeded, Cancelled (kCancelled; retryable), or Failed with the error.
  // Returns the finished job, or the error that recording it met. Once only.
  [[nodiscard]] Result<Job> End(const Status& outcome);

 private:
  class Recorder;
  explicit JobRun(std::unique_ptr<Recorder> recorder);
  std::unique_ptr<Recorder> recorder_;
};

}  // namespace asr
