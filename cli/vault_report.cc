#include "cli/vault_report.h"

namespace asr {
namespace {

using Kind = Column::Kind;

Column Make(const char* header, const char* pointer, Kind kind = Kind::kText) {
  return {.header = header, .pointer = pointer, .kind = kind, .elastic = false, .optional = false};
}

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
      .columns = {Make("Vault", "/vault"), Make("Healthy", "/healthy", Kind::kYesNo)},
      .fields = {Make("Vault", "/vault"), Make("Healthy", "/healthy", Kind::kYesNo),
                 Make("Items", "/checked/items"), Make("Points", "/checked/points"),
                 Make("Documents", "/checked/documents"), Make("Blobs", "/checked/blobs")},
      .sections = {{.title = "Findings",
                    .pointer = "/findings",
                    .columns = {Make("Severity", "/severity", Kind::kState), Make("VM", "/item"),
                                Make("Blob", "/blob"), Make("Message", "/message"),
                                Make("What to do", "/action")},
                    .stacked = true}}};
  return view;
}

}  // namespace asr
