// The first half of a delta: what changed is logged on this machine, as a set of change logs
// (man/asr-hrl.5, "Sets").
#pragma once

#include <optional>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/jobs/log_sets.h"
#include "core/model/item.h"
#include "core/model/point.h"
#include "core/points/seal.h"
#include "core/source/source_snapshot.h"

namespace asr {

// Of this machine (asr config): how much of a disk's size its waiting logs may take, in percent.
inline constexpr const char* kLogLimitSetting = "log-limit-percent";
inline constexpr int kDefaultLogLimitPercent = 50;

struct SpoolWork {
  Environment& environment;
  const Item& item;
  SourceSnapshot& source;  // its disks stand in the order of the item's
  JobRun& run;
  LogSets sets;
  DigestAlgorithm algorithm;
  // What the logs will be applied to, in the same order; what is equal there is not logged. None:
  // nobody can ask it, and all that the source tells as changed is logged. It tells that of each
  // disk.
  const Replicas* replicas = nullptr;
  std::vector<bool> was_read;     // false: the disk is what it is in the parent
  std::optional<PointId> parent;  // that the set builds on
  // As it was read, if there is one.
  std::optional<Result<RecoveryPoint>> parent_point;
  std::vector<std::uint64_t> waiting_bytes = {};  // of each disk's logs that wait; none: none do
};

struct SpooledChanges {
  enum class Outcome : std::uint8_t {
    kLogged,   // the set exists
    kNothing,  // nothing changed
    kNoLog,    // the changes cannot be logged: `reason`
  };
  // Unless it is kLogged, nothing is left.
  Outcome outcome = Outcome::kNothing;
  LogSet set = {};
  std::optional<Error> reason = {};
  std::optional<std::size_t> reason_disk = {};  // that it is about; none: it is about none alone
};

// Errors are those of the source, or of the vault; what goes wrong with the logs alone is kNoLog.
[[nodiscard]] Result<SpooledChanges> SpoolChanges(const SpoolWork& work);

}  // namespace asr
