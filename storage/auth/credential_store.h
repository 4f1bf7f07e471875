// Credentials that this machine keeps by name, each in a file of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/auth/stored_credential.h"
#include "storage/fs/file_system.h"

namespace asr {

struct CredentialListing {
  std::vector<CredentialSummary> credentials;  // by name
  std::vector<std::pair<std::string, Error>> unreadable;
};

// The files DIRECTORY/NAME.json, mode 0600, in a directory of mode 0700. A name is what can be no
// path: 1 to 64 letters, digits, '-', '_' and '.', beginning with a letter, a digit or '_'; kUsage
// for any other.
class CredentialStore {
 public:
  // `fs` must outlive it. The directory is made by the first Save.
  CredentialStore(FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  enum class IfThere : std::uint8_t { kReplace, kFail };
  // Durable, all or nothing; what CheckCredential refuses is refused. The same content again is
  // fine; other content is kState (kAlreadyExists) with kFail. kBusy while another process changes
  // credentials; kState (kCredentialInvalid) if others may look into the directory.
  [[nodiscard]] Status Save(const std::string& name, const StoredCredential& credential,
                            IfThere if_there) const;
  // kNotFound (kCredentialNotFound) with the nearest name; kCredentialInvalid if others than its
  // owner may read the file, or if it is damaged.
  [[nodiscard]] Result<StoredCredential> Read(const std::string& name) const;
  [[nodiscard]] Result<CredentialListing> List() const;
  // Puts `fresh` in the place of its secret, if that still is `used`; else changes nothing. Whole
  // or not at all. Fails as Read does; kBusy if another process is changing credentials now.
  [[nodiscard]] Status ReplaceSecret(const std::string& name, const Secret& used,
                                     const Secret& fresh) const;
  // Also one that cannot be read. kNotFound (kCredentialNotFound) as Read.
  [[nodiscard]] Status Remove(const std::string& name) const;
  // Fails as Remove does for a name that is not there; changes nothing.
  [[nodiscard]] Status RequireExists(const std::string& name) const;

 private:
  [[nodiscard]] std::string PathOf(const std::string& name) const;
  [[nodiscard]] Result<std::vector<std::string>> Names() const;
  [[nodiscard]] Error NoSuch(const std::string& name) const;
  [[nodiscard]] Result<std::unique_ptr<FileLock>> LockForChange() const;
  [[nodiscard]] Status RemoveRemains(const std::string& name) const;

  FileSystem& fs_;
  const std::string directory_;
};

}  // namespace asr
