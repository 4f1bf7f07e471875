#include "core/jobs/vault_place.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/credentials.h"
#include "core/jobs/entra_sign_in.h"
#include "core/vault/layout.h"
#include "storage/auth/storage_location.h"
#include "storage/base/checksum.h"
#include "storage/blob/azure_store.h"
#include "storage/blob/directory_store.h"
#include "storage/http/curl_transport.h"

namespace asr {
namespace {

constexpr std::string_view kSecretHint =
    "put the SAS into AZURE_STORAGE_SAS_TOKEN, or store it: asr credential add";

Error BadTarget(const std::string& target, const std::string& why) {
  // What stands behind '?' may be a secret.
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("'{}' cannot be a vault's place: {}",
                               target.substr(0, target.find('?')), why))
      .WithAction(
          "give a directory (/srv/vault, file:///srv/vault), or a container of Azure Blob Storage "
          "(https://ACCOUNT.blob.core.windows.net/CONTAINER)");
}

bool IsWeb(std::string_view target) {
  return target.starts_with("https://") || target.starts_with("http://");
}

Result<std::string> NormalizeUrl(const std::string& target) {
  ASR_TRY(const ParsedLocation parsed, ParseStorageUrl(target));
  // Lists of processes and the history of shells would show it.
  if (!parsed.sas.empty()) {
    return Fail(
        MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                  fmt::format("the URL of {} has a SAS in it", parsed.location.ContainerUrl()))
            .WithCause("what stands on a command line can be read by others")
            .WithAction(std::string(kSecretHint)));
  }
  if (parsed.location.container.empty()) {
    return Fail(BadTarget(target, "it names no container"));
  }
  return parsed.location.ContainerUrl();
}

Result<std::string> NormalizeDirectory(const std::string& target) {
  std::string path = target;
  if (target.starts_with(kFileScheme)) {
    path = target.substr(kFileScheme.size());
    if (!path.starts_with('/')) return Fail(BadTarget(target, "file:// needs an absolute path"));
  } else if (const auto scheme = target.find("://"); scheme != std::string::npos) {
    return Fail(
        BadTarget(target, fmt::format("there are no '{}' vaults", target.substr(0, scheme))));
  }
  if (path.empty()) return Fail(BadTarget(target, "it is empty"));
  // A container's URL whose scheme was forgotten, most likely; and nothing that names a secret.
  if (path.find("?sv=") != std::string::npos || path.find("sig=") != std::string::npos ||
      path.substr(0, path.find('/')).find(".blob.") != std::string::npos) {
    return Fail(BadTarget(target, "it looks like a URL without https://"));
  }
  std::error_code problem;
  const auto absolute = std::filesystem::absolute(path, problem).lexically_normal();
  if (problem) return Fail(ErrnoError(problem.value(), fmt::format("cannot resolve {}", path)));
  std::string text = absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return std::string(kFileScheme) + text;
}

std::string HostName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

Result<std::unique_ptr<BlobStore>> OpenContainer(Environment& environment, const std::string& place,
                                                 const PlaceAccess& access, bool create,
                                                 const std::string& vault_id) {
  ASR_TRY(const ParsedLocation parsed, ParseStorageUrl(place));
  const auto is_in_use = std::make_shared<std::atomic<bool>>(false);
  ASR_TRY(auto authorizer,
          FindAuthorizer(environment, parsed.location,
                         {.name = access.credential,
                          .entra_sign_in = MakeEntraSignIn(environment, access.ca_file),
                          .is_in_use = is_in_use}));
  ASR_TRY(auto transport, CurlTransport::Create({.ca_file = access.ca_file}));
  auto store =
      OpenAzureStore({.container_url = place,
                      .transport = std::move(transport),
                      .authorizer = std::move(authorizer),
                      .leases = {environment.fs, LeaseDirectoryOf(environment, place), HostName()},
                      .cache_path = ListCachePath(environment),
                      .vault_id = vault_id,
                      .stop = environment.stop},
                     create, environment.clock);
  *is_in_use = store.has_value();
  return store;
}

Error Occupied(const std::string& place, const std::string& name, const std::string& example) {
  return MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                   fmt::format("{} holds something already: {}", place, name))
      .WithAction(example);
}

}  // namespace

Status RequireEmptyDirectory(Environment& environment, const std::string& place) {
  const std::string directory = DirectoryOf(place);
  if (directory.empty()) return {};
  const auto entries = environment.fs.List(directory);
  if (!entries && IsNotFound(entries.error())) return {};
  ASR_CHECK(entries);
  for (const DirectoryEntry& entry : *entries) {
    // Vault::Create says that there is one already.
    if (entry.name == layout::kVaultDocument) return {};
  }
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name == "lost+found" || entry.name == ".locks") continue;
    return Fail(
        Occupied(directory, entry.name,
                 "give an empty or a new directory, for example " + JoinPath(directory, "vault")));
  }
  return {};
}

Status RequireNothingForeign(const std::string& place, BlobStore& store) {
  if (!DirectoryOf(place).empty()) return {};
  ASR_TRY(const auto names, store.ListNames(""));
  for (const std::string& name : names) {
    if (name == layout::kVaultDocument) return {};
  }
  if (names.empty()) return {};
  return Fail(Occupied(store.Description(), names.front(), "give an empty or a new container"));
}

Result<std::string> NormalizeTarget(const std::string& target) {
  return IsWeb(target) ? NormalizeUrl(target) : NormalizeDirectory(target);
}

std::string LeaseDirectoryOf(const Environment& environment, const std::string& place) {
  const std::string key = ToHex(ByteSpan(ComputeSha256(AsBytes(place))).first(8));
  return JoinPath(JoinPath(environment.state_directory, "leases"), key);
}

std::string ListCachePath(const Environment& environment) {
  return JoinPath(environment.state_directory, "lists.db");
}

std::string DirectoryOf(const std::string& place) {
  return place.starts_with(kFileScheme) ? place.substr(kFileScheme.size()) : "";
}

Result<std::unique_ptr<BlobStore>> OpenPlace(Environment& environment, const std::string& place,
                                             const PlaceAccess& access, bool create,
                                             const std::string& vault_id) {
  if (IsWeb(place)) return OpenContainer(environment, place, access, create, vault_id);
  return OpenDirectoryStore(environment.fs, DirectoryOf(place), create);
}

}  // namespace asr
