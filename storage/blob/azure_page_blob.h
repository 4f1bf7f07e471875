// Page blobs of Azure Blob Storage, for reading and for their one writer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/blob/azure_client.h"
#include "storage/blob/azure_fence.h"
#include "storage/blob/blob_store.h"

namespace asr {

// As BlobStore says. `fence`: of the lease under which it is written; null without one.
[[nodiscard]] Result<std::unique_ptr<PageBlob>> CreateAzurePageBlob(
    AzureClient& client, Clock& clock, const std::string& name, std::uint64_t size_bytes,
    const std::shared_ptr<const LeaseFence>& fence);
[[nodiscard]] Result<std::unique_ptr<PageBlob>> OpenAzurePageBlob(
    AzureClient& client, Clock& clock, const std::string& name,
    const std::shared_ptr<const LeaseFence>& fence);

}  // namespace asr
