// Fixed and dynamic VHDX ([MS-VHDX]) with an empty log.
#pragma once

#include <memory>

#include "storage/image/mapped_disk.h"

namespace asr {

// Checks every structure and every block before it returns.
// Errors: kCorrupt, kUnsupported (a log to replay, a parent, unknown required parts), kIo.
[[nodiscard]] Result<std::unique_ptr<Disk>> OpenVhdx(ImageFile image);

}  // namespace asr
