// A vault looked over from this machine: its content, its place, and what waits here for it.
#pragma once

#include "core/jobs/environment.h"
#include "core/vault/vault_check.h"

namespace asr {

// Changes nothing. Errors as of CheckContent, and kNotFound (kVaultUnreachable) if its place is
// not there.
[[nodiscard]] Result<VaultReport> CheckVault(Environment& environment,
                                             const VaultRegistration& registration);

}  // namespace asr
