// Sign-in of an application of Entra ID: by its secret, its certificate, or a token that its
// platform gave it.
#pragma once

#include <memory>
#include <string>

#include "storage/auth/storage_credential.h"
#include "storage/auth/token_source.h"
#include "storage/http/http_client.h"

namespace asr {

struct EntraApplication {
  std::string authority = "https://login.microsoftonline.com";
  std::string tenant;
  std::string client_id;
};

// From AZURE_AUTHORITY_HOST, AZURE_TENANT_ID and AZURE_CLIENT_ID. kCredentialInvalid if the
// authority is not https or a name has characters that do not belong there; kCredentialNotFound if
// tenant or client are not set.
[[nodiscard]] Result<EntraApplication> ApplicationFromEnvironment(
    const VariableLookup& environment);

// `client` and `clock` must outlive what these return.
[[nodiscard]] std::unique_ptr<TokenSource> MakeClientSecretSource(EntraApplication application,
                                                                  Secret secret, HttpClient& client,
                                                                  const Clock& clock);
// The PEM file must have mode 0600; it is read again for every token.
[[nodiscard]] std::unique_ptr<TokenSource> MakeClientCertificateSource(EntraApplication application,
                                                                       std::string pem_path,
                                                                       Secret password,
                                                                       HttpClient& client,
                                                                       const Clock& clock);
// The file is read again for every token: the platform replaces it.
[[nodiscard]] std::unique_ptr<TokenSource> MakeWorkloadIdentitySource(EntraApplication application,
                                                                      std::string token_path,
                                                                      HttpClient& client,
                                                                      const Clock& clock);

// A tenant's id or domain, a client's id: letters, digits, '.', '-'.
[[nodiscard]] bool IsEntraName(std::string_view name);

}  // namespace asr
