// What `asr vault check` found, for people and scripts (asr(1), OUTPUT).
#pragma once

#include <string>

#include "cli/render.h"
#include "core/vault/vault_check.h"

namespace asr {

[[nodiscard]] Json VaultReportJson(const VaultReport& report, const std::string& vault_name);
[[nodiscard]] const View& VaultReportView();

}  // namespace asr
