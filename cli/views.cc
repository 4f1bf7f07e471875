#include "cli/views.h"

namespace asr {
namespace {

using Kind = Column::Kind;

Column Make(const char* header, const char* pointer, Kind kind = Kind::kText) {
  return {.header = header, .pointer = pointer, .kind = kind, .elastic = false, .optional = false};
}

Column Elastic(const char* header, const char* pointer, Kind kind = Kind::kText) {
  Column column = Make(header, pointer, kind);
  column.elastic = true;
  return column;
}

Column Optional(const char* header, const char* pointer, Kind kind = Kind::kText) {
  Column column = Make(header, pointer, kind);
  column.optional = true;
  return column;
}

std::vector<Column> TaskColumns() {
  return {Elastic("Name", "/name"), Make("State", "/state", Kind::kState),
          Make("Done", "/bytesDone", Kind::kBytes), Make("Total", "/bytesTotal", Kind::kBytes),
          Elastic("Error", "/error/message")};
}

std::vector<Column> JobFields() {
  return {Make("Job", "/id"),
          Make("Type", "/type"),
          Make("VM", "/item"),
          Make("State", "/state", Kind::kState),
          Make("Retryable", "/retryable", Kind::kYesNo),
          Make("Started", "/startTime", Kind::kTime),
          Make("Ended", "/endTime", Kind::kTime),
          Make("Error", "/error/message"),
          Make("Read", "/stats/bytesRead", Kind::kBytes),
          Make("Sent", "/stats/bytesSent", Kind::kBytes),
          Make("Skipped", "/stats/bytesSkipped", Kind::kBytes),
          Make("Zero", "/stats/bytesZero", Kind::kBytes),
          Make("Cleared", "/stats/bytesCleared", Kind::kBytes),
          Make("Resumed", "/stats/bytesResumed", Kind::kBytes),
          Make("Seeded", "/stats/bytesSeeded", Kind::kBytes)};
}

std::vector<Column> JobColumns() {
  return {Make("Job", "/id"),
          Make("Type", "/type"),
          Make("VM", "/item"),
          Make("State", "/state", Kind::kState),
          Optional("Started", "/startTime", Kind::kAge),
          Optional("Ended", "/endTime", Kind::kAge),
          Optional("Sent", "/stats/bytesSent", Kind::kBytes)};
}

}  // namespace

const View& VaultView() {
  static const View view = {
      .columns = {Make("Name", "/name"), Elastic("Target", "/target"),
                  Make("Default", "/isDefault", Kind::kYesNo), Optional("Id", "/id")},
      .fields = {Make("Name", "/name"), Make("Target", "/target"), Make("Id", "/id"),
                 Make("Default", "/isDefault", Kind::kYesNo), Make("Credential", "/credential"),
                 Make("Trusts", "/caFile"), Make("Digest", "/digest"),
                 Make("Created", "/createdTime", Kind::kTime),
                 Make("Items", "/items", Kind::kNames),
                 Make("Policies", "/policies", Kind::kNames)},
      .sections = {}};
  return view;
}

const View& HostView() {
  static const View view = {.columns = {Make("Name", "/name"), Make("Kind", "/kind"),
                                        Elastic("Path", "/path"), Elastic("URI", "/uri")},
                            .fields = {Make("Name", "/name"), Make("Kind", "/kind"),
                                       Make("Path", "/path"), Make("URI", "/uri")},
                            .sections = {}};
  return view;
}

const View& CredentialView() {
  static const View view = {
      .columns = {Make("Name", "/name"), Make("Kind", "/kind"), Make("Account", "/account"),
                  Make("Expires", "/expiresAt", Kind::kTime), Make("User", "/user")},
      .fields = {Make("Name", "/name"), Make("Kind", "/kind"), Make("Account", "/account"),
                 Make("User", "/user"), Make("Expires", "/expiresAt", Kind::kTime)},
      .sections = {}};
  return view;
}

const View& SharedView() {
  static const View view = {
      .columns = {},
      .fields = {Make("Vault", "/vault"), Make("URL", "/url"), Make("Kind", "/kind"),
                 Make("Permissions", "/permissions"), Make("From", "/ipRange"),
                 Make("Expires", "/expiresAt", Kind::kTime), Make("File", "/file"),
                 Make("Signature", "/sas")},
      .sections = {}};
  return view;
}

const View& LoginView() {
  static const View view = {
      .columns = {},
      .fields = {Make("Credential", "/name"), Make("Kind", "/kind"), Make("User", "/user"),
                 Make("Tenant", "/tenant"), Make("Token until", "/tokenExpiresAt", Kind::kTime)},
      .sections = {}};
  return view;
}

const View& DiskReportView() {
  static const View view = {
      .columns = {Elastic("Path", "/path"), Make("Format", "/format"), Make("Kind", "/kind"),
                  Make("Size", "/sizeBytes", Kind::kBytes),
                  Make("Allocated", "/allocatedBytes", Kind::kBytes)},
      .fields = {Make("Path", "/path"), Make("Format", "/format"), Make("Kind", "/kind"),
                 Make("Size", "/sizeBytes", Kind::kBytes),
                 Make("Logical sector", "/logicalSectorBytes", Kind::kBytes),
                 Make("Physical sector", "/physicalSectorBytes", Kind::kBytes),
                 Make("Block", "/blockBytes", Kind::kBytes),
                 Make("Allocated", "/allocatedBytes", Kind::kBytes), Make("Log", "/logState")},
      .sections = {{"Chain",
                    "/chain",
                    {Elastic("File", "/path"), Make("Format", "/format"), Make("Kind", "/kind"),
                     Make("Length", "/fileBytes", Kind::kBytes), Elastic("Id", "/id"),
                     Elastic("Parent", "/parentIds", Kind::kNames)}},
                   {"Problems", "/problems", {Elastic("Problem", "/message")}}}};
  return view;
}

const View& LogReportView() {
  static const View view = {
      .columns = {Elastic("Path", "/path"), Make("State", "/state"), Make("Entries", "/entries"),
                  Make("Data", "/dataBytes", Kind::kBytes), Make("Id", "/id")},
      .fields = {Make("Path", "/path"), Make("State", "/state"), Make("Version", "/version"),
                 Make("Creator", "/creator"), Make("Created", "/created", Kind::kTime),
                 Make("Last change", "/lastModified", Kind::kTime), Make("Id", "/id"),
                 Make("Previous", "/previousId"), Make("Data write GUID", "/dataWriteGuid"),
                 Make("Entries", "/entries"), Make("Data", "/dataBytes", Kind::kBytes),
                 Make("Checksummed", "/checksummedBytes", Kind::kBytes),
                 Make("File", "/fileBytes", Kind::kBytes)},
      .sections = {{"Problems", "/problems", {Elastic("Problem", "/message")}}}};
  return view;
}

const View& VmView() {
  static const View view = {
      .columns = {Make("Name", "/name"), Make("Host", "/host"), Make("State", "/state"),
                  Make("Protectable", "/protectable", Kind::kYesNo),
                  Elastic("Disks", "/disks", Kind::kNames), Make("Size", "/disks", Kind::kSum),
                  Elastic("Reasons", "/reasons", Kind::kNames)},
      .fields = {Make("Name", "/name"), Make("Host", "/host"), Make("State", "/state"),
                 Make("Protectable", "/protectable", Kind::kYesNo),
                 Make("Reasons", "/reasons", Kind::kNames)},
      .sections = {{"Disks",
                    "/disks",
                    {Make("Name", "/name"), Make("Format", "/format"),
                     Make("Size", "/sizeBytes", Kind::kBytes), Elastic("Path", "/path")}}}};
  return view;
}

const View& PolicyView() {
  static const std::vector<Column> columns = {
      Make("Name", "/name"), Make("Frequency", "/frequencySeconds", Kind::kSeconds),
      Elastic("Retention", "/retention"),
      Make("App-consistent", "/appConsistentSeconds", Kind::kSeconds), Make("Start", "/start")};
  static const std::vector<Column> fields = [] {
    auto all = columns;
    all.push_back(Make("Retries after", "/retryDelays"));
    return all;
  }();
  static const View view = {.columns = columns, .fields = fields, .sections = {}};
  return view;
}

const View& CheckView() {
  static const View view = {
      .columns = {Make("Verdict", "/verdict", Kind::kState), Make("Prerequisite", "/name"),
                  Elastic("Detail", "/detail")},
      .fields = {},
      .sections = {}};
  return view;
}

const View& DoctorView() {
  static const View view = {
      .columns = {Make("State", "/state", Kind::kState), Make("What", "/name"),
                  Elastic("Detail", "/detail"), Elastic("What to do", "/action")},
      .fields = {},
      .sections = {}};
  return view;
}

const View& ItemView() {
  static const View view = {
      .columns = {Make("Name", "/name"), Optional("Host", "/host"),
                  Make("State", "/protectionState", Kind::kState),
                  Make("Health", "/replicationHealth", Kind::kState),
                  Make("RPO", "/rpoSeconds", Kind::kSeconds),
                  Make("Latest point", "/latestPoint/id"), Optional("Policy", "/policy"),
                  Optional("Test failover", "/testFailoverState")},
      .fields = {Make("Name", "/name"),
                 Make("Id", "/id"),
                 Make("Host", "/host"),
                 Make("Vault", "/vault"),
                 Make("Policy", "/policy"),
                 Make("State", "/protectionState", Kind::kState),
                 Make("Health", "/replicationHealth", Kind::kState),
                 Make("RPO", "/rpoSeconds", Kind::kSeconds),
                 Make("Backlog", "/backlogBytes", Kind::kBytes),
                 Make("Backlog, points", "/backlogPoints"),
                 Make("Backlog, per second", "/backlogBytesPerSecond", Kind::kBytes),
                 Make("Resync", "/resyncState"),
                 Make("Paused since", "/pausedSince", Kind::kTime),
                 Make("Missed cycles", "/missedCycles"),
                 Make("Failed in a row", "/retry/attempt"),
                 Make("Next try", "/retry/nextTry", Kind::kTime),
                 Make("Test failover", "/testFailoverState"),
                 Make("Cleanup", "/testFailover/cleanupAt", Kind::kTime),
                 Make("Memory", "/targetSettings/memoryBytes", Kind::kBytes),
                 Make("CPUs", "/targetSettings/cpuCount"),
                 Make("Test network", "/targetSettings/network"),
                 Make("Sign of life", "/targetSettings/signOfLife"),
                 Make("Waits for it", "/targetSettings/signOfLifeSeconds", Kind::kSeconds),
                 Make("Active location", "/activeLocation"),
                 Make("Latest point", "/latestPoint/id"),
                 Make("Allowed", "/allowedOperations", Kind::kNames)},
      .sections = {{"Health errors",
                    "/healthErrors",
                    {Make("Code", "/code"), Elastic("Message", "/message"),
                     Elastic("What to do", "/action")}},
                   {"Disks",
                    "/disks",
                    {Make("Name", "/name"), Make("Size", "/sizeBytes", Kind::kBytes),
                     Elastic("Path", "/path")}}}};
  return view;
}

const View& PointView() {
  static const View view = {
      .columns = {Make("Point", "/id"), Make("Age", "/time", Kind::kAge),
                  Make("Consistency", "/consistency"),
                  Make("Changed", "/changedBytes", Kind::kBytes),
                  Make("Held", "/held", Kind::kYesNo),
                  Optional("Booted", "/proof/booted", Kind::kYesNo),
                  Optional("Verified", "/proof/verifiedAt", Kind::kAge)},
      .fields = {Make("Point", "/id"), Make("VM", "/item"), Make("Time", "/time", Kind::kTime),
                 Make("Consistency", "/consistency"),
                 Make("Frozen, milliseconds", "/frozenMilliseconds"),
                 Make("Changed", "/changedBytes", Kind::kBytes),
                 Make("Held", "/held", Kind::kYesNo),
                 Make("Verified", "/proof/verifiedAt", Kind::kTime),
                 Make("Booted", "/proof/booted", Kind::kYesNo),
                 Make("Boot time", "/proof/bootSeconds", Kind::kSeconds),
                 Make("Sign of life", "/proof/signOfLife"),
                 Make("Tested", "/proof/testedAt", Kind::kTime), Make("Notes", "/proof/notes"),
                 Make("Screenshot", "/proof/screenshot/path")},
      .sections = {
          {"Disks", "/disks", {Make("Name", "/name"), Make("Size", "/sizeBytes", Kind::kBytes)}}}};
  return view;
}

const View& PinView() {
  static const View view = {
      .columns = {Make("Pin", "/id"), Make("Point", "/point"), Elastic("Reader", "/reader"),
                  Make("Until", "/until", Kind::kTime)},
      .fields = {},
      .sections = {}};
  return view;
}

const View& ReplicateView() {
  static const View view = {
      .columns = {Make("Point", "/point/id"), Make("Time", "/point/time", Kind::kTime),
                  Make("New", "/point/new", Kind::kYesNo),
                  Make("Changed", "/point/changedBytes", Kind::kBytes), Make("Job", "/job/id"),
                  Make("State", "/job/state", Kind::kState)},
      .fields = {Make("Point", "/point/id"), Make("Time", "/point/time", Kind::kTime),
                 Make("New", "/point/new", Kind::kYesNo),
                 Make("Changed", "/point/changedBytes", Kind::kBytes), Make("Job", "/job/id"),
                 Make("State", "/job/state", Kind::kState), Make("Error", "/job/error/message"),
                 Make("Read", "/job/stats/bytesRead", Kind::kBytes),
                 Make("Sent", "/job/stats/bytesSent", Kind::kBytes),
                 Make("Skipped", "/job/stats/bytesSkipped", Kind::kBytes),
                 Make("Zero", "/job/stats/bytesZero", Kind::kBytes),
                 Make("Cleared", "/job/stats/bytesCleared", Kind::kBytes),
                 Make("Resumed", "/job/stats/bytesResumed", Kind::kBytes)},
      .sections = {}};
  return view;
}

const View& JobView() {
  static const View view = {.columns = JobColumns(),
                            .fields = JobFields(),
                            .sections = {{"Tasks", "/tasks", TaskColumns()}}};
  return view;
}

const View& TestFailoverView() {
  static const View view = [] {
    View built = JobView();
    built.fields.push_back(Make("Sign of life", "/guest/signOfLife"));
    built.fields.push_back(Make("Boot time", "/guest/bootSeconds", Kind::kSeconds));
    built.fields.push_back(Make("Serial log", "/guest/serialLog"));
    built.fields.push_back(Make("Cleanup", "/guest/cleanupAt", Kind::kTime));
    return built;
  }();
  return view;
}

const View& PlanView() {
  static const View view = {
      .columns = {Elastic("Step", "/step"), Make("VM", "/item"), Make("Disk", "/disk"),
                  Make("Bytes", "/bytes", Kind::kBytes)},
      .fields = {},
      .sections = {}};
  return view;
}

const View& SettingView() {
  static const std::vector<Column> columns = {Make("Name", "/name"), Elastic("Value", "/value")};
  static const View view = {.columns = columns, .fields = columns, .sections = {}};
  return view;
}

}  // namespace asr
