#include "tests/support/page_blob_server/control.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

using Json = nlohmann::json;

FaultAction ActionOf(const std::string& name) {
  static const std::map<std::string, FaultAction> kActions = {
      {"cut-request", FaultAction::kCutRequest},
      {"cut-answer", FaultAction::kCutAnswer},
      {"refuse", FaultAction::kRefuse},
      {"stall", FaultAction::kStall},
      {"stall-answer", FaultAction::kStallAnswer},
      {"wrong-bytes", FaultAction::kWrongBytes},
      {"expire-credential", FaultAction::kExpireCredential},
      {"lose-lease", FaultAction::kLoseLease},
      {"delay", FaultAction::kDelay}};
  return kActions.at(name);
}

FaultRule RuleOf(const Json& json) {
  FaultRule rule;
  for (const auto& [name, value] : json.items()) {
    if (name == "action") {
      rule.action = ActionOf(value.get<std::string>());
    } else if (name == "operation") {
      value.get_to(rule.operation);
    } else if (name == "blob") {
      value.get_to(rule.blob);
    } else if (name == "skip") {
      value.get_to(rule.skip);
    } else if (name == "times") {
      value.get_to(rule.times);
    } else if (name == "code") {
      value.get_to(rule.code);
    } else if (name == "status") {
      value.get_to(rule.status);
    } else if (name == "headers") {
      for (const auto& [header, text] : value.items()) {
        rule.headers.emplace_back(header, text.get<std::string>());
      }
    } else if (name == "performs") {
      value.get_to(rule.performs);
    } else if (name == "cuts") {
      value.get_to(rule.cuts);
    } else if (name == "retry_after_seconds") {
      value.get_to(rule.retry_after_seconds);
    } else if (name == "after_bytes") {
      value.get_to(rule.after_bytes);
    } else if (name == "seconds") {
      value.get_to(rule.seconds);
    } else {
      throw std::invalid_argument("a rule has no " + name);
    }
  }
  if (!json.contains("action")) throw std::invalid_argument("a rule needs an action");
  if (rule.status == 0 && !IsKnownCode(rule.code))
    throw std::invalid_argument("no such code: " + rule.code);
  return rule;
}

Json JsonOf(const RequestRecord& record) {
  return {{"operation", record.operation},
          {"container", record.container},
          {"blob", record.blob},
          {"snapshot", record.snapshot},
          {"offset_bytes", record.range.offset_bytes},
          {"length_bytes", record.range.length_bytes},
          {"status", record.status},
          {"error_code", record.error_code},
          {"request_id", record.request_id},
          {"client_request_id", record.client_request_id},
          {"received_bytes", record.received_bytes},
          {"sent_bytes", record.sent_bytes},
          {"connection", record.connection},
          {"is_faulty", record.is_faulty},
          {"is_late", record.is_late},
          {"expects_continue", record.expects_continue}};
}

std::string Read(PageBlobServer& server, const std::string& path) {
  if (path == "/-/counts") return Json(server.Counts()).dump() + "\n";
  if (path.starts_with("/-/sas/")) {
    return server.AccountSas(path.substr(7), std::chrono::hours(1)) + "\n";
  }
  if (path != "/-/log") throw std::invalid_argument("nothing to read at " + path);
  Json log = Json::array();
  for (const RequestRecord& record : server.Log()) log.push_back(JsonOf(record));
  return log.dump() + "\n";
}

void ChangeServer(PageBlobServer& server, const std::string& path, const Json& json) {
  if (path == "/-/faults") {
    server.AddFault(RuleOf(json));
  } else if (path == "/-/link") {
    server.SetLink(json.value("bytes_per_second", 0.0),
                   json.value("bytes_per_second_of_each", 0.0));
  } else if (path == "/-/clock") {
    server.AdvanceClock(std::chrono::seconds(json.at("advance_seconds").get<std::int64_t>()));
  } else if (path == "/-/tokens") {
    server.AddToken(json.at("token"), std::chrono::seconds(json.value("seconds", 3600)),
                    json.value("permissions", "racwdl"), json.value("may_delegate", true));
  } else if (path == "/-/release") {
    server.ReleaseDelayed();
  } else if (path == "/-/cut") {
    server.CutConnections();
  } else {
    throw std::invalid_argument("nothing to change at " + path);
  }
}

}  // namespace

std::string Control(PageBlobServer& server, const std::string& method, const std::string& path,
                    const std::string& body) {
  if (method == "GET") return Read(server, path);
  if (method == "POST") {
    ChangeServer(server, path, body.empty() ? Json::object() : Json::parse(body));
  } else if (method == "DELETE" && path == "/-/faults") {
    server.ClearFaults();
  } else if (method == "DELETE" && path == "/-/log") {
    server.ClearLog();
  } else {
    throw std::invalid_argument(method + " means nothing at " + path);
  }
  return "{}\n";
}

}  // namespace asr::testing::page_blob
