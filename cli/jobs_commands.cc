#include <csignal>
#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/command_words.h"
#include "cli/job_follower.h"
#include "cli/json_values.h"
#include "cli/row_options.h"
#include "cli/views.h"
#include "core/jobs/agent.h"
#include "storage/base/subprocess.h"
#include "storage/base/text.h"

namespace asr {
namespace {

struct ListOptions {
  RowOptions rows;
  std::optional<std::string> state;
};

Result<JobFilter> FilterOf(Session& session, const ListOptions& options) {
  ASR_TRY(auto filter, FilterOfRows<JobFilter>(session, options.rows));
  if (options.state) filter.state = ParseJobState(*options.state);
  return filter;
}

Status RunList(Session& session, const ListOptions& options) {
  ASR_TRY(const JobFilter filter, FilterOf(session, options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto jobs, environment->state.ListJobs(filter));
  Json list = Json::array();
  for (const Job& job : jobs) list.push_back(JobJson(job));
  session.Print(list, JobView());
  if (jobs.empty()) session.Note("No jobs.");
  NoteMoreRows(session, options.rows, jobs.size());
  return {};
}

Status RunShow(Session& session, const std::string& id) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Job job, environment->state.FindJob(id));
  session.Print(JobJson(job), JobView());
  return {};
}

// The exit code tells how the job ended: 1 for every failure, for 3 and 4 tell that there is no
// such job to watch.
Status OutcomeOfWatched(const Job& job) {
  const Status outcome = OutcomeOf(job);
  if (outcome) return {};
  Error error = outcome.error();
  if (job.state == JobState::kFailed) error.kind = ErrorKind::kIo;
  if (error.action.empty()) error.action = "run it again: asr jobs retry " + job.id.value;
  return Fail(std::move(error));
}

Status RunWatch(Session& session, const std::string& id) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Job found, environment->state.FindJob(id));
  ASR_TRY(const Job job, FollowJob(*environment, found.id, std::nullopt));
  session.Print(JobJson(job), JobView());
  return OutcomeOfWatched(job);
}

Error WrongState(const Job& job, const std::string& what, const std::string& action) {
  return MakeError(ErrorKind::kState, ErrorCode::kJobState,
                   fmt::format("job {} cannot be {}: it is {}", job.id.value, what,
                               JobStateName(job.state)))
      .WithAction(action);
}

// Asks the process that runs the job as Ctrl-C would; the agent is asked about this job alone.
Status AskToStop(Environment& environment, const Job& job, const ProcessIdentity& process) {
  ASR_TRY(const auto agent, FindRunningAgent(environment));
  if (agent && agent->process == process) {
    return environment.state.AddRequest(AgentRequest::Kind::kCancel, job.id.value,
                                        environment.clock.Now());
  }
  Status asked = SignalProcess(process, SIGINT);
  if (asked || asked.error().code != ErrorCode::kPermission) return asked;
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kPermission,
                        fmt::format("process {}, which runs job {}, is another user's", process.pid,
                                    job.id.value))
                  .WithAction(fmt::format("as root: asr jobs cancel {} --state-dir {}",
                                          job.id.value, ShellQuote(environment.state_directory))));
}

Status CancelQueued(Session& session, Environment& environment, Job job) {
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back({.step = fmt::format("Cancel job {}, which has not begun", job.id.value),
                          .item = job.item,
                          .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  job.state = JobState::kCancelled;
  job.retryable = true;
  job.end_time = session.Now();
  ASR_TRY(const bool was_queued, environment.state.TakeBackJob(job.id));
  if (!was_queued) ASR_CHECK(environment.state.UpdateQueuedJob(job));
  session.Print(JobJson(job), JobView());
  return {};
}

Status RunCancel(Session& session, const std::string& id) {
  constexpr double kLimitSeconds = 60;
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Job job, environment->state.FindJob(id));
  if (job.state == JobState::kNotStarted) {
    Status cancelled = CancelQueued(session, *environment, job);
    if (cancelled || cancelled.error().code != ErrorCode::kJobState) return cancelled;
    ASR_TRY(job, environment->state.FindJob(id));  // it has begun just now
  }
  if (!IsRunning(job.state)) {
    const std::string next = job.state == JobState::kSucceeded ? "show" : "retry";
    return Fail(WrongState(job, "cancelled",
                           fmt::format("only a job in progress can be cancelled; of this one: asr "
                                       "jobs {} {}",
                                       next, job.id.value)));
  }
  ASR_TRY(const ProcessIdentity process, environment->state.FindJobProcess(job.id));
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("Ask process {} to stop job {}", process.pid, job.id.value),
         .item = job.item,
         .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(AskToStop(*environment, job, process));
  auto followed = FollowJob(*environment, job.id, kLimitSeconds);
  if (!followed && followed.error().code == ErrorCode::kCancelled) {
    // Once more would be too much: it would end the process at once.
    followed.error().message =
        fmt::format("job {} was asked to stop, and may still be ending", job.id.value);
    followed.error().action = "watch it end: asr jobs watch " + job.id.value;
  }
  ASR_TRY(const Job ended, std::move(followed));
  if (!HasEnded(ended.state)) {
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kJobState,
                          fmt::format("job {} was asked to stop {} s ago and is still ending",
                                      job.id.value, kLimitSeconds))
                    .WithAction(fmt::format("wait for it: asr jobs watch {0}; or end its process "
                                            "at once: asr jobs cancel {0} once more",
                                            job.id.value))
                    .Retryable());
  }
  if (ended.error && ended.error->code == ErrorCode::kJobInterrupted) {
    session.Warn(
        fmt::format("the process of job {0} was ended at once; go on with it: asr jobs "
                    "resume {0}",
                    ended.id.value));
  } else if (ended.state != JobState::kCancelled) {
    session.Warn(fmt::format("job {} had {} before it could be stopped", ended.id.value,
                             JobStateName(ended.state)));
  }
  session.Print(JobJson(ended), JobView());
  return {};
}

Error NoCommand(const Job& job) {
  return MakeError(ErrorKind::kState, ErrorCode::kJobState,
                   fmt::format("what job {} was started with is not known", job.id.value))
      .WithCause("it is from before asr kept that, or a name in it is not UTF-8")
      .WithAction("run it by hand: " + RepeatCommand(job));
}

Status RunRetry(Session& session, const std::string& id) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Job job, environment->state.FindJob(id));
  if (job.state != JobState::kFailed && job.state != JobState::kCancelled) {
    const std::string next =
        HasEnded(job.state) ? RepeatCommand(job) : "asr jobs watch " + job.id.value;
    return Fail(WrongState(job, "retried",
                           "only a job that Failed or was Cancelled can be; of this one: " + next));
  }
  ASR_TRY(const JobCommand command, environment->state.FindJobCommand(job.id));
  const auto words = DecodeWords(command.words);
  if (!words) return Fail(NoCommand(job));
  // The variables of this call have had their say already.
  const SplitArguments split =
      TakeGlobalOptions(*words, [](const std::string&) { return std::nullopt; });
  ASR_CHECK(split.status);
  if (!job.retryable) {
    session.Warn(fmt::format("job {} will likely fail as before, unless the cause was mended ({})",
                             job.id.value, job.error ? job.error->Line() : "it is not known"));
  }
  std::string line = "asr";
  for (const std::string& word : split.rest) line += " " + ShellQuote(word);
  session.Note(fmt::format("In {}: {}", command.working_directory, line));
  session.Become(command, job.vault, split.options);
  return RunVerb(session, split.rest);
}

VerbRunner DeclareId(VerbArguments& arguments, ValueKind takes,
                     Status (*run)(Session&, const std::string&)) {
  const auto id = std::make_shared<std::string>();
  arguments.Required("ID", *id, "the job's id, or a beginning of it", takes);
  return [id, run](Session& session) { return run(session, *id); };
}

}  // namespace

void AddJobsCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"jobs list", HelpGroup::kLook, "List this machine's jobs, newest first",
       "jobs list --state Failed --since 24h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ListOptions>();
         AddItemOption(arguments, options->rows);
         arguments.Option("--state", "S", options->state, "only those in this state, like Failed",
                          OneOf({"NotStarted", "InProgress", "WaitingForInput", "Succeeded",
                                 "Failed", "Cancelled"}));
         AddLimitOptions(arguments, options->rows);
         return [options](Session& session) { return RunList(session, *options); };
       }});
  struct OfOneJob {
    const char* verb;
    const char* summary;
    Status (*run)(Session&, const std::string&);
    ValueKind takes;
  };
  for (const OfOneJob& one : {
           OfOneJob{"show", "Show a job, task by task", RunShow, ValueKind::kJob},
           OfOneJob{"watch", "Follow a job until it has ended", RunWatch, ValueKind::kRunningJob},
           OfOneJob{"cancel", "Stop a job that runs, as Ctrl-C would", RunCancel,
                    ValueKind::kRunningJob},
           OfOneJob{"retry", "Run the command of a failed or cancelled job again", RunRetry,
                    ValueKind::kUnsuccessfulJob},
           OfOneJob{"resume", "The same, for a job that was interrupted: it goes on", RunRetry,
                    ValueKind::kUnsuccessfulJob},
       }) {
    commands.push_back({fmt::format("jobs {}", one.verb), HelpGroup::kLook, one.summary,
                        fmt::format("jobs {} 20261123T063000-4f2a9c", one.verb),
                        [run = one.run, takes = one.takes](VerbArguments& arguments) -> VerbRunner {
                          return DeclareId(arguments, takes, run);
                        }});
  }
}

}  // namespace asr
