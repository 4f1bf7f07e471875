#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/item_texts.h"
#include "cli/json_values.h"
#include "cli/text_format.h"
#include "cli/values.h"
#include "cli/vault_report.h"
#include "cli/views.h"
#include "core/jobs/check_vault.h"
#include "core/jobs/rollback.h"
#include "core/jobs/vault_place.h"
#include "core/jobs/vaults.h"
#include "core/jobs/waiting_changes.h"

namespace asr {
namespace {

struct PlaceOptions {
  std::string name;
  std::string target;
  std::optional<std::string> digest;
  std::vector<std::string> unset;
};

constexpr const char* kCredentialWord = "credential";
constexpr const char* kCaFileWord = "ca-file";

struct NameOptions {
  std::string name;  // empty: the vault that other commands would use
};

Plan OneStep(std::string step) {
  Plan plan;
  plan.steps.push_back({.step = std::move(step), .item = "", .disk = ""});
  return plan;
}

Status CheckPlace(const PlaceOptions& options) {
  ASR_CHECK(CheckName("NAME", options.name));
  ASR_CHECK(NormalizeTarget(options.target));
  return {};
}

void WarnOfNetwork(Session& session, Environment& environment, const VaultRegistration& vault) {
  const std::string warning = NetworkWarning(environment, vault);
  if (!warning.empty()) session.Warn(warning);
}

// The vault of that name, as it is registered; empty if none is.
VaultRegistration Known(Environment& environment, const std::string& name) {
  const auto known = environment.state.FindVault(name);
  return known ? *known : VaultRegistration();
}

// A vault that was known already is opened with something else from now on.
void NoteAccess(Session& session, const VaultRegistration& before, const VaultRegistration& now) {
  if (before.name.empty()) return;
  if (before.credential != now.credential) {
    const std::string what =
        now.credential.empty() ? "what the environment has" : "credential " + now.credential;
    session.Note(fmt::format("Vault {} is opened with {} from now on{}.", now.name, what,
                             before.credential.empty() ? "" : ", not " + before.credential));
  }
  if (before.ca_file != now.ca_file) {
    const std::string what =
        now.ca_file.empty() ? "the machine's authorities" : "the authorities in " + now.ca_file;
    session.Note(fmt::format("Vault {} trusts {} from now on.", now.name, what));
  }
}

bool IsUnset(const PlaceOptions& options, std::string_view word) {
  return std::ranges::find(options.unset, word) != options.unset.end();
}

Status CheckUnset(const GlobalOptions& given, const PlaceOptions& options) {
  const auto both = [](std::string_view word) {
    return Fail(
        MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                  fmt::format("vault connect: --{0} and --unset {0} contradict each other", word))
            .WithAction("give one of the two"));
  };
  if (given.credential && IsUnset(options, kCredentialWord)) return both(kCredentialWord);
  if (given.ca_file && IsUnset(options, kCaFileWord)) return both(kCaFileWord);
  return {};
}

Status RunCreate(Session& session, const PlaceOptions& options) {
  ASR_CHECK(CheckPlace(options));
  if (session.options().dry_run) {
    ASR_TRY(const std::string target, NormalizeTarget(options.target));
    session.PrintPlan(OneStep(fmt::format("Create vault {} at {}", options.name, target)));
    return {};
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const DigestAlgorithm algorithm = options.digest.value_or("sha256") == "xxh3"
                                        ? DigestAlgorithm::kXxh3
                                        : DigestAlgorithm::kSha256;
  const VaultRegistration before = Known(*environment, options.name);
  ASR_TRY(const VaultRegistration vault,
          CreateVault(*environment, options.name, options.target, algorithm));
  NoteAccess(session, before, vault);
  WarnOfNetwork(session, *environment, vault);
  session.Print(VaultJson(vault), VaultView());
  return {};
}

Status RunConnect(Session& session, const PlaceOptions& options) {
  ASR_CHECK(CheckPlace(options));
  ASR_CHECK(CheckUnset(session.options(), options));
  if (session.options().dry_run) {
    ASR_TRY(const std::string target, NormalizeTarget(options.target));
    session.PrintPlan(OneStep(fmt::format("Connect vault {} at {}", options.name, target)));
    return {};
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const VaultRegistration before = Known(*environment, options.name);
  ASR_TRY(const VaultRegistration vault,
          ConnectVault(*environment, options.name, options.target,
                       {.credential = IsUnset(options, kCredentialWord),
                        .ca_file = IsUnset(options, kCaFileWord)}));
  NoteAccess(session, before, vault);
  WarnOfNetwork(session, *environment, vault);
  session.Print(VaultJson(vault), VaultView());
  return {};
}

Status RunList(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto vaults, environment->state.ListVaults());
  Json list = Json::array();
  for (const VaultRegistration& vault : vaults) list.push_back(VaultJson(vault));
  session.Print(list, VaultView());
  if (vaults.empty()) session.Note("No vaults. Make one: asr vault create NAME --target DIR");
  return {};
}

Status RunShow(Session& session, const NameOptions& options) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const std::string name =
      options.name.empty() ? session.options().vault.value_or("") : options.name;
  ASR_TRY(const VaultRegistration registration, environment->state.FindVault(name));
  ASR_TRY(const auto vault, OpenVault(*environment, registration.name));
  Json json = VaultJson(registration);
  json["digest"] = DigestAlgorithmName(vault->identity().algorithm);
  json["createdTime"] = FormatTime(vault->identity().created);
  json["items"] = Json::array();
  json["policies"] = Json::array();
  ASR_TRY(const auto listing, vault->ListItems());
  for (const auto& [id, error] : listing.unreadable) session.Warn(error.Line());
  for (const Item& item : listing.items) json["items"].push_back(item.name);
  ASR_TRY(const PolicyListing policies, vault->ListPolicies());
  for (const auto& [policy, error] : policies.unreadable) session.Warn(error.Line());
  for (const Policy& policy : policies.policies) json["policies"].push_back(policy.name);
  session.Print(json, VaultView());
  return {};
}

Status RunCheckVault(Session& session, const NameOptions& options) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const std::string name =
      options.name.empty() ? session.options().vault.value_or("") : options.name;
  ASR_TRY(const VaultRegistration registration, environment->state.FindVault(name));
  ASR_TRY(const VaultReport report, CheckVault(*environment, registration));
  session.Print(VaultReportJson(report, registration.name), VaultReportView());
  if (report.findings.empty()) session.Note("Nothing is wrong.");
  if (report.is_healthy()) return {};
  const auto errors = std::ranges::count(report.findings, Severity::kError, &Finding::severity);
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kVaultDamaged,
                        fmt::format("vault {}: {} {} found", registration.name, errors,
                                    errors == 1 ? "error was" : "errors were"))
                  .WithCause("files of the vault were damaged, removed or changed by hand")
                  .WithAction("do what each finding says; see which points are whole: asr points "
                              "verify VM"));
}

Status RunUse(Session& session, const NameOptions& options) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(VaultRegistration vault, environment->state.FindVault(options.name));
  if (session.options().dry_run) {
    session.PrintPlan(OneStep(fmt::format("Make {} the default vault", vault.name)));
    return {};
  }
  ASR_CHECK(environment->state.UseVault(vault.name));
  vault.is_default = true;
  session.Print(VaultJson(vault), VaultView());
  return {};
}

// What waits here for the vault, VM by VM; empty if nothing does.
Result<std::string> NameWaiting(Environment& environment, const VaultRegistration& registration) {
  ASR_TRY(const auto waiting, ListWaitingChanges(environment, registration.id));
  std::vector<Item> items;
  // Names, if the vault is there to tell them.
  if (const auto vault = OpenVault(environment, registration.name)) {
    if (auto listing = (*vault)->ListItems()) items = std::move(listing->items);
  }
  std::vector<std::string> texts;
  for (const WaitingChanges& changes : waiting) {
    const auto item = std::ranges::find(items, changes.item, &Item::id);
    texts.push_back(fmt::format("{} ({})", item == items.end() ? changes.item.value : item->name,
                                HumanBytes(changes.bytes)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

Status RunDisconnect(Session& session, const NameOptions& options) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const VaultRegistration vault, environment->state.FindVault(options.name));
  ASR_TRY(const std::string waiting, NameWaiting(*environment, vault));
  const std::string loss = fmt::format(
      "forgets vault {}, while changes that were not sent to it wait on this machine, of {}; they "
      "are sent only once the vault is connected again",
      vault.name, waiting);
  if (session.options().dry_run) {
    Plan plan = OneStep(fmt::format("Forget vault {}; its data stays", vault.name));
    if (!waiting.empty()) plan.warnings.push_back("this " + loss);
    session.PrintPlan(plan);
    return {};
  }
  if (!waiting.empty()) ASR_CHECK(session.Confirm(loss));
  ASR_CHECK(ForgetVault(*environment, vault));
  session.Note(
      fmt::format("Vault {} is forgotten; its data stays at {}.", vault.name, vault.target));
  return {};
}

// What a deletion would remove, item by item.
Result<Plan> PlanDelete(Vault& vault, const VaultRegistration& registration) {
  Plan plan;
  ASR_TRY(const auto listing, vault.ListItems());
  for (const Item& item : listing.items) {
    ASR_TRY(const Plan deletion, PlanDeletion(vault, item));
    plan.steps.insert(plan.steps.end(), deletion.steps.begin(), deletion.steps.end());
  }
  for (const UnreadableItem& damaged : listing.unreadable) {
    ASR_TRY(const auto points, vault.ListPointIds(damaged.id));
    plan.steps.push_back({.step = fmt::format("Delete {} recovery points", points.size()),
                          .item = damaged.id.value,
                          .disk = ""});
  }
  plan.steps.push_back(
      {.step = fmt::format("Delete vault {}, all of {}", registration.name, registration.target),
       .item = "",
       .disk = ""});
  return plan;
}

Result<std::string> NameLoss(Vault& vault, const VaultRegistration& registration) {
  ASR_TRY(const auto listing, vault.ListItems());
  std::size_t points = 0;
  for (const Item& item : listing.items) {
    ASR_TRY(const auto ids, vault.ListPointIds(item.id));
    points += ids.size();
  }
  for (const UnreadableItem& damaged : listing.unreadable) {
    ASR_TRY(const auto ids, vault.ListPointIds(damaged.id));
    points += ids.size();
  }
  return fmt::format("deletes vault {} at {}, with {} replicated items and {} recovery points",
                     registration.name, registration.target,
                     listing.items.size() + listing.unreadable.size(), points);
}

Status RunDelete(Session& session, const NameOptions& options) {
  ASR_CHECK(session.RequireAnswer(
      fmt::format("deletes vault {} with all its recovery points", options.name)));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const VaultRegistration registration, environment->state.FindVault(options.name));
  ASR_TRY(const auto vault, OpenVault(*environment, registration.name));
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanDelete(*vault, registration));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const std::string loss, NameLoss(*vault, registration));
  ASR_CHECK(session.Confirm(loss));
  ASR_CHECK(DeleteVault(*environment, registration.name));
  session.Note(fmt::format("Vault {} is deleted.", registration.name));
  return {};
}

Status RunRollBack(Session& session, const std::string& vm) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Item item, session.FindItem(vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanRollBack(*vault, item));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Job job, RollBackItem(*environment, *vault, item));
  return session.FinishJob(job);
}

VerbRunner DeclareName(VerbArguments& arguments, bool required,
                       Status (*run)(Session&, const NameOptions&)) {
  const auto options = std::make_shared<NameOptions>();
  if (required) {
    arguments.Required("NAME", options->name, "the vault's name on this machine",
                       ValueKind::kVault);
  } else {
    arguments.Optional("NAME", options->name, "the vault's name; without it, the one in use",
                       ValueKind::kVault);
  }
  return [options, run](Session& session) { return run(session, *options); };
}

}  // namespace

void AddVaultCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"vault create", HelpGroup::kSetUp, "Make a vault and register it",
       "vault create main --target /srv/vault", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<PlaceOptions>();
         arguments.Required("NAME", options->name, "what this machine calls it", ValueKind::kFree)
             .RequiredOption("--target", "URL", options->target,
                             "where it lies: a directory, or a container of Azure Blob Storage",
                             ValueKind::kDirectory)
             .Option("--digest", "NAME", options->digest,
                     "sha256 (default), or xxh3: faster, for guests that are trusted",
                     OneOf({"sha256", "xxh3"}));
         return [options](Session& session) { return RunCreate(session, *options); };
       }});
  commands.push_back(
      {"vault connect", HelpGroup::kSetUp, "Register a vault that exists already",
       "vault connect main --target /srv/vault", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<PlaceOptions>();
         arguments.Required("NAME", options->name, "what this machine calls it", ValueKind::kFree)
             .RequiredOption("--target", "URL", options->target,
                             "where it lies: a directory, or a container of Azure Blob Storage",
                             ValueKind::kDirectory)
             .Repeated("--unset", "SETTING", options->unset,
                       "of a vault that is known: what to forget that it was opened with",
                       OneOf({kCredentialWord, kCaFileWord}));
         return [options](Session& session) { return RunConnect(session, *options); };
       }});
  commands.push_back({"vault list", HelpGroup::kSetUp, "List the vaults that this machine knows",
                      "vault list", [](VerbArguments&) -> VerbRunner { return RunList; }});
  commands.push_back({"vault show", HelpGroup::kSetUp, "Show a vault", "vault show main",
                      [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareName(arguments, false, RunShow);
                      }});
  commands.push_back({"vault check", HelpGroup::kLook,
                      "Look a vault over: what is damaged, and what goes on by itself",
                      "vault check main", [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareName(arguments, false, RunCheckVault);
                      }});
  commands.push_back({"vault use", HelpGroup::kSetUp, "Make a vault the default one",
                      "vault use main", [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareName(arguments, true, RunUse);
                      }});
  commands.push_back({"vault rollback", HelpGroup::kRecover,
                      "Put a VM's live disks back to its newest recovery point",
                      "vault rollback web", [](VerbArguments& arguments) -> VerbRunner {
                        const auto vm = std::make_shared<std::string>();
                        arguments.Required("VM", *vm, "its name, or HOST/NAME", ValueKind::kItem);
                        return [vm](Session& session) { return RunRollBack(session, *vm); };
                      }});
  commands.push_back({"vault disconnect", HelpGroup::kSetUp, "Forget a vault; its data stays",
                      "vault disconnect main", [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareName(arguments, true, RunDisconnect);
                      }});
  commands.push_back({"vault delete", HelpGroup::kSetUp, "Delete a vault and all its data",
                      "vault delete main", [](VerbArguments& arguments) -> VerbRunner {
                        return DeclareName(arguments, true, RunDelete);
                      }});
}

}  // namespace asr
