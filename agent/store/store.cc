// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store.h"

#include <unistd.h>

#include <algorithm>

#include "common/clock.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent {
namespace {

using store::OperationRecord;
using Statement = Sqlite::Statement;

// Index i brings the schema from version i to i + 1. Never edit an entry: append.
constexpr const char* kMigrations[] = {
    R"sql(
    CREATE TABLE instances (
      id TEXT PRIMARY KEY,
      data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE instance_secrets (
      instance_id TEXT PRIMARY KEY REFERENCES instances(id) ON DELETE CASCADE,
      password_hash BLOB NOT NULL,
      user_data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE images (
      id TEXT PRIMARY KEY,
      data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE operations (
      id TEXT PRIMARY KEY,
      target_id TEXT NOT NULL,
      created_ns INTEGER NOT NULL,
      ended_ns INTEGER,
      data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX operations_by_time ON operations (created_ns DESC, id DESC);
    CREATE INDEX operations_by_target ON operations (target_id, created_ns DESC, id DESC);
    CREATE INDEX operations_unfinished ON operations (created_ns) WHERE ended_ns IS NULL;
    CREATE TABLE requests (
      scope TEXT NOT NULL,
      request_id TEXT NOT NULL,
      digest BLOB NOT NULL,
      operation_id TEXT NOT NULL,
      PRIMARY KEY (scope, request_id)
    ) WITHOUT ROWID;
    )sql",
    R"sql(
    CREATE TABLE operation_secrets (
      operation_id TEXT PRIMARY KEY REFERENCES operations(id) ON DELETE CASCADE,
      password_hash BLOB NOT NULL,
      user_data BLOB NOT NULL
    ) WITHOUT ROWID;
    )sql",
    R"sql(
    CREATE TABLE volumes (
      id TEXT PRIMARY KEY,
      data BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE host_settings (
      key TEXT PRIMARY KEY,
      value BLOB NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO host_settings (key, value) VALUES ('store-made', strftime('%s', 'now'));
    )sql",
};
constexpr int64_t kSchemaVersion = std::size(kMigrations);

absl::Status Migrate(Sqlite& db, const std::string& path) {
  CVM_ASSIGN_OR_RETURN(const int64_t version, db.UserVersion());
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(
        fmt::format("the store has schema version {}, this program knows {}: install a newer one",
                    version, kSchemaVersion));
  }
  if (version == kSchemaVersion) return absl::OkStatus();
  if (version > 0) {
    const std::string backup = fmt::format("{}.backup-{}", path, version);
    unlink(backup.c_str());
    CVM_RETURN_IF_ERROR(db.BackupTo(backup));
  }
  for (int64_t from = version; from < kSchemaVersion; ++from) {
    CVM_ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(db));
    CVM_RETURN_IF_ERROR(db.Execute(kMigrations[from]));
    CVM_RETURN_IF_ERROR(db.SetUserVersion(from + 1));
    CVM_RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

bool Ended(const OperationRecord& record) { return record.operation().has_end_time(); }

template <class Message>
absl::StatusOr<Message> ParseRow(const Statement& row, int column) {
  Message message;
  if (!message.ParseFromString(row.Blob(column))) {
    return Error(ErrorReason::ERROR_REASON_INTERNAL,
                 fmt::format("the store holds a damaged {}", message.GetTypeName()));
  }
  return message;
}

template <class Message>
absl::StatusOr<std::vector<Message>> ParseRows(Statement statement) {
  std::vector<Message> messages;
  while (true) {
    CVM_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return messages;
    CVM_ASSIGN_OR_RETURN(Message message, ParseRow<Message>(statement, 0));
    messages.push_back(std::move(message));
  }
}

// Leaves secrets behind in the log that the tables no longer hold.
bool RemovesSecrets(const StoreChange& change) {
  return !change.delete_instances.empty() || !change.put_secrets.empty() ||
         std::any_of(change.put_operations.begin(), change.put_operations.end(),
                     [](const auto& record) { return record.had_secrets() && Ended(record); });
}

int64_t Nanos(const google::protobuf::Timestamp& time) {
  return absl::ToUnixNanos(FromTimestamp(time));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path,
                                                   const std::string& reserve_path,
                                                   uint64_t reserve_bytes) {
  Reserve reserve(reserve_path, reserve_bytes);
  // Reads too, for which the files beside the database are made.
  const auto open = [&path]() -> absl::StatusOr<std::unique_ptr<Sqlite>> {
    CVM_ASSIGN_OR_RETURN(std::unique_ptr<Sqlite> opened, Sqlite::Open(path));
    CVM_RETURN_IF_ERROR(opened->UserVersion().status());
    return opened;
  };
  absl::StatusOr<std::unique_ptr<Sqlite>> db = open();
  // On a full disk they cannot be made.
  while (ReasonOf(db.status()) == ErrorReason::ERROR_REASON_STORE_UNAVAILABLE &&
         reserve.GiveUpPiece()) {
    db = open();
  }
  CVM_RETURN_IF_ERROR(db.status());
  CVM_RETURN_IF_ERROR(Migrate(**db, path));
  if (const absl::Status filled = reserve.Fill(); !filled.ok()) {
    CVM_LOG_ERROR("the disk of the store has no room for its reserve, so no new work is taken: {}",
                  std::string(filled.message()));
  }
  return std::unique_ptr<Store>(new Store(*std::move(db), std::move(reserve)));
}

absl::Status Store::RequireReserve() {
  MutexLock lock(mutex_);
  const absl::Status filled = reserve_.Fill();
  if (filled.ok()) return absl::OkStatus();
  CVM_LOG_WARNING("the store's reserve is not whole: {}", std::string(filled.message()));
  return Error(
      ErrorReason::ERROR_REASON_STORE_UNAVAILABLE,
      "the disk that holds the agent's records is full: only stops and deletions are taken "
      "until there is room again");
}

absl::StatusOr<bool> Store::AnyRow(const std::string& table, const std::string& condition,
                                   const std::string& text) {
  std::vector<std::string> columns;
  {
    Statement statement = db_->Prepare("SELECT name FROM pragma_table_info(?1)");
    statement.Bind(1, table);
    while (true) {
      CVM_ASSIGN_OR_RETURN(const bool more, statement.Step());
      if (!more) break;
      columns.push_back(statement.Text(0));
    }
  }
  for (const std::string& column : columns) {
    // The names are those of our own schema.
    const std::string sql = fmt::format(
        "SELECT 1 FROM {} WHERE {} AND instr(CAST({} AS BLOB), CAST(?1 AS BLOB)) LIMIT 1", table,
        condition, column);
    Statement statement = db_->Prepare(sql);
    statement.Bind(1, text);
    CVM_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (found) return true;
  }
  return false;
}

absl::StatusOr<bool> Store::Mentions(const std::string& text) {
  CVM_ASSIGN_OR_RETURN(const bool under_way, OperationMentions(text));
  if (under_way) return true;
  MutexLock lock(mutex_);
  // Every table, also those that are added later.
  std::vector<std::string> tables;
  {
    Statement statement = db_->Prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND name NOT IN ('operations', 'requests')");
    while (true) {
      CVM_ASSIGN_OR_RETURN(const bool more, statement.Step());
      if (!more) break;
      tables.push_back(statement.Text(0));
    }
  }
  for (const std::string& table : tables) {
    CVM_ASSIGN_OR_RETURN(const bool found, AnyRow(table, "1", text));
    if (found) return true;
  }
  return false;
}

absl::StatusOr<bool> Store::OperationMentions(const std::string& text) {
  MutexLock lock(mutex_);
  return AnyRow("operations", "ended_ns IS NULL", text);
}

absl::StatusOr<bool> Store::IsNew() {
  MutexLock lock(mutex_);
  Statement statement = db_->Prepare("SELECT 1 FROM requests LIMIT 1");
  CVM_ASSIGN_OR_RETURN(const bool any, statement.Step());
  return !any;
}

absl::Status Store::Apply(const StoreChange& change) {
  if (change.empty()) return absl::OkStatus();
  MutexLock lock(mutex_);
  absl::Status written = WriteLocked(change);
  while (ReasonOf(written) == ErrorReason::ERROR_REASON_STORE_UNAVAILABLE &&
         change.may_use_reserve && reserve_.GiveUpPiece()) {
    CVM_LOG_WARNING("a piece of the store's reserve is given up: {}",
                    std::string(written.message()));
    written = WriteLocked(change);
  }
  CVM_RETURN_IF_ERROR(written);
  if (RemovesSecrets(change)) {
    // Else the secrets would stay readable in the log. The change itself is done in any case.
    if (const absl::Status status = db_->Checkpoint(); !status.ok()) {
      CVM_LOG_WARNING("removed secrets stay in the store's log for now: {}",
                      std::string(status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status Store::WriteLocked(const StoreChange& change) {
  CVM_ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*db_));
  CVM_RETURN_IF_ERROR(ApplyLocked(change));
  return transaction.Commit();
}

absl::Status Store::ApplyLocked(const StoreChange& change) {
  for (const v1::Instance& instance : change.put_instances) {
    // Not REPLACE, which would delete the row first, and with it the secrets.
    CVM_RETURN_IF_ERROR(db_->Prepare("INSERT INTO instances (id, data) VALUES (?1, ?2) "
                                     "ON CONFLICT (id) DO UPDATE SET data = excluded.data")
                            .Bind(1, instance.id())
                            .BindBlob(2, instance.SerializeAsString())
                            .Run());
  }
  for (const auto& [id, secrets] : change.put_secrets) {
    CVM_RETURN_IF_ERROR(
        db_->Prepare("INSERT OR REPLACE INTO instance_secrets (instance_id, password_hash, "
                     "user_data) VALUES (?1, ?2, ?3)")
            .Bind(1, id)
            .BindBlob(2, secrets.password_hash)
            .BindBlob(3, secrets.user_data)
            .Run());
  }
  for (const std::string& id : change.delete_instances) {
    CVM_RETURN_IF_ERROR(db_->Prepare("DELETE FROM instances WHERE id = ?1").Bind(1, id).Run());
  }
  for (const v1::Image& image : change.put_images) {
    CVM_RETURN_IF_ERROR(db_->Prepare("INSERT OR REPLACE INTO images (id, data) VALUES (?1, ?2)")
                            .Bind(1, image.id())
                            .BindBlob(2, image.SerializeAsString())
                            .Run());
  }
  for (const std::string& id : change.delete_images) {
    CVM_RETURN_IF_ERROR(db_->Prepare("DELETE FROM images WHERE id = ?1").Bind(1, id).Run());
  }
  for (const v1::Volume& volume : change.put_volumes) {
    CVM_RETURN_IF_ERROR(db_->Prepare("INSERT OR REPLACE INTO volumes (id, data) VALUES (?1, ?2)")
                            .Bind(1, volume.id())
                            .BindBlob(2, volume.SerializeAsString())
                            .Run());
  }
  for (const std::string& id : change.delete_volumes) {
    CVM_RETURN_IF_ERROR(db_->Prepare("DELETE FROM volumes WHERE id = ?1").Bind(1, id).Run());
  }
  for (const auto& [key, value] : change.put_settings) {
    if (value.empty()) {
      CVM_RETURN_IF_ERROR(
          db_->Prepare("DELETE FROM host_settings WHERE key = ?1").Bind(1, key).Run());
      continue;
    }
    CVM_RETURN_IF_ERROR(
        db_->Prepare("INSERT OR REPLACE INTO host_settings (key, value) VALUES (?1, ?2)")
            .Bind(1, key)
            .BindBlob(2, value)
            .Run());
  }
  for (const OperationRecord& record : change.put_operations) {
    const v1::Operation& operation = record.operation();
    Statement statement = db_->Prepare(
        // Not REPLACE, which would delete the row first, and with it the secrets.
        "INSERT INTO operations (id, target_id, created_ns, ended_ns, data) "
        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET "
        "ended_ns = excluded.ended_ns, data = excluded.data");
    statement.Bind(1, operation.id())
        .Bind(2, operation.target_id())
        .Bind(3, Nanos(operation.create_time()))
        .BindBlob(5, record.SerializeAsString());
    if (Ended(record)) {
      statement.Bind(4, Nanos(operation.end_time()));
    } else {
      statement.BindNull(4);
    }
    CVM_RETURN_IF_ERROR(statement.Run());
    if (Ended(record) && record.had_secrets()) {
      CVM_RETURN_IF_ERROR(db_->Prepare("DELETE FROM operation_secrets WHERE operation_id = ?1")
                              .Bind(1, operation.id())
                              .Run());
    }
  }
  if (change.put_operation_secrets) {
    const auto& [id, secrets] = *change.put_operation_secrets;
    CVM_RETURN_IF_ERROR(
        db_->Prepare("INSERT OR REPLACE INTO operation_secrets (operation_id, password_hash, "
                     "user_data) VALUES (?1, ?2, ?3)")
            .Bind(1, id)
            .BindBlob(2, secrets.password_hash)
            .BindBlob(3, secrets.user_data)
            .Run());
  }
  if (change.put_request) {
    CVM_RETURN_IF_ERROR(db_->Prepare("INSERT INTO requests (scope, request_id, digest, "
                                     "operation_id) VALUES (?1, ?2, ?3, ?4)")
                            .Bind(1, change.put_request->scope)
                            .Bind(2, change.put_request->request_id)
                            .BindBlob(3, change.put_request->digest)
                            .Bind(4, change.put_request->operation_id)
                            .Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Instance>> Store::LoadInstances() {
  MutexLock lock(mutex_);
  return ParseRows<v1::Instance>(db_->Prepare("SELECT data FROM instances ORDER BY id"));
}

absl::StatusOr<std::vector<v1::Image>> Store::LoadImages() {
  MutexLock lock(mutex_);
  return ParseRows<v1::Image>(db_->Prepare("SELECT data FROM images ORDER BY id"));
}

absl::StatusOr<std::vector<v1::Volume>> Store::LoadVolumes() {
  MutexLock lock(mutex_);
  return ParseRows<v1::Volume>(db_->Prepare("SELECT data FROM volumes ORDER BY id"));
}

absl::StatusOr<std::map<std::string, std::string>> Store::LoadSettings() {
  MutexLock lock(mutex_);
  Statement statement = db_->Prepare("SELECT key, value FROM host_settings");
  std::map<std::string, std::string> settings;
  while (true) {
    CVM_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return settings;
    settings[statement.Text(0)] = statement.Blob(1);
  }
}

absl::StatusOr<std::vector<OperationRecord>> Store::LoadUnfinishedOperations() {
  MutexLock lock(mutex_);
  return ParseRows<OperationRecord>(
      db_->Prepare("SELECT data FROM operations WHERE ended_ns IS NULL ORDER BY created_ns"));
}

absl::StatusOr<InstanceSecrets> Store::LoadSecretsLocked(std::string_view sql,
                                                         const std::string& id) {
  Statement statement = db_->Prepare(sql);
  statement.Bind(1, id);
  CVM_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return InstanceSecrets{};
  return InstanceSecrets{.password_hash = statement.Blob(0), .user_data = statement.Blob(1)};
}

absl::StatusOr<InstanceSecrets> Store::LoadSecrets(const std::string& instance_id) {
  MutexLock lock(mutex_);
  return LoadSecretsLocked(
      "SELECT password_hash, user_data FROM instance_secrets WHERE instance_id = ?1", instance_id);
}

absl::StatusOr<InstanceSecrets> Store::LoadOperationSecrets(const std::string& operation_id) {
  MutexLock lock(mutex_);
  return LoadSecretsLocked(
      "SELECT password_hash, user_data FROM operation_secrets WHERE operation_id = ?1",
      operation_id);
}

absl::StatusOr<OperationRecord> Store::LoadOperation(const std::string& id) {
  MutexLock lock(mutex_);
  Statement statement = db_->Prepare("SELECT data FROM operations WHERE id = ?1");
  statement.Bind(1, id);
  CVM_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return absl::NotFoundError("no such operation");
  return ParseRow<OperationRecord>(statement, 0);
}

absl::StatusOr<std::vector<v1::Operation>> Store::ListOperations(const OperationFilter& filter) {
  MutexLock lock(mutex_);
  std::string sql = "SELECT data FROM operations WHERE 1";
  if (!filter.target_id.empty()) sql += " AND target_id = ?1";
  if (filter.unfinished_only) sql += " AND ended_ns IS NULL";
  if (filter.after) sql += " AND (created_ns, id) < (?2, ?3)";
  sql += " ORDER BY created_ns DESC, id DESC LIMIT ?4";
  Statement statement = db_->Prepare(sql);
  if (!filter.target_id.empty()) statement.Bind(1, filter.target_id);
  if (filter.after) statement.Bind(2, filter.after->first).Bind(3, filter.after->second);
  statement.Bind(4, static_cast<int64_t>(filter.limit));
  CVM_ASSIGN_OR_RETURN(std::vector<OperationRecord> records,
                       ParseRows<OperationRecord>(std::move(statement)));
  std::vector<v1::Operation> operations;
  operations.reserve(records.size());
  for (OperationRecord& record : records) {
    operations.push_back(std::move(*record.mutable_operation()));
  }
  return operations;
}

absl::StatusOr<std::optional<RequestRow>> Store::FindRequest(const std::string& scope,
                                                             const std::string& request_id) {
  MutexLock lock(mutex_);
  Statement statement = db_->Prepare(
      "SELECT digest, operation_id FROM requests WHERE scope = ?1 AND request_id = ?2");
  statement.Bind(1, scope).Bind(2, request_id);
  CVM_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return std::nullopt;
  return RequestRow{.scope = scope,
                    .request_id = request_id,
                    .digest = statement.Blob(0),
                    .operation_id = statement.Text(1)};
}

absl::Status Store::ForgetOperations(absl::Time time) {
  MutexLock lock(mutex_);
  return db_
      ->Prepare(
          "DELETE FROM operations WHERE ended_ns IS NOT NULL AND ended_ns < ?1 "
          "AND target_id NOT IN (SELECT id FROM instances) "
          "AND target_id NOT IN (SELECT id FROM images) "
          "AND target_id NOT IN (SELECT id FROM volumes)")
      .Bind(1, absl::ToUnixNanos(time))
      .Run();
}

}  // namespace cvm::agent
