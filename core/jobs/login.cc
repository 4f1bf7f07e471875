#include "core/jobs/login.h"

#include <utility>

#include <fmt/format.h>

#include "core/jobs/entra_sign_in.h"
#include "storage/http/curl_transport.h"

namespace asr {
namespace {

Status RequireFree(Environment& environment, const std::string& name) {
  const auto known = CredentialsOf(environment).Read(name);
  if (!known) {
    // One that is there and cannot be read may be a key that is kept nowhere else.
    return IsNotFound(known.error()) ? Status() : Status(Fail(known.error()));
  }
  if (UsesEntraId(known->kind)) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                        fmt::format("credential '{}' is of kind {}, and no sign-in", name,
                                    CredentialKindName(known->kind)))
                  .WithAction("give the sign-in another name: asr login --name NAME"));
}

// What neither option nor variable says.
void FillIn(const VariableLookup& variables, StoredCredential& credential) {
  const bool is_person = credential.kind == CredentialKind::kLogin;
  if (credential.kind == CredentialKind::kManagedIdentity) return;
  if (credential.tenant.empty()) {
    credential.tenant = variables("AZURE_TENANT_ID").value_or(is_person ? "organizations" : "");
  }
  if (credential.client_id.empty()) {
    credential.client_id =
        variables("AZURE_CLIENT_ID").value_or(is_person ? kAzureCliClientId : "");
  }
}

Result<LoginResult> Keep(Environment& environment, const std::string& name,
                         StoredCredential credential, const TokenClaims& claims,
                         Timestamp expires_at) {
  credential.user = claims.user;
  ASR_TRY(CredentialSummary summary, AddCredential(environment, name, credential, true));
  return LoginResult{
      .credential = std::move(summary), .tenant = claims.tenant, .token_expires_at = expires_at};
}

Result<LoginResult> LogInPerson(Environment& environment, const std::string& name,
                                StoredCredential wanted, const ShowDeviceCode& show) {
  const StoredCredential& given = wanted;
  ASR_TRY(const EntraApplication application,
          ApplicationFromEnvironment([&](const std::string& variable) {
            if (variable == "AZURE_TENANT_ID") return std::optional(given.tenant);
            if (variable == "AZURE_CLIENT_ID") return std::optional(given.client_id);
            return environment.variables(variable);
          }));
  ASR_TRY(const auto transport, CurlTransport::Create({.ca_file = environment.ca_file}));
  HttpClient client(*transport, environment.clock);
  ASR_TRY(const DeviceCode code,
          RequestDeviceCode(application, client, environment.clock, environment.stop));
  show(code);
  ASR_TRY(UserSignIn signed_in,
          AwaitDeviceCode(application, code, client, environment.clock, environment.stop));
  if (signed_in.refresh_token.empty()) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kSignInFailed,
                          "the sign-in gave no token that lasts")
                    .WithCause("the client is not allowed offline_access")
                    .WithAction("give another --client-id, or leave it out"));
  }
  wanted.authority = application.authority;
  wanted.secret = std::move(signed_in.refresh_token);
  // "organizations" is none: later tokens are those of the tenant that the person chose.
  if (!signed_in.claims.tenant.empty()) wanted.tenant = signed_in.claims.tenant;
  return Keep(environment, name, std::move(wanted), signed_in.claims, signed_in.token.expires_at);
}

}  // namespace

Result<LoginResult> LogIn(Environment& environment, const std::string& name,
                          StoredCredential wanted, const ShowDeviceCode& show) {
  ASR_CHECK(RequireFree(environment, name));
  FillIn(environment.variables, wanted);
  if (wanted.kind == CredentialKind::kLogin) {
    return LogInPerson(environment, name, std::move(wanted), show);
  }
  ASR_CHECK(CheckCredential(wanted));
  ASR_TRY(const AccessToken token,
          FetchStorageToken(environment, {.name = name, .credential = wanted}));
  return Keep(environment, name, std::move(wanted), ReadTokenClaims(token.value.Reveal()),
              token.expires_at);
}

}  // namespace asr
