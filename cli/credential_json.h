// Credentials as JSON: never a secret.
#pragma once

#include "cli/render.h"
#include "storage/auth/stored_credential.h"

namespace asr {

[[nodiscard]] Json CredentialJson(const CredentialSummary& credential);

}  // namespace asr
