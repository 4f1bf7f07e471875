// One delta, through change logs: what differs is logged on this machine, sent from there, sealed.
#pragma once

#include <optional>

#include "core/jobs/replication.h"

namespace asr {

// Finds what changed, by digests; logs, sends and seals it. nullopt if nothing had changed. Where
// no log can be kept, for want of space or because its folder refuses it, the changes are sent as
// they are found, with a warning. Over half of a disk changed: a resync is required, and run.
[[nodiscard]] Result<std::optional<RecoveryPoint>> ReplicateDelta(ReplicationPass& pass);

}  // namespace asr
