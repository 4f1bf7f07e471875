// The metadata region of a VHDX: what kind of disk it is ([MS-VHDX] 2.6).
#pragma once

#include <cstdint>
#include <optional>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/mapped_disk.h"

namespace asr {

struct VhdxMetadata {
  std::uint64_t disk_bytes = 0;             // whole logical sectors, at most 64 TiB
  std::uint64_t block_bytes = 0;            // a power of two, 1 to 256 MiB
  std::uint32_t logical_sector_bytes = 0;   // 512 or 4096
  std::uint32_t physical_sector_bytes = 0;  // the same; 0: the image does not say
  bool leave_blocks_allocated = false;      // a fixed disk
  std::optional<ParentLink> parent;         // of a differencing disk
};

// `region` lies inside the file. Nothing in it carries a checksum: all values are checked for
// sense, none can be checked for truth.
// Errors: kCorrupt, kUnsupported (a required item that is not known), kIo.
[[nodiscard]] Result<VhdxMetadata> ReadVhdxMetadata(File& file, Extent region);

}  // namespace asr
