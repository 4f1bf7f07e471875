#include "storage/auth/token_reply.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/http/server_problem.h"

namespace asr {
namespace {

using nlohmann::json;

Error BadToken(std::string_view why) {
  return MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                   fmt::format("a token was asked for, but {}", why))
      .WithCause("something else answers at the authority's address")
      .WithAction("check AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT and proxies");
}

// Some authorities send numbers, others the same as text.
std::optional<std::int64_t> Number(const json& document, const char* name) {
  const auto found = document.find(name);
  if (found == document.end()) return std::nullopt;
  if (found->is_number()) return found->get<std::int64_t>();
  if (!found->is_string()) return std::nullopt;
  const auto& text = found->get_ref<const std::string&>();
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "2026-11-23 07:30:00.000000" in local time: all that older versions of az say.
std::optional<Timestamp> LocalTime(const json& document, const char* name) {
  const auto found = document.find(name);
  if (found == document.end() || !found->is_string()) return std::nullopt;
  std::tm fields{};
  const auto& text = found->get_ref<const std::string&>();
  if (::strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &fields) == nullptr) return std::nullopt;
  fields.tm_isdst = -1;
  return Timestamp{std::chrono::seconds{std::mktime(&fields)}};
}

std::optional<Timestamp> TokenExpiry(const json& document, Timestamp now) {
  if (const auto seconds = Number(document, "expires_in")) {
    return now + std::chrono::seconds(*seconds);
  }
  if (const auto epoch = Number(document, "expires_on")) {
    return Timestamp{std::chrono::seconds(*epoch)};
  }
  return LocalTime(document, "expiresOn");
}

}  // namespace

Timestamp RenewalTime(Timestamp now, Timestamp expires_at) {
  const auto lifetime = expires_at - now;
  if (lifetime > std::chrono::hours(2)) return now + lifetime / 2;
  return std::max(now, expires_at - std::chrono::minutes(5));
}

Result<AccessToken> ReadToken(std::string_view body, Timestamp now) {
  const json document = json::parse(body, nullptr, false);
  if (!document.is_object()) return Fail(BadToken("the reply is no JSON"));
  auto value = document.find("access_token");
  if (value == document.end()) value = document.find("accessToken");
  if (value == document.end() || !value->is_string() ||
      value->get_ref<const std::string&>().empty()) {
    return Fail(BadToken("there is none in the reply"));
  }
  const auto expires_at = TokenExpiry(document, now);
  if (!expires_at) return Fail(BadToken("the reply does not say how long it holds"));
  AccessToken token{Secret(value->get<std::string>()), *expires_at, RenewalTime(now, *expires_at)};
  if (const auto seconds = Number(document, "refresh_in")) {
    token.renew_at = std::min(token.renew_at, now + std::chrono::seconds(*seconds));
  }
  return token;
}

Error SignInError(const HttpResponse& response, std::string_view who) {
  const ServerProblem problem = ReadServerProblem(response);
  const std::string message = fmt::format(
      "sign-in with the {} failed: {} {}", who,
      problem.code.empty() ? std::to_string(response.status) : problem.code, problem.message);
  const auto says = [&](std::string_view code) {
    return problem.message.find(code) != std::string::npos;
  };
  if (says("AADSTS7000222") || says("AADSTS700024")) {
    return MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired, message)
        .WithCause("the secret, certificate or assertion has expired, or the clock is wrong")
        .WithAction("make a new one: az ad app credential reset --id CLIENT_ID");
  }
  if (says("AADSTS7000215") || says("AADSTS700027") || problem.code == "invalid_client") {
    return MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid, message)
        .WithCause("the secret is another's, or its id was copied in place of its value")
        .WithCause("the certificate is not registered with the application")
        .WithAction("check AZURE_CLIENT_ID and its secret or certificate");
  }
  Error error = MakeError(ErrorKind::kState, ErrorCode::kSignInFailed, message)
                    .WithCause("tenant or client id are wrong, or not allowed to do this")
                    .WithAction("check AZURE_TENANT_ID and AZURE_CLIENT_ID");
  error.retryable = response.status >= 500 || response.status == 429;
  return error;
}

}  // namespace asr
