#include "core/jobs/job_run.h"

#include <atomic>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "storage/base/stop.h"

namespace asr {

class JobRun::Recorder {
 public:
  Recorder(Environment& environment, Job job)
      : environment_(environment),
        job_(std::move(job)),
        watch_(std::make_unique<InputWaits::Watch>(
            environment.waits, [this](bool is_waiting) { NoteWait(is_waiting); })) {}

  // A run that nobody ended must not look like one that goes on.
  ~Recorder() {
    if (ended_) return;
    const Status outcome = Fail(MakeError(ErrorKind::kInternal, ErrorCode::kInternal,
                                          "the job was given up without saying why")
                                    .WithAction("run it again: " + RepeatCommand(job_)));
    // Nobody is left to tell; the job reads as interrupted once this process ends.
    static_cast<void>(End(outcome).has_value());
  }

  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  Status RunTask(const std::string& name, std::uint64_t bytes_total,
                 const std::function<Status(TaskProgress&)>& work);
  void AddStats(const TransferStats& stats);
  Result<Job> End(const Status& outcome);
  void NoteWait(bool is_waiting);

  const Job& job() const { return job_; }

 private:
  Status Record();
  Status Work(std::size_t index, const std::function<Status(TaskProgress&)>& work);

  Environment& environment_;
  Job job_;
  std::mutex mutex_;  // guards the stats and the state of job_
  bool ended_ = false;
  std::unique_ptr<InputWaits::Watch> watch_;  // after what it looks at
};

namespace {

constexpr double kSecondsBetweenRecords = 0.5;

// Counts what several threads have done; one of them at a time records it.
class TaskMeter : public TaskProgress {
 public:
  TaskMeter(Environment& environment, JobId job, std::size_t task_index)
      : environment_(environment),
        job_(std::move(job)),
        task_index_(task_index),
        next_record_(environment.clock.MonotonicSeconds() + kSecondsBetweenRecords) {}

  void Advance(std::uint64_t bytes) override {
    const std::uint64_t done = bytes_done_.fetch_add(bytes) + bytes;
    environment_.progress.TaskAdvanced(bytes);
    const double now = environment_.clock.MonotonicSeconds();
    double due = next_record_.load();
    if (now < due) return;
    // Who moves the deadline records; the others go on with their work.
    if (!next_record_.compare_exchange_strong(due, now + kSecondsBetweenRecords)) return;
    // Only for people who watch; the next one or the task's end tells more.
    static_cast<void>(environment_.state.UpdateTaskProgress(job_, task_index_, done).has_value());
  }

  std::uint64_t bytes_done() const { return bytes_done_.load(); }

 private:
  Environment& environment_;
  const JobId job_;
  const std::size_t task_index_;
  std::atomic<std::uint64_t> bytes_done_{0};
  std::atomic<double> next_record_;
};

bool IsCancelled(const Error& error) { return error.code == ErrorCode::kCancelled; }

JobState StateOf(const Status& outcome) {
  if (outcome) return JobState::kSucceeded;
  return IsCancelled(outcome.error()) ? JobState::kCancelled : JobState::kFailed;
}

}  // namespace

Status JobRun::Recorder::RunTask(const std::string& name, std::uint64_t bytes_total,
                                 const std::function<Status(TaskProgress&)>& work) {
  Task task;
  task.name = name;
  task.bytes_total = bytes_total;
  task.state = JobState::kInProgress;
  job_.tasks.push_back(std::move(task));
  const std::size_t index = job_.tasks.size() - 1;

  Status outcome = CheckStop(environment_.stop);
  if (outcome) {
    ASR_CHECK(Record());
    outcome = Work(index, work);
  }
  job_.tasks[index].state = StateOf(outcome);
  if (!outcome) {
    outcome.error().WithContext(name);
    job_.tasks[index].error = outcome.error();
  }
  const Status recorded = Record();
  return outcome ? recorded : outcome;
}

Status JobRun::Recorder::Work(std::size_t index, const std::function<Status(TaskProgress&)>& work) {
  TaskMeter meter(environment_, job_.id, index);
  environment_.progress.TaskStarted(job_.tasks[index].name, job_.tasks[index].bytes_total);
  Status outcome = work(meter);
  environment_.progress.TaskEnded(outcome.has_value());
  job_.tasks[index].bytes_done = meter.bytes_done();
  return outcome;
}

Status JobRun::Recorder::Record() {
  const std::lock_guard lock(mutex_);
  return environment_.state.UpdateJob(job_);
}

void JobRun::Recorder::AddStats(const TransferStats& stats) {
  const std::lock_guard lock(mutex_);
  job_.stats += stats;
}

// For people who look; the work itself goes on, or fails, by itself.
void JobRun::Recorder::NoteWait(bool is_waiting) {
  const std::lock_guard lock(mutex_);
  job_.state = is_waiting ? JobState::kWaitingForInput : JobState::kInProgress;
  static_cast<void>(environment_.state.UpdateJobState(job_.id, job_.state).has_value());
}

Result<Job> JobRun::Recorder::End(const Status& outcome) {
  ended_ = true;
  watch_.reset();
  job_.state = StateOf(outcome);
  job_.end_time = environment_.clock.Now();
  if (!outcome) {
    job_.error = outcome.error();
    job_.retryable = outcome.error().retryable || IsCancelled(outcome.error());
    job_.error->retryable = job_.retryable;
    if (IsCancelled(*job_.error)) {
      job_.error->action = fmt::format(
          "let it go on where it was: asr jobs resume {}; or run the same command again",
          job_.id.value);
    }
  }
  Status recorded = Record();
  if (recorded) return job_;
  Error error = std::move(recorded).error();
  if (job_.error) error.causes.push_back("before that, the job had failed: " + job_.error->Line());
  return Fail(std::move(error).WithContext(fmt::format("record of job {}", job_.id.value)));
}

JobRun::JobRun(std::unique_ptr<Recorder> recorder) : recorder_(std::move(recorder)) {}
JobRun::JobRun(JobRun&&) noexcept = default;
JobRun::~JobRun() = default;

Result<JobRun> JobRun::Start(Environment& environment, const std::string& type,
                             const std::string& item, const std::string& vault) {
  Job job;
  job.start_time = environment.clock.Now();
  job.id = NewJobId(job.start_time);
  job.type = type;
  job.item = item;
  job.vault = vault;
  job.state = JobState::kInProgress;
  const auto queued = std::exchange(environment.queued_job, std::nullopt);
  if (queued) job.id = *queued;
  ASR_CHECK(queued ? environment.state.ClaimJob(job)
                   : environment.state.InsertJob(job, environment.command));
  return JobRun(std::make_unique<Recorder>(environment, std::move(job)));
}

Status JobRun::RunTask(const std::string& name, std::uint64_t bytes_total,
                       const std::function<Status(TaskProgress&)>& work) {
  return recorder_->RunTask(name, bytes_total, work);
}

void JobRun::AddStats(const TransferStats& stats) { recorder_->AddStats(stats); }

std::function<void(const TransferStats&)> JobRun::Follow(TaskProgress& progress) {
  return [recorder = recorder_.get(), &progress](const TransferStats& done) {
    recorder->AddStats(done);
    if (done.bytes_read > 0) progress.Advance(done.bytes_read);
  };
}

const Job& JobRun::job() const { return recorder_->job(); }

Result<Job> JobRun::End(const Status& outcome) { return recorder_->End(outcome); }

}  // namespace asr
