// The log of a VHDX ([MS-VHDX] 2.3): changes that its writer had promised, and perhaps not yet put
// in their places when it stopped.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/replayed_file.h"
#include "storage/image/vhdx_header.h"

namespace asr {

struct VhdxReplay {
  std::vector<LogPatch> patches;  // in the order in which they apply
  std::uint64_t file_bytes = 0;   // what the file has afterwards
  std::size_t entry_count = 0;
};

// What the log asks for. The header's log is not empty (log_guid is not zero), and lies inside the
// file of `file_bytes`, in whole MiB. Reads no more than a few times the log's length.
// Errors: kCorrupt (kImageDirtyLog) if there is no sequence of entries that may be replayed, or if
// the file is shorter than the log remembers; kUnsupported for another log version, or a log larger
// than any that is written; kIo.
[[nodiscard]] Result<VhdxReplay> ReadVhdxLog(File& file, std::uint64_t file_bytes,
                                             const VhdxHeader& header);

}  // namespace asr
