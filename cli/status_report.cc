#include "cli/status_report.h"

#include "cli/json_values.h"

namespace asr {
namespace {

using Kind = Column::Kind;

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
      .columns = {Column{"Vault", "/vault"}, Column{"Health", "/health", Kind::kState},
                  Column{"VMs", "/itemCounts/total"}, Column{"Normal", "/itemCounts/normal"},
                  Column{"Warning", "/itemCounts/warning"},
                  Column{"Critical", "/itemCounts/critical"},
                  Column{"Worst RPO", "/worstRpoSeconds", Kind::kSeconds}},
      .fields = {Column{"Vault", "/vault"}, Column{"Health", "/health", Kind::kState},
                 Column{"VMs", "/itemCounts/total"}, Column{"Normal", "/itemCounts/normal"},
                 Column{"Warning", "/itemCounts/warning"},
                 Column{"Critical", "/itemCounts/critical"},
                 Column{"Worst RPO", "/worstRpoSeconds", Kind::kSeconds},
                 Column{"Backlog", "/backlogBytes", Kind::kBytes},
                 Column{"Jobs running", "/jobCounts/inProgress"},
                 Column{"Jobs failed, 24 h", "/jobCounts/failed"}},
      .sections = {
          {.title = "Needs attention",
           .pointer = "/attention",
           .columns = {Column{"Severity", "/severity", Kind::kState}, Column{"VM", "/item"},
                       Column{"Message", "/message"}, Column{"What to do", "/action"}},
           .stacked = true},
          {.title = "VMs",
           .pointer = "/items",
           .columns = {Column{"Name", "/name"}, Column{"State", "/protectionState", Kind::kState},
                       Column{"Health", "/replicationHealth", Kind::kState},
                       Column{"RPO", "/rpoSeconds", Kind::kSeconds},
                       Column{"Latest point", "/latestPoint/id"}}},
          {.title = "Jobs running",
           .pointer = "/jobs",
           .columns = {Column{"Job", "/id"}, Column{"Type", "/type"}, Column{"VM", "/item"},
                       Column{"Started", "/startTime", Kind::kAge}}}}};
  return view;
}

}  // namespace asr
