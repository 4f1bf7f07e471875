// A thin face on SQLite: connections, statements and transactions that return errors as values.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "storage/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace asr {

struct SqlOptions {
  // False: the newest commits may be gone after a power loss; the database stays consistent.
  bool durable = true;
  // How long a statement waits for other processes before it fails with kBusy.
  std::chrono::milliseconds busy_timeout{10'000};
  // Recommended action of every error that says the file is damaged or cannot be opened.
  std::string damaged_advice;
};

// A value to bind. Text is only looked at, and copied when it is bound.
class SqlValue {
 public:
  SqlValue(std::nullptr_t) {}
  template <std::integral T>
  SqlValue(T integer) : value_(static_cast<std::int64_t>(integer)) {}
  SqlValue(std::string_view text) : value_(text) {}
  SqlValue(const std::string& text) : value_(std::string_view(text)) {}
  SqlValue(const char* text) : value_(std::string_view(text)) {}
  template <class T>
  SqlValue(const std::optional<T>& value) : SqlValue(value ? SqlValue(*value) : nullptr) {}

 private:
  friend class SqlStatement;
  std::variant<std::monostate, std::int64_t, std::string_view> value_;
};

// What a database and its statements share. Of database.cc.
struct SqlConnection;

// A prepared statement; lives no longer than its database.
class SqlStatement {
 public:
  SqlStatement(SqlStatement&& other) noexcept;
  SqlStatement& operator=(SqlStatement&&) = delete;
  ~SqlStatement();

  // To the next row: true if there is one.
  [[nodiscard]] Result<bool> Step();
  // Makes it ready to run once more, with other values.
  [[nodiscard]] Status Rebind(std::initializer_list<SqlValue> values);

  // Columns of the current row, from 0. NULL reads as 0 and "".
  [[nodiscard]] bool IsNull(int column) const;
  [[nodiscard]] std::int64_t Integer(int column) const;
  [[nodiscard]] std::uint64_t Unsigned(int column) const;
  [[nodiscard]] std::string Text(int column) const;
  // Valid until the next Step or Rebind.
  [[nodiscard]] std::string_view View(int column) const;

 private:
  friend class SqlDatabase;
  SqlStatement(SqlConnection* connection, sqlite3_stmt* statement);
  [[nodiscard]] Status Bind(std::initializer_list<SqlValue> values);

  SqlConnection* connection_;
  sqlite3_stmt* statement_;
};

// Rolled back unless it was committed.
class SqlTransaction {
 public:
  SqlTransaction(SqlTransaction&& other) noexcept;
  SqlTransaction& operator=(SqlTransaction&&) = delete;
  ~SqlTransaction();
  [[nodiscard]] Status Commit();

 private:
  friend class SqlDatabase;
  explicit SqlTransaction(SqlConnection* connection) : connection_(connection) {}
  SqlConnection* connection_;
};

// A connection to a database file in WAL mode, with foreign keys enforced. To be used by one thread
// at a time, and never across a fork.
//
// Errors have code kDatabase and name the file. Kinds: kCorrupt (damaged, or no database), kBusy
// (locked by others for longer than the timeout; retryable), kNoSpace, kState (a constraint), kIo.
class SqlDatabase {
 public:
  // Creates the file with mode 0600 if it is missing; its directory must exist.
  [[nodiscard]] static Result<SqlDatabase> Open(const std::string& path, SqlOptions options);
  // Looks at a database that exists, and writes nothing: neither to it nor files beside it. What
  // would change it fails. Sees all that was committed before; if another process begins to use the
  // database just then, what is read may be an error.
  [[nodiscard]] static Result<SqlDatabase> OpenForReading(const std::string& path,
                                                          SqlOptions options);
  SqlDatabase(SqlDatabase&&) noexcept;
  SqlDatabase& operator=(SqlDatabase&&) noexcept;
  ~SqlDatabase();

  // Runs a script of statements that need no values.
  [[nodiscard]] Status Execute(const std::string& script);
  // Runs one statement to its end; `values` become ?1, ?2, ... Returns how many rows it changed.
  [[nodiscard]] Result<std::int64_t> Run(std::string_view sql,
                                         std::initializer_list<SqlValue> values);
  [[nodiscard]] Result<SqlStatement> Prepare(std::string_view sql,
                                             std::initializer_list<SqlValue> values);
  // The first column of the first row; nullopt if there is no row.
  [[nodiscard]] Result<std::optional<std::int64_t>> QueryInteger(
      std::string_view sql, std::initializer_list<SqlValue> values);

  // Write takes the write lock at once, so that what it reads stays true until it commits.
  [[nodiscard]] Result<SqlTransaction> BeginWrite();
  // All reads until its end see one state of the database.
  [[nodiscard]] Result<SqlTransaction> BeginRead();

  [[nodiscard]] std::int64_t last_insert_rowid() const;
  [[nodiscard]] const std::string& path() const;

 private:
  explicit SqlDatabase(std::unique_ptr<SqlConnection> connection);
  std::unique_ptr<SqlConnection> connection_;
};

}  // namespace asr
