// Sign-in with Entra ID, for vaults on Azure.
#pragma once

#include "core/jobs/credentials.h"
#include "storage/auth/token_source.h"

namespace asr {

// `environment`'s clock must outlive what it returns. Nobody is asked for a token before the first
// request needs one. `ca_file` as in Environment.
[[nodiscard]] EntraSignIn MakeEntraSignIn(Environment& environment, const std::string& ca_file);

// A token for storage, now: what proves that `identity` can sign in.
[[nodiscard]] Result<AccessToken> FetchStorageToken(Environment& environment,
                                                    const EntraIdentity& identity);

}  // namespace asr
