// A store whose writes wait until they may go: all that is sent to a place passes here.
#pragma once

#include <functional>
#include <memory>

#include "storage/blob/blob_store.h"

namespace asr {

// Called before each write with the bytes that it sends; returns when they may go, or with what
// stops the write. From several threads at once.
using AdmitBytes = std::function<Status(std::uint64_t bytes)>;

// `store` with documents and pages that are admitted before they are written. What it is asked to
// clear, copy or read passes at once.
[[nodiscard]] std::unique_ptr<BlobStore> ThrottleStore(std::shared_ptr<BlobStore> store,
                                                       AdmitBytes admit);

}  // namespace asr
