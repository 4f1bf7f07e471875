#include "storage/sqlite/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "storage/fs/file_system.h"

namespace asr {

struct SqlConnection {
  std::string path;
  std::string damaged_advice;
  sqlite3* handle = nullptr;

  SqlConnection() = default;
  SqlConnection(const SqlConnection&) = delete;
  SqlConnection& operator=(const SqlConnection&) = delete;
  ~SqlConnection() { sqlite3_close_v2(handle); }

  Error MakeSqlError(int code) const;
  Status Execute(const char* script) const {
    const int code = sqlite3_exec(handle, script, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return Fail(MakeSqlError(code));
    return {};
  }
};

namespace {

// Creates the file for its owner only; SQLite gives its -wal and -shm files the same mode.
Status CreatePrivateFile(const std::string& path) {
  // Never opens a file that exists: closing it would drop the locks (fcntl) that another connection
  // of this process holds on it.
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    if (errno == EEXIST) return {};
    return Fail(ErrnoError(errno, fmt::format("cannot create the database {}", path)));
  }
  ::close(descriptor);
  return PosixFileSystem().SyncDirectory(ParentOf(path));
}

// The change to WAL needs the file alone and does not wait for it as other statements do.
Status EnterWalMode(const SqlConnection& connection, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kPause{5};
  int code = SQLITE_OK;
  for (auto waited = kPause * 0; waited <= timeout; waited += kPause) {
    code = sqlite3_exec(connection.handle, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
    if ((code & 0xFF) != SQLITE_BUSY) break;
    sqlite3_sleep(static_cast<int>(kPause.count()));
  }
  if (code != SQLITE_OK) return Fail(connection.MakeSqlError(code));
  return {};
}

// A reader makes -wal and -shm files where there are none, unless it is told that nobody writes:
// who uses a database has both, and the last one to close it takes them away. A process that dies
// while it does leaves the -wal alone, which a reader cannot use without the other.
std::string ReadingUri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '/' || c == '-' || c == '_' || c == '.';
    uri += is_plain ? std::string(1, c)
                    : fmt::format("%{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  const bool in_use =
      ::access((path + "-wal").c_str(), F_OK) == 0 && ::access((path + "-shm").c_str(), F_OK) == 0;
  return uri + (in_use ? "?readonly_shm=1" : "?immutable=1");
}

}  // namespace

Error SqlConnection::MakeSqlError(int code) const {
  const int primary = code & 0xFF;  // the rest of an extended result code is detail
  std::string message =
      fmt::format("database {}: {}", path,
                  handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(primary));
  const int system_problem = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  if (system_problem != 0 && (primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR)) {
    message += fmt::format(" ({})", std::strerror(system_problem));
  }
  const auto make = [&](ErrorKind kind) {
    return MakeError(kind, ErrorCode::kDatabase, std::move(message));
  };
  switch (primary) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make(ErrorKind::kCorrupt)
          .WithCause("the file was damaged, or another program wrote to it")
          .WithAction(damaged_advice);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make(ErrorKind::kBusy)
          .WithCause("another process holds the database for a long time")
          .WithAction("try again; if it stays so, look for a stuck process with: fuser " + path)
          .Retryable();
    case SQLITE_FULL:
      return make(ErrorKind::kNoSpace)
          .WithCause("the file system is full, or the quota is used up")
          .WithAction("free space there, then run the same command again")
          .Retryable();
    case SQLITE_CONSTRAINT:
      return make(ErrorKind::kState);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return make(ErrorKind::kIo)
          .WithCause("this user may not read and write the file, or it is no file")
          .WithAction(damaged_advice);
    case SQLITE_IOERR:
      return make(ErrorKind::kIo).WithCause("the disk below the file failed").Retryable();
    default:
      return make(ErrorKind::kInternal);
  }
}

SqlStatement::SqlStatement(SqlConnection* connection, sqlite3_stmt* statement)
    : connection_(connection), statement_(statement) {}

SqlStatement::SqlStatement(SqlStatement&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}

SqlStatement::~SqlStatement() { sqlite3_finalize(statement_); }

Result<bool> SqlStatement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Fail(connection_->MakeSqlError(code));
}

Status SqlStatement::Bind(std::initializer_list<SqlValue> values) {
  int index = 0;
  for (const SqlValue& value : values) {
    ++index;
    int code = SQLITE_OK;
    if (const auto* integer = std::get_if<std::int64_t>(&value.value_)) {
      code = sqlite3_bind_int64(statement_, index, *integer);
    } else if (const auto* text = std::get_if<std::string_view>(&value.value_)) {
      // An empty view may have no address, which would bind NULL.
      code = sqlite3_bind_text64(statement_, index, text->empty() ? "" : text->data(), text->size(),
                                 SQLITE_TRANSIENT, SQLITE_UTF8);
    } else {
      code = sqlite3_bind_null(statement_, index);
    }
    if (code != SQLITE_OK) return Fail(connection_->MakeSqlError(code));
  }
  return {};
}

Status SqlStatement::Rebind(std::initializer_list<SqlValue> values) {
  // Its return value repeats the error of the last step, which was reported there.
  sqlite3_reset(statement_);
  return Bind(values);
}

bool SqlStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t SqlStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::uint64_t SqlStatement::Unsigned(int column) const {
  return static_cast<std::uint64_t>(Integer(column));
}

std::string_view SqlStatement::View(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string SqlStatement::Text(int column) const { return std::string(View(column)); }

SqlTransaction::SqlTransaction(SqlTransaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

SqlTransaction::~SqlTransaction() {
  // Some errors have rolled it back already; if this fails, closing the connection does it.
  if (connection_ != nullptr && sqlite3_get_autocommit(connection_->handle) == 0) {
    static_cast<void>(connection_->Execute("ROLLBACK").has_value());
  }
}

Status SqlTransaction::Commit() {
  ASR_CHECK(connection_->Execute("COMMIT"));
  connection_ = nullptr;
  return {};
}

Result<SqlDatabase> SqlDatabase::Open(const std::string& path, SqlOptions options) {
  auto connection = std::make_unique<SqlConnection>();
  connection->path = path;
  connection->damaged_advice = std::move(options.damaged_advice);
  ASR_CHECK(CreatePrivateFile(path));
  const int code = sqlite3_open_v2(path.c_str(), &connection->handle,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return Fail(connection->MakeSqlError(code));
  sqlite3_extended_result_codes(connection->handle, 1);
  sqlite3_busy_timeout(connection->handle, static_cast<int>(options.busy_timeout.count()));
  ASR_CHECK(EnterWalMode(*connection, options.busy_timeout));
  ASR_CHECK(connection->Execute(options.durable
                                    ? "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON"
                                    : "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON"));
  return SqlDatabase(std::move(connection));
}

Result<SqlDatabase> SqlDatabase::OpenForReading(const std::string& path, SqlOptions options) {
  auto connection = std::make_unique<SqlConnection>();
  connection->path = path;
  connection->damaged_advice = std::move(options.damaged_advice);
  const int code =
      sqlite3_open_v2(ReadingUri(path).c_str(), &connection->handle,
                      SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return Fail(connection->MakeSqlError(code));
  sqlite3_extended_result_codes(connection->handle, 1);
  sqlite3_busy_timeout(connection->handle, static_cast<int>(options.busy_timeout.count()));
  return SqlDatabase(std::move(connection));
}

SqlDatabase::SqlDatabase(std::unique_ptr<SqlConnection> connection)
    : connection_(std::move(connection)) {}
SqlDatabase::SqlDatabase(SqlDatabase&&) noexcept = default;
SqlDatabase& SqlDatabase::operator=(SqlDatabase&&) noexcept = default;
SqlDatabase::~SqlDatabase() = default;

Status SqlDatabase::Execute(const std::string& script) {
  return connection_->Execute(script.c_str());
}

Result<SqlStatement> SqlDatabase::Prepare(std::string_view sql,
                                          std::initializer_list<SqlValue> values) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(connection_->handle, sql.data(), static_cast<int>(sql.size()),
                                      &raw, nullptr);
  if (code != SQLITE_OK) return Fail(connection_->MakeSqlError(code));
  SqlStatement statement(connection_.get(), raw);
  ASR_CHECK(statement.Bind(values));
  return statement;
}

Result<std::int64_t> SqlDatabase::Run(std::string_view sql,
                                      std::initializer_list<SqlValue> values) {
  ASR_TRY(SqlStatement statement, Prepare(sql, values));
  while (true) {
    ASR_TRY(const bool has_row, statement.Step());
    if (!has_row) return sqlite3_changes64(connection_->handle);
  }
}

Result<std::optional<std::int64_t>> SqlDatabase::QueryInteger(
    std::string_view sql, std::initializer_list<SqlValue> values) {
  ASR_TRY(SqlStatement statement, Prepare(sql, values));
  ASR_TRY(const bool has_row, statement.Step());
  if (!has_row) return std::optional<std::int64_t>{};
  return std::optional<std::int64_t>{statement.Integer(0)};
}

Result<SqlTransaction> SqlDatabase::BeginWrite() {
  ASR_CHECK(connection_->Execute("BEGIN IMMEDIATE"));
  return SqlTransaction(connection_.get());
}

Result<SqlTransaction> SqlDatabase::BeginRead() {
  ASR_CHECK(connection_->Execute("BEGIN DEFERRED"));
  return SqlTransaction(connection_.get());
}

std::int64_t SqlDatabase::last_insert_rowid() const {
  return sqlite3_last_insert_rowid(connection_->handle);
}

const std::string& SqlDatabase::path() const { return connection_->path; }

}  // namespace asr
