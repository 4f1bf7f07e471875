// The one algorithm that moves data: make the target equal to the source. Initial replication, a
// delta found by digests, restore: all of them are this. Run again after an interruption, it goes
// on where it was, for what was sent is known by its digests.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>

#include "core/model/changed_extents.h"
#include "core/model/digest.h"
#include "core/model/job.h"
#include "core/transfer/transfer_target.h"
#include "storage/image/disk.h"

namespace asr {

struct TransferOptions {
  DigestAlgorithm algorithm = DigestAlgorithm::kSha256;
  // Groups in flight, each a buffer with a thread that reads, compares and writes it.
  int groups_in_flight = 8;
  // So much of its group a thread reads at once; a multiple of chunks that divides a group.
  std::uint64_t buffer_bytes = kGroupBytes;
  // Called with what was done since the last call, from several threads. The sums are the result of
  // MakeEqual, if it has one; bytes_read, and bytes_resumed of groups that the target AlreadyHolds,
  // are then AllocatedBytes(source).
  std::function<void(const TransferStats&)> on_progress = [](const TransferStats&) {};
  std::stop_token stop = {};
  // What was sent is noted in the target so often: what a process sent after that and before it
  // died is sent again.
  std::chrono::milliseconds commit_interval = std::chrono::seconds(4);
  // An earlier run of this work may have sent some: what is equal already is that.
  bool resumes = false;
  // Chunks that the target is known to hold data of stay as they are, and are not read, though they
  // count as bytes_read: for a source that is but a guess at what comes next.
  bool only_fills = false;
  // Chunks outside are what the target holds already, and are neither read nor compared; they count
  // as bytes_skipped. None: all of the disk is compared.
  ChangedExtents changed = {};
};

// On an error the target holds what was committed, and nothing it does not announce. kCancelled
// when the stop was asked for.
[[nodiscard]] Result<TransferStats> MakeEqual(const Disk& source, TransferTarget& target,
                                              const TransferOptions& options);

}  // namespace asr
