// Keys for hand-outs that nobody's account key signs.
#pragma once

#include <string>

#include "storage/auth/sas.h"
#include "storage/auth/storage_location.h"
#include "storage/http/http_client.h"

namespace asr {

// Asks the account for a key in the name of who `authorizer` signs in (a token of Entra ID), good
// from now until `expires_at`, which is at most 7 days away (kUsage). For MakeUserDelegationSas.
[[nodiscard]] Result<UserDelegationKey> GetUserDelegationKey(HttpClient& client,
                                                             const StorageLocation& location,
                                                             Authorizer& authorizer, Timestamp now,
                                                             Timestamp expires_at,
                                                             const std::stop_token& stop);

}  // namespace asr
