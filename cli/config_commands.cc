#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/agent.h"
#include "core/jobs/change_spool.h"
#include "core/jobs/item_snapshot.h"

namespace asr {
namespace {

constexpr std::uint64_t kMostJobsThereCanBe = 1000;
constexpr std::uint64_t kMostPercent = 100;

const std::vector<std::string>& SettingNames() {
  static const std::vector<std::string> names = {
      "output",         "vault",          kScratchDirectorySetting,
      kLogLimitSetting, kMostJobsSetting, kMostJobsOfAHostSetting};
  return names;
}

struct SetOptions {
  std::string name;
  std::string value;
};

Result<Json> SettingJson(Environment& environment, const std::string& name) {
  ASR_TRY(const auto value, environment.state.FindSetting(name));
  Json json;
  json["name"] = name;
  json["value"] = value && !value->empty() ? Json(*value) : Json(nullptr);
  return json;
}

Status RunGet(Session& session, const std::string& name) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Json json, SettingJson(*environment, name));
  session.Print(json, SettingView());
  return {};
}

Status RunSet(Session& session, const SetOptions& options) {
  if (options.name == "output" && !options.value.empty()) {
    ASR_CHECK(CheckWord("VALUE", options.value, OutputFormatWords()));
  }
  if (options.name == "vault" && !options.value.empty()) {
    ASR_CHECK(CheckName("VALUE", options.value));
  }
  if (options.name.starts_with("agent.") && !options.value.empty()) {
    ASR_CHECK(ParseNumber("VALUE", options.value, 1, kMostJobsThereCanBe));
  }
  if (options.name == kLogLimitSetting && !options.value.empty()) {
    ASR_CHECK(ParseNumber("VALUE", options.value, 1, kMostPercent));
  }
  if (options.name == kScratchDirectorySetting && !options.value.empty() &&
      options.value.front() != '/') {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          fmt::format("'{}' is no absolute path", options.value))
                    .WithAction("give one that QEMU may write to"));
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back({.step = "Set " + options.name, .item = "", .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(environment->state.SetSetting(options.name, options.value));
  ASR_TRY(const Json json, SettingJson(*environment, options.name));
  session.Print(json, SettingView());
  return {};
}

Status RunList(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  Json list = Json::array();
  for (const std::string& name : SettingNames()) {
    ASR_TRY(Json json, SettingJson(*environment, name));
    list.push_back(std::move(json));
  }
  session.Print(list, SettingView());
  return {};
}

}  // namespace

void AddConfigCommands(std::vector<Command>& commands) {
  commands.push_back({"config get", HelpGroup::kSetUp, "Show a setting", "config get output",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto name = std::make_shared<std::string>();
                        arguments.Required("NAME", *name, "which one", OneOf(SettingNames()));
                        return [name](Session& session) { return RunGet(session, *name); };
                      }});
  commands.push_back(
      {"config set", HelpGroup::kSetUp, "Set a default for an option", "config set output json",
       [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<SetOptions>();
         arguments.Required("NAME", options->name, "which one", OneOf(SettingNames()))
             .Required("VALUE", options->value, "its value; '' unsets it", ValueKind::kSettingValue)
             .MayBeEmpty();
         return [options](Session& session) { return RunSet(session, *options); };
       }});
  commands.push_back({"config list", HelpGroup::kSetUp, "List the settings", "config list",
                      [](VerbArguments&) -> VerbRunner { return RunList; }});
}

}  // namespace asr
