// What every verb needs of the world around it.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "core/model/job.h"
#include "core/model/progress.h"
#include "core/state/state_database.h"
#include "storage/auth/storage_credential.h"
#include "storage/base/clock.h"
#include "storage/fs/file_system.h"

namespace asr {

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
  JobCommand command{};  // kept with the jobs that are started, for `asr jobs retry`
  // The job that waits for this run (NotStarted), as left to the agent: the first job that is
  // started takes its place.
  std::optional<JobId> queued_job = {};
  std::string program = {};  // this program's own path: what outlives us is started from it
};

}  // namespace asr
