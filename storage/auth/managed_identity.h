// The identity that Azure gave to the machine or service we run on.
#pragma once

#include <memory>
#include <string>

#include "storage/auth/storage_credential.h"
#include "storage/auth/token_source.h"
#include "storage/http/http_client.h"

namespace asr {

struct ManagedIdentityOptions {
  std::string client_id;  // of a user-assigned identity; empty: the machine's own
  // Where the agent of Azure Arc puts its keys: a challenge may name no file elsewhere.
  std::string arc_key_directory = "/var/opt/azcmagent/tokens";
};

// By the variables that the platform sets: App Service (IDENTITY_ENDPOINT with IDENTITY_HEADER;
// MSI_ENDPOINT with MSI_SECRET), Azure Arc (IDENTITY_ENDPOINT with IMDS_ENDPOINT), else the
// metadata service of a virtual machine (AZURE_POD_IDENTITY_AUTHORITY_HOST in place of
// 169.254.169.254). That one is asked once, for a second; kCredentialNotFound if nobody answers.
// `client` and `clock` must outlive it.
[[nodiscard]] std::unique_ptr<TokenSource> MakeManagedIdentitySource(
    const VariableLookup& environment, ManagedIdentityOptions options, HttpClient& client,
    const Clock& clock);

}  // namespace asr
