// What this machine knows of items: cursors of their disks, and their test failovers.
#include <utility>

#include "core/state/implementation.h"

namespace asr {
namespace {

constexpr std::string_view kSelectTests =
    "SELECT vault_id, item, point, job, state, directory, machine, started, vm, cleanup_due "
    "FROM test_failovers";

TestFailover ReadTest(const SqlStatement& row) {
  TestFailover test;
  test.vault_id = row.Text(0);
  test.item = {row.Text(1)};
  test.point = {row.Text(2)};
  test.job = {row.Text(3)};
  test.state = row.Text(4);
  test.directory = row.Text(5);
  test.machine_json = row.Text(6);
  test.started = FromMilliseconds(row.Integer(7));
  test.vm = row.Text(8);
  if (!row.IsNull(9)) test.cleanup_due = FromMilliseconds(row.Integer(9));
  return test;
}

}  // namespace

Status StateDatabase::PutCursor(const DiskCursor& cursor) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT OR REPLACE INTO disk_cursors VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      {cursor.vault_id, cursor.item.value, cursor.disk.value, cursor.point.value,
       cursor.stamps_json, ToMilliseconds(cursor.pass_started), ToMilliseconds(cursor.full_read)}));
  return {};
}

Result<std::optional<DiskCursor>> StateDatabase::FindCursor(const std::string& vault_id,
                                                            const ItemId& item,
                                                            const DiskName& disk) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement row, implementation_->database.Prepare(
                                "SELECT point, stamps, pass_started, full_read FROM disk_cursors "
                                "WHERE vault_id = ?1 AND item = ?2 AND disk = ?3",
                                {vault_id, item.value, disk.value}));
  ASR_TRY(const bool found, row.Step());
  if (!found) return std::optional<DiskCursor>{};
  DiskCursor cursor;
  cursor.vault_id = vault_id;
  cursor.item = item;
  cursor.disk = disk;
  cursor.point = {row.Text(0)};
  cursor.stamps_json = row.Text(1);
  cursor.pass_started = FromMilliseconds(row.Integer(2));
  cursor.full_read = FromMilliseconds(row.Integer(3));
  return std::optional<DiskCursor>{std::move(cursor)};
}

Status StateDatabase::RemoveCursors(const std::string& vault_id, const ItemId& item) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "DELETE FROM disk_cursors WHERE vault_id = ?1 AND item = ?2", {vault_id, item.value}));
  return {};
}

Status StateDatabase::PutTestFailover(const TestFailover& test) {
  std::optional<std::int64_t> cleanup_due;
  if (test.cleanup_due) cleanup_due = ToMilliseconds(*test.cleanup_due);
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "INSERT OR REPLACE INTO test_failovers (vault_id, item, point, job, state, directory, "
      "machine, started, vm, cleanup_due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
      {test.vault_id, test.item.value, test.point.value, test.job.value, test.state, test.directory,
       test.machine_json, ToMilliseconds(test.started), test.vm, cleanup_due}));
  return {};
}

Result<std::optional<TestFailover>> StateDatabase::FindTestFailover(const std::string& vault_id,
                                                                    const ItemId& item) {
  ASR_TRY(auto tests, ListTestFailovers());
  for (TestFailover& test : tests) {
    if (test.vault_id == vault_id && test.item == item) {
      return std::optional<TestFailover>{std::move(test)};
    }
  }
  return std::optional<TestFailover>{};
}

Result<std::vector<TestFailover>> StateDatabase::ListTestFailovers() {
  const std::lock_guard lock(implementation_->mutex);
  ASR_TRY(SqlStatement rows,
          implementation_->database.Prepare(
              std::string(kSelectTests) + " ORDER BY started, vault_id, item", {}));
  std::vector<TestFailover> tests;
  while (true) {
    ASR_TRY(const bool has_row, rows.Step());
    if (!has_row) return tests;
    tests.push_back(ReadTest(rows));
  }
}

Status StateDatabase::RemoveTestFailover(const std::string& vault_id, const ItemId& item) {
  const std::lock_guard lock(implementation_->mutex);
  ASR_CHECK(implementation_->database.Run(
      "DELETE FROM test_failovers WHERE vault_id = ?1 AND item = ?2", {vault_id, item.value}));
  return {};
}

}  // namespace asr
