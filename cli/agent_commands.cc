#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <sstream>

#include <fmt/format.h>

#include "cli/agent_log.h"
#include "cli/agent_metrics.h"
#include "cli/agent_unit.h"
#include "cli/command_table.h"
#include "cli/command_words.h"
#include "cli/exit_codes.h"
#include "cli/json_values.h"
#include "cli/service_notify.h"
#include "cli/signals.h"
#include "cli/views.h"
#include "core/jobs/agent.h"
#include "core/jobs/health.h"
#include "core/jobs/item_snapshot.h"
#include "storage/base/text.h"

namespace asr {
namespace {

using Kind = Column::Kind;

struct RunOptions {
  std::optional<std::string> metrics_address;
  std::optional<std::string> metrics_file;
  std::optional<std::string> log;
};

JobCommand CommandOf(const std::string& vm, const std::string& vault) {
  return {.words = EncodeWords({"replicate", vm, "--vault", vault}), .working_directory = "/"};
}

// Of what a command said with -o json.
std::vector<std::string> WarningsIn(const std::string& said) {
  std::vector<std::string> warnings;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    const Json::json_pointer message("/warning/message");
    if (json.contains(message)) warnings.push_back(json.at(message).get<std::string>());
  }
  return warnings;
}

// As `asr jobs retry` does it: a run of the command that the job was queued with.
Status RunQueued(Session& agent, const Job& job, const JobCommand& command,
                 const std::stop_token& stop, JobOutput& output) {
  const auto words = DecodeWords(command.words);
  if (!words) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kJobState,
                          fmt::format("what job {} was queued with is not known", job.id.value)));
  }
  const SplitArguments split =
      TakeGlobalOptions(*words, [](const std::string&) { return std::nullopt; });
  ASR_CHECK(split.status);
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  CliContext context = agent.ContextFor(in, out, err, stop);
  GlobalOptions options;
  options.output = OutputFormat::kJson;
  ASR_TRY(const Environment* const environment, agent.OpenEnvironment());
  options.state_directory = environment->state_directory;
  options.yes = true;
  Session session(context, options, {});
  session.Become(command, job.vault, split.options);
  session.AdoptJob(job.id, environment->throttle);
  Status outcome = RunVerb(session, split.rest);
  output = {.json = out.str(), .warnings = WarningsIn(err.str()), .error = {}};
  return outcome;
}

Result<LoopbackAddress> ParseMetricsAddress(const std::string& text) {
  auto address = ParseLoopbackAddress(text);
  if (!address) return Fail(std::move(address).error().WithContext("--metrics"));
  return address;
}

Status RunAgentVerb(Session& session, const RunOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  std::optional<LoopbackAddress> metrics_address;
  if (options.metrics_address) {
    ASR_TRY(metrics_address, ParseMetricsAddress(*options.metrics_address));
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const LogFormat format =
      options.log.value_or("text") == "json" ? LogFormat::kJson : LogFormat::kText;
  const bool to_journal = environment->variables("JOURNAL_STREAM").has_value();
  const std::string notify_socket = environment->variables("NOTIFY_SOCKET").value_or("");
  std::string metrics_path;
  if (options.metrics_file) {
    ASR_TRY(metrics_path, session.AbsolutePath(*options.metrics_file));
  }
  std::mutex log_mutex;
  bool is_ready = false;
  AgentSettings settings;
  settings.version = ASR_VERSION;
  settings.command_of = CommandOf;
  settings.run_queued = [&](const Job& job, const JobCommand& command, const std::stop_token& stop,
                            JobOutput& output) {
    return RunQueued(session, job, command, stop, output);
  };
  settings.log = [&](const LogEntry& entry) {
    const std::lock_guard lock(log_mutex);
    session.WriteLog(FormatLogLine(entry, format, environment->clock.Now(), to_journal));
  };
  settings.take_reload = TakeHangup;
  AgentMetricsOutput metrics(*environment, ASR_VERSION, metrics_path);
  settings.on_start = [&]() -> Status {
    if (!metrics_address) return {};
    if (Status served = metrics.Serve(*metrics_address); !served) {
      // A person sees it, and starts the agent anew; of a service VMs come first.
      if (notify_socket.empty()) return served;
      settings.log({.level = LogLevel::kError,
                    .message = "it goes on without --metrics, which is tried again: " +
                               served.error().Line()});
      return {};
    }
    settings.log({.level = LogLevel::kInfo, .message = "metrics: " + metrics.url() + "/metrics"});
    return {};
  };
  settings.on_tick = [&](const std::map<std::string, ItemCounters>& counters) {
    NotifyService(notify_socket, is_ready ? "WATCHDOG=1" : "READY=1");
    is_ready = true;
    if (const Status written = metrics.Update(counters); !written) {
      settings.log({.level = LogLevel::kWarning, .message = written.error().Line()});
    }
  };
  settings.give_up = [] { ::_exit(kExitFailed); };
  ListenForHangup();
  const std::stop_callback stopping(environment->stop,
                                    [&] { NotifyService(notify_socket, "STOPPING=1"); });
  return RunAgent(*environment, settings);
}

const View& UnitView() {
  static const View view = {
      .columns = {Column{"Path", "/path"}}, .fields = {Column{"Path", "/path"}}, .sections = {}};
  return view;
}

const View& AgentView() {
  static const View view = {
      .columns = {Column{"Running", "/running"}, Column{"Pid", "/pid"},
                  Column{"Since", "/since", Kind::kAge}, Column{"Version", "/version"}},
      .fields = {Column{"Running", "/running"}, Column{"Pid", "/pid"},
                 Column{"Since", "/since", Kind::kAge}, Column{"Version", "/version"}},
      .sections = {{"Items",
                    "/items",
                    {Column{"Name", "/name"}, Column{"Vault", "/vault"},
                     Column{"Health", "/replicationHealth", Kind::kState},
                     Column{"RPO", "/rpoSeconds", Kind::kSeconds},
                     Column{"Last start", "/lastStart", Kind::kAge},
                     Column{"Next", "/nextStart", Kind::kAge}, Column{"Missed", "/missedCycles"},
                     Column{"Failed in a row", "/retry/attempt"},
                     Column{"Paused", "/pausedSince", Kind::kAge}}}}};
  return view;
}

struct InstallOptions {
  std::optional<std::string> unit_directory;
  RunOptions run;
};

// The options of `agent run`, as the unit has them.
Result<std::vector<std::string>> WordsOf(Session& session, const RunOptions& options) {
  std::vector<std::string> words;
  const auto add = [&](const char* option, const std::string& value) {
    words.insert(words.end(), {option, value});
  };
  if (options.log) add("--log", *options.log);
  if (options.metrics_address) {
    ASR_CHECK(ParseMetricsAddress(*options.metrics_address));
    add("--metrics", *options.metrics_address);
  }
  if (options.metrics_file) {
    ASR_TRY(const std::string path, session.AbsolutePath(*options.metrics_file));
    add("--metrics-file", path);
  }
  return words;
}

Status RunInstall(Session& session, const InstallOptions& options) {
  constexpr const char* kUnitName = "asr-agent.service";
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const std::string directory,
          session.AbsolutePath(options.unit_directory.value_or("/etc/systemd/system")));
  const std::string path = JoinPath(directory, kUnitName);
  AgentUnit unit{.program = environment->program,
                 .state_directory = environment->state_directory,
                 .arguments = {}};
  ASR_TRY(unit.arguments, WordsOf(session, options.run));
  const std::string text = AgentUnitText(unit);
  Json json;
  json["path"] = path;
  json["unit"] = text;
  if (session.options().dry_run) {
    if (session.format() == OutputFormat::kTable) {
      session.PrintText(text);
      return {};
    }
    session.Print(json, UnitView());
    return {};
  }
  auto written = WriteFileAtomic(environment->fs, path, AsBytes(text));
  if (!written) {
    Error error = std::move(written).error();
    error.action = "run it as root, or give --unit-dir DIR, a directory that exists";
    return Fail(std::move(error));
  }
  // Systemd and everybody else may read it: it holds no secrets.
  if (::chmod(path.c_str(), 0644) != 0) return Fail(ErrnoError(errno, "cannot chmod " + path));
  session.Print(json, UnitView());
  session.Note("Next: systemctl daemon-reload && systemctl enable --now asr-agent");
  return {};
}

Json ScheduleJson(const ItemSchedule& schedule, Timestamp now) {
  const ItemHealth health = JudgeSchedule(schedule, now);
  std::optional<Timestamp> next = schedule.next_due;
  if (schedule.retry) next = schedule.retry->next_try;
  if (schedule.paused_since) next.reset();
  Json json;
  json["id"] = schedule.item.value;
  json["name"] = schedule.vm;
  json["vault"] = schedule.vault;
  json["lastStart"] = TimeJson(schedule.last_start);
  json["nextStart"] = TimeJson(next);
  json["pausedSince"] = TimeJson(schedule.paused_since);
  json["missedCycles"] = schedule.missed_cycles;
  json["replicationHealth"] = ReplicationHealthName(health.health);
  json["rpoSeconds"] = SecondsJson(health.rpo);
  json["retry"] = RetryJson(schedule.retry);
  return json;
}

Status RunStatus(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto agent, FindRunningAgent(*environment));
  ASR_TRY(const auto schedules, environment->state.ListItemSchedules());
  Json json;
  json["running"] = agent.has_value();
  json["pid"] = agent ? Json(agent->process.pid) : Json();
  json["since"] = agent ? Json(FormatTime(agent->since)) : Json();
  json["version"] = agent ? Json(agent->version) : Json();
  json["items"] = Json::array();
  for (const ItemSchedule& schedule : schedules) {
    if (!schedule.vm.empty()) json["items"].push_back(ScheduleJson(schedule, session.Now()));
  }
  session.Print(json, AgentView());
  if (agent) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAgentNotRunning, "the agent does not run")
                  .WithAction("start it: systemctl start asr-agent, or asr agent run"));
}

Status PrintItem(Session& session, const Item& item) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const ItemStatus status, GatherItemStatus(*environment, *vault, item));
  session.Print(ItemJson(item, status, vault->name()), ItemView());
  return {};
}

Status PlanStepOf(Session& session, const std::string& step, const Item& item) {
  Plan plan;
  plan.steps.push_back({.step = step, .item = item.name, .disk = ""});
  session.PrintPlan(plan);
  return {};
}

struct PauseOptions {
  std::string vm;
  bool releases_tracking = false;
};

Status RunPause(Session& session, const PauseOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) return PlanStepOf(session, "Pause scheduled replication", item);
  const std::string& vault_id = vault->identity().id;
  ASR_TRY(const ItemSchedule schedule, environment->state.FindItemSchedule(vault_id, item.id));
  if (!schedule.paused_since) {
    ASR_CHECK(environment->state.SetPaused(vault_id, item.id, session.Now()));
  }
  if (options.releases_tracking) {
    // No cycle may be under way that counts on it.
    ASR_TRY(const auto lease, vault->LeaseItem(item));
    ASR_CHECK(ReleaseTracking(*environment, lease->item()));
  }
  return PrintItem(session, item);
}

Status RunResume(Session& session, const std::string& vm) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItem(vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Vault* const vault, session.OpenVault());
  if (session.options().dry_run) return PlanStepOf(session, "Resume scheduled replication", item);
  const std::string& vault_id = vault->identity().id;
  ASR_CHECK(environment->state.SetPaused(vault_id, item.id, std::nullopt));
  ASR_CHECK(environment->state.SetRetry(vault_id, item.id, std::nullopt));
  ASR_TRY(const auto agent, FindRunningAgent(*environment));
  if (agent) {
    ASR_CHECK(
        environment->state.AddRequest(AgentRequest::Kind::kCycle, item.id.value, session.Now()));
  }
  ASR_CHECK(PrintItem(session, item));
  if (!agent) session.Note("The agent does not run: asr replicate " + ShellQuote(item.name));
  return {};
}

}  // namespace

void AddAgentCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"pause", HelpGroup::kProtect, "Stop the scheduled replication of a VM",
       "pause web --release-tracking", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<PauseOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Flag("--release-tracking", options->releases_tracking,
                   "nothing of asr stays on a live VM: its snapshots can be reverted");
         return [options](Session& session) { return RunPause(session, *options); };
       }});
  commands.push_back({"resume", HelpGroup::kProtect,
                      "Let it go on, also after an error that was mended", "resume web",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto vm = std::make_shared<std::string>();
                        arguments.Required("VM", *vm, "its name, or HOST/NAME", ValueKind::kItem);
                        return [vm](Session& session) { return RunResume(session, *vm); };
                      }});
  commands.push_back(
      {"agent run", HelpGroup::kProtect, "Replicate this machine's VMs on schedule, until stopped",
       "agent run --log json", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<RunOptions>();
         arguments
             .Option("--log", "FORMAT", options->log, "text (default) or json, on stderr",
                     OneOf({"text", "json"}))
             .Option("--metrics", "ADDRESS", options->metrics_address,
                     "127.0.0.1:PORT: the same over HTTP, for this machine", ValueKind::kFree)
             .Option("--metrics-file", "PATH", options->metrics_file,
                     "written every 15 s, in the text format of Prometheus", ValueKind::kFile);
         return [options](Session& session) { return RunAgentVerb(session, *options); };
       }});
  commands.push_back(
      {"agent install", HelpGroup::kProtect, "Write a systemd unit that runs the agent",
       "agent install", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<InstallOptions>();
         arguments
             .Option("--unit-dir", "DIR", options->unit_directory,
                     "where the unit is written (/etc/systemd/system)", ValueKind::kDirectory)
             .Option("--log", "FORMAT", options->run.log, "as of agent run",
                     OneOf({"text", "json"}))
             .Option("--metrics", "ADDRESS", options->run.metrics_address, "as of agent run",
                     ValueKind::kFree)
             .Option("--metrics-file", "PATH", options->run.metrics_file, "as of agent run",
                     ValueKind::kFile);
         return [options](Session& session) { return RunInstall(session, *options); };
       }});
  commands.push_back({"agent status", HelpGroup::kLook,
                      "Whether the agent runs, and when which VM is replicated next",
                      "agent status", [](VerbArguments&) -> VerbRunner { return RunStatus; }});
}

}  // namespace asr
