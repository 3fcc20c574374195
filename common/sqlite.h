// SPDX-License-Identifier: Apache-2.0
//
// A thin status-returning wrapper of SQLite.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cvm {

// One connection. Not thread-safe: its owner locks. Errors are STORE_UNAVAILABLE (disk full, I/O
// error, busy, read-only) or INTERNAL (a programming error: SQL, type), with SQLite's message; a
// UNIQUE violation is absl::StatusCode::kAlreadyExists.
class Sqlite {
 public:
  // Opens or creates the file (mode 0600) with journal_mode=WAL, synchronous=FULL, foreign_keys=ON,
  // secure_delete=ON and a busy timeout. ":memory:" is allowed.
  static absl::StatusOr<std::unique_ptr<Sqlite>> Open(const std::string& path);
  ~Sqlite();
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  // A prepared statement, kept by the connection under its SQL text and reset for each use. Bind
  // with ?1, ?2, ... in order. Must not outlive its Sqlite. Columns count from 0; outside a row,
  // and for NULL, they read as "" and 0.
  class Statement {
   public:
    Statement& Bind(int index, std::string_view text);
    Statement& BindBlob(int index, std::string_view bytes);
    Statement& Bind(int index, int64_t value);
    Statement& BindNull(int index);
    // Advances to the next row: true with a row, false at the end.
    absl::StatusOr<bool> Step();
    // Runs a statement that returns no rows; INTERNAL when it returns one.
    absl::Status Run();
    std::string Text(int column) const;
    std::string Blob(int column) const;
    int64_t Int(int column) const;
    bool IsNull(int column) const;
    ~Statement();
    Statement(Statement&&) noexcept;
    Statement& operator=(Statement&&) = delete;

   private:
    friend class Sqlite;
    enum class State { kFresh, kRow, kDone };
    Statement(Sqlite* db, sqlite3_stmt* stmt, absl::Status status);
    void CheckBind(int code);
    Sqlite* db_;
    sqlite3_stmt* stmt_;
    // The first error of preparing, binding or running; Step and Run return it from then on.
    absl::Status status_;
    State state_ = State::kFresh;
  };

  // The same text may be in use several times; only one of them comes from the cache.
  Statement Prepare(std::string_view sql);
  // Runs one or several statements without parameters.
  absl::Status Execute(const std::string& sql);

  // Schema version (PRAGMA user_version).
  absl::StatusOr<int64_t> UserVersion();
  absl::Status SetUserVersion(int64_t version);
  // Writes a consistent copy of the whole database to a new file (mode 0600), fsynced. Fails when
  // the file exists, and leaves none when it fails.
  absl::Status BackupTo(const std::string& path);
  // Writes the log back and truncates it, so that nothing deleted stays in it.
  absl::Status Checkpoint();
  // Rows that the last INSERT, UPDATE or DELETE changed.
  int64_t Changes() const;

 private:
  absl::Status CopyTo(const std::string& path);
  struct Impl;
  explicit Sqlite(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// BEGIN IMMEDIATE on construction via Begin; rolled back when destroyed without Commit. After a
// failed Commit the transaction is still there, to be tried again or rolled back. Transactions do
// not nest. Must not outlive its Sqlite.
class SqliteTransaction {
 public:
  static absl::StatusOr<SqliteTransaction> Begin(Sqlite& db);
  absl::Status Commit();
  ~SqliteTransaction();
  SqliteTransaction(SqliteTransaction&& other) noexcept;
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;

 private:
  explicit SqliteTransaction(Sqlite* db) : db_(db) {}
  Sqlite* db_;
};

}  // namespace cvm
