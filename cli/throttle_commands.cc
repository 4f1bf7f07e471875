#include <memory>

#include "cli/command_table.h"
#include "cli/values.h"
#include "core/jobs/throttle_settings.h"

namespace asr {
namespace {

constexpr std::uint64_t kMostMbps = 1'000'000;

struct SetOptions {
  std::optional<std::string> work_hours;
  std::optional<std::string> work_days;
  std::optional<std::string> work_mbps;
  std::optional<std::string> other_mbps;
};

const View& ThrottleView() {
  static const View view = {
      .columns = {Column{"Work hours", "/workHours"}, Column{"Work days", "/workDays"},
                  Column{"Work Mbit/s", "/workMbps"}, Column{"Other Mbit/s", "/otherMbps"},
                  Column{"Now Mbit/s", "/currentMbps"}},
      .fields = {Column{"Work hours", "/workHours"}, Column{"Work days", "/workDays"},
                 Column{"Work Mbit/s", "/workMbps"}, Column{"Other Mbit/s", "/otherMbps"},
                 Column{"Now Mbit/s", "/currentMbps"}},
      .sections = {}};
  return view;
}

Json MbpsJson(const std::optional<std::uint32_t>& mbps) { return mbps ? Json(*mbps) : Json(); }

void PrintRules(Session& session, const std::optional<ThrottleRules>& rules) {
  Json json;
  json["workHours"] = rules ? Json(FormatWorkHours(*rules)) : Json();
  json["workDays"] = rules ? Json(FormatWorkDays(*rules)) : Json();
  json["workMbps"] = rules ? MbpsJson(rules->work_mbps) : Json();
  json["otherMbps"] = rules ? MbpsJson(rules->other_mbps) : Json();
  json["currentMbps"] = Json();
  if (rules) {
    const bool at_work = IsWorkTime(*rules, session.Now());
    json["currentMbps"] = MbpsJson(at_work ? rules->work_mbps : rules->other_mbps);
  }
  session.Print(json, ThrottleView());
}

Status TakeMbps(const char* option, const std::optional<std::string>& text,
                std::optional<std::uint32_t>& mbps) {
  if (!text) return {};
  mbps.reset();
  if (*text == "none") return {};
  ASR_TRY(const std::uint64_t number, ParseNumber(option, *text, 1, kMostMbps));
  mbps = static_cast<std::uint32_t>(number);
  return {};
}

Status Take(const SetOptions& options, ThrottleRules& rules) {
  if (options.work_hours) ASR_CHECK(ParseWorkHours(*options.work_hours, rules));
  if (options.work_days) ASR_CHECK(ParseWorkDays(*options.work_days, rules));
  ASR_CHECK(TakeMbps("--work-mbps", options.work_mbps, rules.work_mbps));
  return TakeMbps("--other-mbps", options.other_mbps, rules.other_mbps);
}

Status PlanStepOf(Session& session, const std::string& step) {
  Plan plan;
  plan.steps.push_back({.step = step, .item = "", .disk = ""});
  session.PrintPlan(plan);
  return {};
}

Status RunSet(Session& session, const SetOptions& options) {
  ThrottleRules checked;
  ASR_CHECK(Take(options, checked));
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto known, FindThrottleRules(environment->state));
  ThrottleRules rules = known.value_or(ThrottleRules{});
  ASR_CHECK(Take(options, rules));
  if (session.options().dry_run) return PlanStepOf(session, "Set the limits of the line");
  ASR_CHECK(SetThrottleRules(environment->state, rules));
  PrintRules(session, rules);
  return {};
}

Status RunShow(Session& session) {
  ASR_TRY(const Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto rules, FindThrottleRules(environment->state));
  PrintRules(session, rules);
  return {};
}

Status RunClear(Session& session) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(const Environment* const environment, session.OpenEnvironment());
  if (session.options().dry_run) return PlanStepOf(session, "Lift the limits of the line");
  ASR_CHECK(SetThrottleRules(environment->state, std::nullopt));
  PrintRules(session, std::nullopt);
  return {};
}

}  // namespace

void AddThrottleCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"throttle set", HelpGroup::kSetUp, "Limit what is sent into vaults, by weekday and hour",
       "throttle set --work-days mon-fri --work-mbps 50",
       [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<SetOptions>();
         arguments
             .Option("--work-hours", "HOURS", options->work_hours, "for example 9:00-18:00",
                     ValueKind::kFree)
             .Option("--work-days", "DAYS", options->work_days, "for example mon-fri or mon,wed",
                     ValueKind::kFree)
             .Option("--work-mbps", "N", options->work_mbps,
                     "megabits a second in work hours, or none: no limit", ValueKind::kFree)
             .Option("--other-mbps", "N", options->other_mbps, "at all other times",
                     ValueKind::kFree);
         return [options](Session& session) { return RunSet(session, *options); };
       }});
  commands.push_back({"throttle show", HelpGroup::kSetUp, "Show the limits", "throttle show",
                      [](VerbArguments&) -> VerbRunner { return RunShow; }});
  commands.push_back({"throttle clear", HelpGroup::kSetUp, "Lift the limits", "throttle clear",
                      [](VerbArguments&) -> VerbRunner { return RunClear; }});
}

}  // namespace asr
