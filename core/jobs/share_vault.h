// A vault for somebody else's eyes, for a time.
#pragma once

#include <string>

#include "core/jobs/environment.h"
#include "storage/auth/sas.h"

namespace asr {

struct ShareRequest {
  Timestamp expires_at;
  std::string ip_range;  // "192.0.2.7" or "192.0.2.1-192.0.2.9"; empty: from anywhere
};

struct SharedVault {
  std::string url;  // of the container
  SasToken sas;     // to read and to list, of this container alone
};

// kUnsupported for a vault in a directory.
[[nodiscard]] Status RequireShareable(const VaultRegistration& vault);

// Signed by the account's key, or, where the vault's credential signs in with Entra ID, in the name
// of who signed in: for 7 days at most then (kUsage). kUnsupported for a vault in a directory, or
// one that is opened with a SAS.
[[nodiscard]] Result<SharedVault> ShareVault(Environment& environment,
                                             const VaultRegistration& vault,
                                             const ShareRequest& request);

}  // namespace asr
