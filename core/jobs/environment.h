// What every verb needs of the world around it.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "core/jobs/input_waits.h"
#include "core/model/job.h"
#include "core/model/progress.h"
#include "core/state/state_database.h"
#include "storage/auth/storage_credential.h"
#include "storage/base/clock.h"
#include "storage/fs/file_system.h"

namespace asr {

class Throttle;

struct Environment {
  FileSystem& fs;
  Clock& clock;
  StateDatabase& state;
  ProgressSink& progress;
  std::string state_directory;  // holds state.db, and the disks of test failovers
  std::stop_token stop;         // set on Ctrl-C; work ends soon after, resumable
  // Of vaults that need one; empty: the one that the vault was registered with.
  std::string credential = {};
  // Trusted authorities for TLS, an absolute path; empty: as the vault was registered, else
  // SSL_CERT_FILE, else the system's.
  std::string ca_file = {};
  VariableLookup variables = ProcessVariables();
  // Somebody sees what `progress` warns of, and can act: work that needs something from them says
  // so and waits, where it would fail else.
  bool has_person = false;
  std::shared_ptr<InputWaits> waits = std::make_shared<InputWaits>();
  JobCommand command{};  // kept with the jobs that are started, for `asr jobs retry`
  // The job that waits for this run (NotStarted), as left to the agent: the first job that is
  // started takes its place.
  std::optional<JobId> queued_job = {};
  // How fast may be sent into vaults; null: as fast as it goes.
  std::shared_ptr<Throttle> throttle = {};
  std::string program = {};  // this program's own path: what outlives us is started from it
};

}  // namespace asr
