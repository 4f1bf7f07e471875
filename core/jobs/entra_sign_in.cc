#include "core/jobs/entra_sign_in.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "storage/auth/az_cli.h"
#include "storage/auth/bearer.h"
#include "storage/auth/device_code.h"
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

// The refresh token of a credential that `asr login` keeps.
class KeptRefreshToken : public RefreshTokenKeeper {
 public:
  KeptRefreshToken(CredentialStore store, std::string name, Clock& clock)
      : store_(std::move(store)), name_(std::move(name)), clock_(clock) {}

  [[nodiscard]] Result<Secret> Read() override {
    ASR_TRY(StoredCredential credential, store_.Read(name_));
    if (credential.kind == CredentialKind::kLogin) return std::move(credential.secret);
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                          fmt::format("credential {} is no sign-in of a person any more", name_))
                    .WithAction("run the command again, to begin with what it holds"));
  }
  [[nodiscard]] Status Replace(const Secret& used, const Secret& fresh) override {
    constexpr int kTries = 20;
    constexpr double kSecondsBetween = 0.1;  // others hold the lock for one small file
    Status replaced = store_.ReplaceSecret(name_, used, fresh);
    for (int i = 1; i < kTries && !replaced && replaced.error().code == ErrorCode::kLocked; ++i) {
      clock_.SleepSeconds(kSecondsBetween);
      replaced = store_.ReplaceSecret(name_, used, fresh);
    }
    return replaced;
  }

 private:
  const CredentialStore store_;
  const std::string name_;
  Clock& clock_;
};

// What a source needs of the world.
struct Surroundings {
  CredentialStore store;
  VariableLookup variables;
  Clock& clock;
};

SourceResult SourceOf(const EntraIdentity& identity, const Surroundings& around,
                      HttpClient& client) {
  const StoredCredential& credential = identity.credential;
  const VariableLookup& variables = around.variables;
  Clock& clock = around.clock;
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
    case CredentialKind::kLogin:
      return MakeRefreshTokenSource(
          {.authority = credential.authority,
           .tenant = credential.tenant,
           .client_id = credential.client_id},
          fmt::format("login of {}", credential.user.empty() ? identity.name : credential.user),
          LoginCommand(identity.name),
          std::make_unique<KeptRefreshToken>(around.store, identity.name, clock), client, clock);
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

EntraSignIn MakeEntraSignIn(Environment& environment, const std::string& ca_file) {
  const Surroundings around{.store = CredentialsOf(environment),
                            .variables = environment.variables,
                            .clock = environment.clock};
  return [around, ca_file](const EntraIdentity* identity) -> Result<std::unique_ptr<Authorizer>> {
    ASR_TRY(auto transport, CurlTransport::Create({.ca_file = ca_file}));
    auto authorizer = std::make_unique<EntraAuthorizer>(std::move(transport), around.clock);
    SourceResult source =
        identity == nullptr
            ? MakeDefaultTokenSource(around.variables, authorizer->client(), around.clock)
            : SourceOf(*identity, around, authorizer->client());
    ASR_CHECK(source);
    authorizer->Use(*std::move(source));
    return authorizer;
  };
}

Result<AccessToken> FetchStorageToken(Environment& environment, const EntraIdentity& identity) {
  ASR_TRY(const auto transport, CurlTransport::Create({.ca_file = environment.ca_file}));
  HttpClient client(*transport, environment.clock);
  const Surroundings around{.store = CredentialsOf(environment),
                            .variables = environment.variables,
                            .clock = environment.clock};
  ASR_TRY(const auto source, SourceOf(identity, around, client));
  return source->Fetch({.scope = kStorageScope, .tenant = {}}, environment.stop);
}

}  // namespace asr
