// Sign-in of a person, who types a code into a browser anywhere (RFC 8628).
#pragma once

#include <memory>
#include <string>

#include "storage/auth/entra_sources.h"
#include "storage/auth/token_claims.h"
#include "storage/auth/token_source.h"

namespace asr {

// What az itself signs in as: a client that every tenant of Azure knows.
inline constexpr const char* kAzureCliClientId = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
// A person's right to storage, as the device code flow asks for it.
inline constexpr const char* kStorageUserScope = "https://storage.azure.com/user_impersonation";

struct DeviceCode {
  Secret code;            // ours, for AwaitDeviceCode
  std::string user_code;  // what the person types
  std::string url;        // where
  Timestamp expires_at;
  double interval_seconds = 5;
};

struct UserSignIn {
  AccessToken token;
  Secret refresh_token;  // empty: the reply held none
  TokenClaims claims;
};

// kSignInFailed if Entra ID refuses: tenant or client are wrong, or codes are not allowed there.
[[nodiscard]] Result<DeviceCode> RequestDeviceCode(const EntraApplication& application,
                                                   HttpClient& client, const Clock& clock,
                                                   const std::stop_token& stop);
// Asks until the person has signed in. kCredentialExpired when the code has run out, kSignInFailed
// if the person declined; kCancelled soon after the stop.
[[nodiscard]] Result<UserSignIn> AwaitDeviceCode(const EntraApplication& application,
                                                 const DeviceCode& code, HttpClient& client,
                                                 Clock& clock, const std::stop_token& stop);

// Where the refresh token of a sign-in is kept: other processes may use and replace it, too.
// Thread-safe.
class RefreshTokenKeeper {
 public:
  virtual ~RefreshTokenKeeper() = default;
  [[nodiscard]] virtual Result<Secret> Read() = 0;
  // Puts `fresh` in the place of `used`; nothing if another is there by now.
  [[nodiscard]] virtual Status Replace(const Secret& used, const Secret& fresh) = 0;
};

// Tokens of a person who has signed in. kCredentialExpired once Entra ID wants the person again;
// its action is `sign_in_again`. `client` and `clock` must outlive it.
[[nodiscard]] std::unique_ptr<TokenSource> MakeRefreshTokenSource(
    EntraApplication application, std::string name, std::string sign_in_again,
    std::unique_ptr<RefreshTokenKeeper> keeper, HttpClient& client, const Clock& clock);

}  // namespace asr
