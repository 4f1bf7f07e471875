#include "storage/auth/credential_store.h"

#include <algorithm>

#include <fmt/format.h>

#include "storage/auth/secret_file.h"
#include "storage/base/text.h"
#include "storage/fs/private_directory.h"

namespace asr {
namespace {

constexpr std::string_view kEnding = ".json";
constexpr std::string_view kLock = ".lock";

bool IsName(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  return !name.empty() && name.size() <= kLongest && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

Status CheckName(const std::string& name) {
  if (IsName(name)) return {};
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("'{}' cannot be a credential's name", name))
                  .WithAction("see what there is: asr credential list"));
}

std::string Named(const std::string& name) { return "credential " + name; }

Error Damaged(const std::string& name, const std::string& path) {
  return MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                   fmt::format("{} does not hold a credential that can be used", path))
      .WithContext(Named(name))
      .WithCause("the file was changed by hand, or a newer version wrote it")
      .WithAction(
          fmt::format("give it again: asr credential add {} ... --replace", ShellQuote(name)));
}

Error Exists(const std::string& name) {
  return MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                   fmt::format("there is a credential '{}' already, with other content", name))
      .WithAction("take another name, or put this one in its place: add --replace");
}

}  // namespace

std::string CredentialStore::PathOf(const std::string& name) const {
  return JoinPath(directory_, name + std::string(kEnding));
}

Result<std::vector<std::string>> CredentialStore::Names() const {
  std::vector<std::string> names;
  const auto entries = fs_.List(directory_);
  if (!entries && IsNotFound(entries.error())) return names;
  ASR_CHECK(entries);
  for (const DirectoryEntry& entry : *entries) {
    if (entry.is_directory || !entry.name.ends_with(kEnding)) continue;
    std::string name = entry.name.substr(0, entry.name.size() - kEnding.size());
    if (IsName(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

Error CredentialStore::NoSuch(const std::string& name) const {
  const std::string nearest = NearestName(name, Names().value_or(std::vector<std::string>()));
  return MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                   fmt::format("there is no credential '{}' on this machine{}", name,
                               nearest.empty() ? "" : "; did you mean '" + nearest + "'?"))
      .WithAction(fmt::format(
          "see what there is: asr credential list; or add it: asr credential add {} ...",
          ShellQuote(name)));
}

Result<std::unique_ptr<FileLock>> CredentialStore::LockForChange() const {
  ASR_CHECK(CreatePrivateDirectory(fs_, directory_));
  ASR_TRY(const std::uint32_t others, PermissionsOfOthers(directory_));
  if (others != 0) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                          fmt::format("others may look into {}", directory_))
                    .WithCause("its mode was changed, or the state directory was copied")
                    .WithAction("chmod 700 " + ShellQuote(directory_)));
  }
  return fs_.Lock(JoinPath(directory_, kLock));
}

// Files under temporary names, of writers that died: they hold secrets.
Status CredentialStore::RemoveRemains(const std::string& name) const {
  const std::string beginning = name + std::string(kEnding) + ".tmp-";
  ASR_TRY(const auto entries, fs_.List(directory_));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with(beginning) || entry.name.ends_with(kEnding)) continue;
    ASR_CHECK(fs_.RemoveFile(JoinPath(directory_, entry.name)));
  }
  return {};
}

Status CredentialStore::Save(const std::string& name, const StoredCredential& credential,
                             IfThere if_there) const {
  ASR_CHECK(CheckName(name));
  ASR_CHECK(CheckCredential(credential));
  ASR_TRY(const Secret text, EncodeCredential(credential));
  ASR_TRY(const auto lock, LockForChange());
  ASR_CHECK(RemoveRemains(name));
  const auto known = Read(name);
  if (known && *known == credential) return {};
  if (if_there == IfThere::kFail) {
    if (known) return Fail(Exists(name));
    if (!IsNotFound(known.error())) return Fail(known.error());
  }
  const std::string_view bytes = text.Reveal();
  return WritePrivateFileAtomic(fs_, PathOf(name),
                                std::as_bytes(std::span(bytes.data(), bytes.size())));
}

Status CredentialStore::ReplaceSecret(const std::string& name, const Secret& used,
                                      const Secret& fresh) const {
  ASR_CHECK(CheckName(name));
  ASR_TRY(const auto lock, LockForChange());
  ASR_TRY(StoredCredential credential, Read(name));
  if (credential.secret.Reveal() != used.Reveal()) return {};
  credential.secret = fresh;
  ASR_CHECK(CheckCredential(credential));
  ASR_TRY(const Secret text, EncodeCredential(credential));
  ASR_CHECK(RemoveRemains(name));
  return WritePrivateFileAtomic(fs_, PathOf(name), AsBytes(text.Reveal()));
}

Result<StoredCredential> CredentialStore::Read(const std::string& name) const {
  ASR_CHECK(CheckName(name));
  const std::string path = PathOf(name);
  const auto text = ReadSecretFile(path);
  if (!text && IsNotFound(text.error())) return Fail(NoSuch(name));
  if (!text) return Fail(Error(text.error()).WithContext(Named(name)));
  auto credential = DecodeCredential(*text);
  if (!credential || !CheckCredential(*credential)) return Fail(Damaged(name, path));
  return *std::move(credential);
}

Result<CredentialListing> CredentialStore::List() const {
  ASR_TRY(const auto names, Names());
  CredentialListing listing;
  for (const std::string& name : names) {
    const auto credential = Read(name);
    if (credential) {
      listing.credentials.push_back(Summarize(name, *credential));
    } else if (credential.error().code != ErrorCode::kCredentialNotFound) {  // gone meanwhile
      listing.unreadable.emplace_back(name, credential.error());
    }
  }
  return listing;
}

Status CredentialStore::RequireExists(const std::string& name) const {
  ASR_CHECK(CheckName(name));
  ASR_TRY(const bool exists, PathExists(fs_, PathOf(name)));
  if (!exists) return Fail(NoSuch(name));
  return {};
}

Status CredentialStore::Remove(const std::string& name) const {
  ASR_CHECK(RequireExists(name));
  ASR_TRY(const auto lock, LockForChange());
  ASR_CHECK(RemoveRemains(name));
  const Status removed = fs_.RemoveFile(PathOf(name));
  if (!removed && IsNotFound(removed.error())) return Fail(NoSuch(name));
  ASR_CHECK(removed);
  return fs_.SyncDirectory(directory_);
}

}  // namespace asr
