#include "cli/views.h"

namespace asr {
namespace {

using Kind = Column::Kind;

Column Elastic(const char* header, const char* pointer, Kind kind = Kind::kText) {
  Column column{header, pointer, kind};
  column.elastic = true;
  return column;
}

Column Optional(const char* header, const char* pointer, Kind kind = Kind::kText) {
  Column column{header, pointer, kind};
  column.optional = true;
  return column;
}

std::vector<Column> TaskColumns() {
  return {Elastic("Name", "/name"), Column{"State", "/state", Kind::kState},
          Column{"Done", "/bytesDone", Kind::kBytes}, Column{"Total", "/bytesTotal", Kind::kBytes},
          Elastic("Error", "/error/message")};
}

std::vector<Column> JobFields() {
  return {Column{"Job", "/id"},
          Column{"Type", "/type"},
          Column{"VM", "/item"},
          Column{"State", "/state", Kind::kState},
          Column{"Retryable", "/retryable", Kind::kYesNo},
          Column{"Started", "/startTime", Kind::kTime},
          Column{"Ended", "/endTime", Kind::kTime},
          Column{"Error", "/error/message"},
          Column{"Read", "/stats/bytesRead", Kind::kBytes},
          Column{"Sent", "/stats/bytesSent", Kind::kBytes},
          Column{"Skipped", "/stats/bytesSkipped", Kind::kBytes},
          Column{"Zero", "/stats/bytesZero", Kind::kBytes},
          Column{"Cleared", "/stats/bytesCleared", Kind::kBytes},
          Column{"Resumed", "/stats/bytesResumed", Kind::kBytes},
          Column{"Seeded", "/stats/bytesSeeded", Kind::kBytes}};
}

std::vector<Column> JobColumns() {
  return {Column{"Job", "/id"},
          Column{"Type", "/type"},
          Column{"VM", "/item"},
          Column{"State", "/state", Kind::kState},
          Optional("Started", "/startTime", Kind::kAge),
          Optional("Ended", "/endTime", Kind::kAge),
          Optional("Sent", "/stats/bytesSent", Kind::kBytes)};
}

}  // namespace

const View& VaultView() {
  static const View view = {
      .columns = {Column{"Name", "/name"}, Elastic("Target", "/target"),
                  Column{"Default", "/isDefault", Kind::kYesNo}, Optional("Id", "/id")},
      .fields = {Column{"Name", "/name"}, Column{"Target", "/target"}, Column{"Id", "/id"},
                 Column{"Default", "/isDefault", Kind::kYesNo}, Column{"Credential", "/credential"},
                 Column{"Trusts", "/caFile"}, Column{"Digest", "/digest"},
                 Column{"Created", "/createdTime", Kind::kTime},
                 Column{"Items", "/items", Kind::kNames},
                 Column{"Policies", "/policies", Kind::kNames}},
      .sections = {}};
  return view;
}

const View& HostView() {
  static const View view = {.columns = {Column{"Name", "/name"}, Column{"Kind", "/kind"},
                                        Elastic("Path", "/path"), Elastic("URI", "/uri")},
                            .fields = {Column{"Name", "/name"}, Column{"Kind", "/kind"},
                                       Column{"Path", "/path"}, Column{"URI", "/uri"}},
                            .sections = {}};
  return view;
}

const View& CredentialView() {
  static const View view = {
      .columns = {Column{"Name", "/name"}, Column{"Kind", "/kind"}, Column{"Account", "/account"},
                  Column{"Expires", "/expiresAt", Kind::kTime}, Column{"User", "/user"}},
      .fields = {Column{"Name", "/name"}, Column{"Kind", "/kind"}, Column{"Account", "/account"},
                 Column{"User", "/user"}, Column{"Expires", "/expiresAt", Kind::kTime}},
      .sections = {}};
  return view;
}

const View& SharedView() {
  static const View view = {
      .columns = {},
      .fields = {Column{"Vault", "/vault"}, Column{"URL", "/url"}, Column{"Kind", "/kind"},
                 Column{"Permissions", "/permissions"}, Column{"From", "/ipRange"},
                 Column{"Expires", "/expiresAt", Kind::kTime}, Column{"File", "/file"},
                 Column{"Signature", "/sas"}},
      .sections = {}};
  return view;
}

const View& LoginView() {
  static const View view = {.columns = {},
                            .fields = {Column{"Credential", "/name"}, Column{"Kind", "/kind"},
                                       Column{"User", "/user"}, Column{"Tenant", "/tenant"},
                                       Column{"Token until", "/tokenExpiresAt", Kind::kTime}},
                            .sections = {}};
  return view;
}

const View& DiskReportView() {
  static const View view = {
      .columns = {Elastic("Path", "/path"), Column{"Format", "/format"}, Column{"Kind", "/kind"},
                  Column{"Size", "/sizeBytes", Kind::kBytes},
                  Column{"Allocated", "/allocatedBytes", Kind::kBytes}},
      .fields = {Column{"Path", "/path"}, Column{"Format", "/format"}, Column{"Kind", "/kind"},
                 Column{"Size", "/sizeBytes", Kind::kBytes},
                 Column{"Logical sector", "/logicalSectorBytes", Kind::kBytes},
                 Column{"Physical sector", "/physicalSectorBytes", Kind::kBytes},
                 Column{"Block", "/blockBytes", Kind::kBytes},
                 Column{"Allocated", "/allocatedBytes", Kind::kBytes}, Column{"Log", "/logState"}},
      .sections = {{"Chain",
                    "/chain",
                    {Elastic("File", "/path"), Column{"Format", "/format"}, Column{"Kind", "/kind"},
                     Column{"Length", "/fileBytes", Kind::kBytes}, Elastic("Id", "/id"),
                     Elastic("Parent", "/parentIds", Kind::kNames)}},
                   {"Problems", "/problems", {Elastic("Problem", "/message")}}}};
  return view;
}

const View& LogReportView() {
  static const View view = {
      .columns = {Elastic("Path", "/path"), Column{"State", "/state"},
                  Column{"Entries", "/entries"}, Column{"Data", "/dataBytes", Kind::kBytes},
                  Column{"Id", "/id"}},
      .fields = {Column{"Path", "/path"}, Column{"State", "/state"}, Column{"Version", "/version"},
                 Column{"Creator", "/creator"}, Column{"Created", "/created", Kind::kTime},
                 Column{"Last change", "/lastModified", Kind::kTime}, Column{"Id", "/id"},
                 Column{"Previous", "/previousId"}, Column{"Data write GUID", "/dataWriteGuid"},
                 Column{"Entries", "/entries"}, Column{"Data", "/dataBytes", Kind::kBytes},
                 Column{"Checksummed", "/checksummedBytes", Kind::kBytes},
                 Column{"File", "/fileBytes", Kind::kBytes}},
      .sections = {{"Problems", "/problems", {Elastic("Problem", "/message")}}}};
  return view;
}

const View& VmView() {
  static const View view = {
      .columns = {Column{"Name", "/name"}, Column{"Host", "/host"}, Column{"State", "/state"},
                  Column{"Protectable", "/protectable", Kind::kYesNo},
                  Elastic("Disks", "/disks", Kind::kNames), Column{"Size", "/disks", Kind::kSum},
                  Elastic("Reasons", "/reasons", Kind::kNames)},
      .fields = {Column{"Name", "/name"}, Column{"Host", "/host"}, Column{"State", "/state"},
                 Column{"Protectable", "/protectable", Kind::kYesNo},
                 Column{"Reasons", "/reasons", Kind::kNames}, Column{"Generation", "/generation"},
                 Column{"CPUs", "/cpuCount"}, Column{"Memory", "/memoryBytes", Kind::kBytes},
                 Column{"Machine type", "/machineType"}},
      .sections = {{"Disks",
                    "/disks",
                    {Column{"Name", "/name"}, Column{"Format", "/format"}, Column{"Bus", "/bus"},
                     Column{"Size", "/sizeBytes", Kind::kBytes}, Elastic("Path", "/path")}},
                   {"Network cards",
                    "/networkCards",
                    {Column{"MAC address", "/mac"}, Column{"Model", "/model"},
                     Elastic("Network", "/network")}}}};
  return view;
}

const View& PolicyView() {
  static const std::vector<Column> columns = {
      Column{"Name", "/name"}, Column{"Frequency", "/frequencySeconds", Kind::kSeconds},
      Elastic("Retention", "/retention"),
      Column{"App-consistent", "/appConsistentSeconds", Kind::kSeconds}, Column{"Start", "/start"}};
  static const std::vector<Column> fields = [] {
    auto all = columns;
    all.push_back(Column{"Retries after", "/retryDelays"});
    return all;
  }();
  static const View view = {.columns = columns, .fields = fields, .sections = {}};
  return view;
}

const View& CheckView() {
  static const View view = {
      .columns = {Column{"Verdict", "/verdict", Kind::kState}, Column{"Prerequisite", "/name"},
                  Elastic("Detail", "/detail")},
      .fields = {},
      .sections = {}};
  return view;
}

const View& DoctorView() {
  static const View view = {
      .columns = {Column{"State", "/state", Kind::kState}, Column{"What", "/name"},
                  Elastic("Detail", "/detail"), Elastic("What to do", "/action")},
      .fields = {},
      .sections = {}};
  return view;
}

const View& ItemView() {
  static const View view = {
      .columns = {Column{"Name", "/name"}, Optional("Host", "/host"),
                  Column{"State", "/protectionState", Kind::kState},
                  Column{"Health", "/replicationHealth", Kind::kState},
                  Column{"RPO", "/rpoSeconds", Kind::kSeconds},
                  Column{"Latest point", "/latestPoint/id"}, Optional("Policy", "/policy"),
                  Optional("Test failover", "/testFailoverState")},
      .fields = {Column{"Name", "/name"},
                 Column{"Id", "/id"},
                 Column{"Host", "/host"},
                 Column{"Vault", "/vault"},
                 Column{"Policy", "/policy"},
                 Column{"State", "/protectionState", Kind::kState},
                 Column{"Health", "/replicationHealth", Kind::kState},
                 Column{"RPO", "/rpoSeconds", Kind::kSeconds},
                 Column{"Backlog", "/backlogBytes", Kind::kBytes},
                 Column{"Backlog, points", "/backlogPoints"},
                 Column{"Backlog, per second", "/backlogBytesPerSecond", Kind::kBytes},
                 Column{"Resync", "/resyncState"},
                 Column{"Paused since", "/pausedSince", Kind::kTime},
                 Column{"Missed cycles", "/missedCycles"},
                 Column{"Failed in a row", "/retry/attempt"},
                 Column{"Next try", "/retry/nextTry", Kind::kTime},
                 Column{"Test failover", "/testFailoverState"},
                 Column{"Cleanup", "/testFailover/cleanupAt", Kind::kTime},
                 Column{"Memory", "/targetSettings/memoryBytes", Kind::kBytes},
                 Column{"CPUs", "/targetSettings/cpuCount"},
                 Column{"Test network", "/targetSettings/network"},
                 Column{"Sign of life", "/targetSettings/signOfLife"},
                 Column{"Waits for it", "/targetSettings/signOfLifeSeconds", Kind::kSeconds},
                 Column{"Active location", "/activeLocation"},
                 Column{"Latest point", "/latestPoint/id"},
                 Column{"Allowed", "/allowedOperations", Kind::kNames}},
      .sections = {{"Health errors",
                    "/healthErrors",
                    {Column{"Code", "/code"}, Elastic("Message", "/message"),
                     Elastic("What to do", "/action")}},
                   {"Disks",
                    "/disks",
                    {Column{"Name", "/name"}, Column{"Size", "/sizeBytes", Kind::kBytes},
                     Elastic("Path", "/path")}}}};
  return view;
}

const View& PointView() {
  static const View view = {
      .columns = {Column{"Point", "/id"}, Column{"Age", "/time", Kind::kAge},
                  Column{"Consistency", "/consistency"},
                  Column{"Changed", "/changedBytes", Kind::kBytes},
                  Column{"Held", "/held", Kind::kYesNo},
                  Optional("Booted", "/proof/booted", Kind::kYesNo),
                  Optional("Verified", "/proof/verifiedAt", Kind::kAge)},
      .fields = {Column{"Point", "/id"}, Column{"VM", "/item"},
                 Column{"Time", "/time", Kind::kTime}, Column{"Consistency", "/consistency"},
                 Column{"Frozen, milliseconds", "/frozenMilliseconds"},
                 Column{"Changed", "/changedBytes", Kind::kBytes},
                 Column{"Held", "/held", Kind::kYesNo},
                 Column{"Verified", "/proof/verifiedAt", Kind::kTime},
                 Column{"Booted", "/proof/booted", Kind::kYesNo},
                 Column{"Boot time", "/proof/bootSeconds", Kind::kSeconds},
                 Column{"Sign of life", "/proof/signOfLife"},
                 Column{"Tested", "/proof/testedAt", Kind::kTime}, Column{"Notes", "/proof/notes"},
                 Column{"Screenshot", "/proof/screenshot/path"}},
      .sections = {{"Disks",
                    "/disks",
                    {Column{"Name", "/name"}, Column{"Size", "/sizeBytes", Kind::kBytes}}}}};
  return view;
}

const View& PinView() {
  static const View view = {
      .columns = {Column{"Pin", "/id"}, Column{"Point", "/point"}, Elastic("Reader", "/reader"),
                  Column{"Until", "/until", Kind::kTime}},
      .fields = {},
      .sections = {}};
  return view;
}

const View& ReplicateView() {
  static const View view = {
      .columns = {Column{"Point", "/point/id"}, Column{"Time", "/point/time", Kind::kTime},
                  Column{"New", "/point/new", Kind::kYesNo},
                  Column{"Changed", "/point/changedBytes", Kind::kBytes}, Column{"Job", "/job/id"},
                  Column{"State", "/job/state", Kind::kState}},
      .fields = {Column{"Point", "/point/id"}, Column{"Time", "/point/time", Kind::kTime},
                 Column{"New", "/point/new", Kind::kYesNo},
                 Column{"Changed", "/point/changedBytes", Kind::kBytes}, Column{"Job", "/job/id"},
                 Column{"State", "/job/state", Kind::kState}, Column{"Error", "/job/error/message"},
                 Column{"Read", "/job/stats/bytesRead", Kind::kBytes},
                 Column{"Sent", "/job/stats/bytesSent", Kind::kBytes},
                 Column{"Skipped", "/job/stats/bytesSkipped", Kind::kBytes},
                 Column{"Zero", "/job/stats/bytesZero", Kind::kBytes},
                 Column{"Cleared", "/job/stats/bytesCleared", Kind::kBytes},
                 Column{"Resumed", "/job/stats/bytesResumed", Kind::kBytes}},
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
    built.fields.push_back(Column{"Sign of life", "/guest/signOfLife"});
    built.fields.push_back(Column{"Boot time", "/guest/bootSeconds", Kind::kSeconds});
    built.fields.push_back(Column{"Serial log", "/guest/serialLog"});
    built.fields.push_back(Column{"Cleanup", "/guest/cleanupAt", Kind::kTime});
    return built;
  }();
  return view;
}

const View& PlanView() {
  static const View view = {
      .columns = {Elastic("Step", "/step"), Column{"VM", "/item"}, Column{"Disk", "/disk"},
                  Column{"Bytes", "/bytes", Kind::kBytes}},
      .fields = {},
      .sections = {}};
  return view;
}

const View& SettingView() {
  static const std::vector<Column> columns = {Column{"Name", "/name"}, Elastic("Value", "/value")};
  static const View view = {.columns = columns, .fields = columns, .sections = {}};
  return view;
}

}  // namespace asr
