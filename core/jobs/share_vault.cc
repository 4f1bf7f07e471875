#include "core/jobs/share_vault.h"

#include <fmt/format.h>

#include "core/jobs/credentials.h"
#include "core/jobs/entra_sign_in.h"
#include "core/jobs/vault_place.h"
#include "core/jobs/vaults.h"
#include "storage/auth/storage_location.h"
#include "storage/auth/user_delegation.h"
#include "storage/http/curl_transport.h"

namespace asr {

Status RequireShareable(const VaultRegistration& vault) {
  const std::string directory = DirectoryOf(vault.target);
  if (directory.empty()) return {};
  return Fail(
      MakeError(ErrorKind::kUnsupported, ErrorCode::kCredentialInvalid,
                fmt::format("vault {} lies in a directory, which no signature opens", vault.name))
          .WithAction("let others read the directory: " + directory));
}

Result<SharedVault> ShareVault(Environment& environment, const VaultRegistration& vault,
                               const ShareRequest& request) {
  ASR_CHECK(RequireShareable(vault));
  ASR_TRY(const ParsedLocation parsed, ParseStorageUrl(vault.target));
  const StorageLocation& location = parsed.location;
  const PlaceAccess access = AccessOf(environment, &vault);
  ASR_TRY(const Signer signer,
          FindSigner(environment, location,
                     {.name = access.credential,
                      .entra_sign_in = MakeEntraSignIn(environment, access.ca_file)}));
  const SasRequest sas{.container = location.container,
                       .blob = {},
                       .snapshot = {},
                       .permissions = "rl",
                       .starts_at = {},
                       .expires_at = request.expires_at,
                       .is_https_only = location.is_https(),
                       .ip_range = request.ip_range};
  SharedVault shared{.url = vault.target, .sas = {}};
  if (!signer.key.empty()) {
    ASR_TRY(shared.sas, MakeServiceSas(location.account, signer.key, sas));
    return shared;
  }
  ASR_TRY(const auto transport, CurlTransport::Create({.ca_file = access.ca_file}));
  HttpClient client(*transport, environment.clock);
  ASR_TRY(const UserDelegationKey key,
          GetUserDelegationKey(client, location, *signer.entra, environment.clock.Now(),
                               request.expires_at, environment.stop));
  ASR_TRY(shared.sas, MakeUserDelegationSas(location.account, key, sas));
  return shared;
}

}  // namespace asr
