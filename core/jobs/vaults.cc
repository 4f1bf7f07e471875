#include "core/jobs/vaults.h"

#include <utility>

#include <fmt/format.h>

#include "core/jobs/waiting_changes.h"
#include "core/transfer/throttle.h"
#include "core/vault/layout.h"
#include "storage/base/text.h"
#include "storage/blob/document_cache.h"
#include "storage/blob/memory_store.h"
#include "storage/blob/throttled_store.h"

namespace asr {
namespace {

std::string DigestDirectoryOf(const Environment& environment, const std::string& vault_id) {
  return JoinPath(JoinPath(environment.state_directory, "digests"), vault_id);
}

// The registration of `name`, if there is one.
Result<std::optional<VaultRegistration>> Registered(Environment& environment,
                                                    const std::string& name) {
  ASR_TRY(const auto vaults, environment.state.ListVaults());
  for (const VaultRegistration& vault : vaults) {
    if (vault.name == name) return vault;
  }
  return std::nullopt;
}

Error NameTaken(const VaultRegistration& vault) {
  return MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                   fmt::format("vault '{}' is registered already, at {}", vault.name, vault.target))
      .WithAction(fmt::format("take another name, or forget it first: asr vault disconnect {}",
                              vault.name));
}

// Registers the opened vault, and tells how it is registered.
Result<VaultRegistration> RegisterVault(Environment& environment, const std::string& name,
                                        const std::string& target, const Vault& vault) {
  ASR_CHECK(environment.state.AddVault({.name = name,
                                        .target = target,
                                        .id = vault.identity().id,
                                        .is_default = false,
                                        .credential = environment.credential,
                                        .ca_file = environment.ca_file}));
  return environment.state.FindVault(name);
}

// A registered vault was opened with `access`: it is opened with that from now on.
Result<VaultRegistration> RegisterAccess(Environment& environment, const VaultRegistration& known,
                                         const PlaceAccess& access) {
  if (access.credential == known.credential && access.ca_file == known.ca_file) return known;
  ASR_CHECK(environment.state.SetVaultAccess(known.name, access.credential, access.ca_file));
  return environment.state.FindVault(known.name);
}

std::unique_ptr<BlobStore> Throttled(const Environment& environment,
                                     std::shared_ptr<BlobStore> store) {
  return ThrottleStore(std::move(store),
                       [throttle = environment.throttle, stop = environment.stop](
                           std::uint64_t bytes) { return throttle->Admit(bytes, stop); });
}

}  // namespace

PlaceAccess AccessOf(const Environment& environment, const VaultRegistration* known) {
  PlaceAccess access{.credential = environment.credential, .ca_file = environment.ca_file};
  if (known != nullptr && access.credential.empty()) access.credential = known->credential;
  if (known != nullptr && access.ca_file.empty()) access.ca_file = known->ca_file;
  return access;
}

Result<VaultRegistration> CreateVault(Environment& environment, const std::string& name,
                                      const std::string& target, DigestAlgorithm algorithm) {
  ASR_TRY(const std::string place, NormalizeTarget(target));
  ASR_TRY(const auto known, Registered(environment, name));
  if (known) {
    if (known->target != place) return Fail(NameTaken(*known));
    ASR_TRY(const auto vault, OpenVault(environment, name));
    if (vault->identity().algorithm == algorithm) {
      return RegisterAccess(environment, *known, AccessOf(environment, &*known));
    }
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                          fmt::format("vault '{}' was created with --digest {}", name,
                                      DigestAlgorithmName(vault->identity().algorithm)))
                    .WithAction("a vault keeps its digest; create another vault"));
  }
  ASR_CHECK(RequireEmptyDirectory(environment, place));
  ASR_TRY(auto store,
          OpenPlace(environment, place, AccessOf(environment, nullptr), /*create=*/true));
  ASR_CHECK(RequireNothingForeign(place, *store));
  ASR_TRY(const auto vault,
          Vault::Create(std::move(store), name, algorithm, environment.clock.Now()));
  return RegisterVault(environment, name, place, *vault);
}

Result<VaultRegistration> ConnectVault(Environment& environment, const std::string& name,
                                       const std::string& target,
                                       const ForgottenAccess& forgotten) {
  ASR_TRY(const std::string place, NormalizeTarget(target));
  ASR_TRY(const auto known, Registered(environment, name));
  if (known && known->target != place) return Fail(NameTaken(*known));
  VaultRegistration rest = known.value_or(VaultRegistration{});
  if (forgotten.credential) rest.credential.clear();
  if (forgotten.ca_file) rest.ca_file.clear();
  const PlaceAccess access = AccessOf(environment, &rest);
  auto store = OpenPlace(environment, place, access, /*create=*/false);
  if (!store && IsNotFound(store.error())) {
    return Fail(NoVaultAt(place));
  }
  ASR_CHECK(store);
  ASR_TRY(const auto vault, Vault::Open(*std::move(store), name));
  if (known) return RegisterAccess(environment, *known, access);
  return RegisterVault(environment, name, place, *vault);
}

Result<std::unique_ptr<BlobStore>> OpenVaultStore(Environment& environment,
                                                  const VaultRegistration& registration) {
  auto store = OpenPlace(environment, registration.target, AccessOf(environment, &registration),
                         /*create=*/false, registration.id);
  if (store || DirectoryOf(registration.target).empty()) {
    if (store) return store;
    return Fail(std::move(store).error().WithContext("vault " + registration.name));
  }
  Error error = std::move(store).error();
  error.code = ErrorCode::kVaultUnreachable;
  error.causes.insert(error.causes.begin(), "the vault's file system is not mounted");
  error.action = fmt::format("make {} reachable, then run the command again", registration.target);
  return Fail(std::move(error).WithContext("vault " + registration.name));
}

std::string NetworkWarning(Environment& environment, const VaultRegistration& registration) {
  const std::string directory = DirectoryOf(registration.target);
  if (directory.empty()) return "";
  const auto type = environment.fs.NetworkType(directory);
  if (!type || type->empty()) return "";
  return fmt::format(
      "the vault '{}' lies on {}: locks there do not stop a machine that was cut off from writing "
      "when it comes back; let one machine alone use the vault, or put it on a local file system",
      registration.name, *type);
}

std::unique_ptr<Vault> ThrottledVault(const Environment& environment,
                                      const std::shared_ptr<Vault>& vault) {
  return vault->Through(Throttled(environment, std::shared_ptr<BlobStore>(vault, &vault->store())));
}

Result<std::unique_ptr<Vault>> OpenVault(Environment& environment, const std::string& name) {
  ASR_TRY(const VaultRegistration registration, environment.state.FindVault(name));
  ASR_TRY(auto store, OpenVaultStore(environment, registration));
  if (environment.throttle) store = Throttled(environment, std::move(store));
  ASR_TRY(auto vault, Vault::Open(std::move(store), registration.name));
  if (vault->identity().id != registration.id) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kVaultUnreachable,
                          fmt::format("at {} is another vault than the one registered as '{}'",
                                      registration.target, registration.name))
                    .WithCause("another file system is mounted there, or the vault was replaced")
                    .WithAction(fmt::format("if it is meant: asr vault disconnect {0}; asr vault "
                                            "connect {0} --target {1}",
                                            registration.name, registration.target)));
  }
  if (DirectoryOf(registration.target).empty()) {
    vault->KeepDigests({environment.fs, DigestDirectoryOf(environment, registration.id)});
  }
  return vault;
}

Result<std::unique_ptr<Vault>> OpenVaultForNames(Environment& environment,
                                                 const std::string& name) {
  ASR_TRY(const VaultRegistration registration, environment.state.FindVault(name));
  if (!DirectoryOf(registration.target).empty()) return OpenVault(environment, name);
  ASR_TRY(const auto known, ReadCachedDocuments(ListCachePath(environment), registration.id));
  auto store = MakeMemoryStore();
  for (const CachedDocument& document : known) {
    ASR_CHECK(store->Put(document.name, AsBytes(document.text)));
  }
  return Vault::Open(std::move(store), registration.name);
}

Status ForgetVault(Environment& environment, const VaultRegistration& registration) {
  ASR_CHECK(environment.state.RemoveVault(registration.name));
  const std::string digests = DigestDirectoryOf(environment, registration.id);
  const std::string leases = LeaseDirectoryOf(environment, registration.target);
  for (const std::string& directory : {digests, leases}) {
    static_cast<void>(environment.fs.RemoveTree(directory).has_value());
  }
  ForgetCachedDocuments(environment.fs, ListCachePath(environment), registration.id);
  return {};
}

namespace {

Status RequireNoTestFailovers(Environment& environment, const VaultRegistration& registration) {
  ASR_TRY(const auto tests, environment.state.ListTestFailovers());
  for (const TestFailover& test : tests) {
    if (test.vault_id != registration.id) continue;
    return Fail(
        MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                  fmt::format("a test failover of item {} is not cleaned up yet", test.item.value))
            .WithAction(fmt::format("asr test-failover-cleanup {} --vault {}",
                                    ShellQuote(test.item.value), ShellQuote(registration.name))));
  }
  return {};
}

// What the layout owns, and nothing else that may lie in the directory. vault.json goes last: until
// then a second try still finds a vault.
Status DeleteContent(Environment& environment, Vault& vault) {
  ASR_TRY(const auto listing, vault.ListItems());
  // These first: they are refused where a newer version may read them, or another process works.
  for (const UnreadableItem& damaged : listing.unreadable) {
    ASR_CHECK(vault.DeleteDamagedItem(damaged.id));
    Item item;
    item.id = damaged.id;
    item.name = damaged.id.value;
    ASR_CHECK(ForgetItem(environment, vault, item));
  }
  for (const Item& item : listing.items) {
    ASR_TRY(const auto lease, vault.LeaseItem(item));
    ASR_CHECK(ForgetItem(environment, vault, item));
    ASR_CHECK(vault.DeleteItem(item.id));
  }
  for (const std::string_view prefix : layout::kAllPrefixes) {
    ASR_TRY(const auto blobs, vault.store().List(std::string(prefix)));
    for (const BlobInfo& blob : blobs) ASR_CHECK(vault.store().Delete(blob.name));
  }
  // Of deletions that were cut: no list of blobs shows these.
  ASR_TRY(const auto remains, vault.store().ListRemains(std::string(layout::kItems)));
  for (const BlobRemains& left : remains) ASR_CHECK(vault.store().Delete(left.name));
  return vault.store().Delete(std::string(layout::kVaultDocument));
}

}  // namespace

Status DeleteVault(Environment& environment, const std::string& name) {
  ASR_TRY(const VaultRegistration registration, environment.state.FindVault(name));
  ASR_CHECK(RequireNoTestFailovers(environment, registration));
  const auto vault = OpenVault(environment, name);
  // Without vault.json an earlier try had deleted all but the registration.
  const bool gone = !vault && vault.error().code == ErrorCode::kVaultNotFound;
  if (!gone) {
    if (!vault) return Fail(vault.error());
    ASR_CHECK(DeleteContent(environment, **vault));
  }
  ASR_TRY(const auto store, OpenVaultStore(environment, registration));
  ASR_CHECK(store->RemovePlace());
  return ForgetVault(environment, registration);
}

}  // namespace asr
