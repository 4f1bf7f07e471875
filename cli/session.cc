#include "cli/session.h"

#include <utility>

#include <fmt/format.h>

#include "cli/command_words.h"
#include "cli/errors.h"
#include "cli/json_values.h"
#include "cli/text_format.h"
#include "cli/views.h"
#include "core/jobs/agent.h"
#include "core/jobs/throttle_settings.h"
#include "core/jobs/vault_place.h"
#include "core/jobs/vaults.h"
#include "storage/http/authority_file.h"

namespace asr {
namespace {

bool ColourAllowed(const CliContext& context, const GlobalOptions& options) {
  if (options.no_color) return false;
  const auto no_color = context.environment("NO_COLOR");
  if (no_color && !no_color->empty()) return false;
  return context.environment("TERM").value_or("") != "dumb";
}

// A variable that is empty counts as not set.
EnvironmentLookup SetVariables(EnvironmentLookup all) {
  return [all = std::move(all)](const std::string& name) {
    auto value = all(name);
    if (value && value->empty()) value.reset();
    return value;
  };
}

Secret WithoutSpaceAtEnd(const Secret& secret) {
  const std::string_view text = secret.Reveal();
  return Secret(std::string(text.substr(0, text.find_last_not_of(" \t\r\n") + 1)));
}

bool IsYes(std::string answer) {
  while (!answer.empty() && (answer.back() == '\r' || answer.back() == ' ')) answer.pop_back();
  return answer == "y" || answer == "Y" || answer == "yes" || answer == "Yes" || answer == "YES";
}

}  // namespace

Session::Session(CliContext& context, GlobalOptions options, const std::vector<std::string>& words)
    : context_(context),
      options_(std::move(options)),
      command_{.words = EncodeWords(words),
               .working_directory = context.fs.Canonical(".").value_or("")},
      started_seconds_(context.clock.MonotonicSeconds()) {}

OutputFormat Session::format() const { return options_.output.value_or(OutputFormat::kTable); }

bool Session::colour_on_err() const {
  return context_.terminal.err_is_terminal && ColourAllowed(context_, options_);
}

Result<std::string> Session::StateDirectory() {
  if (options_.state_directory) return AbsolutePath(*options_.state_directory);
  if (context_.is_root) return "/var/lib/asr";
  const auto state_home = context_.environment("XDG_STATE_HOME");
  // The XDG specification tells to ignore relative paths.
  if (state_home && state_home->starts_with('/')) return JoinPath(*state_home, "asr");
  const auto home = context_.environment("HOME");
  if (home && home->starts_with('/')) return JoinPath(*home, ".local/state/asr");
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        "there is no directory for this machine's state")
                  .WithCause("neither HOME nor XDG_STATE_HOME is set")
                  .WithAction("give --state-dir DIR, or set ASR_STATE_DIR"));
}

ProgressBar& Session::Progress() {
  if (progress_) return *progress_;
  const bool json = format() == OutputFormat::kJson;
  const bool bars = context_.terminal.err_is_terminal && !json && !options_.quiet;
  const bool verbose = (options_.verbose || options_.debug) && !options_.quiet && !json;
  progress_ = std::make_unique<ProgressBar>(context_.err, context_.clock,
                                            ProgressSettings{.bars = bars,
                                                             .task_lines = bars || verbose,
                                                             .warnings = !options_.quiet,
                                                             .json = json,
                                                             .colour = colour_on_err(),
                                                             .width = context_.terminal.width});
  return *progress_;
}

// Whoever reads JSON, or nothing, is a program.
bool Session::HasPerson() const {
  return context_.terminal.err_is_terminal && !options_.quiet && format() != OutputFormat::kJson;
}

Status Session::TakeSettings() {
  if (!options_.output) {
    ASR_TRY(const auto output, state_->FindSetting("output"));
    if (output) options_.output = ParseOutputFormat(*output);
  }
  if (!options_.vault) {
    ASR_TRY(const auto vault, state_->FindSetting("vault"));
    if (vault && !vault->empty()) options_.vault = *vault;
  }
  return {};
}

Result<Environment*> Session::OpenEnvironment() {
  if (environment_) return &*environment_;
  ASR_TRY(const std::string directory, StateDirectory());
  if (only_looks_) {
    ASR_TRY(state_, StateDatabase::OpenForReading(context_.clock, directory));
  } else {
    ASR_TRY(state_, StateDatabase::Open(context_.fs, context_.clock, directory));
  }
  ASR_CHECK(TakeSettings());
  Debug(fmt::format("state directory {}", directory));
  std::string ca_file;
  if (options_.ca_file) {
    ASR_TRY(ca_file, AbsolutePath(*options_.ca_file));
    ASR_CHECK(CheckAuthorityFile(ca_file));
  }
  if (!throttle_ && !only_looks_) throttle_ = MakeThrottle(*state_, context_.clock);
  environment_.emplace(Environment{.fs = context_.fs,
                                   .clock = context_.clock,
                                   .state = *state_,
                                   .progress = Progress(),
                                   .state_directory = directory,
                                   .stop = context_.stop,
                                   .credential = options_.credential.value_or(""),
                                   .ca_file = ca_file,
                                   .variables = SetVariables(context_.environment),
                                   .has_person = HasPerson(),
                                   .command = command_,
                                   .queued_job = queued_job_,
                                   .throttle = throttle_,
                                   .program = context_.program});
  return &*environment_;
}

void Session::OnlyLook() {
  only_looks_ = true;
  options_.quiet = true;
  options_.debug = false;
}

void Session::Become(JobCommand command, const std::string& vault, const GlobalOptions& given) {
  command_ = std::move(command);
  if (environment_) environment_->command = command_;
  options_.vault = vault;
  signs_in_otherwise_ = options_.credential || options_.ca_file;
  if (!options_.credential) options_.credential = given.credential;
  if (environment_) environment_->credential = options_.credential.value_or("");
  if (options_.ca_file || !given.ca_file) return;
  options_.ca_file = given.ca_file->starts_with('/')
                         ? *given.ca_file
                         : JoinPath(command_.working_directory, *given.ca_file);
  if (environment_) environment_->ca_file = *options_.ca_file;
}

Result<Vault*> Session::OpenVault() {
  if (vault_) return vault_.get();
  ASR_TRY(Environment* const environment, OpenEnvironment());
  const auto open = only_looks_ ? OpenVaultForNames : asr::OpenVault;
  ASR_TRY(vault_, open(*environment, options_.vault.value_or("")));
  Debug(fmt::format("vault {}", vault_->identity().id));
  if (options_.credential) {
    ASR_TRY(const VaultRegistration registration,
            environment->state.FindVault(options_.vault.value_or("")));
    if (DirectoryOf(registration.target).empty()) return vault_.get();
    Warn(fmt::format("credential '{}' is not used: a vault in a directory needs none",
                     *options_.credential));
  }
  return vault_.get();
}

Result<Item> Session::FindItem(const std::string& name) {
  ASR_TRY(Vault* const vault, OpenVault());
  return vault->FindItem(name);
}

Result<Item> Session::FindItemToRead(const std::string& name) {
  ASR_TRY(Vault* const vault, OpenVault());
  ASR_TRY(FoundItem found, vault->FindEvenDamaged(name));
  if (!found.damage) return std::move(found.item);
  if (found.item.disks.empty()) return Fail(*std::move(found.damage));
  Warn(fmt::format("{}; what the recovery points of {} say of it is used", found.damage->Line(),
                   found.item.id.value));
  return std::move(found.item);
}

Status Session::RefuseNoWait() {
  ASR_CHECK(RequireAgentForNoWait());
  if (!options_.no_wait) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAgentNotRunning,
                        "the agent does not run jobs of this command")
                  .WithCause("it runs enable, replicate and resync --now")
                  .WithAction("run the same command without --no-wait"));
}

Status Session::RequireAgentForNoWait() {
  if (!options_.no_wait) return {};
  ASR_TRY(Environment* const environment, OpenEnvironment());
  return RequireAgent(*environment);
}

Result<Job> Session::QueueForAgent(const std::string& type, const std::string& vm, Timestamp due) {
  ASR_TRY(Environment* const environment, OpenEnvironment());
  ASR_TRY(const Vault* const vault, OpenVault());
  if (!CanBeQueued()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          signs_in_otherwise_
                              ? "with other access to the vault than the job's it cannot be queued"
                              : "a name in this command is not UTF-8, so that it cannot be queued")
                    .WithAction("run the same command without --no-wait"));
  }
  Job job;
  job.start_time = Now();
  job.id = NewJobId(job.start_time);
  job.type = type;
  job.item = vm;
  job.vault = vault->name();
  ASR_CHECK(environment->state.QueueJob(job, command_, due));
  return job;
}

Status Session::LeaveToAgent(const std::string& type, const std::string& vm, Timestamp due) {
  ASR_TRY(const Job job, QueueForAgent(type, vm, due));
  Print(JobJson(job), JobView());
  Note(fmt::format("The agent runs it; follow it: asr jobs watch {}", job.id.value));
  return {};
}

Status Session::RequireAnswer(const std::string& loss) const {
  if (options_.yes || options_.dry_run || context_.terminal.in_is_terminal) return {};
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kConfirmationNeeded,
                        fmt::format("this {}, and there is no terminal to ask on", loss))
                  .WithAction("add --yes if that is meant; --dry-run shows what would go"));
}

Status Session::Confirm(const std::string& loss) {
  if (options_.yes) return {};
  ASR_CHECK(RequireAnswer(loss));
  context_.err << "This " << Printable(loss) << ".\nGo on? [y/N] ";
  context_.err.flush();
  std::string answer;
  if (std::getline(context_.in, answer) && IsYes(answer)) return {};
  return Fail(
      MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "not confirmed; nothing was changed")
          .WithAction("answer y, or give --yes"));
}

Result<Secret> Session::ReadSecretFromInput(const std::string& prompt) {
  if (context_.terminal.in_is_terminal && context_.read_hidden_line) {
    context_.err << Printable(prompt) << ": ";
    context_.err.flush();
    ASR_TRY(const Secret line, context_.read_hidden_line(context_.stop));
    return WithoutSpaceAtEnd(line);
  }
  constexpr std::size_t kMostBytes = std::size_t{64} * 1024;
  std::string text(kMostBytes + 1, '\0');
  context_.in.read(text.data(), static_cast<std::streamsize>(text.size()));
  const Secret all(text.substr(0, static_cast<std::size_t>(context_.in.gcount())));
  OPENSSL_cleanse(text.data(), text.size());
  if (all.Reveal().size() > kMostBytes) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                          "what stdin gives is too large for a secret"));
  }
  return WithoutSpaceAtEnd(all);
}

Result<std::string> Session::AbsolutePath(const std::string& path) {
  if (path.starts_with('/')) return path;
  if (!command_.working_directory.empty()) return JoinPath(command_.working_directory, path);
  ASR_TRY(const std::string directory, context_.fs.Canonical("."));  // says what is wrong with it
  return JoinPath(directory, path);
}

Result<std::vector<std::string>> Session::OwnCommand(const std::vector<std::string>& words) {
  ASR_TRY(const Environment* const environment, OpenEnvironment());
  std::vector<std::string> command = {context_.program, "--state-dir",
                                      environment->state_directory};
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

Status Session::CompileFilter() {
  if (!options_.jq) return {};
  ASR_TRY(filter_, JqFilter::Compile(*options_.jq));
  return {};
}

void Session::Print(const Json& value, const View& view) {
  if (filter_) {
    Result<std::string> filtered = filter_->Run(value);
    if (filtered) {
      context_.out << *filtered;
    } else {
      print_status_ = Fail(std::move(filtered).error());
    }
    return;
  }
  const bool colour = context_.terminal.out_is_terminal && ColourAllowed(context_, options_);
  context_.out << Render(
      value, view,
      {.format = format(), .width = context_.terminal.width, .colour = colour, .now = Now()});
}

void Session::PrintText(const std::string& text) { context_.out << text; }

void Session::PrintFrame(const Json& value, const View& view) {
  constexpr std::string_view kClear = "\x1b[H\x1b[2J\x1b[3J";
  if (context_.terminal.out_is_terminal && format() == OutputFormat::kTable) context_.out << kClear;
  Print(value, view);
  context_.out.flush();
}

void Session::PrintPlan(const Plan& plan) {
  const Json json = PlanJson(plan);
  if (format() == OutputFormat::kJson || format() == OutputFormat::kYaml) {
    Print(json, PlanView());
    return;
  }
  Print(json["plan"], PlanView());
  for (const std::string& warning : plan.warnings) Warn(warning);
}

Status Session::FinishJob(const Job& job) {
  Print(JobJson(job), JobView());
  return OutcomeOf(job);
}

void Session::Tell(const std::string& line, const Json& json) {
  const bool is_json = format() == OutputFormat::kJson;
  context_.err << (is_json ? CompactJson(json) : Printable(line)) << "\n";
  context_.err.flush();
}

void Session::WriteLog(const std::string& line) {
  context_.err << line;
  context_.err.flush();
}

CliContext Session::ContextFor(std::istream& in, std::ostream& out, std::ostream& err,
                               std::stop_token stop) {
  return {.fs = context_.fs,
          .clock = context_.clock,
          .in = in,
          .out = out,
          .err = err,
          .terminal = {},
          .environment = context_.environment,
          .is_root = context_.is_root,
          .stop = std::move(stop),
          .program = context_.program,
          .read_hidden_line = {}};
}

void Session::Note(const std::string& line) {
  if (format() != OutputFormat::kTable || options_.quiet) return;
  context_.err << Printable(line) << "\n";
}

void Session::Warn(const std::string& message) { Progress().Warn(message); }

void Session::Debug(const std::string& line) {
  if (!options_.debug) return;
  const double elapsed = context_.clock.MonotonicSeconds() - started_seconds_;
  context_.err << fmt::format("debug {:8.4f} s  {}\n", elapsed, Printable(line));
}

Status OutcomeOf(const Job& job) {
  if (job.state == JobState::kSucceeded) return {};
  if (job.error) return Fail(*job.error);
  if (job.state == JobState::kCancelled) {
    return Fail(MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled,
                          fmt::format("job {} was cancelled", job.id.value)));
  }
  return Fail(MakeError(
      ErrorKind::kInternal, ErrorCode::kInternal,
      fmt::format("job {} ended as {}, without an error", job.id.value, JobStateName(job.state))));
}

}  // namespace asr
