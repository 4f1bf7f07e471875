#include "storage/auth/device_code.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/auth/authority_form.h"
#include "storage/auth/token_reply.h"
#include "storage/base/stop.h"
#include "storage/http/server_problem.h"
#include "storage/http/wait.h"

namespace asr {
namespace {

using nlohmann::json;

constexpr const char* kGrant = "urn:ietf:params:oauth:grant-type:device_code";
constexpr double kLongestIntervalSeconds = 60;

// With a refresh token, and with an id token that says who signed in.
std::string WithIdentity(std::string_view scope) {
  return fmt::format("{} offline_access openid profile", scope);
}

std::string Endpoint(const EntraApplication& application, const std::string& tenant,
                     std::string_view name) {
  return fmt::format("{}/{}/oauth2/v2.0/{}", application.authority, tenant, name);
}

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double NumberOr(const json& object, const char* name, double otherwise) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}

Error CodeRanOut() {
  return MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired,
                   "nobody signed in with the code before it ran out")
      .WithAction("ask for another: asr login");
}

Error Declined() {
  return MakeError(ErrorKind::kState, ErrorCode::kSignInFailed,
                   "the sign-in was declined in the browser")
      .WithAction("if that was not meant: asr login");
}

Error CodeRefused(const HttpResponse& reply) {
  Error error = SignInError(reply, "device code");
  error.causes = {"tenant or client id are wrong",
                  "the tenant allows no sign-in by code, or the client is no public one"};
  error.action =
      "check --tenant and --client-id, or sign in otherwise: asr login "
      "--service-principal, asr login --identity";
  return error;
}

Result<UserSignIn> ReadSignIn(const HttpResponse& reply, Timestamp now) {
  ASR_TRY(AccessToken token, ReadToken(reply.body, now));
  json document = json::parse(reply.body, nullptr, false);
  UserSignIn signed_in{.token = std::move(token), .refresh_token = {}, .claims = {}};
  signed_in.refresh_token = Secret(Text(document, "refresh_token"));
  signed_in.claims = ReadTokenClaims(Text(document, "id_token"));
  if (signed_in.claims.user.empty()) {
    signed_in.claims = ReadTokenClaims(signed_in.token.value.Reveal());
  }
  for (const char* const name : {"access_token", "refresh_token", "id_token"}) {
    if (document.contains(name) && document[name].is_string()) {
      Secret(std::move(document[name].get_ref<std::string&>()));
    }
  }
  return signed_in;
}

class RefreshTokenSource : public TokenSource {
 public:
  RefreshTokenSource(EntraApplication application, std::string name, std::string sign_in_again,
                     std::unique_ptr<RefreshTokenKeeper> keeper, HttpClient& client,
                     const Clock& clock)
      : application_(std::move(application)),
        name_(std::move(name)),
        sign_in_again_(std::move(sign_in_again)),
        keeper_(std::move(keeper)),
        client_(client),
        clock_(clock) {}

  std::string name() const override { return name_; }

  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    ASR_TRY(Secret kept, keeper_->Read());
    while (true) {
      ASR_TRY(HttpResponse reply, Ask(asked, kept, stop));
      const Secret text(reply.body);
      if (reply.IsSuccess()) return Take(reply, kept);
      if (!WantsThePerson(reply)) return Fail(SignInError(reply, name_));
      // Another process may have had it replaced meanwhile, and the old one withdrawn by that.
      ASR_TRY(Secret now_kept, keeper_->Read());
      if (now_kept.Reveal() == kept.Reveal()) return Fail(SignInAgain(reply));
      kept = std::move(now_kept);
    }
  }

 private:
  Result<HttpResponse> Ask(const TokenRequest& asked, const Secret& refresh_token,
                           const std::stop_token& stop) {
    const std::string& tenant = asked.tenant.empty() ? application_.tenant : asked.tenant;
    const std::string_view scope =
        asked.scope == kStorageScope ? std::string_view(kStorageUserScope) : asked.scope;
    return PostToAuthority(client_, Endpoint(application_, tenant, "token"),
                           {{"grant_type", "refresh_token"},
                            {"client_id", application_.client_id},
                            {"refresh_token", std::string(refresh_token.Reveal())},
                            {"scope", WithIdentity(scope)}},
                           fmt::format("cannot renew the token of the {}", name_), stop);
  }

  Result<AccessToken> Take(const HttpResponse& reply, const Secret& used) {
    ASR_TRY(UserSignIn signed_in, ReadSignIn(reply, clock_.Now()));
    if (!signed_in.refresh_token.empty()) {
      // Entra ID goes on to take the old one until that ends: a full disk must not end the work.
      static_cast<void>(keeper_->Replace(used, signed_in.refresh_token));
    }
    return std::move(signed_in.token);
  }

  static bool WantsThePerson(const HttpResponse& reply) {
    const std::string code = ReadServerProblem(reply).code;
    return code == "invalid_grant" || code == "interaction_required" ||
           code == "consent_required" || code == "login_required";
  }

  Error SignInAgain(const HttpResponse& reply) const {
    const ServerProblem problem = ReadServerProblem(reply);
    return MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired,
                     fmt::format("the {} has ended: {} {}", name_, problem.code, problem.message))
        .WithCause("it was not used for long, or withdrawn: a new password, a rule of the tenant")
        .WithAction("sign in again: " + sign_in_again_);
  }

  const EntraApplication application_;
  const std::string name_;
  const std::string sign_in_again_;
  const std::unique_ptr<RefreshTokenKeeper> keeper_;
  HttpClient& client_;
  const Clock& clock_;
};

}  // namespace

Result<DeviceCode> RequestDeviceCode(const EntraApplication& application, HttpClient& client,
                                     const Clock& clock, const std::stop_token& stop) {
  ASR_TRY(HttpResponse reply,
          PostToAuthority(
              client, Endpoint(application, application.tenant, "devicecode"),
              {{"client_id", application.client_id}, {"scope", WithIdentity(kStorageUserScope)}},
              "cannot ask for a code to sign in with", stop));
  const Secret text(reply.body);
  if (!reply.IsSuccess()) return Fail(CodeRefused(reply));
  const json document = json::parse(reply.body, nullptr, false);
  DeviceCode code;
  if (document.is_object()) {
    code.code = Secret(Text(document, "device_code"));
    code.user_code = Text(document, "user_code");
    code.url = Text(document, "verification_uri");
    if (code.url.empty()) code.url = Text(document, "verification_url");
    code.interval_seconds =
        std::clamp(NumberOr(document, "interval", 5), 1.0, kLongestIntervalSeconds);
    code.expires_at =
        clock.Now() + std::chrono::milliseconds(static_cast<std::int64_t>(
                          1000 * std::clamp(NumberOr(document, "expires_in", 900), 0.0, 86400.0)));
  }
  if (!code.code.empty() && !code.user_code.empty() && code.url.starts_with("https://"))
    return code;
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                        "a code to sign in with was asked for, but there is none in the reply")
                  .WithCause("something else answers at the authority's address")
                  .WithAction("check AZURE_AUTHORITY_HOST and proxies"));
}

Result<UserSignIn> AwaitDeviceCode(const EntraApplication& application, const DeviceCode& code,
                                   HttpClient& client, Clock& clock, const std::stop_token& stop) {
  double interval = code.interval_seconds;
  while (true) {
    ASR_CHECK(WaitSeconds(clock, interval, stop));
    if (clock.Now() >= code.expires_at) return Fail(CodeRanOut());
    auto reply = PostToAuthority(client, Endpoint(application, application.tenant, "token"),
                                 {{"grant_type", kGrant},
                                  {"client_id", application.client_id},
                                  {"device_code", std::string(code.code.Reveal())}},
                                 "cannot ask whether somebody has signed in", stop);
    if (!reply) {
      ASR_CHECK(CheckStop(stop));
      if (!reply.error().retryable) return Fail(std::move(reply).error());
      interval = std::min(interval * 2, kLongestIntervalSeconds);
      continue;
    }
    const Secret text(reply->body);
    if (reply->IsSuccess()) return ReadSignIn(*reply, clock.Now());
    const std::string problem = ReadServerProblem(*reply).code;
    if (problem == "authorization_pending") continue;
    if (problem == "slow_down") {
      interval = std::min(interval + 5, kLongestIntervalSeconds);
      continue;
    }
    if (problem == "expired_token" || problem == "code_expired") return Fail(CodeRanOut());
    if (problem == "access_denied" || problem == "authorization_declined") return Fail(Declined());
    return Fail(CodeRefused(*reply));
  }
}

std::unique_ptr<TokenSource> MakeRefreshTokenSource(EntraApplication application, std::string name,
                                                    std::string sign_in_again,
                                                    std::unique_ptr<RefreshTokenKeeper> keeper,
                                                    HttpClient& client, const Clock& clock) {
  return std::make_unique<RefreshTokenSource>(std::move(application), std::move(name),
                                              std::move(sign_in_again), std::move(keeper), client,
                                              clock);
}

}  // namespace asr
