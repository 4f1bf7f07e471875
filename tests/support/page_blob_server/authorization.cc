#include "tests/support/page_blob_server/authorization.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

constexpr auto kLargestSkew = std::chrono::minutes(15);

// 0: does not count at the first level.
int Weight(char c) {
  constexpr std::string_view kOrder = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz";
  const std::size_t at = kOrder.find(c);
  return at == std::string_view::npos ? 0 : static_cast<int>(at) + 1;
}

std::vector<int> Weights(std::string_view name) {
  std::vector<int> weights;
  for (const char c : name) {
    if (const int weight = Weight(c); weight != 0) weights.push_back(weight);
  }
  return weights;
}

std::string Challenge(const Credentials& credentials) {
  return fmt::format(
      "Bearer authorization_uri=https://login.microsoftonline.com/{}/oauth2/authorize "
      "resource_id=https://storage.azure.com",
      credentials.tenant);
}

[[noreturn]] void RefuseUnauthenticated(const Credentials& credentials, std::string_view code,
                                        const std::string& detail) {
  ServiceError error{std::string(code), {}, {{"WWW-Authenticate", Challenge(credentials)}}};
  if (!detail.empty()) error.details.emplace_back("AuthenticationErrorDetail", detail);
  throw error;
}

void CheckDate(const ServerRequest& request, ServiceTime now) {
  const std::string text = request.HeaderOr("x-ms-date", request.HeaderOr("date", ""));
  if (text.empty()) RefuseAuthentication("Request date header not specified");
  const auto date = ParseHttpDate(text);
  if (!date) RefuseAuthentication("Request date header is not a date: '" + text + "'");
  if (*date + kLargestSkew < now) RefuseAuthentication("Request date header too old: " + text);
  if (*date - kLargestSkew > now) {
    RefuseAuthentication("Request date header too far in the future: " + text);
  }
}

Caller AuthorizeSharedKey(const Credentials& credentials, const ServerRequest& request,
                          std::string_view parameter, ServiceTime now) {
  if (request.Header("x-ms-version") == nullptr) {
    RefuseHeader("MissingRequiredHeader", "x-ms-version");
  }
  const std::size_t colon = parameter.find(':');
  if (colon == std::string_view::npos) {
    throw ServiceError{"InvalidAuthenticationInfo", {}, {}, 400};
  }
  if (parameter.substr(0, colon) != credentials.account) {
    RefuseAuthentication("The account of the Authorization header is not that of the URL");
  }
  CheckDate(request, now);
  const std::string text = SharedKeyStringToSign(request, credentials.account);
  for (const std::string& key : credentials.keys) {
    if (HmacSha256(DecodeBase64(key).value_or(""), text) != parameter.substr(colon + 1)) continue;
    if (credentials.refused.contains(key)) break;
    return {key, "*", false, false};
  }
  RefuseAuthentication(
      fmt::format("The MAC signature found in the HTTP request '{}' is not the same as any "
                  "computed signature. Server used following string to sign: '{}'.",
                  parameter.substr(colon + 1), text));
}

Caller AuthorizeBearer(const Credentials& credentials, const ServerRequest& request,
                       std::string_view parameter, ServiceTime now) {
  if (!request.is_tls) {
    RefuseAuthentication("Authentication scheme Bearer is allowed with HTTPS only.");
  }
  const std::string* const version = request.Header("x-ms-version");
  if (version == nullptr) RefuseHeader("MissingRequiredHeader", "x-ms-version");
  if (*version < "2017-11-09") {
    RefuseAuthentication("Authentication scheme Bearer is not supported in this version.");
  }
  const auto token = std::ranges::find(credentials.tokens, parameter, &BearerToken::token);
  if (token == credentials.tokens.end()) {
    RefuseUnauthenticated(credentials, "InvalidAuthenticationInfo", "Issuer validation failed.");
  }
  if (token->expires <= now || credentials.refused.contains(token->token)) {
    RefuseUnauthenticated(credentials, "InvalidAuthenticationInfo",
                          "Lifetime validation failed. The token is expired.");
  }
  return {token->token, token->permissions, true, token->may_delegate};
}

void CheckVersion(const ServerRequest& request) {
  const std::string* const version = request.Header("x-ms-version");
  if (version == nullptr) return;
  const auto date = version->size() == 10 ? ParseIsoTime(*version) : std::nullopt;
  // The service knows each of its versions; here any date from the oldest to the newest will do.
  if (!date || *version < "2019-12-12" || *version > "2026-12-31") {
    RefuseHeader("InvalidHeaderValue", "x-ms-version", *version);
  }
}

}  // namespace

bool Caller::May(std::string_view any_of) const {
  return permissions == "*" || any_of.empty() ||
         permissions.find_first_of(any_of) != std::string::npos;
}

bool HeaderNameLess(std::string_view a, std::string_view b) {
  const std::vector<int> weights_of_a = Weights(a);
  const std::vector<int> weights_of_b = Weights(b);
  if (weights_of_a != weights_of_b) return weights_of_a < weights_of_b;
  // The same but for hyphens: whose hyphen comes first is the later one.
  const auto [at_a, at_b] = std::ranges::mismatch(a, b);
  return at_b != b.end() && *at_b == '-';
}

std::string SharedKeyStringToSign(const ServerRequest& request, const std::string& account) {
  std::string text = request.method + "\n";
  const bool has_own_date = request.Header("x-ms-date") != nullptr;
  for (const char* name :
       {"content-encoding", "content-language", "content-length", "content-md5", "content-type",
        "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"}) {
    std::string value = request.HeaderOr(name, "");
    if (std::string_view(name) == "content-length" && value == "0") value.clear();
    if (std::string_view(name) == "date" && has_own_date) value.clear();
    text += value + "\n";
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : request.values) {
    if (name.starts_with("x-ms-")) names.push_back(name);
  }
  std::ranges::sort(names, HeaderNameLess);
  for (const std::string& name : names) text += name + ":" + *request.Header(name) + "\n";
  text += "/" + account + request.path;
  for (const auto& [name, value] : request.query) text += "\n" + name + ":" + value;
  return text;
}

Caller Authorize(const Credentials& credentials, const ServerRequest& request, const Target& target,
                 ServiceTime now) {
  CheckVersion(request);
  if (target.account != credentials.account) Refuse("ResourceNotFound");
  const std::string* const header = request.Header("authorization");
  const bool has_sas = request.Query("sig") != nullptr;
  if (header == nullptr && !has_sas) {
    RefuseUnauthenticated(credentials, "NoAuthenticationInformation", "");
  }
  if (header != nullptr && has_sas) {
    RefuseAuthentication("A request is signed by its header or by its URL, not by both");
  }
  Caller caller;
  if (has_sas) {
    caller = AuthorizeSas(credentials, request, target, now);
  } else if (header->starts_with("SharedKey ")) {
    caller = AuthorizeSharedKey(credentials, request, header->substr(10), now);
  } else if (header->starts_with("Bearer ")) {
    caller = AuthorizeBearer(credentials, request, header->substr(7), now);
  } else {
    throw ServiceError{"InvalidAuthenticationInfo", {}, {}, 400};
  }
  if (target.operation == Operation::kGetUserDelegationKey) {
    if (!caller.is_bearer) RefuseAuthentication("Only authentication scheme Bearer is supported");
    if (!caller.may_delegate) Refuse("AuthorizationPermissionMismatch");
  }
  if (!caller.May(TraitsOf(target.operation).permissions)) {
    Refuse("AuthorizationPermissionMismatch");
  }
  return caller;
}

std::string UserDelegationKey(const Credentials& credentials, const std::string& start,
                              const std::string& expiry, const std::string& version) {
  return HmacSha256(credentials.delegation_secret,
                    fmt::format("{}|{}|{}|{}|b|{}", credentials.object_id, credentials.tenant,
                                start, expiry, version));
}

}  // namespace asr::testing::page_blob
