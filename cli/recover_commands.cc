#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/recover.h"

namespace asr {
namespace {

constexpr std::uint64_t kLongestWaitSeconds = std::uint64_t{24} * 3600;

struct RestoreOptions {
  std::string vm;
  std::string directory;
  std::optional<std::string> point;
  std::optional<std::string> format;
  std::vector<std::string> disks;
  bool force = false;
};

struct TestOptions {
  std::string vm;
  std::optional<std::string> point;
  std::optional<std::string> serial_text;
  std::optional<std::string> wait_seconds;
};

struct CleanupOptions {
  std::string vm;
  std::optional<std::string> notes;
};

Status RunRestore(Session& session, const RestoreOptions& options) {
  RestoreRequest request;
  ASR_TRY(request.point, ParsePointSelector(options.point.value_or("latest")));
  if (options.format) request.format = *options.format;
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(request.directory, session.AbsolutePath(options.directory));
  request.disks = options.disks;
  request.overwrite = options.force;
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanRestore(*environment, *vault, item, request));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Job job, RestorePoint(*environment, *vault, item, request));
  return session.FinishJob(job);
}

// The item's own sign of life, with what was given on the line in its place.
std::optional<SignOfLife> SignOfLifeOf(const Item& item, const TestOptions& options,
                                       const std::optional<std::uint64_t>& wait_seconds) {
  if (!options.serial_text && !wait_seconds) return std::nullopt;
  SignOfLife sign = item.settings.sign_of_life;
  if (options.serial_text) sign.serial_text = *options.serial_text;
  if (wait_seconds) sign.wait = std::chrono::seconds{*wait_seconds};
  return sign;
}

Json GuestJson(const TestFailoverOutcome& outcome) {
  if (outcome.job.state != JobState::kSucceeded) return nullptr;
  Json guest;
  guest["signOfLife"] = outcome.sign_of_life;
  guest["bootSeconds"] = outcome.boot_seconds;
  guest["serialLog"] = outcome.serial_log;
  guest["processId"] = outcome.process_id;
  return guest;
}

Status RunTest(Session& session, const TestOptions& options) {
  TestFailoverRequest request;
  ASR_TRY(request.point, ParsePointSelector(options.point.value_or("latest")));
  std::optional<std::uint64_t> wait_seconds;
  if (options.wait_seconds) {
    ASR_TRY(wait_seconds,
            ParseNumber("--wait-seconds", *options.wait_seconds, 1, kLongestWaitSeconds));
  }
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const RecoveryPoint point, vault->FindPoint(item, request.point));
    Plan plan;
    for (const PointDisk& disk : point.disks) {
      plan.steps.push_back({.step = fmt::format("Restore from point {}", point.id.value),
                            .item = item.name,
                            .disk = disk.name.value,
                            .bytes = disk.size_bytes});
    }
    plan.steps.push_back({.step = "Start guest without a network", .item = item.name, .disk = ""});
    plan.steps.push_back({.step = "Wait for sign of life", .item = item.name, .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  request.sign_of_life = SignOfLifeOf(item, options, wait_seconds);
  ASR_TRY(const TestFailoverOutcome outcome,
          StartTestFailover(*environment, *vault, item, request));
  Json json = JobJson(outcome.job);
  json["guest"] = GuestJson(outcome);
  session.Print(json, TestFailoverView());
  return OutcomeOf(outcome.job);
}

Status RunCleanup(Session& session, const CleanupOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const auto test, environment->state.FindTestFailover(vault->identity().id, item.id));
  if (session.options().dry_run && test) {
    Plan plan;
    plan.steps.push_back({.step = "Stop guest", .item = item.name, .disk = ""});
    plan.steps.push_back(
        {.step = fmt::format("Delete {}", test->directory), .item = item.name, .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Job job,
          CleanUpTestFailover(*environment, *vault, item, options.notes.value_or("")));
  return session.FinishJob(job);
}

}  // namespace

void AddRecoverCommands(std::vector<Command>& commands) {
  constexpr const char* kPointHelp =
      "latest (default), latest-app, a point's id, or a time: the newest not after it";
  commands.push_back(
      {"restore", HelpGroup::kRecover, "Write the disks of a recovery point as image files",
       "restore web --to /srv/restored --format vhdx", [=](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<RestoreOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .RequiredOption("--to", "DIR", options->directory, "made if it is missing",
                             ValueKind::kDirectory)
             .Option("--point", "P", options->point, kPointHelp, ValueKind::kPoint)
             .Option("--format", "F", options->format,
                     "vhd (fixed), vhd-dynamic, vhdx, raw or qcow2; default: that of the source",
                     OneOf({"vhd", "vhd-dynamic", "vhdx", "raw", "qcow2"}))
             .Repeated("--disk", "D", options->disks, "only this disk", ValueKind::kDisk)
             .Flag("--force", options->force, "replace files that exist");
         return [options](Session& session) { return RunRestore(session, *options); };
       }});
  commands.push_back(
      {"test-failover", HelpGroup::kRecover, "Boot a recovery point, without a network",
       "test-failover web --serial-text 'login:'", [=](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<TestOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Option("--point", "P", options->point, kPointHelp, ValueKind::kPoint)
             .Option("--serial-text", "TEXT", options->serial_text,
                     "the guest lives once it wrote this to its first serial port",
                     ValueKind::kFree)
             .Option("--wait-seconds", "N", options->wait_seconds,
                     "how long to wait for a sign of life: 1 to 86400", ValueKind::kFree);
         return [options](Session& session) { return RunTest(session, *options); };
       }});
  commands.push_back(
      {"test-failover-cleanup", HelpGroup::kRecover, "Stop a test failover and remove its disks",
       "test-failover-cleanup web --notes 'database came up'",
       [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<CleanupOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Option("--notes", "T", options->notes, "what was seen; kept with the point's proof",
                     ValueKind::kFree);
         arguments.MayBeEmpty();
         return [options](Session& session) { return RunCleanup(session, *options); };
       }});
}

}  // namespace asr
