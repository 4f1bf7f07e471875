#include <sys/stat.h>

#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "storage/fs/file_system.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/migrations.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

constexpr std::array<const char*, 2> kSteps = {
    "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7)",
    "CREATE TABLE b (y TEXT); INSERT INTO b SELECT 'from ' || x FROM a",
};

class SqliteTest : public ::testing::Test {
 protected:
  Result<SqlDatabase> Open(SqlOptions options = {}) {
    if (options.damaged_advice.empty()) options.damaged_advice = "move it away";
    return SqlDatabase::Open(path(), std::move(options));
  }
  std::string path() const { return directory_ / "test.db"; }
  static std::int64_t Count(SqlDatabase& database, std::string_view table) {
    const auto count = database.QueryInteger("SELECT count(*) FROM " + std::string(table), {});
    return count ? count->value_or(-1) : -1;
  }

  asr::testing::TempDir directory_;
};

unsigned ModeOf(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777U : 0;
}

TEST_F(SqliteTest, FilesAreForTheirOwnerOnly) {
  const mode_t old_mask = ::umask(0);
  auto database = Open();
  ASSERT_TRUE(database.has_value());
  ASSERT_TRUE(database->Execute("CREATE TABLE a (x)"));
  ::umask(old_mask);
  EXPECT_EQ(ModeOf(path()), 0600U);
  EXPECT_EQ(ModeOf(path() + "-wal"), 0600U);
  EXPECT_EQ(ModeOf(path() + "-shm"), 0600U);
}

TEST_F(SqliteTest, ValuesReadBackAsBound) {
  auto database = Open();
  ASSERT_TRUE(database.has_value());
  ASSERT_TRUE(database->Execute("CREATE TABLE a (i INTEGER, t TEXT, n TEXT, e TEXT)"));
  const std::string text("a'b\0c", 5);
  ASSERT_TRUE(database->Run("INSERT INTO a VALUES (?1, ?2, ?3, ?4)",
                            {-5, text, std::optional<std::string>{}, std::string_view{}}));
  auto row = database->Prepare("SELECT i, t, n, e FROM a", {});
  ASSERT_TRUE(row.has_value());
  ASSERT_TRUE(row->Step().value());
  EXPECT_EQ(row->Integer(0), -5);
  EXPECT_EQ(row->Text(1), text);
  EXPECT_TRUE(row->IsNull(2));
  EXPECT_EQ(row->Text(2), "");
  EXPECT_FALSE(row->IsNull(3));
  EXPECT_FALSE(row->Step().value());
}

TEST_F(SqliteTest, TransactionIsRolledBackUnlessCommitted) {
  auto database = Open();
  ASSERT_TRUE(database.has_value());
  ASSERT_TRUE(database->Execute("CREATE TABLE a (x)"));
  {
    auto transaction = database->BeginWrite();
    ASSERT_TRUE(transaction.has_value());
    ASSERT_TRUE(database->Run("INSERT INTO a VALUES (1)", {}));
  }
  EXPECT_EQ(Count(*database, "a"), 0);
  auto transaction = database->BeginWrite();
  ASSERT_TRUE(database->Run("INSERT INTO a VALUES (1)", {}));
  ASSERT_TRUE(transaction->Commit());
  EXPECT_EQ(Count(*database, "a"), 1);
}

TEST_F(SqliteTest, LockedByAnotherIsBusyAndRetryable) {
  auto holder = Open();
  SqlOptions impatient;
  impatient.busy_timeout = std::chrono::milliseconds{1};
  auto other = Open(impatient);
  ASSERT_TRUE(holder.has_value() && other.has_value());
  const auto held = holder->BeginWrite();
  ASSERT_TRUE(held.has_value());
  const auto wanted = other->BeginWrite();
  ASSERT_FALSE(wanted.has_value());
  EXPECT_EQ(wanted.error().kind, ErrorKind::kBusy);
  EXPECT_TRUE(wanted.error().retryable);
}

TEST_F(SqliteTest, ConstraintsAreErrorsOfState) {
  auto database = Open();
  ASSERT_TRUE(
      database->Execute("CREATE TABLE a (x PRIMARY KEY); "
                        "CREATE TABLE b (x REFERENCES a (x)); INSERT INTO a VALUES (1)"));
  const auto twice = database->Run("INSERT INTO a VALUES (1)", {});
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().kind, ErrorKind::kState);
  EXPECT_EQ(twice.error().code, ErrorCode::kDatabase);
  const auto foreign = database->Run("INSERT INTO b VALUES (2)", {});
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().kind, ErrorKind::kState);
}

TEST_F(SqliteTest, DamagedFileIsSaidWithAdvice) {
  const std::string noise(8192, 'x');
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), path(), AsBytes(noise)));
  const auto database = Open();
  ASSERT_FALSE(database.has_value());
  EXPECT_EQ(database.error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(database.error().code, ErrorCode::kDatabase);
  EXPECT_EQ(database.error().action, "move it away");
  EXPECT_NE(database.error().message.find(path()), std::string::npos);
}

TEST_F(SqliteTest, WhatIsNoFileCannotBeOpened) {
  ASSERT_TRUE(PosixFileSystem().CreateDirectories(path()));
  const auto database = Open();
  ASSERT_FALSE(database.has_value());
  EXPECT_EQ(database.error().kind, ErrorKind::kIo);
  EXPECT_EQ(database.error().code, ErrorCode::kDatabase);
  EXPECT_EQ(database.error().action, "move it away");
}

TEST_F(SqliteTest, MigratesFromAnyOlderVersion) {
  {
    auto old = Open();
    ASSERT_TRUE(old.has_value());
    ASSERT_TRUE(Migrate(*old, std::span(kSteps).first(1), "newer"));
    ASSERT_TRUE(old->Execute("UPDATE a SET x = 8"));
  }
  auto database = Open();
  ASSERT_TRUE(database.has_value());
  ASSERT_TRUE(Migrate(*database, kSteps, "newer"));
  ASSERT_TRUE(Migrate(*database, kSteps, "newer"));  // nothing left to do
  auto row = database->Prepare("SELECT y FROM b", {});
  ASSERT_TRUE(row.has_value() && row->Step().value());
  EXPECT_EQ(row->Text(0), "from 8");
  EXPECT_EQ(Count(*database, "b"), 1);
}

TEST_F(SqliteTest, RefusesNewerSchema) {
  auto database = Open();
  ASSERT_TRUE(Migrate(*database, kSteps, "newer"));
  const Status status = Migrate(*database, std::span(kSteps).first(1), "use the newer one");
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().kind, ErrorKind::kUnsupported);
  EXPECT_EQ(status.error().action, "use the newer one");
}

TEST_F(SqliteTest, FailedMigrationLeavesTheOldVersion) {
  constexpr std::array<const char*, 2> kBroken = {
      kSteps[0], "CREATE TABLE c (z); INSERT INTO nowhere VALUES (1)"};
  auto database = Open();
  ASSERT_FALSE(Migrate(*database, kBroken, "newer").has_value());
  EXPECT_EQ(Count(*database, "sqlite_master"), 0);
  ASSERT_TRUE(Migrate(*database, kSteps, "newer"));
  EXPECT_EQ(Count(*database, "b"), 1);
}

TEST_F(SqliteTest, ManyMayCreateAndMigrateAtOnce) {
  constexpr int kThreads = 8;
  std::vector<std::string> problems(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, &problems, i] {
      auto database = Open();
      const Status status = database ? Migrate(*database, kSteps, "newer") : Fail(database.error());
      if (!status) problems[static_cast<std::size_t>(i)] = status.error().Line();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(problems, std::vector<std::string>(kThreads));
  auto database = Open();
  EXPECT_EQ(Count(*database, "a"), 1);
  EXPECT_EQ(Count(*database, "b"), 1);
}

}  // namespace
}  // namespace asr
