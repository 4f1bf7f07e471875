// Reads a replica's bytes, for by digests alone nobody would see that they were damaged.
#pragma once

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/vault/disk_replica.h"
#include "storage/image/disk.h"

namespace asr {

struct DeepFindings {
  std::uint64_t damaged_bytes = 0;  // all of them; those that cannot be read are among them
  std::uint64_t unreadable_chunks = 0;
  // Of the unreadable ones, those that the source does not hold any more: recovery points that
  // share them have lost them.
  std::uint64_t lost_chunks = 0;
};

// Chunks that cannot be read, or whose bytes are not what their digests say, become unknown: the
// pass that follows sends them. Before that, recovery points that share such a chunk are given its
// bytes from the source, if their digest is that of the chunk. If it is not, and the chunk cannot
// be read even after a pause, they are given a text that tells that it is lost, whose digest no
// point has. kIo, with nothing given up, where so much cannot be read that the device itself must
// be in trouble. kCancelled when the stop was asked for; what was
// found until then is marked.
[[nodiscard]] Result<DeepFindings> MarkDamagedChunks(DiskReplica& replica, const Disk& source,
                                                     DigestAlgorithm algorithm, Clock& clock,
                                                     TaskProgress& progress,
                                                     const std::stop_token& stop);

}  // namespace asr
