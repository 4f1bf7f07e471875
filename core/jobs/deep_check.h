// Reads a replica's bytes, for by digests alone nobody would see that they were damaged.
#pragma once

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/vault/disk_replica.h"

namespace asr {

// Chunks whose bytes are not what their digests say become unknown: the pass that follows sends
// them. Returns their bytes. kCancelled when the stop was asked for; what was found until then is
// marked.
[[nodiscard]] Result<std::uint64_t> MarkDamagedChunks(DiskReplica& replica,
                                                      DigestAlgorithm algorithm,
                                                      TaskProgress& progress,
                                                      const std::stop_token& stop);

}  // namespace asr
