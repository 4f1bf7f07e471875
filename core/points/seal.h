// Sealing and removing recovery points. A point exists while its document does.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/model/point.h"
#include "core/vault/disk_replica.h"
#include "core/vault/vault.h"

namespace asr {

using Replicas = std::vector<std::unique_ptr<DiskReplica>>;

// The id of a point of this instant that sorts after `newest`: a clock that went back must not put
// a new point before an older one.
[[nodiscard]] PointId NextPointId(Timestamp instant, const std::optional<PointId>& newest);

// Freezes all replicas under the point's id, then writes its document: the last write. The caller
// has found the source unchanged since it was read.
[[nodiscard]] Status SealPoint(Vault& vault, const ItemLease& lease, const Replicas& replicas,
                               const RecoveryPoint& point);

// Before RemovePoint: afterwards no bytes of the point have to be read for it, so that it does not
// stop half-way. kIo (kBlobCorrupt) if they cannot be read; then the point is as it was.
[[nodiscard]] Status PrepareRemoval(const Replicas& replicas, const PointId& point);

// In reverse: the document goes first.
[[nodiscard]] Status RemovePoint(Vault& vault, const ItemLease& lease, const Replicas& replicas,
                                 const PointId& point);

}  // namespace asr
