#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/target_options.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/test_failover.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::uint64_t kLongestWaitSeconds = std::uint64_t{24} * 3600;
constexpr std::chrono::hours kLongestTest{30 * 24};

struct TestOptions {
  std::string vm;
  std::optional<std::string> point;
  std::optional<std::string> serial_text;
  std::optional<std::string> wait_seconds;
  std::optional<std::string> cleanup_after;
  TargetOptions target;
};

struct CleanupOptions {
  std::string vm;
  std::optional<std::string> notes;
  bool when_due = false;
};

Error GivenTwice(const std::string& option, const std::string& other) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("{} and {} say the same thing twice", option, other))
      .WithAction("give one of them");
}

// --serial-text and --wait-seconds are short for the item's options.
Result<TargetSettings> SettingsOf(const TestOptions& options) {
  ASR_TRY(TargetSettings settings, options.target.Parse());
  if (options.serial_text) {
    if (settings.sign_of_life) return Fail(GivenTwice("--serial-text", "--sign-of-life"));
    settings.sign_of_life = SignOfLife{.serial_text = *options.serial_text};
  }
  if (options.wait_seconds) {
    if (settings.sign_of_life_wait) {
      return Fail(GivenTwice("--wait-seconds", "--sign-of-life-timeout"));
    }
    ASR_TRY(const std::uint64_t seconds,
            ParseNumber("--wait-seconds", *options.wait_seconds, 1, kLongestWaitSeconds));
    settings.sign_of_life_wait = std::chrono::seconds{seconds};
  }
  return settings;
}

Result<TestFailoverRequest> ParseRequest(const TestOptions& options) {
  TestFailoverRequest request;
  ASR_TRY(request.point, ParsePointSelector(options.point.value_or("latest")));
  ASR_TRY(request.settings, SettingsOf(options));
  if (!options.cleanup_after) return request;
  constexpr const char* kOption = "--auto-cleanup-after";
  ASR_TRY(const std::chrono::seconds after, ParseDurationValue(kOption, *options.cleanup_after));
  if (after < std::chrono::seconds{1} || after > kLongestTest) {
    return Fail(WrongValue(kOption, *options.cleanup_after, "is out of range", "give 1s to 30d"));
  }
  request.cleanup_after = after;
  return request;
}

Json GuestJson(const TestFailoverOutcome& outcome) {
  if (outcome.job.state != JobState::kSucceeded) return nullptr;
  Json guest;
  guest["signOfLife"] = outcome.sign_of_life;
  guest["bootSeconds"] = outcome.boot_seconds;
  guest["serialLog"] = outcome.serial_log;
  guest["processId"] = outcome.process_id;
  guest["cleanupAt"] = outcome.cleanup_due ? Json(FormatTime(*outcome.cleanup_due)) : Json(nullptr);
  return guest;
}

Status RunTest(Session& session, const TestOptions& options) {
  ASR_TRY(TestFailoverRequest request, ParseRequest(options));
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanTestFailover(*environment, *vault, item, request));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(request.cleanup_command,
          session.OwnCommand({"test-failover-cleanup", item.id.value, "--when-due"}));
  ASR_TRY(const TestFailoverOutcome outcome,
          StartTestFailover(*environment, *vault, item, request));
  Json json = JobJson(outcome.job);
  json["guest"] = GuestJson(outcome);
  session.Print(json, TestFailoverView());
  return OutcomeOf(outcome.job);
}

// What is to be cleaned up, and the vault that its notes go to: null if there is none any more.
struct CleanupTarget {
  TestFailover test;
  Vault* vault = nullptr;
};

// The id of the vault that is addressed, without opening it; empty if this machine knows it no
// more.
std::string RegisteredVaultId(Session& session, Environment& environment) {
  const auto vault = environment.state.FindVault(session.options().vault.value_or(""));
  return vault ? vault->id : "";
}

// This machine alone knows what runs here; the vault, or the item in it, may be gone meanwhile.
Result<CleanupTarget> FindTarget(Session& session, const std::string& vm) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const auto vault = session.OpenVault();
  const auto find_item = [&]() -> Result<Item> {
    ASR_CHECK(vault);
    return session.FindItemToRead(vm);
  };
  const auto item = find_item();
  const std::string vault_id =
      vault ? (*vault)->identity().id : RegisteredVaultId(session, *environment);
  if (!item) {
    ASR_TRY(auto status, FindTestFailoverByName(*environment, vault_id, vm));
    // An item that is there but cannot be read, or is one of several, may be another than the one
    // of that name here; its id is no other's.
    const bool may_be_another = vault && !IsNotFound(item.error());
    if (!status || (may_be_another && status->test.item.value != vm)) return Fail(item.error());
    return CleanupTarget{.test = std::move(status->test)};
  }
  ASR_TRY(auto status, FindTestFailover(*environment, vault_id, item->id));
  if (status) return CleanupTarget{.test = std::move(status->test), .vault = *vault};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverNone,
                        fmt::format("there is no test failover of VM {}", item->name))
                  .WithAction("start one: asr test-failover " + ShellQuote(item->name)));
}

Status CleanUpLater(Session& session, const std::string& vm) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  // Needs no vault, and so none is opened.
  ASR_TRY(auto status, FindTestFailoverById(*environment, {vm}));
  if (!status) {
    ASR_TRY(status,
            FindTestFailoverByName(*environment, RegisteredVaultId(session, *environment), vm));
  }
  if (!status) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverNone,
                          fmt::format("there is no test failover of VM {}", vm))
                    .WithAction("start one: asr test-failover " + ShellQuote(vm)));
  }
  ASR_TRY(const auto job, CleanUpWhenDue(*environment, status->test));
  if (job) return session.FinishJob(*job);
  session.Note("Nothing is left of it.");
  return {};
}

Status RunCleanup(Session& session, const CleanupOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  if (options.when_due && options.notes) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          "--when-due takes no notes: nobody has seen the guest by then")
                    .WithAction("give one of --when-due and --notes"));
  }
  if (options.when_due && !session.options().dry_run) return CleanUpLater(session, options.vm);
  ASR_TRY(const CleanupTarget target, FindTarget(session, options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  if (session.options().dry_run) {
    Plan plan;
    const std::string& vm = target.test.vm;
    plan.steps.push_back({.step = "Stop guest", .item = vm, .disk = ""});
    plan.steps.push_back(
        {.step = fmt::format("Delete {}", target.test.directory), .item = vm, .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Job job,
          CleanUpTestFailover(*environment, target.vault, target.test, options.notes.value_or("")));
  return session.FinishJob(job);
}

VerbRunner DeclareTest(VerbArguments& arguments) {
  const auto options = std::make_shared<TestOptions>();
  arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
      .Option("--point", "P", options->point,
              "latest (default), latest-app, a point's id, or a time: the newest not after it",
              ValueKind::kPoint)
      .Option("--serial-text", "TEXT", options->serial_text,
              "the guest lives once it wrote this to its first serial port", ValueKind::kFree)
      .Option("--wait-seconds", "N", options->wait_seconds,
              "how long to wait for a sign of life: 1 to 86400", ValueKind::kFree);
  options->target.Declare(arguments);
  arguments.Option("--auto-cleanup-after", "D", options->cleanup_after,
                   "clean it up by itself, so long after it came up: 1s to 30d", ValueKind::kFree);
  return [options](Session& session) { return RunTest(session, *options); };
}

VerbRunner DeclareCleanup(VerbArguments& arguments) {
  const auto options = std::make_shared<CleanupOptions>();
  arguments.Required("VM", options->vm, "its name, HOST/NAME, or the item's id", ValueKind::kItem)
      .Option("--notes", "T", options->notes, "what was seen; kept with the point's proof",
              ValueKind::kFree);
  arguments.MayBeEmpty();
  arguments.Flag("--when-due", options->when_due,
                 "wait until its time has come (--auto-cleanup-after)");
  return [options](Session& session) { return RunCleanup(session, *options); };
}

}  // namespace

void AddTestFailoverCommands(std::vector<Command>& commands) {
  commands.push_back({"test-failover", HelpGroup::kRecover,
                      "Boot a recovery point apart from every network",
                      "test-failover web --sign-of-life 'serial:login:'", DeclareTest});
  commands.push_back({"test-failover-cleanup", HelpGroup::kRecover,
                      "Stop a test failover and remove its disks",
                      "test-failover-cleanup web --notes 'database came up'", DeclareCleanup});
}

}  // namespace asr
