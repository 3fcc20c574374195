// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite_unsynced.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include "common/sqlite.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

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

class SqliteUnsyncedTest : public testing::Test {
 protected:
  SqliteUnsyncedTest() {
    setenv("CVM_SQLITE_UNSYNCED", "keep", 1);
    db_ = MustOpen(folder_.File("state.db"));
    EXPECT_TRUE(db_->Execute("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").ok());
    Insert(0);
  }
  ~SqliteUnsyncedTest() override { unsetenv("CVM_SQLITE_UNSYNCED"); }

  void Insert(int n) {
    EXPECT_TRUE(db_->Execute("INSERT INTO t VALUES (" + std::to_string(n) + ")").ok());
  }

  // The database as it is found after the power has gone now and come back.
  std::unique_ptr<Sqlite> AfterAPowerCut(uint64_t seed = 0) {
    const std::string found = folder_.File("found" + std::to_string(++cuts_));
    std::filesystem::create_directory(found);
    for (const char* name :
         {"state.db", "state.db-unsynced", "state.db-wal", "state.db-wal-unsynced"}) {
      if (!std::filesystem::exists(folder_.File(name))) continue;
      std::filesystem::copy_file(folder_.File(name), found + "/" + name);
    }
    const absl::Status dropped = DropUnsyncedWrites(found + "/state.db", seed);
    EXPECT_TRUE(dropped.ok()) << dropped;
    std::unique_ptr<Sqlite> db = MustOpen(found + "/state.db");
    EXPECT_EQ(One(*db, "PRAGMA integrity_check"), "ok");
    return db;
  }
  std::string CountAfterAPowerCut(uint64_t seed = 0) {
    return One(*AfterAPowerCut(seed), "SELECT count(*) FROM t");
  }

  const TemporaryFolder folder_;
  std::unique_ptr<Sqlite> db_;
  int cuts_ = 0;
};

TEST_F(SqliteUnsyncedTest, WhatWasCommittedStays) {
  Insert(1);
  Insert(2);
  EXPECT_EQ(CountAfterAPowerCut(), "3");
}

TEST_F(SqliteUnsyncedTest, WhatWasNotSyncedIsGone) {
  ASSERT_TRUE(db_->Execute("PRAGMA synchronous=OFF").ok());
  Insert(1);
  Insert(2);
  EXPECT_EQ(CountAfterAPowerCut(), "1");
  EXPECT_EQ(One(*db_, "SELECT count(*) FROM t"), "3");
}

TEST_F(SqliteUnsyncedTest, TheSeedChoosesHowMuchIsLeft) {
  ASSERT_TRUE(db_->Execute("PRAGMA synchronous=OFF").ok());
  for (int n = 1; n <= 5; ++n) Insert(n);
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) seen.insert(CountAfterAPowerCut(seed));
  EXPECT_GE(seen.size(), 4u);
  EXPECT_TRUE(seen.contains("6"));
}

TEST_F(SqliteUnsyncedTest, ACheckpointLosesNothing) {
  Insert(1);
  ASSERT_TRUE(db_->Checkpoint().ok());
  Insert(2);
  for (uint64_t seed = 0; seed <= 20; ++seed) EXPECT_EQ(CountAfterAPowerCut(seed), "3") << seed;
  ASSERT_TRUE(db_->Checkpoint().ok());
  for (uint64_t seed = 0; seed <= 20; ++seed) EXPECT_EQ(CountAfterAPowerCut(seed), "3") << seed;
}

TEST_F(SqliteUnsyncedTest, AnOpenTransactionIsGone) {
  ASSERT_TRUE(db_->Execute("BEGIN IMMEDIATE").ok());
  Insert(1);
  EXPECT_EQ(CountAfterAPowerCut(), "1");
  ASSERT_TRUE(db_->Execute("COMMIT").ok());
  EXPECT_EQ(CountAfterAPowerCut(), "2");
}

}  // namespace
}  // namespace cvm
