// One run of one verb: opens what it needs when it first needs it, asks, prints.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/application.h"
#include "cli/jq_filter.h"
#include "cli/progress_bar.h"
#include "cli/render.h"
#include "core/jobs/environment.h"
#include "core/model/job.h"
#include "core/model/plan.h"
#include "core/vault/vault.h"
#include "storage/auth/secret.h"

namespace asr {

class Session {
 public:
  // `words` are the command line, for the jobs that the verb starts (`asr jobs retry`).
  Session(CliContext& context, GlobalOptions options, const std::vector<std::string>& words);

  [[nodiscard]] const GlobalOptions& options() const { return options_; }
  [[nodiscard]] Timestamp Now() const { return context_.clock.Now(); }
  // Set on Ctrl-C.
  [[nodiscard]] std::stop_token stop() const { return context_.stop; }
  [[nodiscard]] OutputFormat format() const;
  [[nodiscard]] bool colour_on_err() const;

  // The state directory is created and opened by the first call; `asr config` takes effect then.
  // Owned by the session.
  [[nodiscard]] Result<Environment*> OpenEnvironment();
  // The vault of --vault, ASR_VAULT, `asr config`, or the default one.
  [[nodiscard]] Result<Vault*> OpenVault();
  // The item of VM `name` in that vault.
  [[nodiscard]] Result<Item> FindItem(const std::string& name);
  // The same for what only reads recovery points: also one whose document is damaged, with a
  // warning.
  [[nodiscard]] Result<Item> FindItemToRead(const std::string& name);

  // From here on this is a run of another command: its jobs keep `command`, and its relative paths
  // begin at that command's directory. Called before a vault is opened.
  // `given`: the global options among its words.
  void Become(JobCommand command, const std::string& vault, const GlobalOptions& given);

  // From here on nothing is created, changed or said: what is not there is an error.
  void OnlyLook();

  // Of a verb that runs where it was called: kState if --no-wait was given.
  [[nodiscard]] Status RefuseNoWait();
  // Of a verb that can be left to the agent: with --no-wait, kState unless one runs.
  [[nodiscard]] Status RequireAgentForNoWait();
  // Whether the words of this command say all of it: not with a name that is not UTF-8, nor where
  // this is a run of another command, with other access to the vault.
  [[nodiscard]] bool CanBeQueued() const { return !command_.words.empty() && !signs_in_otherwise_; }
  // Queues a job that does what this command says, for the agent to begin at `due`.
  [[nodiscard]] Result<Job> QueueForAgent(const std::string& type, const std::string& vm,
                                          Timestamp due);
  // The same, and prints it.
  [[nodiscard]] Status LeaveToAgent(const std::string& type, const std::string& vm, Timestamp due);
  // This run is what `job` was queued for, and shares the line with whatever runs beside it.
  // Called before anything is opened; what `throttle` works with outlives this.
  void AdoptJob(const JobId& job, std::shared_ptr<Throttle> throttle) {
    queued_job_ = job;
    throttle_ = std::move(throttle);
  }
  // Called before anything is opened by a verb that will ask: kUsage (kConfirmationNeeded) if there
  // is nobody to ask and --yes was not given. `loss` names what the verb destroys.
  [[nodiscard]] Status RequireAnswer(const std::string& loss) const;
  // Asks on stderr. kCancelled unless the answer is yes.
  [[nodiscard]] Status Confirm(const std::string& loss);

  // Program and arguments of `asr WORDS` that works on the same state.
  [[nodiscard]] Result<std::vector<std::string>> OwnCommand(const std::vector<std::string>& words);

  // What stdin gives, to its end, without white space there; on a terminal one line, asked for with
  // `prompt` and not shown.
  [[nodiscard]] Result<Secret> ReadSecretFromInput(const std::string& prompt);

  // `path` relative to the command's working directory becomes absolute.
  [[nodiscard]] Result<std::string> AbsolutePath(const std::string& path);

  // Compiles the program of --jq, before anything is done. kUsage if it is none.
  [[nodiscard]] Status CompileFilter();
  void Print(const Json& value, const View& view);
  // On stdout as it is, whatever the output format.
  void PrintText(const std::string& text);
  // One of a series, each of which takes the place of the one before it on a terminal.
  void PrintFrame(const Json& value, const View& view);
  // What kept Print() from printing: the program of --jq failed on the result.
  [[nodiscard]] const Status& print_status() const { return print_status_; }
  void PrintPlan(const Plan& plan);
  // Prints the finished job; its error if it did not succeed.
  [[nodiscard]] Status FinishJob(const Job& job);
  // What somebody has to do now for the command to go on, on stderr, whatever the output format;
  // `json` in its place where errors are JSON.
  void Tell(const std::string& line, const Json& json);
  // On stderr as it is, at once.
  void WriteLog(const std::string& line);
  // What a run of another command inside this process works with. Lives no longer than this and the
  // streams.
  [[nodiscard]] CliContext ContextFor(std::istream& in, std::ostream& out, std::ostream& err,
                                      std::stop_token stop);
  // A line for people, on stderr: only beside tables and without --quiet.
  void Note(const std::string& line);
  void Warn(const std::string& message);
  // With --debug, a line on stderr.
  void Debug(const std::string& line);

 private:
  [[nodiscard]] Result<std::string> StateDirectory();
  [[nodiscard]] Status TakeSettings();
  [[nodiscard]] bool HasPerson() const;
  [[nodiscard]] ProgressBar& Progress();

  CliContext& context_;
  GlobalOptions options_;
  JobCommand command_;
  double started_seconds_;
  std::optional<JqFilter> filter_;
  Status print_status_;
  std::unique_ptr<ProgressBar> progress_;
  std::unique_ptr<StateDatabase> state_;
  std::optional<Environment> environment_;
  std::unique_ptr<Vault> vault_;
  bool only_looks_ = false;
  bool signs_in_otherwise_ = false;
  std::optional<JobId> queued_job_;
  std::shared_ptr<Throttle> throttle_;
};

// The error of a job that did not succeed; a job without one gets one that says so.
[[nodiscard]] Status OutcomeOf(const Job& job);

}  // namespace asr
