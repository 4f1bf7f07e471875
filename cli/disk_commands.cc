#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/views.h"
#include "core/source/disk_report.h"

namespace asr {
namespace {

struct ShowOptions {
  std::string file;
  std::optional<std::string> format;
};

Status RunShow(Session& session, const ShowOptions& options) {
  ASR_TRY(const DiskReport report,
          ReportDisk(PosixFileSystem(), options.file, options.format.value_or("")));
  session.Print(DiskReportJson(report), DiskReportView());
  return {};
}

}  // namespace

void AddDiskCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"disk show", HelpGroup::kLook, "Look into a disk image and the images that it builds on",
       "disk show /srv/vms/web/root.vhdx", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ShowOptions>();
         arguments
             .Required("FILE", options->file, "the image; of a chain, its newest", ValueKind::kFile)
             .Option("--format", "FORMAT", options->format,
                     "raw, vhd, vhdx or qcow2, where the name's ending does not say it",
                     OneOf({"raw", "vhd", "vhdx", "qcow2"}));
         return [options](Session& session) { return RunShow(session, *options); };
       }});
}

}  // namespace asr
