// Sends what a change log holds: the other half of a delta.
#pragma once

#include "core/changes/change_log.h"
#include "core/transfer/make_equal.h"

namespace asr {

// Applies the entries in the order of the log; where two overlap the later one wins. Each entry is
// made of whole chunks of a disk of `disk_bytes`, and every chunk must have the digest that was
// noted when it was logged, or nothing of it is sent: kCorrupt (kLogCorrupt). After an error the
// target holds some of the log. Run again, from the beginning, it sends what is missing, and ends
// with the same. kCancelled when the stop was asked for.
[[nodiscard]] Result<TransferStats> ApplyLog(const ChangeLog& log, std::uint64_t disk_bytes,
                                             TransferTarget& target,
                                             const TransferOptions& options);

// The value that SpoolTarget announced, of what the target holds now.
[[nodiscard]] Result<DiskDigest> ReadDiskDigest(TransferTarget& target, std::uint64_t disk_bytes);

}  // namespace asr
