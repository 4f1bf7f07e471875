#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"

namespace asr {
namespace {

struct SetOptions {
  std::string name;
  std::optional<std::string> frequency;
  std::optional<std::string> retention;
  std::optional<std::string> app_consistent;
  std::optional<std::string> start;
  std::optional<std::string> retry_delays;
};

constexpr const char* kDefaultRetention = "24h";

// `policy` with the given options changed. Whether it holds together is for ValidatePolicy.
Result<Policy> Changed(Policy policy, const SetOptions& options) {
  if (options.app_consistent) {
    ASR_TRY(policy.app_consistent, ParseDurationValue("--app-consistent", *options.app_consistent));
  }
  if (options.start) policy.start = *options.start;
  if (options.retry_delays) {
    ASR_TRY(policy.retry_delays, ParseRetryDelays(*options.retry_delays));
  }
  std::string retention =
      policy.retention.empty() ? kDefaultRetention : FormatRetention(policy.retention);
  if (options.retention) retention = *options.retention;
  if (options.frequency) {
    ASR_TRY(policy.frequency, ParseDurationValue("--frequency", *options.frequency));
  }
  // A limit stands for a grid that depends on the frequency.
  if (options.frequency || options.retention || policy.retention.empty()) {
    ASR_TRY(policy.retention, ParseRetention(retention, policy.frequency));
  }
  return policy;
}

// What can be seen to be wrong without knowing the policy that it changes: each range, but not
// whether the grid keeps too many points at a frequency that is not given.
Status CheckOptions(const SetOptions& options) {
  Policy policy;
  policy.name = options.name;
  if (!options.frequency) policy.frequency = std::chrono::hours{24};
  ASR_TRY(policy, Changed(policy, options));
  if (!options.retention) {
    policy.retention = {{.age = std::chrono::minutes{1}, .interval = std::chrono::seconds{0}}};
  }
  return ValidatePolicy(policy);
}

Status RunSet(Session& session, const SetOptions& options) {
  ASR_CHECK(CheckOptions(options));
  ASR_TRY(Vault* const vault, session.OpenVault());
  const Result<Policy> known = vault->FindPolicy(options.name);
  if (!known && !IsNotFound(known.error())) return Fail(known.error());
  Policy before;
  if (known) before = *known;
  before.name = options.name;
  ASR_TRY(const Policy policy, Changed(before, options));
  ASR_CHECK(ValidatePolicy(policy));
  const bool changes = !known || policy != *known;
  if (session.options().dry_run) {
    Plan plan;
    if (changes) {
      plan.steps.push_back(
          {.step = fmt::format("{} policy {}", known ? "Change" : "Make", policy.name),
           .item = "",
           .disk = ""});
    }
    session.PrintPlan(plan);
    return {};
  }
  if (changes) ASR_CHECK(vault->PutPolicy(policy));
  session.Print(PolicyJson(policy), PolicyView());
  return {};
}

Status RunList(Session& session) {
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const PolicyListing listing, vault->ListPolicies());
  for (const auto& [name, error] : listing.unreadable) {
    session.Warn(fmt::format("policy {}: {}", name, error.Line()));
  }
  Json list = Json::array();
  for (const Policy& policy : listing.policies) list.push_back(PolicyJson(policy));
  session.Print(list, PolicyView());
  if (list.empty() && listing.unreadable.empty())
    session.Note("No policies. Make one: asr policy set NAME");
  return {};
}

Status RunShow(Session& session, const std::string& name) {
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const Policy policy, vault->FindPolicy(name));
  session.Print(PolicyJson(policy), PolicyView());
  return {};
}

Status RunDelete(Session& session, const std::string& name) {
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const Policy policy, vault->FindPolicy(name));
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("Delete policy {}", policy.name), .item = "", .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(vault->DeletePolicy(policy.name));
  session.Note(fmt::format("Policy {} is deleted.", policy.name));
  return {};
}

VerbRunner DeclareName(VerbArguments& arguments, Status (*run)(Session&, const std::string&)) {
  const auto name = std::make_shared<std::string>();
  arguments.Required("NAME", *name, "the policy's name", ValueKind::kPolicy);
  return [name, run](Session& session) { return run(session, *name); };
}

}  // namespace

void AddPolicyCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"policy set", HelpGroup::kSetUp, "Make or change a replication policy",
       "policy set gold --frequency 5m --retention 24h",
       [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<SetOptions>();
         arguments.Required("NAME", options->name, "the policy's name", ValueKind::kPolicy)
             .Option("--frequency", "D", options->frequency,
                     "how often changes are replicated: 5s to 24h (5m)", ValueKind::kFree)
             .Option("--retention", "D|GRID", options->retention,
                     "how long points are kept (24h), or a grid: 1h:all,24h:15m,7d:1d",
                     ValueKind::kFree)
             .Option("--app-consistent", "D", options->app_consistent,
                     "how often points are app-consistent: 0 (never), or 1h to 12h (0)",
                     ValueKind::kFree)
             .Option("--start", "TIME", options->start,
                     "when the initial replication starts: now, or HH:MM (now)", ValueKind::kFree)
             .Option("--retry-delays", "LIST", options->retry_delays,
                     "when a failed cycle is tried again: 1m,2m,4m,8m,10m,30m", ValueKind::kFree);
         return [options](Session& session) { return RunSet(session, *options); };
       }});
  commands.push_back({"policy list", HelpGroup::kSetUp, "List the vault's policies", "policy list",
                      [](VerbArguments&) -> VerbRunner { return RunList; }});
  commands.push_back(
      {"policy show", HelpGroup::kSetUp, "Show a policy", "policy show gold",
       [](VerbArguments& arguments) -> VerbRunner { return DeclareName(arguments, RunShow); }});
  commands.push_back(
      {"policy delete", HelpGroup::kSetUp, "Delete a policy that no VM uses", "policy delete gold",
       [](VerbArguments& arguments) -> VerbRunner { return DeclareName(arguments, RunDelete); }});
}

}  // namespace asr
