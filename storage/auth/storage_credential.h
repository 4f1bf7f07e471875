// Credentials for storage accounts that need no directory: connection strings, keys, SAS.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/auth/sas.h"
#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/http/authorizer.h"

namespace asr {

// Either a key or a SAS.
struct StorageCredential {
  std::string source;    // for messages: "AZURE_STORAGE_KEY", "connection string"
  std::string account;   // empty if only the URL says it
  std::string endpoint;  // of the blob service, without '/' at its end; empty if not given
  Secret key;            // in Base64
  Secret sas;            // without '?'
};

// All forms: DefaultEndpointsProtocol, AccountName, AccountKey, EndpointSuffix, BlobEndpoint,
// SharedAccessSignature, UseDevelopmentStorage. kCredentialInvalid, without any value in its text.
[[nodiscard]] Result<StorageCredential> ParseConnectionString(const Secret& text);

// A variable's value; nullopt if it is not set or empty.
using VariableLookup = std::function<std::optional<std::string>(const std::string& name)>;
[[nodiscard]] VariableLookup ProcessVariables();

// What `az storage` reads, in its order: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY,
// AZURE_STORAGE_SAS_TOKEN, with AZURE_STORAGE_ACCOUNT for the latter two. nullopt if there is none,
// or if what there is belongs to an account other than `account`.
[[nodiscard]] Result<std::optional<StorageCredential>> FindInEnvironment(
    const VariableLookup& environment, std::string_view account);

// `account` where the credential itself names none. `clock` must outlive it.
[[nodiscard]] Result<std::unique_ptr<Authorizer>> MakeAuthorizer(
    const StorageCredential& credential, const std::string& account, const Clock& clock);

}  // namespace asr
