// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite.h"

#include <sys/stat.h>

#include <filesystem>

#include "common/errors.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

using testing::HasSubstr;

constexpr ErrorReason kUnavailable = common::v1::ERROR_REASON_STORE_UNAVAILABLE;
constexpr ErrorReason kInternal = common::v1::ERROR_REASON_INTERNAL;

std::unique_ptr<Sqlite> MustOpen(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Sqlite>> db = Sqlite::Open(path);
  EXPECT_TRUE(db.ok()) << db.status();
  return db.ok() ? *std::move(db) : nullptr;
}

std::string One(Sqlite& db, std::string_view sql) {
  Sqlite::Statement statement = db.Prepare(sql);
  const absl::StatusOr<bool> row = statement.Step();
  EXPECT_TRUE(row.ok()) << row.status();
  return row.ok() && *row ? statement.Text(0) : "(no row)";
}

class SqliteTest : public testing::Test {
 protected:
  SqliteTest() : db_(MustOpen(path_)) {
    EXPECT_TRUE(
        db_->Execute("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER, b BLOB) STRICT").ok());
  }
  absl::Status Insert(Sqlite& db, std::string_view id, int64_t n) {
    return db.Prepare("INSERT INTO t (id, n) VALUES (?1, ?2)").Bind(1, id).Bind(2, n).Run();
  }
  std::string Count() { return One(*db_, "SELECT count(*) FROM t"); }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.File("state.db");
  std::unique_ptr<Sqlite> db_;
};

TEST_F(SqliteTest, SurvivesAPowerCut) {
  EXPECT_EQ(One(*db_, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(One(*db_, "PRAGMA synchronous"), "2");
  EXPECT_EQ(One(*db_, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(One(*db_, "PRAGMA secure_delete"), "1");
  EXPECT_EQ(One(*db_, "PRAGMA temp_store"), "2");
  EXPECT_NE(One(*db_, "PRAGMA busy_timeout"), "0");
}

TEST_F(SqliteTest, FilesAreTheOwnersAlone) {
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 07777, 0600u) << suffix;
  }
}

TEST_F(SqliteTest, OpeningTightensTheMode) {
  db_.reset();
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  db_ = MustOpen(path_);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(SqliteTest, ValuesComeBackAsTheyWere) {
  const std::string bytes("\0\x01\xff\0", 4);
  ASSERT_TRUE(db_->Prepare("INSERT INTO t VALUES (?1, ?2, ?3)")
                  .Bind(1, std::string_view("a\0\u00e9", 4))
                  .Bind(2, INT64_MIN)
                  .BindBlob(3, bytes)
                  .Run()
                  .ok());
  ASSERT_TRUE(db_->Prepare("INSERT INTO t VALUES (?1, ?2, ?3)")
                  .Bind(1, std::string_view())
                  .BindNull(2)
                  .BindBlob(3, std::string_view())
                  .Run()
                  .ok());
  Sqlite::Statement rows = db_->Prepare("SELECT id, n, b FROM t ORDER BY rowid");
  ASSERT_TRUE(rows.Step().value());
  EXPECT_EQ(rows.Text(0), std::string("a\0\u00e9", 4));
  EXPECT_EQ(rows.Int(1), INT64_MIN);
  EXPECT_EQ(rows.Blob(2), bytes);
  EXPECT_FALSE(rows.IsNull(1));
  ASSERT_TRUE(rows.Step().value());
  // An empty text and an empty blob are not NULL.
  EXPECT_FALSE(rows.IsNull(0));
  EXPECT_TRUE(rows.IsNull(1));
  EXPECT_FALSE(rows.IsNull(2));
  EXPECT_EQ(rows.Text(0), "");
  EXPECT_EQ(rows.Int(1), 0);
  EXPECT_FALSE(rows.Step().value());
  EXPECT_FALSE(rows.Step().value());
  EXPECT_EQ(rows.Text(0), "");
}

TEST_F(SqliteTest, AFinishedStatementDoesNotRunAgain) {
  Sqlite::Statement insert = db_->Prepare("INSERT INTO t (id) VALUES ('a')");
  EXPECT_TRUE(insert.Run().ok());
  EXPECT_TRUE(insert.Run().ok());
  EXPECT_EQ(Count(), "1");
}

TEST_F(SqliteTest, StatementsAreUsedAgainWithoutOldValues) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Insert(*db_, std::to_string(i), i).ok());
  EXPECT_EQ(Count(), "100");
  EXPECT_EQ(db_->Changes(), 1);
  Sqlite::Statement unbound = db_->Prepare("INSERT INTO t (id, n) VALUES (?1, ?2)");
  EXPECT_TRUE(unbound.Bind(1, "unbound").Run().ok());
  EXPECT_EQ(One(*db_, "SELECT n IS NULL FROM t WHERE id='unbound'"), "1");
}

TEST_F(SqliteTest, TheSameTextMayBeInUseTwice) {
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  ASSERT_TRUE(Insert(*db_, "b", 2).ok());
  constexpr std::string_view kSql = "SELECT id FROM t ORDER BY id";
  Sqlite::Statement outer = db_->Prepare(kSql);
  ASSERT_TRUE(outer.Step().value());
  {
    Sqlite::Statement inner = db_->Prepare(kSql);
    ASSERT_TRUE(inner.Step().value());
    ASSERT_TRUE(inner.Step().value());
    EXPECT_EQ(inner.Text(0), "b");
  }
  EXPECT_EQ(outer.Text(0), "a");
  const Sqlite::Statement moved = std::move(outer);
  EXPECT_EQ(moved.Text(0), "a");
}

TEST_F(SqliteTest, ManyDifferentTextsAreFine) {
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(One(*db_, "SELECT " + std::to_string(i)), std::to_string(i));
  }
}

TEST_F(SqliteTest, ProgrammingErrorsAreInternal) {
  EXPECT_EQ(ReasonOf(db_->Execute("NONSENSE")), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("SELECT nothing FROM t").Step().status()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("").Run()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("DELETE FROM t; DELETE FROM t").Run()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("SELECT ?1").Bind(2, "x").Run()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("NONSENSE").Bind(1, "x").BindNull(2).Run()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("SELECT 1").Run()), kInternal);
  EXPECT_EQ(ReasonOf(db_->Prepare("INSERT INTO t (id, n) VALUES ('a', 'text')").Run()), kInternal);
}

TEST_F(SqliteTest, ADuplicateAlreadyExists) {
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  const absl::Status status = Insert(*db_, "a", 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("t.id"));
  // And the statement is fit for use again.
  EXPECT_TRUE(Insert(*db_, "b", 2).ok());
  ASSERT_TRUE(db_->Execute("CREATE UNIQUE INDEX u ON t (n)").ok());
  EXPECT_EQ(Insert(*db_, "c", 2).code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(SqliteTest, ForeignKeysAreEnforced) {
  ASSERT_TRUE(db_->Execute("CREATE TABLE child (id TEXT REFERENCES t (id)) STRICT").ok());
  EXPECT_EQ(ReasonOf(db_->Execute("INSERT INTO child VALUES ('orphan')")), kInternal);
}

TEST_F(SqliteTest, TransactionsCommitOrLeaveNoTrace) {
  {
    auto transaction = SqliteTransaction::Begin(*db_);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(Insert(*db_, "a", 1).ok());
    EXPECT_EQ(Count(), "1");
  }
  EXPECT_EQ(Count(), "0");
  {
    auto transaction = SqliteTransaction::Begin(*db_);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(Insert(*db_, "a", 1).ok());
    SqliteTransaction moved = *std::move(transaction);
    EXPECT_TRUE(moved.Commit().ok());
    EXPECT_FALSE(moved.Commit().ok());
  }
  EXPECT_EQ(Count(), "1");
}

TEST_F(SqliteTest, TransactionsDoNotNest) {
  const auto outer = SqliteTransaction::Begin(*db_);
  ASSERT_TRUE(outer.ok());
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  EXPECT_FALSE(SqliteTransaction::Begin(*db_).ok());
  // The outer one is still there.
  EXPECT_EQ(Count(), "1");
}

TEST_F(SqliteTest, RollsBackWhileARowIsBeingRead) {
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  Sqlite::Statement rows = db_->Prepare("SELECT id FROM t");
  ASSERT_TRUE(rows.Step().value());
  {
    const auto transaction = SqliteTransaction::Begin(*db_);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(Insert(*db_, "b", 1).ok());
  }
  EXPECT_EQ(Count(), "1");
}

TEST_F(SqliteTest, AFullDiskIsReportedAndUndone) {
  const int64_t pages = std::stoll(One(*db_, "PRAGMA page_count"));
  ASSERT_TRUE(db_->Execute("PRAGMA max_page_count=" + std::to_string(pages + 4)).ok());
  {
    auto transaction = SqliteTransaction::Begin(*db_);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(Insert(*db_, "before", 1).ok());
    const absl::Status full = db_->Prepare("INSERT INTO t (id, b) VALUES ('big', ?1)")
                                  .BindBlob(1, std::string(100'000, 'x'))
                                  .Run();
    EXPECT_EQ(ReasonOf(full), kUnavailable) << full;
    EXPECT_EQ(full.code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(Count(), "0");
  EXPECT_TRUE(Insert(*db_, "after", 1).ok());
}

TEST_F(SqliteTest, AnotherWriterMakesItUnavailableAfterAWhile) {
  const std::unique_ptr<Sqlite> other = MustOpen(path_);
  const auto transaction = SqliteTransaction::Begin(*other);
  ASSERT_TRUE(transaction.ok());
  // Fails in time, with readers not disturbed.
  ASSERT_TRUE(db_->Execute("PRAGMA busy_timeout=20").ok());
  EXPECT_EQ(ReasonOf(Insert(*db_, "a", 1)), kUnavailable);
  EXPECT_EQ(ReasonOf(SqliteTransaction::Begin(*db_).status()), kUnavailable);
  EXPECT_EQ(Count(), "0");
}

TEST_F(SqliteTest, OpeningAgainDoesNotDropTheLocksOfAnOpenConnection) {
  const auto transaction = SqliteTransaction::Begin(*db_);
  ASSERT_TRUE(transaction.ok());
  const std::unique_ptr<Sqlite> second = MustOpen(path_);
  const std::unique_ptr<Sqlite> third = MustOpen(path_);
  ASSERT_TRUE(third->Execute("PRAGMA busy_timeout=20").ok());
  EXPECT_EQ(ReasonOf(Insert(*third, "a", 1)), kUnavailable);
}

TEST_F(SqliteTest, KeepsASchemaVersion) {
  EXPECT_EQ(db_->UserVersion().value(), 0);
  EXPECT_TRUE(db_->SetUserVersion(7).ok());
  EXPECT_EQ(db_->UserVersion().value(), 7);
  EXPECT_FALSE(db_->SetUserVersion(int64_t{1} << 40).ok());
  db_ = MustOpen(path_);
  EXPECT_EQ(db_->UserVersion().value(), 7);
}

TEST_F(SqliteTest, BacksUpWhatIsCommitted) {
  ASSERT_TRUE(Insert(*db_, "a", 1).ok());
  ASSERT_TRUE(db_->SetUserVersion(3).ok());
  const std::string copy = folder_.File("backup.db");
  ASSERT_TRUE(db_->BackupTo(copy).ok());
  ASSERT_TRUE(Insert(*db_, "b", 2).ok());
  EXPECT_FALSE(std::filesystem::exists(copy + "-journal"));
  struct stat info {};
  ASSERT_EQ(stat(copy.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  const std::unique_ptr<Sqlite> restored = MustOpen(copy);
  EXPECT_EQ(One(*restored, "SELECT group_concat(id) FROM t"), "a");
  EXPECT_EQ(restored->UserVersion().value(), 3);
  EXPECT_EQ(One(*restored, "PRAGMA integrity_check"), "ok");
}

TEST_F(SqliteTest, ABackupOverwritesNothing) {
  const std::string taken = folder_.Write("taken", "precious");
  EXPECT_EQ(ReasonOf(db_->BackupTo(taken)), kUnavailable);
  EXPECT_EQ(ReadFile(taken, 100).value(), "precious");
  EXPECT_EQ(ReasonOf(db_->BackupTo(folder_.File("absent/x"))), kUnavailable);
}

TEST_F(SqliteTest, WhatIsDeletedIsGoneFromTheFiles) {
  const std::string secret = "a-secret-that-must-go";
  ASSERT_TRUE(Insert(*db_, secret, 1).ok());
  ASSERT_TRUE(db_->Checkpoint().ok());
  EXPECT_THAT(ReadFile(path_, 1 << 24).value(), HasSubstr(secret));
  ASSERT_TRUE(db_->Execute("DELETE FROM t").ok());
  ASSERT_TRUE(db_->Checkpoint().ok());
  EXPECT_THAT(ReadFile(path_, 1 << 24).value(), testing::Not(HasSubstr(secret)));
  EXPECT_EQ(ReadFile(path_ + "-wal", 1 << 24).value(), "");
}

TEST(Sqlite, InMemory) {
  const std::unique_ptr<Sqlite> db = MustOpen(":memory:");
  EXPECT_EQ(One(*db, "SELECT 'x'"), "x");
  EXPECT_EQ(One(*db, "PRAGMA foreign_keys"), "1");
}

TEST(Sqlite, OpenTellsWhyItCannot) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReasonOf(Sqlite::Open(folder.File("absent/state.db")).status()), kUnavailable);
  EXPECT_EQ(ReasonOf(Sqlite::Open(folder.path()).status()), kUnavailable);
  const std::string garbage = folder.Write("garbage", std::string(4096, 'x'));
  EXPECT_EQ(ReasonOf(Sqlite::Open(garbage).status()), kUnavailable);
  EXPECT_EQ(ReadFile(garbage, 5000).value(), std::string(4096, 'x'));
}

}  // namespace
}  // namespace cvm
