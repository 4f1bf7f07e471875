#include "cli/job_follower.h"

#include <fmt/format.h>

#include "storage/base/stop.h"

namespace asr {
namespace {

class TaskFollower {
 public:
  // What has ended before the first look is history, not progress.
  TaskFollower(ProgressSink& progress, const Job& job) : progress_(progress) {
    while (next_ < job.tasks.size() && HasEnded(job.tasks[next_].state)) ++next_;
  }

  void Show(const Job& job) {
    for (; next_ < job.tasks.size(); ++next_, is_started_ = false) {
      const Task& task = job.tasks[next_];
      if (!is_started_) {
        progress_.TaskStarted(task.name, task.bytes_total);
        is_started_ = true;
        shown_bytes_ = 0;
      }
      if (task.bytes_done > shown_bytes_) progress_.TaskAdvanced(task.bytes_done - shown_bytes_);
      shown_bytes_ = task.bytes_done;
      if (!HasEnded(task.state)) return;
      progress_.TaskEnded(task.state == JobState::kSucceeded);
    }
  }

 private:
  ProgressSink& progress_;
  std::size_t next_ = 0;  // the task that is shown, or the first to come
  bool is_started_ = false;
  std::uint64_t shown_bytes_ = 0;
};

}  // namespace

Result<Job> FollowJobUntil(Environment& environment, const JobId& id,
                           const std::function<Result<bool>(const Job&)>& is_over) {
  ASR_TRY(Job job, environment.state.FindJob(id.value));
  TaskFollower follower(environment.progress, job);
  while (true) {
    follower.Show(job);
    ASR_TRY(const bool ends, is_over(job));
    if (ends) return job;
    if (!CheckStop(environment.stop)) {
      return Fail(MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled,
                            fmt::format("job {} is not followed any more", id.value))
                      .WithAction(fmt::format("follow it again: asr jobs watch {0}; stop it: asr "
                                              "jobs cancel {0}",
                                              id.value)));
    }
    environment.clock.SleepSeconds(kLookSeconds);
    ASR_TRY(job, environment.state.FindJob(id.value));
  }
}

Result<Job> FollowJob(Environment& environment, const JobId& id,
                      std::optional<double> limit_seconds) {
  const double begun = environment.clock.MonotonicSeconds();
  return FollowJobUntil(environment, id, [&](const Job& job) -> Result<bool> {
    const double seconds = environment.clock.MonotonicSeconds() - begun;
    return HasEnded(job.state) || (limit_seconds && seconds >= *limit_seconds);
  });
}

}  // namespace asr
