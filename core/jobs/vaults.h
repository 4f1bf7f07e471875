// Vaults as this machine knows them: create, connect, open, forget, delete.
#pragma once

#include <memory>
#include <string>

#include "core/jobs/environment.h"
#include "core/jobs/vault_place.h"
#include "core/model/digest.h"
#include "core/vault/vault.h"

namespace asr {

// `target`: a path, file:///dir, or the URL of a container. Registers the vault under `name`, with
// the credential and the CA file of the environment; the first becomes the default. Again with the
// same arguments: fine, unchanged; with another credential or CA file it is opened with those from
// now on, if that goes well. kState if the name or the place is taken by another.
[[nodiscard]] Result<VaultRegistration> CreateVault(Environment& environment,
                                                    const std::string& name,
                                                    const std::string& target,
                                                    DigestAlgorithm algorithm);

// Of what is kept with a vault's registration: what it is to be opened without.
struct ForgottenAccess {
  bool credential = false;
  bool ca_file = false;
};

// Registers an existing vault, again as CreateVault; one that is known loses what is `forgotten`,
// if it can be opened so. kNotFound (kVaultNotFound) if there is none at `target`.
[[nodiscard]] Result<VaultRegistration> ConnectVault(Environment& environment,
                                                     const std::string& name,
                                                     const std::string& target,
                                                     const ForgottenAccess& forgotten = {});

// What opens a vault that is registered, or (null) is about to be: what the command says, else what
// is known.
[[nodiscard]] PlaceAccess AccessOf(const Environment& environment, const VaultRegistration* known);

// Opens the vault registered as `name`; empty: the default.
[[nodiscard]] Result<std::unique_ptr<Vault>> OpenVault(Environment& environment,
                                                       const std::string& name);

// The same, to look up names that a person is about to type: of one that would have to be asked
// over the network, what this machine knows of its lists, which may be nothing, or old. Read only.
[[nodiscard]] Result<std::unique_ptr<Vault>> OpenVaultForNames(Environment& environment,
                                                               const std::string& name);

// `vault`, which was opened without a throttle, for one job: what it sends waits for the
// environment's throttle, which it must have, and no longer than until its stop.
[[nodiscard]] std::unique_ptr<Vault> ThrottledVault(const Environment& environment,
                                                    const std::shared_ptr<Vault>& vault);

// Takes its registration away, and what this machine keeps of its lists,
// digests and leases. Its data stays.
[[nodiscard]] Status ForgetVault(Environment& environment, const VaultRegistration& registration);

// The place of a registered vault, whether or not a vault is in it.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> OpenVaultStore(
    Environment& environment, const VaultRegistration& registration);

// In words, if the vault lies on a file system of the network, whose locks do not stop a machine
// that was cut off; empty if it does not, or if it cannot be told.
[[nodiscard]] std::string NetworkWarning(Environment& environment,
                                         const VaultRegistration& registration);

// Deletes all of its data, then forgets it. The caller has asked.
[[nodiscard]] Status DeleteVault(Environment& environment, const std::string& name);

}  // namespace asr
