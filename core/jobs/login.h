// Signing in to Entra ID, so that later commands can.
#pragma once

#include <functional>
#include <string>

#include "core/jobs/credentials.h"
#include "storage/auth/device_code.h"

namespace asr {

struct LoginResult {
  CredentialSummary credential;
  std::string tenant;          // its id; empty: not known
  Timestamp token_expires_at;  // of the first token: later ones are fetched as they are needed
};

// Tells a person where to type which code.
using ShowDeviceCode = std::function<void(const DeviceCode& code)>;

// Signs in as `wanted` says, and keeps it under `name` only when that went well: a person by a
// device code (kLogin, with tenant and client of AZURE_TENANT_ID and AZURE_CLIENT_ID where they are
// empty, else any tenant of work or school and the client of az), an application or the machine's
// identity. Takes the place of another sign-in of that name; kState (kAlreadyExists) if it is a
// credential that does not sign in with Entra ID.
[[nodiscard]] Result<LoginResult> LogIn(Environment& environment, const std::string& name,
                                        StoredCredential wanted, const ShowDeviceCode& show);

}  // namespace asr
