#include "core/points/seal.h"

#include <chrono>

#include "core/vault/layout.h"
#include "core/vault/unsealed.h"

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
  // Before the snapshots: a writer that another has taken over from gets none after this, and one
  // that has them finds the document changed.
  bool was_dropped = false;
  if (lease.IsFence()) {
    ASR_TRY(was_dropped, IsForbidden(vault, point.item, point.id));
  }
  for (const auto& replica : replicas) ASR_CHECK(replica->Snapshot(point.id));
  ASR_CHECK(lease.Check());
  if (!was_dropped) return vault.PutPoint(point);
  ASR_CHECK(vault.PutPoint(point, PutCondition::kIfUnchanged));
  return vault.store().Delete(layout::DroppedMark(point.item, point.id));
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
