// A vault's blobs in a container of Azure Blob Storage; format: asr-vault(5). Several machines may
// use one container at the same time.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "storage/blob/azure_lease.h"
#include "storage/blob/blob_store.h"
#include "storage/http/authorizer.h"
#include "storage/http/http_transport.h"

namespace asr {

struct AzureStoreOptions {
  std::string container_url;  // "https://account.blob.core.windows.net/container", without secrets
  std::unique_ptr<HttpTransport> transport;
  std::unique_ptr<Authorizer> authorizer;
  LeaseKeeping leases;
  std::string cache_path = {};  // of what lists have read (document_cache.h); empty: none
  std::string vault_id = {};    // what the cache knows the vault by
  std::stop_token stop;  // requests end soon after it is set; leases are given back all the same
};

// `create`: makes the container if there is none; else a missing one is kNotFound (kBlobNotFound).
// `clock` and the file system of the leases outlive the store and all that it opens.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> OpenAzureStore(AzureStoreOptions options,
                                                                bool create,
                                                                Clock& clock = SystemClock());

}  // namespace asr
