#include <map>
#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/status_report.h"
#include "cli/text_format.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/log_while_away.h"
#include "core/jobs/waiting_changes.h"
#include "core/model/duration.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr double kWatchSeconds = 2;
constexpr double kWaitSeconds = 0.5;

struct StatusOptions {
  bool watch = false;
  std::optional<std::string> fail_on;
};

struct WaitOptions {
  std::string vm;
  std::optional<std::string> state;
  std::optional<std::string> rpo;
  std::optional<std::string> timeout;
};

// Looks often enough at `stop` that Ctrl-C is felt at once; `stopped` is what it ends then.
Status Rest(Environment& environment, double seconds, const std::string& stopped) {
  constexpr double kStepSeconds = 0.1;
  const double end = environment.clock.MonotonicSeconds() + seconds;
  while (environment.clock.MonotonicSeconds() < end && !environment.stop.stop_requested()) {
    environment.clock.SleepSeconds(kStepSeconds);
  }
  if (!environment.stop.stop_requested()) return {};
  return Fail(MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, stopped)
                  .WithAction("nothing was changed; run it again to go on"));
}

Status VerdictOf(const VaultStatus& status, std::optional<ReplicationHealth> fail_on,
                 const std::string& vault) {
  if (!fail_on || status.health() < *fail_on) return {};
  Error error =
      MakeError(ErrorKind::kIo, ErrorCode::kNeedsAttention,
                fmt::format("vault {} is {}", vault, ReplicationHealthName(status.health())));
  for (const Attention& attention : status.attention) {
    if (attention.severity < *fail_on) continue;
    error.causes.push_back(attention.item.empty()
                               ? attention.error.Line()
                               : fmt::format("VM {}: {}", attention.item, attention.error.Line()));
  }
  error.action = "asr status tells what to do about each of these";
  return Fail(std::move(error));
}

std::string WaitingText(const WaitingChanges& changes, const std::string& vm) {
  std::string text = fmt::format("on this machine {} of changes of VM {} wait for it, {} points",
                                 HumanBytes(changes.bytes), vm, changes.point_count);
  if (changes.bytes_per_second) {
    const auto per_hour = static_cast<std::uint64_t>(*changes.bytes_per_second * 3600);
    text += fmt::format("; they grow by {} an hour", HumanBytes(per_hour));
  }
  return text;
}

// What is known here of a vault that cannot be reached.
Error AddKnown(Session& session, Environment& environment, Error error) {
  const auto vault = environment.state.FindVault(session.options().vault.value_or(""));
  if (!vault || !IsOfAway(error)) return error;
  const auto rows = environment.state.ListItemSchedules();
  const auto waiting = ListWaitingChanges(environment, vault->id);
  if (!rows || !waiting) return error;
  std::map<ItemId, std::string> names;
  for (const ItemSchedule& row : *rows) {
    if (row.vault_id != vault->id || row.vm.empty()) continue;
    names[row.item] = row.vm;
    const ItemHealth health = JudgeSchedule(row, session.Now());
    std::string text = fmt::format("VM {} is {}", row.vm, ReplicationHealthName(health.health));
    if (health.rpo) {
      const auto rpo = std::chrono::floor<std::chrono::seconds>(*health.rpo);
      text += fmt::format(", with an RPO of {}", FormatDuration(rpo));
    }
    error.causes.push_back(std::move(text));
  }
  for (const WaitingChanges& changes : *waiting) {
    const auto name = names.find(changes.item);
    error.causes.push_back(
        WaitingText(changes, name == names.end() ? changes.item.value : name->second));
  }
  return error;
}

Result<VaultStatus> GatherStatus(Session& session, Environment& environment) {
  const auto gather = [&]() -> Result<VaultStatus> {
    ASR_TRY(Vault* const vault, session.OpenVault());
    return GatherVaultStatus(environment, *vault);
  };
  auto status = gather();
  if (status) return status;
  return Fail(AddKnown(session, environment, std::move(status).error()));
}

Status RunStatus(Session& session, const StatusOptions& options) {
  std::optional<ReplicationHealth> fail_on;
  if (options.fail_on) {
    fail_on =
        *options.fail_on == "warning" ? ReplicationHealth::kWarning : ReplicationHealth::kCritical;
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  while (true) {
    ASR_TRY(const VaultStatus status, GatherStatus(session, *environment));
    ASR_TRY(Vault* const vault, session.OpenVault());
    const Json json = VaultStatusJson(status, vault->name(), session.Now());
    if (!options.watch) {
      session.Print(json, VaultStatusView());
      return VerdictOf(status, fail_on, vault->name());
    }
    session.PrintFrame(json, VaultStatusView());
    ASR_CHECK(session.print_status());
    ASR_CHECK(VerdictOf(status, fail_on, vault->name()));
    ASR_CHECK(Rest(*environment, kWatchSeconds,
                   fmt::format("vault {} is not watched any more", vault->name())));
  }
}

struct Goal {
  std::optional<ProtectionState> state;
  std::optional<std::chrono::seconds> rpo;
  std::optional<std::chrono::seconds> timeout;

  [[nodiscard]] bool IsReached(const Item& item, const ItemStatus& status) const {
    if (state) return item.state == *state;
    return status.health.rpo && *status.health.rpo <= *rpo;
  }
  [[nodiscard]] std::string Text() const {
    if (state) return fmt::format("state {}", ProtectionStateName(*state));
    return fmt::format("an RPO of {}", FormatDuration(*rpo));
  }
};

std::vector<std::string> ProtectionStateNames() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(ProtectionState::kUnprotected); ++i) {
    names.emplace_back(ProtectionStateName(static_cast<ProtectionState>(i)));
  }
  return names;
}

Result<Goal> GoalOf(const WaitOptions& options) {
  if (options.state.has_value() == options.rpo.has_value()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          options.state
                              ? "wait waits for one thing, but was given --state and --rpo"
                              : "wait was not told what for")
                    .WithAction(fmt::format("asr wait {} --state Protected, or --rpo 10m",
                                            ShellQuote(options.vm))));
  }
  Goal goal;
  if (options.state) {
    goal.state = ParseProtectionState(*options.state);
  }
  if (options.rpo) {
    ASR_TRY(goal.rpo, ParseDurationValue("--rpo", *options.rpo));
  }
  if (options.timeout) {
    ASR_TRY(goal.timeout, ParseDurationValue("--timeout", *options.timeout));
  }
  return goal;
}

Error TimeIsOver(const Goal& goal, const Item& item, const ItemStatus& status) {
  std::string now = fmt::format("it is {}", ProtectionStateName(item.state));
  if (goal.rpo) {
    now = status.health.rpo
              ? fmt::format(
                    "its RPO is {}",
                    FormatDuration(std::chrono::floor<std::chrono::seconds>(*status.health.rpo)))
              : "it has no recovery point";
  }
  Error error = MakeError(ErrorKind::kBusy, ErrorCode::kWaitTimeout,
                          fmt::format("VM {} did not reach {} within {}: {}", item.name,
                                      goal.Text(), FormatDuration(*goal.timeout), now))
                    .WithAction(fmt::format("asr items show {} tells what is in its way",
                                            ShellQuote(item.name)))
                    .Retryable();
  for (const Error& cause : status.health.errors) error.causes.push_back(cause.Line());
  return error;
}

Status RunWait(Session& session, const WaitOptions& options) {
  ASR_TRY(const Goal goal, GoalOf(options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const ItemId id, [&]() -> Result<ItemId> {
    ASR_TRY(const Item item, vault->FindItem(options.vm));
    return item.id;
  }());
  const double begun = environment->clock.MonotonicSeconds();
  while (true) {
    auto item = vault->FindItem(id.value);
    if (!item && IsNotFound(item.error()) && goal.state == ProtectionState::kUnprotected) {
      session.Note(fmt::format("VM {} is not protected any more.", options.vm));
      if (session.format() == OutputFormat::kJson) session.Print(Json(nullptr), ItemView());
      return {};
    }
    if (!item) return Fail(std::move(item).error());
    ASR_TRY(const ItemStatus status, GatherItemStatus(*environment, *vault, *item));
    if (goal.IsReached(*item, status)) {
      session.Print(ItemJson(*item, status, vault->name()), ItemView());
      return {};
    }
    const double waited = environment->clock.MonotonicSeconds() - begun;
    if (goal.timeout && waited >= static_cast<double>(goal.timeout->count())) {
      return Fail(TimeIsOver(goal, *item, status));
    }
    ASR_CHECK(Rest(*environment, kWaitSeconds,
                   fmt::format("VM {} has not reached {} yet", item->name, goal.Text())));
  }
}

}  // namespace

void AddStatusCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"status", HelpGroup::kLook, "Tell how all VMs of the vault are, and what needs attention",
       "status --fail-on critical", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<StatusOptions>();
         arguments.Flag("--watch", options->watch, "again every 2 s, until Ctrl-C")
             .Option("--fail-on", "LEVEL", options->fail_on,
                     "exit 1 if anything is warning, or critical", OneOf({"warning", "critical"}));
         return [options](Session& session) { return RunStatus(session, *options); };
       }});
  commands.push_back(
      {"wait", HelpGroup::kLook, "Wait until a VM is in a state, or its RPO is small enough",
       "wait web --state Protected --timeout 2h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<WaitOptions>();
         arguments
             .Required("VM", options->vm, "its name, HOST/NAME, or the item's id", ValueKind::kItem)
             .Option("--state", "S", options->state, "its protection state, like Protected",
                     OneOf(ProtectionStateNames()))
             .Option("--rpo", "D", options->rpo, "an RPO of at most this, like 10m",
                     ValueKind::kFree)
             .Option("--timeout", "D", options->timeout, "give up after this; else never",
                     ValueKind::kFree);
         return [options](Session& session) { return RunWait(session, *options); };
       }});
}

}  // namespace asr
