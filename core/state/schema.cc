#include "core/state/schema.h"

#include <array>

namespace asr {
namespace {

// Times are milliseconds since 1970 UTC. States are the words of JobStateName. Errors are JSON
// (core/model/error_json.h).
constexpr std::array<const char*, 12> kSteps = {R"sql(
CREATE TABLE vaults (
  name TEXT PRIMARY KEY,
  target TEXT NOT NULL,
  id TEXT NOT NULL,
  is_default INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX vaults_one_default ON vaults (is_default) WHERE is_default = 1;

CREATE TABLE hosts (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  path TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE disk_cursors (
  vault_id TEXT NOT NULL,
  item TEXT NOT NULL,
  disk TEXT NOT NULL,
  point TEXT NOT NULL,
  stamps TEXT NOT NULL,
  pass_started INTEGER NOT NULL,
  full_read INTEGER NOT NULL,
  PRIMARY KEY (vault_id, item, disk)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  item TEXT NOT NULL,
  vault TEXT NOT NULL,
  state TEXT NOT NULL,
  retryable INTEGER NOT NULL,
  start_time INTEGER NOT NULL,
  end_time INTEGER,
  error TEXT,
  bytes_read INTEGER NOT NULL,
  bytes_sent INTEGER NOT NULL,
  bytes_skipped INTEGER NOT NULL,
  bytes_zero INTEGER NOT NULL,
  process_pid INTEGER NOT NULL,
  process_start_ticks INTEGER NOT NULL,
  process_boot_id TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_by_start ON jobs (start_time);
CREATE INDEX jobs_by_item ON jobs (item, start_time);
CREATE INDEX jobs_in_progress ON jobs (number) WHERE state = 'InProgress';

CREATE TABLE tasks (
  job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  bytes_done INTEGER NOT NULL,
  bytes_total INTEGER NOT NULL,
  error TEXT,
  PRIMARY KEY (job, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE test_failovers (
  vault_id TEXT NOT NULL,
  item TEXT NOT NULL,
  point TEXT NOT NULL,
  job TEXT NOT NULL,
  state TEXT NOT NULL,
  directory TEXT NOT NULL,
  machine TEXT NOT NULL,
  started INTEGER NOT NULL,
  PRIMARY KEY (vault_id, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
                                                R"sql(
ALTER TABLE jobs ADD COLUMN command TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN working_directory TEXT NOT NULL DEFAULT '';
)sql",
                                                R"sql(
ALTER TABLE test_failovers ADD COLUMN vm TEXT NOT NULL DEFAULT '';
ALTER TABLE test_failovers ADD COLUMN cleanup_due INTEGER;
)sql",
                                                R"sql(
ALTER TABLE vaults ADD COLUMN credential TEXT NOT NULL DEFAULT '';
)sql",
                                                R"sql(
ALTER TABLE jobs ADD COLUMN bytes_cleared INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_resumed INTEGER NOT NULL DEFAULT 0;
)sql",
                                                R"sql(
ALTER TABLE vaults ADD COLUMN ca_file TEXT NOT NULL DEFAULT '';
)sql",
                                                R"sql(
ALTER TABLE jobs ADD COLUMN bytes_seeded INTEGER NOT NULL DEFAULT 0;
)sql",
                                                // The condition of kIsRunning (interrupted_jobs.h).
                                                R"sql(
DROP INDEX jobs_in_progress;
CREATE INDEX jobs_running ON jobs (number) WHERE state IN ('InProgress', 'WaitingForInput');
)sql",
                                                R"sql(
CREATE TABLE item_schedules (
  vault_id TEXT NOT NULL,
  item TEXT NOT NULL,
  last_start INTEGER,
  last_app_consistent INTEGER,
  paused_since INTEGER,
  missed_cycles INTEGER NOT NULL DEFAULT 0,
  retry_attempt INTEGER NOT NULL DEFAULT 0,
  retry_next INTEGER,
  retry_since INTEGER,
  retry_error TEXT,
  vm TEXT NOT NULL DEFAULT '',
  vault TEXT NOT NULL DEFAULT '',
  next_due INTEGER,
  PRIMARY KEY (vault_id, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  pid INTEGER NOT NULL,
  start_ticks INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  since INTEGER NOT NULL,
  version TEXT NOT NULL
) STRICT;

CREATE TABLE agent_requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  due INTEGER NOT NULL
) STRICT;
)sql",
                                                R"sql(
CREATE TABLE events (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  first_time INTEGER NOT NULL,
  last_time INTEGER NOT NULL,
  count INTEGER NOT NULL,
  severity TEXT NOT NULL,
  type TEXT NOT NULL,
  vault_id TEXT NOT NULL,
  item TEXT NOT NULL,
  vault TEXT NOT NULL,
  vm TEXT NOT NULL,
  host TEXT NOT NULL,
  message TEXT NOT NULL,
  cause TEXT NOT NULL,
  action TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_item ON events (vault_id, item, type, last_time);
)sql",
                                                R"sql(
ALTER TABLE item_schedules ADD COLUMN view TEXT NOT NULL DEFAULT '';
ALTER TABLE item_schedules ADD COLUMN known_state INTEGER;
)sql",
                                                // Warnings are a JSON array of texts.
                                                R"sql(
CREATE TABLE job_outputs (
  job INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
  json TEXT NOT NULL,
  warnings TEXT NOT NULL,
  error TEXT
) STRICT;
)sql"};

}  // namespace

std::span<const char* const> StateSchema() { return kSteps; }

}  // namespace asr
