// Credentials of this machine, and which of them opens a vault.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "core/jobs/environment.h"
#include "storage/auth/credential_store.h"
#include "storage/auth/storage_location.h"
#include "storage/http/authorizer.h"

namespace asr {

// Those in STATE_DIR/credentials. `environment`'s file system must outlive it.
[[nodiscard]] CredentialStore CredentialsOf(const Environment& environment);

// Keeps it under `name`. The same again is fine, unchanged; kState (kAlreadyExists) if there is
// another of that name, unless `replace`. A SAS that has run out is refused (kCredentialExpired),
// one that is about to is warned of; so is a certificate's file that others may read, or that holds
// no certificate with its key (kCredentialInvalid).
[[nodiscard]] Result<CredentialSummary> AddCredential(Environment& environment,
                                                      const std::string& name,
                                                      const StoredCredential& credential,
                                                      bool replace);

// A credential whose kind UsesEntraId, as it is kept under a name.
struct EntraIdentity {
  std::string name;
  StoredCredential credential;
};

// Signs in with Entra ID as `identity`; null: as whoever this machine's surroundings say we are
// (DefaultAzureCredential). Called for https only.
using EntraSignIn =
    std::function<Result<std::unique_ptr<Authorizer>>(const EntraIdentity* identity)>;

// The name under which `asr login` keeps who signed in, unless it is told another.
inline constexpr const char* kLoginName = "login";
// "asr login --name NAME"
[[nodiscard]] std::string LoginCommand(const std::string& name);

struct CredentialChoice {
  std::string name;                     // as --credential gives it; empty: whatever is found
  EntraSignIn entra_sign_in = nullptr;  // none: Entra ID is left out
  // Set once the service has taken it: from then on a person is asked for another SAS when a kept
  // one ends (sas_reload.h). Null: nobody is asked.
  std::shared_ptr<const std::atomic<bool>> is_in_use = nullptr;
};

// The credential for `location`: the one of that name; else what the variables of `az storage` say
// of its account; else who signed in with `asr login`, unless
// variables name an application; else whoever Entra ID finds. A SAS that ends
// within 7 days is warned of, and one that goes over plain http to another machine; one that is
// kept under a name is read again when it has run out or is refused, so that work goes on with a
// new one (sas_reload.h). kNotFound (kCredentialNotFound) if there is none; kCredentialExpired;
// kCredentialInvalid if it is for another account, or would send a token over plain http.
// `environment`'s file system, clock and progress must outlive the result.
[[nodiscard]] Result<std::unique_ptr<Authorizer>> FindAuthorizer(Environment& environment,
                                                                 const StorageLocation& location,
                                                                 const CredentialChoice& choice);

// What signs hand-outs of a storage account.
struct Signer {
  Secret key;                         // the account's; empty: see below
  std::unique_ptr<Authorizer> entra;  // asks the account for a key in the name of who signed in
};
// Of the credential that FindAuthorizer finds. kUnsupported (kCredentialInvalid) for a SAS, which
// cannot sign another one.
[[nodiscard]] Result<Signer> FindSigner(Environment& environment, const StorageLocation& location,
                                        const CredentialChoice& choice);

}  // namespace asr
