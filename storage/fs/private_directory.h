// Directories that only their owner may look into.
#pragma once

#include <string>

#include "storage/fs/file_system.h"

namespace asr {

// Creates `path` with mode 0700, and missing parents as FileSystem does. A directory that is there
// already keeps its mode. Durable when it returns.
[[nodiscard]] Status CreatePrivateDirectory(FileSystem& fs, const std::string& path);

}  // namespace asr
