// Tokens of Entra ID, and where they come from.
#pragma once

#include <stop_token>
#include <string>

#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

inline constexpr const char* kStorageScope = "https://storage.azure.com/.default";
inline constexpr const char* kManagementScope = "https://management.azure.com/.default";

struct AccessToken {
  Secret value;
  Timestamp expires_at;
  Timestamp renew_at;  // from then on a new one is fetched while this one is still good
};

struct TokenRequest {
  std::string scope;
  std::string tenant;  // learned from a server; empty: the one that is configured
  auto operator<=>(const TokenRequest&) const = default;
};

// Thread-safe.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // "client secret of AZURE_CLIENT_ID": for messages.
  [[nodiscard]] virtual std::string name() const = 0;
  // A new token each time. kCredentialNotFound: this kind of sign-in is not set up here, another
  // may be; every other error means that it is, and failed.
  [[nodiscard]] virtual Result<AccessToken> Fetch(const TokenRequest& request,
                                                  const std::stop_token& stop) = 0;
};

}  // namespace asr
