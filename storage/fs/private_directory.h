// Directories and files that only their owner may look into.
#pragma once

#include <cstdint>
#include <string>

#include "storage/fs/file_system.h"

namespace asr {

// Creates `path` with mode 0700, and missing parents as FileSystem does. A directory that is there
// already keeps its mode. Durable when it returns.
[[nodiscard]] Status CreatePrivateDirectory(FileSystem& fs, const std::string& path);

// The permissions of others than its owner on `path` (mode & 077).
[[nodiscard]] Result<std::uint32_t> PermissionsOfOthers(const std::string& path);

// As WriteFileAtomic, with mode 0600 from the beginning.
[[nodiscard]] Status WritePrivateFileAtomic(FileSystem& fs, const std::string& path,
                                            ByteSpan bytes);

}  // namespace asr
