#include "storage/auth/token_chain.h"

#include <algorithm>
#include <utility>

#include "storage/auth/az_cli.h"
#include "storage/auth/entra_sources.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// A kind of sign-in whose variables are not set, or set wrong: says so when it is asked.
class NotSetUpSource : public TokenSource {
 public:
  NotSetUpSource(std::string name, Error why) : name_(std::move(name)), why_(std::move(why)) {}
  std::string name() const override { return name_; }
  Result<AccessToken> Fetch(const TokenRequest& /*request*/,
                            const std::stop_token& /*stop*/) override {
    return Fail(why_);
  }

 private:
  std::string name_;
  Error why_;
};

std::unique_ptr<TokenSource> Missing(std::string name, std::string why) {
  return std::make_unique<NotSetUpSource>(
      std::move(name),
      MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, std::move(why)));
}

std::unique_ptr<TokenSource> FromVariables(const VariableLookup& environment, HttpClient& client,
                                           const Clock& clock) {
  auto secret = environment("AZURE_CLIENT_SECRET");
  auto certificate = environment("AZURE_CLIENT_CERTIFICATE_PATH");
  const std::string name = "environment";
  if (!secret && !certificate) {
    return Missing(name, "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set");
  }
  auto application = ApplicationFromEnvironment(environment);
  if (!application) return std::make_unique<NotSetUpSource>(name, std::move(application).error());
  if (secret) {
    return MakeClientSecretSource(*std::move(application), Secret(*std::move(secret)), client,
                                  clock);
  }
  Secret password(environment("AZURE_CLIENT_CERTIFICATE_PASSWORD").value_or(""));
  return MakeClientCertificateSource(*std::move(application), *std::move(certificate),
                                     std::move(password), client, clock);
}

std::unique_ptr<TokenSource> WorkloadIdentity(const VariableLookup& environment, HttpClient& client,
                                              const Clock& clock) {
  auto path = environment("AZURE_FEDERATED_TOKEN_FILE");
  const std::string name = "workload identity";
  if (!path) return Missing(name, "AZURE_FEDERATED_TOKEN_FILE is not set");
  auto application = ApplicationFromEnvironment(environment);
  if (!application) return std::make_unique<NotSetUpSource>(name, std::move(application).error());
  return MakeWorkloadIdentitySource(*std::move(application), *std::move(path), client, clock);
}

}  // namespace

std::string TokenChain::name() const {
  const std::lock_guard lock(mutex_);
  return chosen_ == nullptr ? "default sign-in" : chosen_->name();
}

Result<AccessToken> TokenChain::Fetch(const TokenRequest& request, const std::stop_token& stop) {
  TokenSource* chosen = nullptr;
  {
    const std::lock_guard lock(mutex_);
    chosen = chosen_;
  }
  if (chosen != nullptr) return chosen->Fetch(request, stop);
  Error none = MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                         "there is no sign-in to Azure on this machine")
                   .WithAction(
                       "asr login, or az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                       "AZURE_CLIENT_SECRET");
  for (const auto& source : sources_) {
    auto token = source->Fetch(request, stop);
    if (!token && token.error().code == ErrorCode::kCredentialNotFound) {
      none.causes.push_back(source->name() + ": " + token.error().message);
      continue;
    }
    if (token) {
      const std::lock_guard lock(mutex_);
      if (chosen_ == nullptr) chosen_ = source.get();
    }
    return token;
  }
  return Fail(std::move(none));
}

Result<std::unique_ptr<TokenSource>> MakeDefaultTokenSource(const VariableLookup& environment,
                                                            HttpClient& client, const Clock& clock,
                                                            ManagedIdentityOptions managed) {
  const std::string wanted = AsciiLowerCase(environment("AZURE_TOKEN_CREDENTIALS").value_or(""));
  const bool is_prod = wanted.empty() || wanted == "prod";
  const bool is_dev = wanted.empty() || wanted == "dev";
  std::vector<std::unique_ptr<TokenSource>> sources;
  if (is_prod || wanted == "environmentcredential") {
    sources.push_back(FromVariables(environment, client, clock));
  }
  if (is_prod || wanted == "workloadidentitycredential") {
    sources.push_back(WorkloadIdentity(environment, client, clock));
  }
  if (is_prod || wanted == "managedidentitycredential") {
    if (managed.client_id.empty()) managed.client_id = environment("AZURE_CLIENT_ID").value_or("");
    sources.push_back(MakeManagedIdentitySource(environment, std::move(managed), client, clock));
  }
  if (is_dev || wanted == "azureclicredential") sources.push_back(MakeAzCliSource(clock));
  if (sources.empty()) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                          "AZURE_TOKEN_CREDENTIALS names no kind of sign-in")
                    .WithAction("set it to prod, dev, EnvironmentCredential, "
                                "WorkloadIdentityCredential, ManagedIdentityCredential or "
                                "AzureCliCredential"));
  }
  return std::unique_ptr<TokenSource>(std::make_unique<TokenChain>(std::move(sources)));
}

}  // namespace asr
