// Tokens of the user who is signed in with the Azure CLI.
#pragma once

#include <memory>

#include "storage/auth/token_source.h"

namespace asr {

// Runs `az account get-access-token`, by $PATH, for at most 13 seconds. kCredentialNotFound if az
// is not installed or nobody is signed in. `clock` must outlive it.
[[nodiscard]] std::unique_ptr<TokenSource> MakeAzCliSource(const Clock& clock);

}  // namespace asr
