#include "core/jobs/entra_sign_in.h"

#include <memory>
#include <utility>

#include "storage/auth/az_cli.h"
#include "storage/auth/bearer.h"
#include "storage/auth/entra_sources.h"
#include "storage/auth/managed_identity.h"
#include "storage/auth/token_chain.h"
#include "storage/http/curl_transport.h"
#include "storage/http/http_client.h"

namespace asr {
namespace {

using SourceResult = Result<std::unique_ptr<TokenSource>>;

// Tokens of one tenant, where the server has named no other.
class OfTenant : public TokenSource {
 public:
  OfTenant(std::unique_ptr<TokenSource> source, std::string tenant)
      : source_(std::move(source)), tenant_(std::move(tenant)) {}
  [[nodiscard]] std::string name() const override { return source_->name(); }
  [[nodiscard]] Result<AccessToken> Fetch(const TokenRequest& request,
                                          const std::stop_token& stop) override {
    TokenRequest with_tenant = request;
    if (with_tenant.tenant.empty()) with_tenant.tenant = tenant_;
    return source_->Fetch(with_tenant, stop);
  }

 private:
  const std::unique_ptr<TokenSource> source_;
  const std::string tenant_;
};

Result<EntraApplication> ApplicationOf(const StoredCredential& credential,
                                       const VariableLookup& variables) {
  // Names of clouds beside the public one come from AZURE_AUTHORITY_HOST.
  return ApplicationFromEnvironment([&](const std::string& name) -> std::optional<std::string> {
    if (name == "AZURE_TENANT_ID") return credential.tenant;
    if (name == "AZURE_CLIENT_ID") return credential.client_id;
    return variables(name);
  });
}

SourceResult SourceOf(const StoredCredential& credential, const VariableLookup& variables,
                      HttpClient& client, const Clock& clock) {
  switch (credential.kind) {
    case CredentialKind::kClientSecret: {
      ASR_TRY(EntraApplication application, ApplicationOf(credential, variables));
      return MakeClientSecretSource(std::move(application), credential.secret, client, clock);
    }
    case CredentialKind::kClientCertificate: {
      ASR_TRY(EntraApplication application, ApplicationOf(credential, variables));
      return MakeClientCertificateSource(std::move(application), credential.certificate_path, {},
                                         client, clock);
    }
    case CredentialKind::kManagedIdentity:
      return MakeManagedIdentitySource(variables, {.client_id = credential.client_id}, client,
                                       clock);
    case CredentialKind::kAzureCli:
      return std::make_unique<OfTenant>(MakeAzCliSource(clock), credential.tenant);
    case CredentialKind::kConnectionString:
    case CredentialKind::kAccountKey:
    case CredentialKind::kSas:
      break;
  }
  return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
              "this credential does not sign in with Entra ID");
}

// With all that it asks an authority by.
class EntraAuthorizer : public Authorizer {
 public:
  EntraAuthorizer(std::unique_ptr<CurlTransport> transport, Clock& clock)
      : clock_(clock), transport_(std::move(transport)), client_(*transport_, clock) {}

  [[nodiscard]] HttpClient& client() { return client_; }
  void Use(std::unique_ptr<TokenSource> source) {
    tokens_ = std::make_unique<TokenCache>(std::move(source), clock_);
    bearer_ = std::make_unique<BearerAuthorizer>(*tokens_, kStorageScope, clock_);
  }

  [[nodiscard]] Status Sign(HttpRequest& request, const std::stop_token& stop) override {
    return bearer_->Sign(request, stop);
  }
  [[nodiscard]] Result<bool> Renew(const HttpRequest& refused, const HttpResponse& refusal,
                                   const std::stop_token& stop) override {
    return bearer_->Renew(refused, refusal, stop);
  }

 private:
  Clock& clock_;
  const std::unique_ptr<CurlTransport> transport_;
  HttpClient client_;
  std::unique_ptr<TokenCache> tokens_;
  std::unique_ptr<BearerAuthorizer> bearer_;
};

}  // namespace

EntraSignIn MakeEntraSignIn(Environment& environment) {
  return [&clock = environment.clock, variables = environment.variables](
             const StoredCredential* credential) -> Result<std::unique_ptr<Authorizer>> {
    ASR_TRY(auto transport, CurlTransport::Create({}));
    auto authorizer = std::make_unique<EntraAuthorizer>(std::move(transport), clock);
    SourceResult source = credential == nullptr
                              ? MakeDefaultTokenSource(variables, authorizer->client(), clock)
                              : SourceOf(*credential, variables, authorizer->client(), clock);
    ASR_CHECK(source);
    authorizer->Use(*std::move(source));
    return authorizer;
  };
}

}  // namespace asr
