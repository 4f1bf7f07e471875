// Writes one disk of a recovery point as a new image file.
#pragma once

#include "core/failover/partial_image.h"
#include "core/model/point.h"
#include "core/transfer/make_equal.h"
#include "core/vault/vault.h"
#include "storage/fs/file_system.h"

namespace asr {

// Bytes that a restore of this disk will write, by its digests.
[[nodiscard]] Result<std::uint64_t> BytesToRestore(Vault& vault, const RecoveryPoint& point,
                                                   const PointDisk& disk);

// The file appears under its name only when it is whole, durable and equal to its digests; until
// then it is PartialImage's. What of that an earlier restore wrote is read back and compared with
// the point's digests, and not read from the vault again if it is right: see image.resume.
// kBusy (kLocked) while another restore writes it. kCorrupt (kPointCorrupt) if the vault's bytes
// are not those that were replicated. The caller has pinned the point. options.algorithm, its
// buffers and options.resumes are set here.
[[nodiscard]] Status RestoreDisk(FileSystem& fs, Vault& vault, const RecoveryPoint& point,
                                 const PointDisk& disk, const RestoredImage& image,
                                 TransferOptions options);

}  // namespace asr
