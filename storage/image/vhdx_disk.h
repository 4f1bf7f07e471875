// VHDX ([MS-VHDX]): fixed, dynamic and differencing. A log that its writer left is replayed in
// memory.
#pragma once

#include <memory>

#include "storage/image/mapped_disk.h"

namespace asr {

// Checks every structure and every block before it returns. The caller finds the parent of a
// differencing disk.
// Errors: kCorrupt, kUnsupported (unknown required parts), kIo.
[[nodiscard]] Result<std::unique_ptr<MappedDisk>> OpenVhdx(ImageFile image);

}  // namespace asr
