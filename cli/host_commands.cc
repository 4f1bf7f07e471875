#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/hosts.h"

namespace asr {
namespace {

struct AddOptions {
  std::string name;
  std::string kind;
  std::optional<std::string> path;
  std::optional<std::string> uri;
};

Status WrongKind(const std::string& option, const std::string& kind, std::string action) {
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("host add: a {} host needs --{}", kind, option))
                  .WithAction(std::move(action)));
}

Status CheckPlace(const AddOptions& options) {
  if (options.kind == kLibvirtKind) {
    if (!options.uri || options.path) {
      return WrongKind("uri, and no --path", options.kind,
                       "give libvirt's URI, as in: --uri qemu:///system");
    }
    return {};
  }
  if (options.path && !options.uri) return {};
  return WrongKind("path", options.kind,
                   "give --path DIR, whose sub-directories hold the VMs' disks");
}

Status RunAdd(Session& session, const AddOptions& options) {
  ASR_CHECK(CheckName("NAME", options.name));
  ASR_CHECK(CheckPlace(options));
  std::string place = options.uri.value_or("");
  if (options.path) {
    ASR_TRY(place, session.AbsolutePath(*options.path));
  }
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("Register host {}, {} {}", options.name, options.kind, place),
         .item = "",
         .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const HostRegistration host, options.uri
                                           ? AddLibvirtHost(*environment, options.name, place)
                                           : AddFolderHost(*environment, options.name, place));
  session.Print(HostJson(host), HostView());
  return {};
}

Status RunList(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto hosts, environment->state.ListHosts());
  Json list = Json::array();
  for (const HostRegistration& host : hosts) list.push_back(HostJson(host));
  session.Print(list, HostView());
  if (hosts.empty()) session.Note("No hosts. Add one: asr host add NAME --kind folder --path DIR");
  return {};
}

Status RunShow(Session& session, const std::string& name) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const HostRegistration host, environment->state.FindHost(name));
  session.Print(HostJson(host), HostView());
  return {};
}

Status RunRemove(Session& session, const std::string& name) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const HostRegistration host, environment->state.FindHost(name));
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("Forget host {}", host.name), .item = "", .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(environment->state.RemoveHost(host.name));
  session.Note(fmt::format("Host {} is forgotten; its VMs and their replicas stay.", host.name));
  return {};
}

VerbRunner DeclareName(VerbArguments& arguments, Status (*run)(Session&, const std::string&)) {
  const auto name = std::make_shared<std::string>();
  arguments.Required("NAME", *name, "the host's name", ValueKind::kHost);
  return [name, run](Session& session) { return run(session, *name); };
}

}  // namespace

void AddHostCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"host add", HelpGroup::kSetUp, "Register a host of virtual machines",
       "host add lab --kind folder --path /srv/vms", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<AddOptions>();
         arguments.Required("NAME", options->name, "what this machine calls it", ValueKind::kFree)
             .RequiredOption("--kind", "KIND", options->kind, "folder or libvirt",
                             OneOf({"folder", kLibvirtKind}))
             .Option("--path", "DIR", options->path,
                     "of a folder host: each sub-directory with disk images is a VM",
                     ValueKind::kDirectory)
             .Option("--uri", "URI", options->uri,
                     "of a libvirt host: qemu:///system, or qemu+ssh://root@HOST/system",
                     ValueKind::kFree);
         return [options](Session& session) { return RunAdd(session, *options); };
       }});
  commands.push_back({"host list", HelpGroup::kSetUp, "List the hosts", "host list",
                      [](VerbArguments&) -> VerbRunner { return RunList; }});
  commands.push_back(
      {"host show", HelpGroup::kSetUp, "Show a host", "host show lab",
       [](VerbArguments& arguments) -> VerbRunner { return DeclareName(arguments, RunShow); }});
  commands.push_back(
      {"host remove", HelpGroup::kSetUp, "Forget a host", "host remove lab",
       [](VerbArguments& arguments) -> VerbRunner { return DeclareName(arguments, RunRemove); }});
}

}  // namespace asr
