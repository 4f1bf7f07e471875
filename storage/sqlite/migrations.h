// Brings a database's schema up to date.
#pragma once

#include <span>
#include <string>

#include "storage/sqlite/database.h"

namespace asr {

// `steps[i]` is the script that turns version i into version i + 1; the version is kept in the
// file's header (PRAGMA user_version). A step that has been released is never changed. All missing
// steps are done in one transaction, or none; several processes may do this at once. A version
// above steps.size() is refused: kUnsupported, with `newer_advice` as the action.
[[nodiscard]] Status Migrate(SqlDatabase& database, std::span<const char* const> steps,
                             const std::string& newer_advice);

}  // namespace asr
