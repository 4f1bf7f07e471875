#include "storage/http/server_problem.h"

#include <chrono>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "storage/http/retry_policy.h"

namespace asr {
namespace {

constexpr std::size_t kMostMessageBytes = 300;

std::string FirstLine(std::string text) {
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  if (text.size() > kMostMessageBytes) text.resize(kMostMessageBytes);
  return text;
}

void ReadXml(const std::string& body, ServerProblem& problem) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return;
  const pugi::xml_node error = document.child("Error");
  if (problem.code.empty()) problem.code = error.child_value("Code");
  problem.message = FirstLine(error.child_value("Message"));
}

std::string Text(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// {"error": {"code", "message"}} and {"code", "message"} of Resource Manager;
// {"error", "error_description"} of Entra ID.
void ReadJson(const std::string& body, ServerProblem& problem) {
  const auto document = nlohmann::json::parse(body, nullptr, false);
  if (!document.is_object()) return;
  const auto nested = document.find("error");
  const bool is_nested = nested != document.end() && nested->is_object();
  const nlohmann::json& error = is_nested ? *nested : document;
  std::string code = Text(error, "code");
  if (code.empty()) code = Text(document, "error");
  if (problem.code.empty()) problem.code = std::move(code);
  problem.message = FirstLine(Text(error, "message"));
  if (problem.message.empty()) problem.message = FirstLine(Text(document, "error_description"));
}

Error WithSkewCause(Error error, const HttpResponse& response, Timestamp now) {
  const auto server_time = ParseHttpDate(response.headers.Get("date"));
  if (!server_time) return error;
  // A signature holds for 15 minutes, a token may be young: less than this cannot be the reason.
  constexpr auto kToleratedSkew = std::chrono::minutes(5);
  const auto skew = now - *server_time;
  if (skew < kToleratedSkew && skew > -kToleratedSkew) return error;
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(skew).count();
  error.causes.insert(error.causes.begin(),
                      fmt::format("this machine's clock is {} minutes {} the server's",
                                  std::abs(minutes), minutes > 0 ? "ahead of" : "behind"));
  error.action = "set the clock: timedatectl set-ntp true";
  return error;
}

Error NotAuthorized(const HttpResponse& response, std::string message, Timestamp now) {
  Error error = MakeError(ErrorKind::kState, ErrorCode::kNotAuthorized, std::move(message))
                    .WithCause(response.status == 401
                                   ? "there is no credential, or it is not valid any more"
                                   : "the credential does not allow this, is wrong, or has expired")
                    .WithCause("the account's firewall does not let this network in")
                    .WithAction("check with which credential you are signed in, and its rights");
  if (ReadServerProblem(response).code == "AuthorizationPermissionMismatch") {
    error.causes.insert(error.causes.begin(),
                        "an owner of the account may not read or write its blobs by that alone");
    error.action =
        "have the role Storage Blob Data Contributor assigned to who signs in (Reader is enough to "
        "recover), or give another credential: asr credential list";
  }
  return WithSkewCause(std::move(error), response, now);
}

Error ByStatus(const HttpResponse& response, std::string message, Timestamp now) {
  const int status = response.status;
  if (status == 401 || status == 403) return NotAuthorized(response, std::move(message), now);
  if (status == 407) {
    return MakeError(ErrorKind::kIo, ErrorCode::kUnreachable, std::move(message))
        .WithCause("the proxy wants a user and a password")
        .WithAction("put them into the proxy's variable: https_proxy=http://USER:PASSWORD@HOST");
  }
  if (status == 408 || status == 429 || status == 503) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kServerBusy, std::move(message))
        .WithCause("the server has more to do than it can, for us or for others")
        .WithAction("try again later; work goes on where it was");
  }
  if (status == 409 && IsWorthRetrying(response)) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kServerBusy, std::move(message))
        .WithCause("it is being deleted or changed just now")
        .WithAction("wait half a minute, then run the same command again");
  }
  if (status == 412 && ReadServerProblem(response).code == "LeaseIdMissing") {
    return MakeError(ErrorKind::kBusy, ErrorCode::kLocked, std::move(message))
        .WithCause(
            "somebody holds a lease of that blob, by a tool or in the portal; asr takes none "
            "of such blobs")
        .WithAction("have that lease ended, then run the same command again");
  }
  if (status == 501) {
    return MakeError(ErrorKind::kUnsupported, ErrorCode::kServerError, std::move(message))
        .WithCause("this server does not have what was asked for")
        .WithAction("use a server that has it");
  }
  if (status >= 500) {
    return MakeError(ErrorKind::kIo, ErrorCode::kServerError, std::move(message))
        .WithCause("the server has a fault of its own")
        .WithAction("try again later; work goes on where it was");
  }
  if (status >= 400) {
    return MakeError(ErrorKind::kIo, ErrorCode::kRequestRefused, std::move(message));
  }
  return MakeError(ErrorKind::kIo, ErrorCode::kBadReply, std::move(message))
      .WithCause("it is not the server that was meant, or a proxy answered in its place");
}

}  // namespace

ServerProblem ReadServerProblem(const HttpResponse& response) {
  ServerProblem problem;
  problem.code = response.headers.Get("x-ms-error-code");
  problem.request_id = response.headers.Get("x-ms-request-id");
  const std::size_t first = response.body.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first == std::string::npos) return problem;
  if (response.body[first] == '<') ReadXml(response.body, problem);
  if (response.body[first] == '{') ReadJson(response.body, problem);
  return problem;
}

Error RefusalError(const HttpResponse& response, std::string_view what, Timestamp now) {
  const ServerProblem problem = ReadServerProblem(response);
  std::string message = fmt::format("{}: the server answered {}", what, response.status);
  if (!problem.code.empty()) message += " " + problem.code;
  if (!problem.message.empty()) message += fmt::format(" ({})", problem.message);
  Error error = ByStatus(response, std::move(message), now);
  error.retryable = IsWorthRetrying(response);
  const std::string_view client_id = response.headers.Get("x-ms-client-request-id");
  if (!client_id.empty()) error.context.push_back(fmt::format("request {}", client_id));
  if (!problem.request_id.empty()) {
    error.context.push_back("server's request id " + problem.request_id);
  }
  return error;
}

}  // namespace asr
