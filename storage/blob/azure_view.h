// Documents of a container, with as few requests as it takes: a list tells the ETags, and only what
// this machine does not know under these is read.
#pragma once

#include <memory>
#include <string>

#include "storage/blob/azure_client.h"
#include "storage/blob/blob_store.h"
#include "storage/blob/document_cache.h"

namespace asr {

// As BlobStore::View says. `client` and `cache` outlive the view.
[[nodiscard]] Result<std::unique_ptr<BlobView>> MakeAzureView(AzureClient& client,
                                                              DocumentCache& cache,
                                                              const std::string& prefix,
                                                              ViewDepth depth);

}  // namespace asr
