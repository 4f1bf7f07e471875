// Who writes to a file of this machine at this moment.
#pragma once

#include <optional>
#include <string>

#include "storage/base/result.h"

namespace asr {

// See FileSystem::FindWriter.
[[nodiscard]] Result<std::optional<std::string>> FindPosixWriter(const std::string& path);

}  // namespace asr
