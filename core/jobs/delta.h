// One delta, through change logs: what differs is logged on this machine, sent from there, sealed.
#pragma once

#include <optional>

#include "core/jobs/replication.h"

namespace asr {

// Sends what an interrupted run logged and did not send, and seals it. What cannot be used, for it
// is damaged, missing or out of order, is removed with a warning: the pass that follows compares
// the disks. Call before the pass reads anything.
// True if a point was sealed.
[[nodiscard]] Result<bool> SendWaitingChanges(Environment& environment, Vault& vault,
                                              const ItemLease& lease, const Replicas& replicas,
                                              JobRun& run);
// Removes them: the item is not replicated any more.
[[nodiscard]] Status DropWaitingChanges(Environment& environment, Vault& vault, const Item& item);

// Finds what changed, by digests; logs, sends and seals it. nullopt if nothing had changed. Where
// no log can be kept (no room, over half of a disk changed) it is sent as it is found, with a
// warning.
[[nodiscard]] Result<std::optional<RecoveryPoint>> ReplicateDelta(ReplicationPass& pass);

}  // namespace asr
