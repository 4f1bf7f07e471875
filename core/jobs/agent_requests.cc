// Work that commands have left to the agent: queued jobs, cancels, cycles that are asked for.
#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent_loop.h"

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
  for (const AgentRequest& request : requests) {
    bool is_taken = true;
    switch (request.kind) {
      case AgentRequest::Kind::kRun:
        ASR_CHECK(TakeRun(request, is_taken));
        break;
      case AgentRequest::Kind::kCancel: {
        const auto job = environment_.state.FindJob(request.subject);
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
  const auto job = environment_.state.FindJob(request.subject);
  if (!job) return IsNotFound(job.error()) ? Status() : Fail(job.error());
  const bool was_cut = job->state == JobState::kFailed && job->error &&
                       job->error->code == ErrorCode::kJobInterrupted;
  const bool is_over =
      job->state != JobState::kNotStarted && job->state != JobState::kInProgress && !was_cut;
  if (is_over) return {};
  is_taken = false;
  if (was_cut) return PutBack(*job);
  if (job->state == JobState::kInProgress || request.due > environment_.clock.Now()) return {};
  ASR_TRY(const JobCommand command, environment_.state.FindJobCommand(job->id));
  const Known* const known = FindKnown(job->item, job->vault);
  const ItemKey key = known ? known->scheduled.key : ItemKey{"", {job->vault + "/" + job->item}};
  const auto running = jobs_.Running();
  // One place is for cycles: those of a day's first replications would wait for days.
  const std::size_t places = std::max<std::size_t>(limits_.jobs, 2) - 1;
  if (running.contains(key) || running.size() >= places) return {};
  StartQueued(key, known ? known->watched.item.host : "", *job, command);
  return {};
}

// It is begun again, by the next pass or by the next agent.
Status AgentLoop::PutBack(Job job) {
  job.state = JobState::kNotStarted;
  job.error.reset();
  job.end_time.reset();
  job.retryable = false;
  return environment_.state.UpdateJob(job);
}

void AgentLoop::StartQueued(const ItemKey& key, const std::string& host, const Job& job,
                            const JobCommand& command) {
  Tell(LogLevel::kInfo, fmt::format("job {} ({}) begins", job.id.value, job.type), job.vault,
       job.item);
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
  }
  auto now = environment_.state.FindJob(job.id.value);
  if (now && now->state == JobState::kCancelled && environment_.stop.stop_requested()) {
    const Status put_back = PutBack(*now);
    if (!put_back) Tell(LogLevel::kError, put_back.error().Line(), job.vault, job.item);
    return;
  }
  Status noted;
  if (now && now->state == JobState::kNotStarted) {
    // It ended before there was anything to run.
    now->end_time = environment_.clock.Now();
    now->state = outcome ? JobState::kSucceeded : JobState::kFailed;
    if (!outcome) now->error = outcome.error();
    if (!outcome) now->retryable = outcome.error().retryable;
    noted = environment_.state.UpdateJob(*now);
  }
  if (noted) noted = environment_.state.PutJobOutput(job.id, output);
  if (!noted) Tell(LogLevel::kError, noted.error().Line(), job.vault, job.item);
}

}  // namespace asr
