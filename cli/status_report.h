// What `asr status` tells, as JSON and as people read it.
#pragma once

#include <string>

#include "cli/render.h"
#include "core/jobs/vault_status.h"

namespace asr {

[[nodiscard]] Json VaultStatusJson(const VaultStatus& status, const std::string& vault_name,
                                   Timestamp now);
[[nodiscard]] const View& VaultStatusView();

}  // namespace asr
