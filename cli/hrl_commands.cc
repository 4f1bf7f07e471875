#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/views.h"
#include "core/changes/log_report.h"

namespace asr {
namespace {

using ReadReport = Result<LogReport> (*)(FileSystem&, const std::string&, const std::stop_token&);

void AddVerb(std::vector<Command>& commands, const std::string& verb, const std::string& summary,
             ReadReport read) {
  commands.push_back(
      {"hrl " + verb, HelpGroup::kLook, summary, "hrl " + verb + " /srv/vms/web/root.vhdx.hrl",
       [read](VerbArguments& arguments) -> VerbRunner {
         const auto file = std::make_shared<std::string>();
         arguments.Required("FILE", *file, "the change log, of asr or of Hyper-V",
                            ValueKind::kFile);
         return [read, file](Session& session) -> Status {
           ASR_TRY(const LogReport report, read(PosixFileSystem(), *file, session.stop()));
           session.Print(LogReportJson(report, *file), LogReportView());
           return {};
         };
       }});
}

}  // namespace

void AddHrlCommands(std::vector<Command>& commands) {
  AddVerb(commands, "show", "Look into a change log", ReportLog);
  AddVerb(commands, "verify", "Read a change log whole and check all of it", VerifyLog);
}

}  // namespace asr
