// The errors that image formats share. OpenDisk and Disk::Read add the file's name to them.
#pragma once

#include <string>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

// `what` says which field or block is wrong, where it is and what it should be.
[[nodiscard]] Error CorruptImage(std::string what);

[[nodiscard]] Error UnsupportedImage(std::string what, std::string action);

// kBusy (kImageInUse, retryable) if somebody has the file open for writing: a guest that runs
// writes between our reads.
[[nodiscard]] Status RequireAtRest(FileSystem& fs, const std::string& path);

// `error`, which reading the image at `path` gave; but if that is kCorrupt and somebody writes to
// the file, what RequireAtRest says, for then nobody can tell whether it is damaged.
[[nodiscard]] Error InUseOr(FileSystem& fs, const std::string& path, Error error);

}  // namespace asr
