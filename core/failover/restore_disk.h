// Writes one disk of a recovery point as a new image file.
#pragma once

#include "core/model/point.h"
#include "core/transfer/make_equal.h"
#include "core/vault/vault.h"
#include "storage/fs/file_system.h"

namespace asr {

struct RestoredImage {
  std::string path;
  std::string format;    // "raw", "vhd", "vhd-dynamic", "vhdx" or "qcow2"
  bool replace = false;  // a file of that name; else it is kState
};

// Bytes that a restore of this disk will write, by its digests.
[[nodiscard]] Result<std::uint64_t> BytesToRestore(Vault& vault, const RecoveryPoint& point,
                                                   const PointDisk& disk);

// The file appears under its name only when it is whole, durable and equal to its digests; until
// then it is PATH.partial-XXXXXXXX; what a crash leaves of that goes with the next restore to PATH.
// kBusy (kLocked) while another restore writes it. kCorrupt (kPointCorrupt) if the
// vault's bytes are not those that were replicated. The caller has pinned the point.
// options.algorithm is set here.
[[nodiscard]] Status RestoreDisk(FileSystem& fs, Vault& vault, const RecoveryPoint& point,
                                 const PointDisk& disk, const RestoredImage& image,
                                 TransferOptions options);

}  // namespace asr
