// A store in a container of a server that a test has started.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "storage/auth/storage_credential.h"
#include "storage/blob/azure_store.h"
#include "storage/http/curl_transport.h"

namespace asr::testing {

// `Server` has url() and ConnectionString(). `machine` names who takes leases: two of them are as
// two machines, each with a `leases_directory` of its own.
template <class Server>
Result<std::unique_ptr<BlobStore>> OpenTestStore(const Server& server,
                                                 const std::string& leases_directory, bool create,
                                                 const std::string& machine = "host1",
                                                 Clock& clock = SystemClock(),
                                                 const std::string& cache_path = "",
                                                 const std::string& vault_id = "v") {
  ASR_TRY(const StorageCredential credential,
          ParseConnectionString(Secret(server.ConnectionString())));
  ASR_TRY(auto authorizer, MakeAuthorizer(credential, credential.account, clock));
  ASR_TRY(auto transport, CurlTransport::Create({}));
  return OpenAzureStore({.container_url = server.url() + "/vault",
                         .transport = std::move(transport),
                         .authorizer = std::move(authorizer),
                         .leases = {PosixFileSystem(), leases_directory, machine},
                         .cache_path = cache_path,
                         .vault_id = vault_id,
                         .stop = {}},
                        create, clock);
}

}  // namespace asr::testing
