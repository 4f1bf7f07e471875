// An open file of the machine, with direct I/O where a request is aligned for it.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "storage/base/file_descriptor.h"
#include "storage/fs/file_system.h"

namespace asr {

// Of no block device: their size and writes only StampOf tells.
[[nodiscard]] FileStamp StampFromStat(const struct stat& status);
// Of an open file; `path` is for errors.
[[nodiscard]] Result<FileStamp> StampOf(int descriptor, const std::string& path);

[[nodiscard]] Result<std::unique_ptr<File>> OpenPosixFile(const std::string& path,
                                                          OpenOptions options);

}  // namespace asr
