// Resync: the whole of the disks is compared with the replicas, whatever stamps and change logs
// say, and what differs is sent. Every recovery point stays; it ends with a new one.
#pragma once

#include <optional>

#include "core/jobs/replicate.h"
#include "core/jobs/replication.h"

namespace asr {

// Part of a cycle: notes that it is due, durably; runs it; notes that it is not due any more. A
// required one is said in a warning, with its cause. After an interruption it is still due.
[[nodiscard]] Result<RecoveryPoint> RunResync(ReplicationPass& pass, const ResyncRequest& request);
// The one that the item's document says is due; nullopt if none is.
[[nodiscard]] std::optional<ResyncRequest> DueResync(const Item& item);

// Marks it as due: the next replication runs it. Returns the item as it is then.
[[nodiscard]] Result<Item> ScheduleResync(Vault& vault, const Item& item, bool deep);
// Runs it now, as a job of its own.
[[nodiscard]] Result<ReplicateOutcome> Resync(Environment& environment, Vault& vault,
                                              const Item& item, bool deep);
[[nodiscard]] Result<Plan> PlanResync(Environment& environment, Vault& vault, const Item& item,
                                      bool deep);

}  // namespace asr
