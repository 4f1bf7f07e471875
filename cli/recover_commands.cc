#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/restore.h"

namespace asr {
namespace {

struct RestoreOptions {
  std::string vm;
  std::string directory;
  std::optional<std::string> point;
  std::optional<std::string> format;
  std::vector<std::string> disks;
  bool force = false;
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
}

}  // namespace asr
