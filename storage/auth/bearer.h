// Requests signed with tokens of Entra ID.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "storage/auth/token_source.h"
#include "storage/http/authorizer.h"

namespace asr {

// Tokens by scope and tenant, renewed before they run out. Thread-safe: of many that need the same
// token one fetches it; the others go on with the old one as long as it is good, else they wait.
class TokenCache {
 public:
  TokenCache(std::unique_ptr<TokenSource> source, const Clock& clock)
      : source_(std::move(source)), clock_(clock) {}

  [[nodiscard]] Result<Secret> Get(const TokenRequest& request, const std::stop_token& stop);
  // What a server refused is not given again; a newer one stays.
  void Forget(const TokenRequest& request, std::string_view refused);
  // When the token ends that is there now; nullopt if there is none.
  [[nodiscard]] std::optional<Timestamp> ExpiryOf(const TokenRequest& request) const;
  [[nodiscard]] std::string source_name() const { return source_->name(); }

 private:
  struct Entry {
    std::optional<AccessToken> token;
    bool is_fetching = false;
    std::uint64_t fetches = 0;     // that have ended
    std::optional<Error> problem;  // of the last one
    double next_try_seconds = 0;   // after a renewal failed: not at every request
  };

  [[nodiscard]] bool IsGood(const Entry& entry) const;
  [[nodiscard]] bool IsRenewalDue(const Entry& entry) const;
  // With the lock held, which it gives up while it fetches.
  [[nodiscard]] Result<Secret> FetchFor(Entry& entry, const TokenRequest& request,
                                        std::unique_lock<std::mutex>& lock,
                                        const std::stop_token& stop);

  const std::unique_ptr<TokenSource> source_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::map<TokenRequest, Entry> entries_;
};

// Sets Authorization and x-ms-date; never over plain http.
class BearerAuthorizer : public Authorizer {
 public:
  // Both must outlive it.
  BearerAuthorizer(TokenCache& cache, std::string scope, const Clock& clock)
      : cache_(cache), clock_(clock), request_{std::move(scope), {}} {}
  [[nodiscard]] Status Sign(HttpRequest& request, const std::stop_token& stop) override;
  // Learns the tenant from WWW-Authenticate, and forgets the token that was refused.
  [[nodiscard]] Result<bool> Renew(const HttpRequest& refused, const HttpResponse& refusal,
                                   const std::stop_token& stop) override;

 private:
  TokenCache& cache_;
  const Clock& clock_;
  std::mutex mutex_;  // guards what follows
  TokenRequest request_;
};

// The tenant of `Bearer
// authorization_uri=https://login.microsoftonline.com/TENANT/oauth2/authorize`; empty if it names
// none.
[[nodiscard]] std::string TenantOfChallenge(std::string_view challenge);

}  // namespace asr
