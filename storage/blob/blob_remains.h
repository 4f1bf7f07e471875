// What deletions and drops that were cut left of page blobs in a directory store.
#pragma once

#include <string>
#include <vector>

#include "storage/blob/blob_store.h"
#include "storage/fs/file_system.h"

namespace asr {

// BlobStore::ListRemains for the store in directory `root`.
[[nodiscard]] Result<std::vector<BlobRemains>> ListRemainsIn(FileSystem& fs,
                                                             const std::string& root,
                                                             const std::string& prefix);

}  // namespace asr
