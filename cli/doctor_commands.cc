#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/views.h"
#include "core/jobs/doctor.h"

namespace asr {
namespace {

const char* StateName(Diagnosis::State state) {
  switch (state) {
    case Diagnosis::State::kFine:
      return "ok";
    case Diagnosis::State::kWarning:
      return "warning";
    case Diagnosis::State::kBroken:
      break;
  }
  return "broken";
}

Status RunDoctor(Session& session) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  Json list = Json::array();
  Error error = MakeError(ErrorKind::kIo, ErrorCode::kNeedsAttention, "");
  for (const Diagnosis& diagnosis : Diagnose(*environment)) {
    Json json;
    json["name"] = diagnosis.name;
    json["state"] = StateName(diagnosis.state);
    json["detail"] = diagnosis.detail;
    json["action"] = TextJson(diagnosis.action);
    list.push_back(std::move(json));
    if (diagnosis.state != Diagnosis::State::kBroken) continue;
    error.causes.push_back(fmt::format("{}: {}", diagnosis.name, diagnosis.detail));
  }
  session.Print(list, DoctorView());
  if (error.causes.empty()) return {};
  error.message = fmt::format("{} thing(s) do not work", error.causes.size());
  return Fail(std::move(error).WithAction("asr doctor says what to do about each"));
}

}  // namespace

void AddDoctorCommands(std::vector<Command>& commands) {
  commands.push_back({"doctor", HelpGroup::kLook,
                      "Look at this machine, its hosts and vaults, and say what to mend", "doctor",
                      [](VerbArguments&) -> VerbRunner { return RunDoctor; }});
}

}  // namespace asr
