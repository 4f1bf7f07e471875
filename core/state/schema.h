// The schema of state.db, version by version.
#pragma once

#include <span>

namespace asr {

// For Migrate (storage/sqlite/migrations.h).
[[nodiscard]] std::span<const char* const> StateSchema();

}  // namespace asr
