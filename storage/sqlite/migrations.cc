#include "storage/sqlite/migrations.h"

#include <cstddef>

#include <fmt/format.h>

namespace asr {
namespace {

Result<std::size_t> ReadKnownVersion(SqlDatabase& database, std::size_t newest_known,
                                     const std::string& newer_advice) {
  ASR_TRY(const auto stored, database.QueryInteger("PRAGMA user_version", {}));
  const auto version = static_cast<std::size_t>(stored.value_or(0));
  if (version <= newest_known) return version;
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kDatabase,
                        fmt::format("database {} has schema version {}; this program knows {}",
                                    database.path(), version, newest_known))
                  .WithCause("a newer version of this program has used it")
                  .WithAction(newer_advice));
}

}  // namespace

Status Migrate(SqlDatabase& database, std::span<const char* const> steps,
               const std::string& newer_advice) {
  ASR_TRY(std::size_t version, ReadKnownVersion(database, steps.size(), newer_advice));
  if (version == steps.size()) return {};
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  // Another process may have done it while this one waited.
  ASR_TRY(version, ReadKnownVersion(database, steps.size(), newer_advice));
  for (; version < steps.size(); ++version) {
    ASR_CHECK(database.Execute(steps[version]));
    ASR_CHECK(database.Execute(fmt::format("PRAGMA user_version={}", version + 1)));
  }
  return transaction.Commit();
}

}  // namespace asr
