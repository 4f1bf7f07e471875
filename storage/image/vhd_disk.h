// Fixed and dynamic VHD.
#pragma once

#include <memory>

#include "storage/image/mapped_disk.h"

namespace asr {

// Checks every structure and every block before it returns.
// Errors: kCorrupt, kUnsupported (differencing), kIo.
[[nodiscard]] Result<std::unique_ptr<Disk>> OpenVhd(ImageFile image);

}  // namespace asr
