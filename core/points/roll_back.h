// Puts a disk's live replica back to what a sealed point holds.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "core/points/sealed_disk.h"
#include "core/vault/disk_replica.h"

namespace asr {

// Only chunks whose digests differ, or are unknown, are read from the point; each is checked
// against the point's digest, and then copied by the vault's storage itself or, where that cannot,
// written. Returns the bytes written or cleared, which are durable then. kCorrupt (kPointCorrupt)
// if the point's bytes are damaged; kCancelled when the stop was asked for. Run again, it goes on.
[[nodiscard]] Result<std::uint64_t> RollBackDisk(
    SealedDisk& point, DiskReplica& replica, DigestAlgorithm algorithm,
    const std::function<void(std::uint64_t bytes)>& on_progress, const std::stop_token& stop);

}  // namespace asr
