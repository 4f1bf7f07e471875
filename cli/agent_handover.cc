#include "cli/agent_handover.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cli/job_follower.h"
#include "core/jobs/agent.h"

namespace asr {
namespace {

// One queued job, from here.
class HandedJob {
 public:
  HandedJob(Session& session, Environment& environment)
      : session_(session), environment_(environment) {}

  // False: it was taken back, for its agent has ended before it.
  Result<bool> Follow(const JobId& id) {
    queued_seconds_ = environment_.clock.MonotonicSeconds();
    served_seconds_ = queued_seconds_;
    ASR_TRY(job_, FollowJobUntil(environment_, id, [&](const Job& job) { return IsOver(job); }));
    // What was looked at last may be a moment old.
    ASR_TRY(job_, environment_.state.FindJob(id.value));
    return !was_taken_back_;
  }

  Status Print(const View& view) {
    ASR_TRY(const auto output, environment_.state.FindJobOutput(job_.id));
    if (output) {
      for (const std::string& warning : output->warnings) session_.Warn(warning);
      const Json json = Json::parse(output->json, nullptr, false);
      if (!json.is_discarded()) session_.Print(json, view);
      // Who cancelled it wants no other reason.
      if (output->error && job_.state != JobState::kCancelled) return Fail(*output->error);
    } else if (job_.state == JobState::kSucceeded) {
      session_.Warn(fmt::format("what job {0} printed is lost; it has succeeded: asr jobs show {0}",
                                job_.id.value));
    }
    return OutcomeOf(job_);
  }

 private:
  // Its state alone does not tell: an agent that is stopped puts a job back that it has cancelled.
  Result<bool> IsOver(const Job& job) {
    ASR_TRY(const auto output, environment_.state.FindJobOutput(job.id));
    const double now = environment_.clock.MonotonicSeconds();
    if (output) return HasEnded(job.state);
    if (job.state == JobState::kNotStarted) TellOfWait(now);
    if (now - looked_seconds_ < kSecondsBetweenLooks) return false;
    looked_seconds_ = now;
    ASR_TRY(const auto agent, FindRunningAgent(environment_));
    if (agent) {
      served_seconds_ = now;
      // Cancelled before it began, and nobody is going to run it.
      ASR_TRY(const bool is_queued, IsQueued(job.id));
      const bool was_dropped = !IsRunning(job.state) && !is_queued;
      return std::exchange(was_dropped_, was_dropped) && was_dropped;
    }
    // One that is started anew takes it up.
    if (now - served_seconds_ < kSecondsOfRestart) return false;
    return IsOverWithoutAgent(job.id);
  }

  // What the agent did last is seen by now. Of a job that it did not begin, or that was cut with
  // it, the command does the work; the next agent finds nothing to do.
  Result<bool> IsOverWithoutAgent(const JobId& id) {
    ASR_TRY(const Job job, environment_.state.FindJob(id.value));
    const bool was_cut = job.error && job.error->code == ErrorCode::kJobInterrupted;
    const bool is_open =
        job.state == JobState::kNotStarted || job.state == JobState::kCancelled || was_cut;
    if (is_open) {
      ASR_TRY(was_taken_back_, environment_.state.TakeBackJob(id));
    }
    if (was_taken_back_) {
      session_.Note(
          fmt::format("The agent has ended; this command does the work of job {}.", job.id.value));
    }
    return was_taken_back_ || HasEnded(job.state);
  }

  Result<bool> IsQueued(const JobId& id) {
    ASR_TRY(const auto requests, environment_.state.ListRequests());
    return std::ranges::any_of(requests, [&](const AgentRequest& request) {
      return request.kind == AgentRequest::Kind::kRun && request.subject == id.value;
    });
  }

  void TellOfWait(double now) {
    if (is_wait_told_ || now - queued_seconds_ < kSecondsOfQuietWait) return;
    is_wait_told_ = true;
    session_.Note(
        "Waiting for the agent, which is busy with this VM or with as many jobs as it may run "
        "(asr agent status).");
  }

  static constexpr double kSecondsBetweenLooks = 1;
  static constexpr double kSecondsOfQuietWait = 3;
  static constexpr double kSecondsOfRestart = 10;

  Session& session_;
  Environment& environment_;
  Job job_;
  double queued_seconds_ = 0;
  double looked_seconds_ = 0;
  double served_seconds_ = 0;  // an agent was seen then
  bool is_wait_told_ = false;
  bool was_dropped_ = false;
  bool was_taken_back_ = false;
};

// False: by nobody.
Result<bool> RunByAgent(Session& session, const std::string& type, const std::string& vm,
                        const View& view) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto agent, FindServingAgent(*environment));
  if (!agent || !session.CanBeQueued()) return false;
  ASR_TRY(const Job queued, session.QueueForAgent(type, vm, session.Now()));
  HandedJob job(session, *environment);
  ASR_TRY(const bool has_run, job.Follow(queued.id));
  if (!has_run) return false;
  ASR_CHECK(job.Print(view));
  return true;
}

}  // namespace

std::optional<Status> HandToAgent(Session& session, const std::string& type, const std::string& vm,
                                  const View& view) {
  const Result<bool> done = RunByAgent(session, type, vm, view);
  if (!done) return Fail(done.error());
  if (!*done) return std::nullopt;
  return Status();
}

}  // namespace asr
