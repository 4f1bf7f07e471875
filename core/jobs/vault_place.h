// Where vaults lie: directories of this machine, and containers of Azure Blob Storage.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/jobs/environment.h"
#include "storage/blob/blob_store.h"

namespace asr {

inline constexpr std::string_view kFileScheme = "file://";

// A path or file:///dir as "file:///absolute/dir", a container's URL as it is, without opening
// anything. kUsage for other schemes, and for a URL with a secret in it.
[[nodiscard]] Result<std::string> NormalizeTarget(const std::string& target);

// "/srv/vault" of "file:///srv/vault"; empty if `place` is no directory.
[[nodiscard]] std::string DirectoryOf(const std::string& place);

// What opens a vault that is no directory.
struct PlaceAccess {
  std::string credential;  // by name; empty: what the environment has
  std::string ca_file;     // as in Environment
};

// `place` as NormalizeTarget gives it. `create`: makes it if it is not there; else kNotFound.
// Directories need no access. `vault_id`: of the vault that must be there, for what this machine
// keeps of its lists; empty: it keeps nothing.
[[nodiscard]] Result<std::unique_ptr<BlobStore>> OpenPlace(Environment& environment,
                                                           const std::string& place,
                                                           const PlaceAccess& access, bool create,
                                                           const std::string& vault_id = "");

// The directory with the names under which this machine takes leases of a container.
[[nodiscard]] std::string LeaseDirectoryOf(const Environment& environment,
                                           const std::string& place);

// The file with what lists of vaults have read (storage/blob/document_cache.h).
[[nodiscard]] std::string ListCachePath(const Environment& environment);

// A vault is alone in its place, so that deleting it can never take what is not its own. kState
// (kVaultExists) if something else is there; fine if a vault is, or nothing. Of a directory before
// it is opened, for it may hold what is no blob; of a container after.
[[nodiscard]] Status RequireEmptyDirectory(Environment& environment, const std::string& place);
[[nodiscard]] Status RequireNothingForeign(const std::string& place, BlobStore& store);

}  // namespace asr
