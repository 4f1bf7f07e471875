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

Status SealPoint(Vault& vault, const Replicas& replicas, const RecoveryPoint& point) {
  for (const auto& replica : replicas) ASR_CHECK(replica->Snapshot(point.id));
  return vault.PutPoint(point);
}

Status RemovePoint(Vault& vault, const Replicas& replicas, const ItemId& item,
                   const PointId& point) {
  ASR_CHECK(vault.DeletePointDocument(item, point));
  for (const auto& replica : replicas) ASR_CHECK(replica->DeleteSnapshot(point));
  return {};
}

}  // namespace asr
