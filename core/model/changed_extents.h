// What may have changed of a disk since an earlier state of it.
#pragma once

#include <functional>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

// Parts of a window of the disk that may have changed, ascending and joined; all others are as they
// were. Thread-safe. Ask in windows of a GiB or so: memory is that of the answer.
using ChangedExtents = std::function<Result<std::vector<Extent>>(Extent window)>;

}  // namespace asr
