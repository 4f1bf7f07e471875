// Sign-in with Entra ID, for vaults on Azure.
#pragma once

#include "core/jobs/credentials.h"

namespace asr {

// `environment`'s clock must outlive what it returns. Nobody is asked for a token before the first
// request needs one.
[[nodiscard]] EntraSignIn MakeEntraSignIn(Environment& environment);

}  // namespace asr
