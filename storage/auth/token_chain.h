// The order in which Azure's own tools look for who we are.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "storage/auth/managed_identity.h"
#include "storage/auth/storage_credential.h"
#include "storage/auth/token_source.h"
#include "storage/http/http_client.h"

namespace asr {

// Asks one source after the other until one is set up here, and keeps to that one. A source that is
// set up but fails ends the search: another identity in its place would be a surprise.
class TokenChain : public TokenSource {
 public:
  explicit TokenChain(std::vector<std::unique_ptr<TokenSource>> sources)
      : sources_(std::move(sources)) {}
  // Of the source that was chosen.
  [[nodiscard]] std::string name() const override;
  // kCredentialNotFound if none is set up; its causes say why each is not.
  [[nodiscard]] Result<AccessToken> Fetch(const TokenRequest& request,
                                          const std::stop_token& stop) override;

 private:
  const std::vector<std::unique_ptr<TokenSource>> sources_;
  mutable std::mutex mutex_;       // guards what follows
  TokenSource* chosen_ = nullptr;  // null: none yet
};

// As DefaultAzureCredential: environment variables (client secret, then certificate), workload
// identity, managed identity, az. AZURE_TOKEN_CREDENTIALS narrows it: prod (all but az), dev (az),
// or the name of one, such as ManagedIdentityCredential; kCredentialInvalid if it is none of these.
// `client` and `clock` must outlive it.
[[nodiscard]] Result<std::unique_ptr<TokenSource>> MakeDefaultTokenSource(
    const VariableLookup& environment, HttpClient& client, const Clock& clock,
    ManagedIdentityOptions managed = {});

}  // namespace asr
