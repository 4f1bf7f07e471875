#include "cli/status_report.h"

#include "cli/json_values.h"

namespace asr {
namespace {

using Kind = Column::Kind;

Column Make(const char* header, const char* pointer, Kind kind = Kind::kText) {
  return {.header = header, .pointer = pointer, .kind = kind, .elastic = false, .optional = false};
}

Json AttentionJson(const Attention& attention) {
  Json json;
  json["severity"] = ReplicationHealthName(attention.severity);
  json["item"] = attention.item.empty() ? Json() : Json(attention.item);
  json["code"] = attention.error.CodeText();
  json["message"] = attention.error.Line();
  json["action"] = attention.error.action;
  return json;
}

}  // namespace

Json VaultStatusJson(const VaultStatus& status, const std::string& vault_name, Timestamp now) {
  Json json;
  json["vault"] = vault_name;
  json["time"] = FormatTime(now);
  json["health"] = ReplicationHealthName(status.health());
  json["itemCounts"]["total"] = status.vms.size();
  json["itemCounts"]["normal"] = status.Count(ReplicationHealth::kNormal);
  json["itemCounts"]["warning"] = status.Count(ReplicationHealth::kWarning);
  json["itemCounts"]["critical"] = status.Count(ReplicationHealth::kCritical);
  json["worstRpoSeconds"] = SecondsJson(status.worst_rpo());
  json["backlogBytes"] = status.backlog_bytes() ? Json(*status.backlog_bytes()) : Json(nullptr);
  json["jobCounts"]["inProgress"] = status.running.size();
  json["jobCounts"]["failed"] = status.failed_jobs;
  json["attention"] = Json::array();
  for (const Attention& attention : status.attention) {
    json["attention"].push_back(AttentionJson(attention));
  }
  json["items"] = Json::array();
  for (const VmStatus& vm : status.vms) {
    json["items"].push_back(ItemJson(vm.item, vm.status, vault_name));
  }
  json["jobs"] = Json::array();
  for (const Job& job : status.running) json["jobs"].push_back(JobJson(job));
  return json;
}

const View& VaultStatusView() {
  static const View view = {
      .columns = {Make("Vault", "/vault"), Make("Health", "/health", Kind::kState),
                  Make("VMs", "/itemCounts/total"), Make("Normal", "/itemCounts/normal"),
                  Make("Warning", "/itemCounts/warning"), Make("Critical", "/itemCounts/critical"),
                  Make("Worst RPO", "/worstRpoSeconds", Kind::kSeconds)},
      .fields = {Make("Vault", "/vault"), Make("Health", "/health", Kind::kState),
                 Make("VMs", "/itemCounts/total"), Make("Normal", "/itemCounts/normal"),
                 Make("Warning", "/itemCounts/warning"), Make("Critical", "/itemCounts/critical"),
                 Make("Worst RPO", "/worstRpoSeconds", Kind::kSeconds),
                 Make("Backlog", "/backlogBytes", Kind::kBytes),
                 Make("Jobs running", "/jobCounts/inProgress"),
                 Make("Jobs failed, 24 h", "/jobCounts/failed")},
      .sections = {
          {.title = "Needs attention",
           .pointer = "/attention",
           .columns = {Make("Severity", "/severity", Kind::kState), Make("VM", "/item"),
                       Make("Message", "/message"), Make("What to do", "/action")},
           .stacked = true},
          {.title = "VMs",
           .pointer = "/items",
           .columns = {Make("Name", "/name"), Make("State", "/protectionState", Kind::kState),
                       Make("Health", "/replicationHealth", Kind::kState),
                       Make("RPO", "/rpoSeconds", Kind::kSeconds),
                       Make("Latest point", "/latestPoint/id")}},
          {.title = "Jobs running",
           .pointer = "/jobs",
           .columns = {Make("Job", "/id"), Make("Type", "/type"), Make("VM", "/item"),
                       Make("Started", "/startTime", Kind::kAge)}}}};
  return view;
}

}  // namespace asr
