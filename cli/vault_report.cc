#include "cli/vault_report.h"

namespace asr {
namespace {

using Kind = Column::Kind;

}  // namespace

Json VaultReportJson(const VaultReport& report, const std::string& vault_name) {
  Json json;
  json["vault"] = vault_name;
  json["healthy"] = report.is_healthy();
  json["findings"] = Json::array();
  for (const Finding& finding : report.findings) {
    Json entry;
    entry["severity"] = SeverityName(finding.severity);
    entry["item"] = finding.item.empty() ? Json() : Json(finding.item);
    entry["blob"] = finding.blob.empty() ? Json() : Json(finding.blob);
    entry["message"] = finding.message;
    entry["action"] = finding.action;
    json["findings"].push_back(std::move(entry));
  }
  json["checked"]["documents"] = report.document_count;
  json["checked"]["items"] = report.item_count;
  json["checked"]["points"] = report.point_count;
  json["checked"]["blobs"] = report.blob_count;
  return json;
}

const View& VaultReportView() {
  static const View view = {
      .columns = {Column{"Vault", "/vault"}, Column{"Healthy", "/healthy", Kind::kYesNo}},
      .fields = {Column{"Vault", "/vault"}, Column{"Healthy", "/healthy", Kind::kYesNo},
                 Column{"Items", "/checked/items"}, Column{"Points", "/checked/points"},
                 Column{"Documents", "/checked/documents"}, Column{"Blobs", "/checked/blobs"}},
      .sections = {{.title = "Findings",
                    .pointer = "/findings",
                    .columns = {Column{"Severity", "/severity", Kind::kState},
                                Column{"VM", "/item"}, Column{"Blob", "/blob"},
                                Column{"Message", "/message"}, Column{"What to do", "/action"}},
                    .stacked = true}}};
  return view;
}

}  // namespace asr
