// A store in memory: the behaviour of the others without their files. Thread-safe.
#pragma once

#include <memory>

#include "storage/blob/blob_store.h"

namespace asr {

[[nodiscard]] std::unique_ptr<BlobStore> MakeMemoryStore();

}  // namespace asr
