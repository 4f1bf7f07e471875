// Vaults and hosts as this machine knows them.
#include <utility>

#include <fmt/format.h>

#include "core/state/implementation.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::string_view kSelectVaults =
    "SELECT name, target, id, is_default, credential, ca_file FROM vaults";
constexpr std::string_view kSelectHosts = "SELECT name, kind, path FROM hosts";

VaultRegistration ReadVault(const SqlStatement& row) {
  return {row.Text(0), row.Text(1), row.Text(2), row.Integer(3) != 0, row.Text(4), row.Text(5)};
}

HostRegistration ReadHost(const SqlStatement& row) {
  return {row.Text(0), row.Text(1), row.Text(2)};
}

template <class Registration>
Result<std::vector<Registration>> ReadAll(SqlDatabase& database, std::string_view select,
                                          Registration (*read)(const SqlStatement&)) {
  ASR_TRY(SqlStatement rows, database.Prepare(fmt::format("{} ORDER BY name", select), {}));
  std::vector<Registration> all;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return all;
    all.push_back(read(rows));
  }
}

// "did you mean main? Known: main, old. ", or "" if there are none.
template <class Registration>
std::string Suggest(const std::string& wanted, const std::vector<Registration>& known) {
  std::vector<std::string> names;
  for (const Registration& one : known) names.push_back(one.name);
  if (names.empty()) return "";
  const std::string nearest = NearestName(wanted, names);
  const std::string question = nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest);
  return fmt::format("{}Known here: {}; ", question, fmt::join(names, ", "));
}

Error NoSuchVault(const std::string& name, const std::vector<VaultRegistration>& known) {
  if (name.empty()) {
    const bool none = known.empty();
    return MakeError(ErrorKind::kNotFound, ErrorCode::kVaultNotFound,
                     none ? "no vault is registered on this machine" : "no vault is the default")
        .WithAction(none ? "create one (asr vault create NAME --target DIR), or connect to one "
                           "(asr vault connect NAME --target DIR)"
                         : Suggest(name, known) +
                               "choose one with asr vault use NAME, or give --vault NAME");
  }
  return MakeError(ErrorKind::kNotFound, ErrorCode::kVaultNotFound,
                   fmt::format("there is no vault named '{}' on this machine", name))
      .WithAction(Suggest(name, known) + "see asr vault list, or asr vault connect NAME");
}

Error NoSuchHost(const std::string& name, const std::vector<HostRegistration>& known) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kHostNotFound,
                   fmt::format("there is no host named '{}' on this machine", name))
      .WithAction(Suggest(name, known) + "see asr host list, or asr host add NAME");
}

}  // namespace

Status StateDatabase::AddVault(const VaultRegistration& vault) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const auto known, ReadAll(database, kSelectVaults, ReadVault));
  for (const VaultRegistration& other : known) {
    if (other.name != vault.name) continue;
    return Fail(
        MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                  fmt::format("vault name '{}' is taken by {}", vault.name, other.target))
            .WithAction("choose another name, or asr vault disconnect " + ShellQuote(vault.name)));
  }
  ASR_CHECK(database.Run(
      "INSERT INTO vaults VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
      {vault.name, vault.target, vault.id, known.empty(), vault.credential, vault.ca_file}));
  return transaction.Commit();
}

Status StateDatabase::SetVaultAccess(const std::string& name, const std::string& credential,
                                     const std::string& ca_file) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(const std::int64_t found,
          database.Run("UPDATE vaults SET credential = ?2, ca_file = ?3 WHERE name = ?1",
                       {name, credential, ca_file}));
  if (found != 0) return {};
  ASR_TRY(const auto known, ReadAll(database, kSelectVaults, ReadVault));
  return Fail(NoSuchVault(name, known));
}

Result<std::vector<VaultRegistration>> StateDatabase::ListVaults() {
  const std::lock_guard lock(implementation_->mutex);
  return ReadAll(implementation_->database, kSelectVaults, ReadVault);
}

Result<VaultRegistration> StateDatabase::FindVault(const std::string& name) {
  ASR_TRY(const auto known, ListVaults());
  for (const VaultRegistration& vault : known) {
    if (name.empty() ? vault.is_default : vault.name == name) return vault;
  }
  return Fail(NoSuchVault(name, known));
}

Status StateDatabase::UseVault(const std::string& name) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_CHECK(database.Run("UPDATE vaults SET is_default = 0", {}));
  ASR_TRY(const std::int64_t found,
          database.Run("UPDATE vaults SET is_default = 1 WHERE name = ?1", {name}));
  if (found == 0) {
    ASR_TRY(const auto known, ReadAll(database, kSelectVaults, ReadVault));
    return Fail(NoSuchVault(name, known));
  }
  return transaction.Commit();
}

Status StateDatabase::RemoveVault(const std::string& name) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(SqlTransaction transaction, database.BeginWrite());
  ASR_TRY(const std::int64_t found, database.Run("DELETE FROM vaults WHERE name = ?1", {name}));
  if (found == 0) {
    ASR_TRY(const auto known, ReadAll(database, kSelectVaults, ReadVault));
    return Fail(NoSuchVault(name, known));
  }
  // Where more than one is left, people choose: commands must not turn to another vault unasked.
  ASR_CHECK(
      database.Run("UPDATE vaults SET is_default = 1 WHERE (SELECT count(*) FROM vaults) = 1", {}));
  ASR_CHECK(
      database.Run("DELETE FROM disk_cursors WHERE vault_id NOT IN (SELECT id FROM vaults)", {}));
  ASR_CHECK(database.Run(
      "UPDATE item_schedules SET view = '' WHERE vault_id NOT IN (SELECT id FROM vaults)", {}));
  return transaction.Commit();
}

Status StateDatabase::AddHost(const HostRegistration& host) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(const std::int64_t added,
          database.Run("INSERT INTO hosts VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                       {host.name, host.kind, host.path}));
  if (added != 0) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kHostExists,
                        fmt::format("host name '{}' is taken", host.name))
                  .WithAction("choose another name, or asr host remove " + ShellQuote(host.name)));
}

Result<std::vector<HostRegistration>> StateDatabase::ListHosts() {
  const std::lock_guard lock(implementation_->mutex);
  return ReadAll(implementation_->database, kSelectHosts, ReadHost);
}

Result<HostRegistration> StateDatabase::FindHost(const std::string& name) {
  ASR_TRY(const auto known, ListHosts());
  for (const HostRegistration& host : known) {
    if (host.name == name) return host;
  }
  return Fail(NoSuchHost(name, known));
}

Status StateDatabase::RemoveHost(const std::string& name) {
  const std::lock_guard lock(implementation_->mutex);
  SqlDatabase& database = implementation_->database;
  ASR_TRY(const std::int64_t found, database.Run("DELETE FROM hosts WHERE name = ?1", {name}));
  if (found != 0) return {};
  ASR_TRY(const auto known, ReadAll(database, kSelectHosts, ReadHost));
  return Fail(NoSuchHost(name, known));
}

}  // namespace asr
