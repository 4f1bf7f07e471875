// What the parts of StateDatabase share; of this folder only.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "core/state/state_database.h"
#include "storage/sqlite/database.h"

namespace asr {

class StateDatabase::Implementation {
 public:
  Implementation(Clock& the_clock, SqlDatabase the_database)
      : clock(the_clock), database(std::move(the_database)) {}

  Clock& clock;
  std::mutex mutex;  // guards `database`
  SqlDatabase database;

  // A connection of its own for progress: it neither syncs nor waits, and so never holds up the
  // threads that move data. Opened when first needed.
  std::mutex progress_mutex;
  std::optional<SqlDatabase> progress_database;
};

[[nodiscard]] inline std::int64_t ToMilliseconds(Timestamp time) {
  return time.time_since_epoch().count();
}

[[nodiscard]] inline Timestamp FromMilliseconds(std::int64_t milliseconds) {
  return Timestamp{std::chrono::milliseconds{milliseconds}};
}

}  // namespace asr
