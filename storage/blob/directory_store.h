// A vault's blobs in a directory of a local file system; format: asr-vault(5). Several processes
// may use one directory at the same time.
#pragma once

#include <memory>
#include <string>

#include "storage/base/clock.h"
#include "storage/blob/blob_store.h"
#include "storage/fs/file_system.h"

namespace asr {

// `create`: makes the directory, with parents, if there is none; else a missing one is kNotFound
// (kFileNotFound). `fs` and `clock` outlive the store and all that it opens.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> OpenDirectoryStore(FileSystem& fs,
                                                                    const std::string& path,
                                                                    bool create,
                                                                    Clock& clock = SystemClock());

}  // namespace asr
