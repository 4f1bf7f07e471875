#include "core/points/seal.h"

#include <chrono>

namespace asr {

PointId NextPointId(Timestamp instant, const std::optional<PointId>& newest) {
  if (newest) {
    const auto last = ParseCompactTime(newest->value);
    if (last && instant <= *last) instant = *last + std::chrono::milliseconds(1);
  }
  return {FormatCompactTime(instant)};
}

Status SealPoint(Vault& vault, const ItemLease& lease, const Replicas& replicas,
                 const RecoveryPoint& point) {
  for (const auto& replica : replicas) ASR_CHECK(replica->Snapshot(point.id));
  ASR_CHECK(lease.Check());
  return vault.PutPoint(point);
}

Status PrepareRemoval(const Replicas& replicas, const PointId& point) {
  for (const auto& replica : replicas) ASR_CHECK(replica->PrepareDelete(point));
  return {};
}

Status RemovePoint(Vault& vault, const ItemLease& lease, const Replicas& replicas,
                   const PointId& point) {
  ASR_CHECK(lease.Check());
  ASR_CHECK(vault.DeletePointDocument(lease.item().id, point));
  for (const auto& replica : replicas) ASR_CHECK(replica->DeleteSnapshot(point));
  return {};
}

}  // namespace asr
