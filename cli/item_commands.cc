#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/damaged_items.h"
#include "cli/item_texts.h"
#include "cli/json_values.h"
#include "cli/target_options.h"
#include "cli/views.h"
#include "core/jobs/protect.h"
#include "core/jobs/test_failover.h"
#include "core/jobs/update_item.h"

namespace asr {
namespace {

struct UpdateOptions {
  std::string vm;
  TargetOptions target;
  std::vector<std::string> unset;
};

Result<Json> Describe(Session& session, const Item& item) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const ItemStatus status, GatherItemStatus(*environment, *vault, item));
  return ItemJson(item, status, vault->name());
}

// Also of items that are in no vault any more.
Status WarnOfTestFailovers(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto tests, ListTestFailovers(*environment));
  for (const TestFailoverStatus& test : tests) {
    if (const auto left = DescribeLeftOver(test)) session.Warn(*left);
  }
  return {};
}

Status RunList(Session& session) {
  ASR_CHECK(WarnOfTestFailovers(session));
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const auto listing, vault->ListItems());
  for (const auto& [id, error] : listing.unreadable) session.Warn(error.Line());
  Json list = Json::array();
  for (const Item& item : listing.items) {
    ASR_TRY(Json json, Describe(session, item));
    list.push_back(std::move(json));
  }
  session.Print(list, ItemView());
  if (list.empty() && listing.unreadable.empty())
    session.Note("No VM is protected. Protect one: asr enable VM --policy P");
  return {};
}

Status RunShow(Session& session, const std::string& vm) {
  ASR_TRY(const Item item, session.FindItem(vm));
  ASR_TRY(const Json json, Describe(session, item));
  session.Print(json, ItemView());
  return {};
}

Status RunUpdate(Session& session, const UpdateOptions& options) {
  TargetChanges changes;
  ASR_TRY(changes.set, options.target.Parse());
  changes.unset = TargetSettingsOf(options.unset);
  if (changes.set == TargetSettings{} && changes.unset.empty()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage, "there is nothing to change")
                    .WithAction("say what: asr help items update"));
  }
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanUpdate(item, changes));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Item changed, UpdateItem(*vault, item, changes));
  ASR_TRY(const Json json, Describe(session, changed));
  session.Print(json, ItemView());
  return {};
}

Status RunDelete(Session& session, const std::string& vm) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_CHECK(session.RequireAnswer(
      fmt::format("deletes the kept replica of VM {} and all its recovery points", vm)));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const FoundItem found, vault->FindEvenDamaged(vm));
  if (found.damage) return DeleteDamaged(session, found);
  const Item& item = found.item;
  // Only what is not protected any more may go; of the rest the engine says why not.
  if (item.state == ProtectionState::kUnprotected) {
    if (session.options().dry_run) {
      ASR_TRY(const Plan plan, PlanDeletion(*vault, item));
      session.PrintPlan(plan);
      return {};
    }
    ASR_TRY(const std::string loss, NameLoss(*vault, item));
    ASR_CHECK(session.Confirm(loss));
  }
  ASR_TRY(const Job job, DeleteItem(*environment, *vault, item));
  return session.FinishJob(job);
}

VerbRunner DeclareVm(VerbArguments& arguments, Status (*run)(Session&, const std::string&)) {
  const auto vm = std::make_shared<std::string>();
  arguments.Required("VM", *vm, "its name, HOST/NAME, or the item's id", ValueKind::kItem);
  return [vm, run](Session& session) { return run(session, *vm); };
}

}  // namespace

void AddItemCommands(std::vector<Command>& commands) {
  commands.push_back({"items list", HelpGroup::kProtect,
                      "List the replicated items: the VMs of "
                      "the vault, with health and RPO",
                      "items list", [](VerbArguments&) -> VerbRunner { return RunList; }});
  commands.push_back(
      {"items show", HelpGroup::kProtect, "Show a replicated item", "items show web",
       [](VerbArguments& arguments) -> VerbRunner { return DeclareVm(arguments, RunShow); }});
  commands.push_back(
      {"items update", HelpGroup::kProtect,
       "Say how a VM is started at the target, and how it shows that it lives",
       "items update web --memory-mib 2048 --sign-of-life tcp:22",
       [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<UpdateOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem);
         options->target.Declare(arguments);
         arguments.Repeated("--unset", "SETTING", options->unset,
                            "let it follow the description again: the name of one of these "
                            "options, without dashes",
                            TargetSettingWords());
         return [options](Session& session) { return RunUpdate(session, *options); };
       }});
  commands.push_back({"items delete", HelpGroup::kProtect, "Delete what disable --keep-data kept",
                      "items delete web", [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareVm(arguments, RunDelete);
                      }});
}

}  // namespace asr
