// What writers that died left in a directory store: files under temporary names (TemporaryPath).
#pragma once

#include <cstddef>
#include <string>

#include "storage/fs/file_system.h"

namespace asr {

// Removes those of the blob at `path`. Whoever writes it by another handle finds its file gone.
[[nodiscard]] Status RemoveUnfinishedWritesOf(FileSystem& fs, const std::string& path);

// The same for all blobs in `directory` and in directories up to `levels` below it; those
// directories below it that held nothing else go, too.
[[nodiscard]] Status RemoveUnfinishedWritesIn(FileSystem& fs, const std::string& directory,
                                              std::size_t levels);

}  // namespace asr
