#include "tests/support/page_blob_server/account.h"

#include <fmt/format.h>

#include <algorithm>

namespace asr::testing::page_blob {

void BlobLease::Refresh(ServiceTime now) {
  if (state == LeaseState::kLeased && duration_seconds > 0 && now >= ends) {
    state = LeaseState::kExpired;
  } else if (state == LeaseState::kBreaking && now >= ends) {
    state = LeaseState::kBroken;
  }
}

std::string Account::NextEtag() { return fmt::format("\"0x{:X}\"", ++last_etag); }

std::string Account::NextSnapshotTime(ServiceTime now) {
  last_snapshot = std::max(now, last_snapshot + Ticks(1));
  return FormatSnapshotTime(last_snapshot);
}

}  // namespace asr::testing::page_blob
