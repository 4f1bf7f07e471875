#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/views.h"
#include "core/jobs/hosts.h"

namespace asr {
namespace {

Status RunList(Session& session, const std::string& host) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto vms, ListVms(*environment, host));
  Json list = Json::array();
  for (const VirtualMachine& vm : vms) list.push_back(VmJson(vm));
  session.Print(list, VmView());
  if (vms.empty()) session.Note("No VMs. Hosts are added with: asr host add");
  return {};
}

Status RunShow(Session& session, const std::string& name) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const VirtualMachine vm, FindVm(*environment, name));
  session.Print(VmJson(vm), VmView());
  for (const std::string& warning : vm.warnings) session.Warn(warning);
  return {};
}

}  // namespace

void AddVmCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"vm list", HelpGroup::kSetUp, "List the VMs that can be protected, and why others cannot",
       "vm list --host lab", [](VerbArguments& arguments) -> VerbRunner {
         const auto host = std::make_shared<std::optional<std::string>>();
         arguments.Option("--host", "NAME", *host, "only those of this host", ValueKind::kHost);
         return [host](Session& session) { return RunList(session, host->value_or("")); };
       }});
  commands.push_back({"vm show", HelpGroup::kSetUp, "Show a VM and its disks", "vm show web",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto name = std::make_shared<std::string>();
                        arguments.Required("VM", *name, "its name, or HOST/NAME", ValueKind::kVm);
                        return [name](Session& session) { return RunShow(session, *name); };
                      }});
}

}  // namespace asr
