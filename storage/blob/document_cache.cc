#include "storage/blob/document_cache.h"

#include <array>
#include <utility>

#include "storage/base/checksum.h"
#include "storage/sqlite/migrations.h"

namespace asr {
namespace {

// Larger ones are no documents.
constexpr std::size_t kMostCachedBytes = 256 * kKiB;
constexpr std::array<const char*, 1> kSchema = {R"sql(
CREATE TABLE documents (
  vault TEXT NOT NULL,
  name TEXT NOT NULL,
  etag TEXT NOT NULL,
  text TEXT NOT NULL,
  checksum TEXT NOT NULL,
  PRIMARY KEY (vault, name)
) STRICT, WITHOUT ROWID;
)sql"};

SqlOptions Options() {
  return {.durable = false, .busy_timeout = std::chrono::milliseconds(1000), .damaged_advice = ""};
}

// Of the whole row: nothing of it may be another's.
std::string ChecksumOf(const std::string& vault, const std::string& name, std::string_view etag,
                       std::string_view text) {
  std::string all = vault + '\n' + name + '\n';
  all.append(etag).append("\n").append(text);
  return ToHex(ComputeSha256(AsBytes(all)));
}

// All names that begin with `prefix` are before it.
std::string EndOf(std::string prefix) {
  if (prefix.empty()) return "\x7F";
  ++prefix.back();
  return prefix;
}

Result<SqlDatabase> OpenFile(const std::string& path) {
  ASR_TRY(SqlDatabase database, SqlDatabase::Open(path, Options()));
  ASR_CHECK(Migrate(database, kSchema, ""));
  return database;
}

void RemoveDatabase(FileSystem& fs, const std::string& path) {
  for (const char* ending : {"", "-wal", "-shm"}) {
    static_cast<void>(fs.RemoveFile(path + ending).has_value());
  }
}

}  // namespace

// It goes when it is damaged: the next process begins a new one.
void DocumentCache::Note(const Error& error) {
  if (error.kind == ErrorKind::kBusy) return;
  if (error.kind == ErrorKind::kCorrupt) RemoveDatabase(fs_, path_);
  database_.reset();
  is_unusable_ = true;
}

SqlDatabase* DocumentCache::Open() {
  if (path_.empty() || is_unusable_) return nullptr;
  if (database_) return &*database_;
  auto opened = OpenFile(path_);
  if (!opened && opened.error().kind == ErrorKind::kCorrupt) {
    RemoveDatabase(fs_, path_);
    opened = OpenFile(path_);
  }
  if (!opened) {
    Note(opened.error());
    return nullptr;
  }
  database_.emplace(*std::move(opened));
  return &*database_;
}

std::vector<std::optional<std::string>> DocumentCache::Find(
    const std::vector<CachedDocument>& wanted) {
  std::vector<std::optional<std::string>> none(wanted.size());
  const std::lock_guard lock(mutex_);
  SqlDatabase* const database = wanted.empty() ? nullptr : Open();
  if (database == nullptr) return none;
  auto found = TryFind(*database, wanted);
  if (found) return *std::move(found);
  Note(found.error());
  return none;
}

Result<std::vector<std::optional<std::string>>> DocumentCache::TryFind(
    SqlDatabase& database, const std::vector<CachedDocument>& wanted) {
  std::vector<std::optional<std::string>> found(wanted.size());
  ASR_TRY(const SqlTransaction reading, database.BeginRead());
  ASR_TRY(SqlStatement row,
          database.Prepare("SELECT text, checksum FROM documents WHERE vault = ?1 AND name = ?2 "
                           "AND etag = ?3",
                           {"", "", ""}));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASR_CHECK(row.Rebind({vault_, wanted[i].name, wanted[i].etag}));
    ASR_TRY(const bool is_known, row.Step());
    if (!is_known) continue;
    const std::string_view text = row.View(0);
    if (row.View(1) != ChecksumOf(vault_, wanted[i].name, wanted[i].etag, text)) continue;
    found[i] = std::string(text);
  }
  return found;
}

void DocumentCache::Put(const std::vector<CachedDocument>& documents) {
  const std::lock_guard lock(mutex_);
  SqlDatabase* const database = documents.empty() ? nullptr : Open();
  if (database == nullptr) return;
  if (const Status put = TryPut(*database, documents); !put) Note(put.error());
}

Status DocumentCache::TryPut(SqlDatabase& database, const std::vector<CachedDocument>& documents) {
  ASR_TRY(SqlTransaction writing, database.BeginWrite());
  for (const CachedDocument& document : documents) {
    if (document.text.size() > kMostCachedBytes || document.etag.empty()) continue;
    ASR_CHECK(database.Run("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5)",
                           {vault_, document.name, document.etag, document.text,
                            ChecksumOf(vault_, document.name, document.etag, document.text)}));
  }
  return writing.Commit();
}

void DocumentCache::Remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  SqlDatabase* const database = Open();
  if (database == nullptr) return;
  const auto removed =
      database->Run("DELETE FROM documents WHERE vault = ?1 AND name = ?2", {vault_, name});
  if (!removed) Note(removed.error());
}

void DocumentCache::Retain(const std::string& prefix,
                           const std::function<bool(const std::string&)>& stays) {
  const std::lock_guard lock(mutex_);
  SqlDatabase* const database = Open();
  if (database == nullptr) return;
  if (const Status done = TryRetain(*database, prefix, stays); !done) Note(done.error());
}

Status DocumentCache::TryRetain(SqlDatabase& database, const std::string& prefix,
                                const std::function<bool(const std::string&)>& stays) {
  std::vector<std::string> gone;
  {
    ASR_TRY(SqlStatement row,
            database.Prepare("SELECT name FROM documents WHERE vault = ?1 AND name >= ?2 AND "
                             "name < ?3",
                             {vault_, prefix, EndOf(prefix)}));
    while (true) {
      ASR_TRY(const bool is_row, row.Step());
      if (!is_row) break;
      std::string name = row.Text(0);
      if (!stays(name)) gone.push_back(std::move(name));
    }
  }
  if (gone.empty()) return {};
  ASR_TRY(SqlTransaction writing, database.BeginWrite());
  for (const std::string& name : gone) {
    ASR_CHECK(database.Run("DELETE FROM documents WHERE vault = ?1 AND name = ?2", {vault_, name}));
  }
  return writing.Commit();
}

void ForgetCachedDocuments(FileSystem& fs, const std::string& path, const std::string& vault) {
  if (!fs.Stat(path)) return;
  DocumentCache(fs, path, vault).Retain("", [](const std::string&) { return false; });
}

Result<std::vector<CachedDocument>> ReadCachedDocuments(const std::string& path,
                                                        const std::string& vault) {
  SqlOptions options = Options();
  options.busy_timeout = std::chrono::milliseconds(0);
  ASR_TRY(SqlDatabase database, SqlDatabase::OpenForReading(path, options));
  ASR_TRY(SqlStatement row, database.Prepare("SELECT name, etag, text, checksum FROM documents "
                                             "WHERE vault = ?1 ORDER BY name",
                                             {vault}));
  std::vector<CachedDocument> documents;
  while (true) {
    ASR_TRY(const bool is_row, row.Step());
    if (!is_row) return documents;
    CachedDocument document{.name = row.Text(0), .etag = row.Text(1), .text = row.Text(2)};
    if (row.View(3) == ChecksumOf(vault, document.name, document.etag, document.text)) {
      documents.push_back(std::move(document));
    }
  }
}

}  // namespace asr
