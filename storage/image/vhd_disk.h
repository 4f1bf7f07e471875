// VHD: fixed, dynamic and differencing.
#pragma once

#include <memory>

#include "storage/image/mapped_disk.h"

namespace asr {

// Checks every structure and every block before it returns. The caller finds the parent of a
// differencing disk.
// Errors: kCorrupt, kUnsupported, kIo.
[[nodiscard]] Result<std::unique_ptr<MappedDisk>> OpenVhd(ImageFile image);

}  // namespace asr
