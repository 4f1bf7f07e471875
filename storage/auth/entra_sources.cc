#include "storage/auth/entra_sources.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/auth/authority_form.h"
#include "storage/auth/client_assertion.h"
#include "storage/auth/secret_file.h"
#include "storage/auth/token_reply.h"

namespace asr {
namespace {

constexpr const char* kAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

// Client credentials of OAuth 2.0; the kinds differ in what proves the client.
class ClientCredentialSource : public TokenSource {
 public:
  // The fields of the proof, for the token's URL.
  using Proof = std::function<Result<FormFields>(const std::string& url)>;

  ClientCredentialSource(std::string name, EntraApplication application, Proof proof,
                         HttpClient& client, const Clock& clock)
      : name_(std::move(name)),
        application_(std::move(application)),
        proof_(std::move(proof)),
        client_(client),
        clock_(clock) {}

  std::string name() const override { return name_; }

  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    const std::string& tenant = asked.tenant.empty() ? application_.tenant : asked.tenant;
    const std::string url = fmt::format("{}/{}/oauth2/v2.0/token", application_.authority, tenant);
    ASR_TRY(FormFields fields, proof_(url));
    fields.emplace_back("grant_type", "client_credentials");
    fields.emplace_back("client_id", application_.client_id);
    fields.emplace_back("scope", asked.scope);
    ASR_TRY(HttpResponse reply,
            PostToAuthority(client_, url, std::move(fields),
                            fmt::format("cannot sign in with the {}", name_), stop));
    if (!reply.IsSuccess()) return Fail(SignInError(reply, name_));
    const Secret text(std::move(reply.body));
    return ReadToken(text.Reveal(), clock_.Now());
  }

 private:
  std::string name_;
  EntraApplication application_;
  Proof proof_;
  HttpClient& client_;
  const Clock& clock_;
};

Error NotSetUp(std::string_view why) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, std::string(why))
      .WithAction("set AZURE_TENANT_ID and AZURE_CLIENT_ID");
}

}  // namespace

bool IsEntraName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  });
}

Result<EntraApplication> ApplicationFromEnvironment(const VariableLookup& environment) {
  EntraApplication application;
  application.authority =
      environment("AZURE_AUTHORITY_HOST").value_or("https://login.microsoftonline.com");
  while (application.authority.ends_with('/')) application.authority.pop_back();
  if (!application.authority.starts_with("https://")) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                          "AZURE_AUTHORITY_HOST is not an https URL")
                    .WithCause("secrets are sent there: they need TLS")
                    .WithAction("give it as https://HOST"));
  }
  application.tenant = environment("AZURE_TENANT_ID").value_or("");
  application.client_id = environment("AZURE_CLIENT_ID").value_or("");
  if (application.tenant.empty()) return Fail(NotSetUp("AZURE_TENANT_ID is not set"));
  if (application.client_id.empty()) return Fail(NotSetUp("AZURE_CLIENT_ID is not set"));
  if (!IsEntraName(application.tenant) || !IsEntraName(application.client_id)) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                          "AZURE_TENANT_ID or AZURE_CLIENT_ID is no id")
                    .WithAction("copy them again: az account show, az ad app list"));
  }
  return application;
}

std::unique_ptr<TokenSource> MakeClientSecretSource(EntraApplication application, Secret secret,
                                                    HttpClient& client, const Clock& clock) {
  std::string name = fmt::format("client secret of {}", application.client_id);
  auto proof = [secret = std::move(secret)](const std::string& /*url*/) {
    return Result<FormFields>(FormFields{{"client_secret", std::string(secret.Reveal())}});
  };
  return std::make_unique<ClientCredentialSource>(std::move(name), std::move(application),
                                                  std::move(proof), client, clock);
}

std::unique_ptr<TokenSource> MakeClientCertificateSource(EntraApplication application,
                                                         std::string pem_path, Secret password,
                                                         HttpClient& client, const Clock& clock) {
  std::string name = fmt::format("client certificate of {}", application.client_id);
  auto proof = [client_id = application.client_id, path = std::move(pem_path),
                password = std::move(password),
                &clock](const std::string& url) -> Result<FormFields> {
    ASR_TRY(const Secret pem, ReadSecretFile(path));
    ASR_TRY(const ClientCertificate certificate, ClientCertificate::Parse(pem, password));
    ASR_TRY(const Secret assertion, certificate.Assertion(client_id, url, clock.Now()));
    return FormFields{{"client_assertion_type", kAssertionType},
                      {"client_assertion", std::string(assertion.Reveal())}};
  };
  return std::make_unique<ClientCredentialSource>(std::move(name), std::move(application),
                                                  std::move(proof), client, clock);
}

std::unique_ptr<TokenSource> MakeWorkloadIdentitySource(EntraApplication application,
                                                        std::string token_path, HttpClient& client,
                                                        const Clock& clock) {
  std::string name = fmt::format("workload identity of {}", application.client_id);
  auto proof = [path = std::move(token_path)](const std::string& /*url*/) -> Result<FormFields> {
    ASR_TRY(const Secret assertion, ReadPlatformFile(path));
    return FormFields{{"client_assertion_type", kAssertionType},
                      {"client_assertion", std::string(assertion.Reveal())}};
  };
  return std::make_unique<ClientCredentialSource>(std::move(name), std::move(application),
                                                  std::move(proof), client, clock);
}

}  // namespace asr
