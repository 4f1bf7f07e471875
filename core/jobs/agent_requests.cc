// Work that commands have left to the agent: queued jobs, cancels, cycles that are asked for.
#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent_loop.h"
#include "storage/base/process.h"

namespace asr {

const AgentLoop::Known* AgentLoop::FindKnown(const std::string& vm,
                                             const std::string& vault) const {
  for (const auto& [key, known] : known_) {
    if (known.watched.item.name == vm && known.vault_name == vault) return &known;
  }
  return nullptr;
}

Status AgentLoop::TakeRequests() {
  constexpr std::chrono::seconds kLongestKept{120};
  const Timestamp now = environment_.clock.Now();
  ASR_TRY(const auto requests, environment_.state.ListRequests());
  waits_for_place_ = false;
  for (const AgentRequest& request : requests) {
    bool is_taken = true;
    switch (request.kind) {
      case AgentRequest::Kind::kRun:
        ASR_CHECK(TakeRun(request, is_taken));
        break;
      case AgentRequest::Kind::kCancel: {
        const auto job = environment_.state.FindJob(request.subject);
        // What is cancelled is not put back, whatever happens to this process.
        for (const AgentRequest& other : requests) {
          const bool is_of_job = other.kind == AgentRequest::Kind::kRun && job &&
                                 other.subject == job->id.value && IsRunning(job->state);
          if (is_of_job) ASR_CHECK(environment_.state.RemoveRequest(other.number));
        }
        // One that has ended meanwhile is not the next cycle of its VM.
        if (job && IsRunning(job->state) && jobs_.Cancel(job->item, job->vault)) {
          Tell(LogLevel::kInfo, fmt::format("job {} is cancelled", job->id.value), job->vault,
               job->item);
        }
        break;
      }
      case AgentRequest::Kind::kCycle: {
        is_taken = now - request.due > kLongestKept;
        for (const auto& [key, known] : known_) {
          if (key.item.value != request.subject) continue;
          schedule_.Ask(key);
          is_taken = true;
        }
        break;
      }
    }
    if (is_taken) ASR_CHECK(environment_.state.RemoveRequest(request.number));
  }
  return {};
}

// The request stays until the job has begun, so that it outlives this process.
Status AgentLoop::TakeRun(const AgentRequest& request, bool& is_taken) {
  is_taken = false;
  std::size_t queued_count = 0;
  {
    // Before its last words are noted it is not over.
    const std::lock_guard lock(mutex_);
    queued_count = queued_.size();
    if (queued_.contains(request.subject)) return {};
  }
  const auto job = environment_.state.FindJob(request.subject);
  is_taken = !job && IsNotFound(job.error());
  if (!job) return is_taken ? Status() : Fail(job.error());
  ASR_TRY(const bool was_cut, WasCut(*job));
  const bool is_over =
      job->state != JobState::kNotStarted && job->state != JobState::kInProgress && !was_cut;
  is_taken = is_over;
  if (is_over) return {};
  if (was_cut) {
    ASR_CHECK(environment_.state.PutBackJob(job->id));
    return {};
  }
  if (job->state == JobState::kInProgress) return EndLost(*job);
  if (request.due > environment_.clock.Now()) return {};
  ASR_TRY(const JobCommand command, environment_.state.FindJobCommand(job->id));
  const Known* const known = FindKnown(job->item, job->vault);
  const ItemKey key = known ? known->scheduled.key : ItemKey{"", {job->vault + "/" + job->item}};
  const auto running = RunningWithPlace();
  // One place is for cycles, also for those that are asked for: those of a day's first replications
  // would wait for days.
  const std::size_t kept_places = job->type == "Replicate" ? 0 : 1;
  const std::size_t places = std::max(limits_.jobs, kept_places + 1) - kept_places;
  if (jobs_.Running().contains(key) || (known != nullptr && IsBusyFor(*known, running))) return {};
  if (running.size() >= places) {
    // The next place that becomes free is its, unless others of the queue have all that are theirs.
    waits_for_place_ |= queued_count < places;
    return {};
  }
  StartQueued(key, known ? known->watched.item.host : "", *job, command);
  return {};
}

// By the agent before, or by a stop of it that it did not live to note.
Result<bool> AgentLoop::WasCut(const Job& job) {
  if (job.state == JobState::kFailed) {
    return job.error && job.error->code == ErrorCode::kJobInterrupted;
  }
  if (job.state != JobState::kCancelled) return false;
  ASR_TRY(const auto output, environment_.state.FindJobOutput(job.id));
  return !output;
}

// A cycle that waits for a vault that is away keeps nobody from a place.
std::map<ItemKey, std::string> AgentLoop::RunningWithPlace() {
  auto running = jobs_.Running();
  std::erase_if(running, [&](const auto& entry) {
    const auto known = known_.find(entry.first);
    return known != known_.end() && WaitsForVault(known->second);
  });
  return running;
}

// Its VM is worked on for another vault, or its host has as many jobs as it may have.
bool AgentLoop::IsBusyFor(const Known& known, const std::map<ItemKey, std::string>& running) const {
  const Item& item = known.watched.item;
  std::size_t jobs_of_host = 0;
  for (const auto& [key, host] : running) {
    if (host != item.host) continue;
    const auto other = known_.find(key);
    if (other != known_.end() && other->second.watched.item.name == item.name) return true;
    ++jobs_of_host;
  }
  return jobs_of_host >= limits_.jobs_of_a_host;
}

// One that this process began and does not run any more: its end could not be noted.
Status AgentLoop::EndLost(Job job) {
  ASR_TRY(const ProcessIdentity process, environment_.state.FindJobProcess(job.id));
  if (process != CurrentProcess()) return {};
  job.state = JobState::kFailed;
  job.error = MakeError(ErrorKind::kIo, ErrorCode::kJobInterrupted,
                        fmt::format("the end of job {} could not be noted", job.id.value));
  job.retryable = true;
  job.end_time = environment_.clock.Now();
  return environment_.state.UpdateJob(job);
}

void AgentLoop::StartQueued(const ItemKey& key, const std::string& host, const Job& job,
                            const JobCommand& command) {
  Tell(LogLevel::kInfo, fmt::format("job {} ({}) begins", job.id.value, job.type), job.vault,
       job.item);
  {
    const std::lock_guard lock(mutex_);
    queued_.insert(job.id.value);
  }
  jobs_.Start(key, host, job.item, job.vault,
              [this, job, command](const std::stop_token& stop) { RunQueued(job, command, stop); });
}

void AgentLoop::RunQueued(const Job& job, const JobCommand& command, const std::stop_token& stop) {
  JobOutput output;
  const auto run = [&]() -> Status {
    try {
      return settings_.run_queued(job, command, stop, output);
    } catch (const std::exception& exception) {
      // One job's trouble is not the end of all VMs' replication.
      return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                  std::string("unexpected: ") + exception.what());
    }
  };
  const Status outcome = run();
  wants_look_ = true;
  for (const std::string& warning : output.warnings) {
    Tell(LogLevel::kWarning, warning, job.vault, job.item);
  }
  if (!outcome) {
    Tell(LogLevel::kError, fmt::format("job {} failed: {}", job.id.value, outcome.error().Line()),
         job.vault, job.item);
    output.error = outcome.error();
  }
  const Status noted = NoteQueuedEnd(job.id, outcome, output);
  if (!noted) Tell(LogLevel::kError, noted.error().Line(), job.vault, job.item);
  const std::lock_guard lock(mutex_);
  queued_.erase(job.id.value);
}

Status AgentLoop::NoteQueuedEnd(const JobId& id, const Status& outcome, const JobOutput& output) {
  ASR_TRY(Job job, environment_.state.FindJob(id.value));
  const bool was_stopped = !outcome && outcome.error().kind == ErrorKind::kCancelled &&
                           job.state != JobState::kSucceeded && environment_.stop.stop_requested();
  if (was_stopped) {
    // The next agent does it, unless nobody waits for it any more.
    ASR_TRY(const bool is_put_back, environment_.state.PutBackJob(id));
    if (is_put_back) return {};
  }
  if (!HasEnded(job.state)) {
    // It ended before there was anything to run, or its end could not be noted.
    job.end_time = environment_.clock.Now();
    job.state = outcome ? JobState::kSucceeded : JobState::kFailed;
    if (!outcome) job.error = outcome.error();
    if (!outcome) job.retryable = outcome.error().retryable;
    ASR_CHECK(environment_.state.UpdateJob(job));
  }
  return environment_.state.PutJobOutput(id, output);
}

}  // namespace asr
