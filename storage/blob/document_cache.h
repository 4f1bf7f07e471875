// What this machine has read of a vault's documents, so that a list need not read again what did
// not change: each with the ETag under which the service showed it. One SQLite file, which several
// vaults and processes may use at once. It can be lost, damaged or older than the vault: what it
// holds counts only for an ETag that the service has just told, and is checked.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/sqlite/database.h"

namespace asr {

struct CachedDocument {
  std::string name;
  std::string etag;  // without quotes
  std::string text;
};

// Thread-safe. Trouble with the file is none of the caller's: nothing is known then.
class DocumentCache {
 public:
  // `path`: its directory must exist; empty: keeps nothing. `vault` tells the vaults apart, also
  // those that came after one another at the same place. `fs` outlives this.
  DocumentCache(FileSystem& fs, std::string path, std::string vault)
      : fs_(fs), path_(std::move(path)), vault_(std::move(vault)) {}

  // The text of each that is known under this ETag, in the order of `wanted`; its `text` is
  // ignored.
  [[nodiscard]] std::vector<std::optional<std::string>> Find(
      const std::vector<CachedDocument>& wanted);
  // In place of what was known of these names. Large ones are not kept.
  void Put(const std::vector<CachedDocument>& documents);
  void Remove(const std::string& name);
  // Forgets those below `prefix` of whose name `stays` is false.
  void Retain(const std::string& prefix, const std::function<bool(const std::string&)>& stays);

 private:
  [[nodiscard]] SqlDatabase* Open();
  [[nodiscard]] Result<std::vector<std::optional<std::string>>> TryFind(
      SqlDatabase& database, const std::vector<CachedDocument>& wanted);
  [[nodiscard]] Status TryPut(SqlDatabase& database, const std::vector<CachedDocument>& documents);
  [[nodiscard]] Status TryRetain(SqlDatabase& database, const std::string& prefix,
                                 const std::function<bool(const std::string&)>& stays);
  void Note(const Error& error);

  FileSystem& fs_;
  const std::string path_;
  const std::string vault_;
  std::mutex mutex_;  // guards what follows
  std::optional<SqlDatabase> database_;
  bool is_unusable_ = false;
};

// All of the file about one vault: when it is disconnected.
void ForgetCachedDocuments(FileSystem& fs, const std::string& path, const std::string& vault);

// What is kept of documents of `vault`, by name, without asking anybody, and without writing:
// for names that a person is about to type. As old as the last list.
[[nodiscard]] Result<std::vector<CachedDocument>> ReadCachedDocuments(const std::string& path,
                                                                      const std::string& vault);

}  // namespace asr
