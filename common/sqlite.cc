// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"
#if CVM_TEST_HOOKS
#include "common/sqlite_unsynced.h"
#endif

namespace cvm {
namespace {

constexpr char kMemory[] = ":memory:";
constexpr int kBusyTimeoutMs = 2000;
// More texts than the program has; the bound is for those that are built at run time.
constexpr size_t kMaxCachedStatements = 256;

absl::Status SqliteError(int code, std::string_view what, std::string_view message) {
  const std::string text = fmt::format("{}: {} (SQLite code {})", what, message, code);
  if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
      code == SQLITE_CONSTRAINT_ROWID) {
    return absl::AlreadyExistsError(text);
  }
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_NOMEM:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(common::v1::ERROR_REASON_STORE_UNAVAILABLE, text);
    default:
      return Error(common::v1::ERROR_REASON_INTERNAL, text);
  }
}

// SQLite takes the mode of the database for its -wal and -shm files. The file is not opened here
// when it exists: closing it would drop the locks of another connection of this process.
absl::Status MakePrivateFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd) return SyncFolderOf(path);
  if (errno != EEXIST) {
    return SqliteError(SQLITE_CANTOPEN, "cannot create the database", strerrordesc_np(errno));
  }
  if (chmod(path.c_str(), 0600) != 0) {
    return SqliteError(SQLITE_PERM, "cannot protect the database", strerrordesc_np(errno));
  }
  return absl::OkStatus();
}

struct CloseConnection {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Connection = std::unique_ptr<sqlite3, CloseConnection>;

absl::StatusOr<Connection> Connect(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
#if CVM_TEST_HOOKS
  const char* const vfs = path == kMemory ? nullptr : UnsyncedVfsFromEnvironment(path);
#else
  const char* const vfs = nullptr;
#endif
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, vfs);
  Connection db(raw);
  if (code != SQLITE_OK) {
    return SqliteError(raw != nullptr ? sqlite3_extended_errcode(raw) : code,
                       "cannot open the database", sqlite3_errstr(code));
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  return db;
}

}  // namespace

struct Sqlite::Impl {
  ~Impl() {
    for (const auto& [sql, stmt] : statements) sqlite3_finalize(stmt);
    sqlite3_close_v2(db);
  }

  absl::Status LastError(std::string_view what) const {
    return SqliteError(sqlite3_extended_errcode(db), what, sqlite3_errmsg(db));
  }

  sqlite3* db = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements;
  // Those of `statements` that a Statement holds just now.
  std::set<sqlite3_stmt*> in_use;
};

Sqlite::Sqlite(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sqlite::~Sqlite() = default;

absl::StatusOr<std::unique_ptr<Sqlite>> Sqlite::Open(const std::string& path) {
  const bool in_memory = path == kMemory;
  if (!in_memory) CVM_RETURN_IF_ERROR(MakePrivateFile(path));
  CVM_ASSIGN_OR_RETURN(Connection connection,
                       Connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  auto impl = std::make_unique<Impl>();
  impl->db = connection.release();
  std::unique_ptr<Sqlite> db(new Sqlite(std::move(impl)));
  // temp_store keeps what may be secret out of files in /tmp.
  CVM_RETURN_IF_ERROR(
      db->Execute("PRAGMA secure_delete=ON; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                  "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"));
  // The answer tells the mode that is in force: the statement does not fail where WAL is
  // impossible.
  const std::string_view wanted = in_memory ? "memory" : "wal";
  {
    Statement mode = db->Prepare("PRAGMA journal_mode=WAL");
    CVM_ASSIGN_OR_RETURN(const bool row, mode.Step());
    if (!row || mode.Text(0) != wanted) {
      return Error(common::v1::ERROR_REASON_STORE_UNAVAILABLE,
                   "the database cannot use a write-ahead log on this file system");
    }
  }
  return db;
}

Sqlite::Statement Sqlite::Prepare(std::string_view sql) {
  const auto found = impl_->statements.find(sql);
  if (found != impl_->statements.end() && impl_->in_use.insert(found->second).second) {
    return Statement(this, found->second, absl::OkStatus());
  }
  sqlite3_stmt* stmt = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(impl_->db, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
  if (code != SQLITE_OK) return Statement(this, nullptr, impl_->LastError("cannot prepare"));
  if (stmt == nullptr || tail != sql.data() + sql.size()) {
    sqlite3_finalize(stmt);
    return Statement(this, nullptr,
                     Error(common::v1::ERROR_REASON_INTERNAL, "not exactly one SQL statement"));
  }
  if (found == impl_->statements.end() && impl_->statements.size() < kMaxCachedStatements) {
    impl_->statements[std::string(sql)] = stmt;
    impl_->in_use.insert(stmt);
  }
  return Statement(this, stmt, absl::OkStatus());
}

absl::Status Sqlite::Execute(const std::string& sql) {
  if (sqlite3_exec(impl_->db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return impl_->LastError("cannot execute");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Sqlite::UserVersion() {
  Statement statement = Prepare("PRAGMA user_version");
  CVM_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return Error(common::v1::ERROR_REASON_INTERNAL, "the database has no version");
  return statement.Int(0);
}

absl::Status Sqlite::SetUserVersion(int64_t version) {
  if (version < 0 || version > INT32_MAX) {
    return Error(common::v1::ERROR_REASON_INTERNAL, "a schema version has 31 bits");
  }
  // A pragma takes no parameters.
  return Execute(fmt::format("PRAGMA user_version={}", version));
}

absl::Status Sqlite::Checkpoint() {
  int log_frames = 0;
  int done_frames = 0;
  if (sqlite3_wal_checkpoint_v2(impl_->db, nullptr, SQLITE_CHECKPOINT_TRUNCATE, &log_frames,
                                &done_frames) != SQLITE_OK) {
    return impl_->LastError("cannot write the log back");
  }
  return absl::OkStatus();
}

absl::Status Sqlite::BackupTo(const std::string& path) {
  const UniqueFd created(
      open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!created) {
    return SqliteError(SQLITE_CANTOPEN, "cannot create the backup", strerrordesc_np(errno));
  }
  absl::Status status = CopyTo(path);
  if (status.ok()) status = SyncFile(path);
  if (status.ok()) status = SyncFolderOf(path);
  if (!status.ok()) unlink(path.c_str());
  return status;
}

absl::Status Sqlite::CopyTo(const std::string& path) {
  CVM_ASSIGN_OR_RETURN(const Connection target, Connect(path, SQLITE_OPEN_READWRITE));
  sqlite3_backup* backup = sqlite3_backup_init(target.get(), "main", impl_->db, "main");
  int code = backup == nullptr ? SQLITE_ERROR : SQLITE_DONE;
  if (backup != nullptr) {
    code = sqlite3_backup_step(backup, -1);
    sqlite3_backup_finish(backup);
  }
  if (code != SQLITE_DONE) {
    const int extended = sqlite3_extended_errcode(target.get());
    return SqliteError(extended != SQLITE_OK ? extended : code, "cannot copy the database",
                       sqlite3_errstr(code));
  }
  return absl::OkStatus();
}

int64_t Sqlite::Changes() const { return sqlite3_changes64(impl_->db); }

Sqlite::Statement::Statement(Sqlite* db, sqlite3_stmt* stmt, absl::Status status)
    : db_(db), stmt_(stmt), status_(std::move(status)) {}

Sqlite::Statement::Statement(Statement&& other) noexcept
    : db_(other.db_),
      stmt_(std::exchange(other.stmt_, nullptr)),
      status_(std::move(other.status_)),
      state_(other.state_) {}

Sqlite::Statement::~Statement() {
  if (stmt_ == nullptr) return;
  sqlite3_reset(stmt_);
  // So that no secret stays in memory with a statement at rest.
  sqlite3_clear_bindings(stmt_);
  const bool kept = db_->impl_->in_use.erase(stmt_) > 0;
  if (!kept) sqlite3_finalize(stmt_);
}

void Sqlite::Statement::CheckBind(int code) {
  if (code != SQLITE_OK && status_.ok()) status_ = db_->impl_->LastError("cannot bind");
}

// SQLite takes a null pointer for NULL, and an empty view may hold one.
Sqlite::Statement& Sqlite::Statement::Bind(int index, std::string_view text) {
  if (stmt_ == nullptr) return *this;
  CheckBind(sqlite3_bind_text64(stmt_, index, text.empty() ? "" : text.data(), text.size(),
                                SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Sqlite::Statement& Sqlite::Statement::BindBlob(int index, std::string_view bytes) {
  if (stmt_ == nullptr) return *this;
  CheckBind(sqlite3_bind_blob64(stmt_, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                                SQLITE_TRANSIENT));
  return *this;
}

Sqlite::Statement& Sqlite::Statement::Bind(int index, int64_t value) {
  if (stmt_ != nullptr) CheckBind(sqlite3_bind_int64(stmt_, index, value));
  return *this;
}

Sqlite::Statement& Sqlite::Statement::BindNull(int index) {
  if (stmt_ != nullptr) CheckBind(sqlite3_bind_null(stmt_, index));
  return *this;
}

absl::StatusOr<bool> Sqlite::Statement::Step() {
  if (!status_.ok()) return status_;
  // One step more would run the statement a second time.
  if (state_ == State::kDone) return false;
  const int code = sqlite3_step(stmt_);
  if (code == SQLITE_ROW) {
    state_ = State::kRow;
    return true;
  }
  state_ = State::kDone;
  if (code != SQLITE_DONE) status_ = db_->impl_->LastError("cannot execute");
  // Ends the read transaction that an unfinished statement holds.
  sqlite3_reset(stmt_);
  if (!status_.ok()) return status_;
  return false;
}

absl::Status Sqlite::Statement::Run() {
  CVM_ASSIGN_OR_RETURN(const bool row, Step());
  if (row) {
    status_ = Error(common::v1::ERROR_REASON_INTERNAL, "a statement returned an unexpected row");
    return status_;
  }
  return absl::OkStatus();
}

std::string Sqlite::Statement::Text(int column) const { return Blob(column); }

std::string Sqlite::Statement::Blob(int column) const {
  if (state_ != State::kRow) return "";
  const bool is_blob = sqlite3_column_type(stmt_, column) == SQLITE_BLOB;
  const void* data = is_blob ? sqlite3_column_blob(stmt_, column)
                             : static_cast<const void*>(sqlite3_column_text(stmt_, column));
  if (data == nullptr) return "";
  return std::string(static_cast<const char*>(data),
                     static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

int64_t Sqlite::Statement::Int(int column) const {
  return state_ == State::kRow ? sqlite3_column_int64(stmt_, column) : 0;
}

bool Sqlite::Statement::IsNull(int column) const {
  return state_ != State::kRow || sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

absl::StatusOr<SqliteTransaction> SqliteTransaction::Begin(Sqlite& db) {
  CVM_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  return SqliteTransaction(&db);
}

absl::Status SqliteTransaction::Commit() {
  if (db_ == nullptr) {
    return Error(common::v1::ERROR_REASON_INTERNAL, "a transaction was committed twice");
  }
  CVM_RETURN_IF_ERROR(db_->Execute("COMMIT"));
  db_ = nullptr;
  return absl::OkStatus();
}

SqliteTransaction::~SqliteTransaction() {
  if (db_ == nullptr) return;
  // Fails only where SQLite has rolled back already, as it does on a full disk.
  db_->Execute("ROLLBACK").IgnoreError();
}

SqliteTransaction::SqliteTransaction(SqliteTransaction&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)) {}

}  // namespace cvm
