#include "core/state/state_database.h"

#include <utility>

#include <fmt/format.h>

#include "core/state/implementation.h"
#include "core/state/schema.h"
#include "storage/base/text.h"
#include "storage/fs/private_directory.h"
#include "storage/sqlite/migrations.h"

namespace asr {
namespace {

std::string DamagedAdvice(const std::string& path) {
  const std::string name = ShellQuote(path);
  return fmt::format(
      "move it away with its -wal and -shm files (mv {0} {0}.old) and register again (asr vault "
      "connect, asr host add); everything needed to recover a VM is in the vault",
      name);
}

}  // namespace

StateDatabase::StateDatabase(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

StateDatabase::~StateDatabase() = default;

Result<std::unique_ptr<StateDatabase>> StateDatabase::Open(FileSystem& fs, Clock& clock,
                                                           const std::string& directory) {
  ASR_CHECK(CreatePrivateDirectory(fs, directory));
  const std::string path = JoinPath(directory, "state.db");
  SqlOptions options;
  options.damaged_advice = DamagedAdvice(path);
  ASR_TRY(SqlDatabase database, SqlDatabase::Open(path, std::move(options)));
  ASR_CHECK(Migrate(database, StateSchema(),
                    "use that newer version of asr, or another state directory (--state-dir); "
                    "everything needed to recover a VM is in the vault"));
  auto implementation = std::make_unique<Implementation>(clock, std::move(database));
  return std::unique_ptr<StateDatabase>(new StateDatabase(std::move(implementation)));
}

Result<std::unique_ptr<StateDatabase>> StateDatabase::OpenForReading(Clock& clock,
                                                                     const std::string& directory) {
  SqlOptions options;
  options.busy_timeout = std::chrono::milliseconds{0};
  ASR_TRY(SqlDatabase database,
          SqlDatabase::OpenForReading(JoinPath(directory, "state.db"), std::move(options)));
  ASR_TRY(const auto version, database.QueryInteger("PRAGMA user_version", {}));
  if (version != std::ssize(StateSchema())) {
    return Fail(ErrorKind::kState, ErrorCode::kDatabase,
                fmt::format("database {} is another version's", database.path()));
  }
  auto implementation = std::make_unique<Implementation>(clock, std::move(database));
  return std::unique_ptr<StateDatabase>(new StateDatabase(std::move(implementation)));
}

Status StateDatabase::SetSetting(const std::string& key, const std::string& value) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run("INSERT OR REPLACE INTO settings VALUES (?1, ?2)",
                                          {key, value}));
  return {};
}

Status StateDatabase::CheckIntegrity() {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row, implementation_->database.Prepare("PRAGMA quick_check(1)", {}));
  ASR_TRY(const bool found, row.Step());
  if (found && row.Text(0) == "ok") return {};
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kDatabase,
                        fmt::format("{} is damaged: {}", implementation_->database.path(),
                                    found ? row.Text(0) : "nothing can be read"))
                  .WithAction("move it away: asr makes a new one, and everything needed to recover "
                              "is in the vaults; connect them and add the hosts again"));
}

Result<std::optional<std::string>> StateDatabase::FindSetting(const std::string& key) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row,
          implementation_->database.Prepare("SELECT value FROM settings WHERE key = ?1", {key}));
  ASR_TRY(const bool found, row.Step());
  if (!found) return std::optional<std::string>{};
  return std::optional<std::string>{row.Text(0)};
}

}  // namespace asr
