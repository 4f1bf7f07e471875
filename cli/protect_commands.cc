#include <memory>

#include <fmt/format.h>

#include "cli/agent_handover.h"
#include "cli/command_table.h"
#include "cli/damaged_items.h"
#include "cli/item_texts.h"
#include "cli/json_values.h"
#include "cli/views.h"
#include "core/jobs/check.h"
#include "core/jobs/health.h"
#include "core/jobs/hosts.h"
#include "core/jobs/protect.h"
#include "core/jobs/replicate.h"
#include "core/jobs/resync.h"
#include "core/jobs/retries.h"
#include "core/jobs/schedule.h"
#include "core/jobs/waiting_changes.h"
#include "storage/base/text.h"

namespace asr {
namespace {

struct CheckOptions {
  std::string vm;
  std::optional<std::string> policy;
};

struct DisableOptions {
  std::string vm;
  bool keep_data = false;
};

Status RunCheck(Session& session, const CheckOptions& options) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const VirtualMachine vm, FindVm(*environment, options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  std::optional<Policy> policy;
  if (options.policy) {
    ASR_TRY(policy, vault->FindPolicy(*options.policy));
  }
  ASR_TRY(const auto results, CheckVm(*environment, *vault, vm, policy));
  session.Print(CheckJson(results), CheckView());
  // The table tells all of it, the error what failed.
  return RequirePassed(vm, results);
}

Status LeaveEnable(Session& session, Environment& environment, Vault& vault,
                   const EnableRequest& request) {
  ASR_TRY(const VirtualMachine vm, FindVm(environment, request.vm));
  ASR_TRY(const Policy policy, vault.FindPolicy(request.policy));
  return session.LeaveToAgent("EnableProtection", vm.name, NextStart(policy.start, session.Now()));
}

Status RunEnable(Session& session, const EnableRequest& request) {
  ASR_CHECK(session.RequireAgentForNoWait());
  if (request.seed.seeds.empty() && !request.seed.credential.empty()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          "--seed-credential is of no use without --seed")
                    .WithAction("name the seed: --seed URL"));
  }
  ASR_CHECK(CheckSeedPlaces(request.seed));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanEnable(*environment, *vault, request));
    session.PrintPlan(plan);
    return {};
  }
  if (session.options().no_wait) return LeaveEnable(session, *environment, *vault, request);
  // A file of a seed may be one that the agent must not see.
  if (request.seed.seeds.empty()) {
    ASR_TRY(const VirtualMachine vm, FindVm(*environment, request.vm));
    if (const auto done = HandToAgent(session, "EnableProtection", vm.name, JobView())) {
      return *done;
    }
  }
  ASR_TRY(const Job job, EnableProtection(*environment, *vault, request));
  return session.FinishJob(job);
}

Result<Plan> PlanDisable(Vault& vault, const Item& item, bool keep_data) {
  Plan plan;
  if (!keep_data) {
    ASR_TRY(plan, PlanDeletion(vault, item));
  }
  plan.steps.insert(plan.steps.begin(),
                    PlanStep{.step = "Stop protection", .item = item.name, .disk = ""});
  return plan;
}

Status RunDisable(Session& session, const DisableOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  const std::string loss =
      fmt::format("deletes the replica of VM {} and all its recovery points", options.vm);
  if (!options.keep_data) ASR_CHECK(session.RequireAnswer(loss));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const FoundItem found, vault->FindEvenDamaged(options.vm));
  // Whose points stay as they are, whatever is done about its protection.
  if (found.damage && options.keep_data) return Fail(*found.damage);
  if (found.damage) return DeleteDamaged(session, found);
  const Item& item = found.item;
  // Of an item that is not protected any more the engine says that there is nothing to stop.
  if (item.state != ProtectionState::kUnprotected) {
    if (session.options().dry_run) {
      ASR_TRY(const Plan plan, PlanDisable(*vault, item, options.keep_data));
      session.PrintPlan(plan);
      return {};
    }
    ASR_TRY(const std::string named_loss, NameLoss(*vault, item));
    if (!options.keep_data) ASR_CHECK(session.Confirm(named_loss));
  }
  ASR_TRY(const Job job, DisableProtection(*environment, *vault, item, options.keep_data));
  return session.FinishJob(job);
}

struct ResyncOptions {
  std::string vm;
  bool now = false;
  bool deep = false;
};

// What a person replicated is no failure to be tried again.
Status NoteEnd(Environment& environment, const Vault& vault, const Item& item, const Job& job) {
  if (job.state != JobState::kSucceeded) return {};
  return NoteReplicationEnd(environment, vault.identity().id, item.id, {});
}

Status RunResyncVerb(Session& session, const ResyncOptions& options) {
  ASR_CHECK(options.now ? session.RequireAgentForNoWait() : session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanResync(*environment, *vault, item, options.deep));
    session.PrintPlan(plan);
    return {};
  }
  if (options.now) {
    ASR_CHECK(RequireProtected(item));
    if (session.options().no_wait) return session.LeaveToAgent("Resync", item.name, session.Now());
    if (const auto done = HandToAgent(session, "Resync", item.name, JobView())) return *done;
    ASR_TRY(const ReplicateOutcome outcome, Resync(*environment, *vault, item, options.deep));
    ASR_CHECK(NoteEnd(*environment, *vault, item, outcome.job));
    return session.FinishJob(outcome.job);
  }
  ASR_TRY(const Item marked, ScheduleResync(*vault, item, options.deep));
  ASR_TRY(const ItemStatus status, GatherItemStatus(*environment, *vault, marked));
  session.Print(ItemJson(marked, status, vault->name()), ItemView());
  session.Note(fmt::format("The next replication resyncs VM {}: asr replicate {}", item.name,
                           ShellQuote(item.name)));
  return {};
}

struct ReplicateOptions {
  std::string vm;
  bool app_consistent = false;
};

Status RunReplicate(Session& session, const ReplicateOptions& options) {
  ASR_CHECK(session.RequireAgentForNoWait());
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  const auto found = vault->FindItem(options.vm);
  if (!found) {
    // It may be gone since this machine replicated it last.
    if (!session.options().dry_run) RemoveChangesOfGoneItems(*environment, *vault);
    return Fail(found.error());
  }
  const Item& item = *found;
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanReplicate(*environment, *vault, item));
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(RequireProtected(item));
  if (session.options().no_wait) return session.LeaveToAgent("Replicate", item.name, session.Now());
  if (const auto done = HandToAgent(session, "Replicate", item.name, ReplicateView())) return *done;
  ASR_TRY(const ReplicateOutcome outcome,
          Replicate(*environment, *vault, item, {.app_consistent = options.app_consistent}));
  ASR_CHECK(NoteEnd(*environment, *vault, item, outcome.job));
  Json json;
  json["point"] = nullptr;
  if (outcome.point) {
    ASR_TRY(json["point"],
            DescribePoint(*vault, item, *outcome.point, outcome.is_new, session.Now()));
  }
  json["job"] = JobJson(outcome.job);
  session.Print(json, ReplicateView());
  return OutcomeOf(outcome.job);
}

}  // namespace

void AddProtectCommands(std::vector<Command>& commands) {
  commands.push_back({"check", HelpGroup::kProtect, "Check what protection of a VM needs",
                      "check web --policy gold", [](VerbArguments& arguments) -> VerbRunner {
                        const auto options = std::make_shared<CheckOptions>();
                        arguments
                            .Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kVm)
                            .Option("--policy", "P", options->policy,
                                    "the policy that is meant for it", ValueKind::kPolicy);
                        return [options](Session& session) { return RunCheck(session, *options); };
                      }});
  commands.push_back(
      {"enable", HelpGroup::kProtect, "Protect a VM: replicate all of it for the first time",
       "enable web --policy gold", [](VerbArguments& arguments) -> VerbRunner {
         const auto request = std::make_shared<EnableRequest>();
         const auto credential = std::make_shared<std::optional<std::string>>();
         arguments.Required("VM", request->vm, "its name, or HOST/NAME", ValueKind::kVm)
             .RequiredOption("--policy", "P", request->policy, "how often, and how long kept",
                             ValueKind::kPolicy)
             .Repeated("--exclude-disk", "D", request->excluded_disks, "do not replicate this disk",
                       ValueKind::kFree)
             .Repeated("--seed", "SEED", request->seed.seeds,
                       "begin with this copy of a disk: [DISK=]PATH or [DISK=]URL",
                       ValueKind::kFile)
             .Option("--seed-credential", "NAME", *credential, "opens the seed's URL",
                     ValueKind::kCredential);
         return [request, credential](Session& session) {
           request->seed.credential = credential->value_or("");
           return RunEnable(session, *request);
         };
       }});
  commands.push_back(
      {"replicate", HelpGroup::kProtect, "Replicate what changed, now",
       "replicate web --app-consistent", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ReplicateOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Flag("--app-consistent", options->app_consistent,
                   "freeze the guest's file systems for a moment, by its agent");
         return [options](Session& session) { return RunReplicate(session, *options); };
       }});
  commands.push_back(
      {"resync", HelpGroup::kProtect, "Compare the whole of a VM's disks with their replicas",
       "resync web --now --deep", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ResyncOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Flag("--now", options->now, "run it now, not with the next replication")
             .Flag("--deep", options->deep, "read the vault's bytes, too");
         return [options](Session& session) { return RunResyncVerb(session, *options); };
       }});
  commands.push_back(
      {"disable", HelpGroup::kProtect, "Stop protecting a VM, and delete its replica",
       "disable web --keep-data", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<DisableOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Flag("--keep-data", options->keep_data, "keep the recovery points for restores");
         return [options](Session& session) { return RunDisable(session, *options); };
       }});
}

}  // namespace asr
