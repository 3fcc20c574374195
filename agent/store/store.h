// SPDX-License-Identifier: Apache-2.0
//
// The agent's memory across crashes: SQLite in WAL mode with synchronous=FULL. What Apply() has
// returned OK for is on the disk.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/store/record.pb.h"
#include "agent/store/reserve.h"
#include "common/mutex.h"
#include "common/sqlite.h"
#include "cvm/agent/v1/image.pb.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent {

// What an instance's config drive needs and nothing else may see; kept apart from the instance.
struct InstanceSecrets {
  std::string password_hash;
  std::string user_data;

  bool empty() const { return password_hash.empty() && user_data.empty(); }
};

// Which operation a client's request id stands for.
struct RequestRow {
  // The caller's identity: the same id of two callers is two requests.
  std::string scope;
  std::string request_id;
  // Keyed HMAC of the canonical request, raw bytes.
  std::string digest;
  std::string operation_id;
};

// Rows that are written together or not at all.
struct StoreChange {
  std::vector<v1::Instance> put_instances;
  std::vector<std::string> delete_instances;
  std::vector<std::pair<std::string, InstanceSecrets>> put_secrets;  // by instance id
  std::vector<v1::Image> put_images;
  std::vector<std::string> delete_images;
  std::vector<store::OperationRecord> put_operations;
  // What an operation brings with it, by operation id; forgotten when the operation ends. The
  // operation is among put_operations.
  std::optional<std::pair<std::string, InstanceSecrets>> put_operation_secrets;
  std::optional<RequestRow> put_request;
  // When the disk is full, the reserve is given up for it piece by piece.
  bool may_use_reserve = false;

  bool empty() const {
    return put_instances.empty() && delete_instances.empty() && put_secrets.empty() &&
           put_images.empty() && delete_images.empty() && put_operations.empty() && !put_request;
  }
};

struct OperationFilter {
  std::string target_id;
  bool unfinished_only = false;
  // Only older than this (creation time in nanoseconds, id); the page before ended there.
  std::optional<std::pair<int64_t, std::string>> after;
  size_t limit = 100;
};

// Thread-safe. Errors: STORE_UNAVAILABLE (disk full, I/O error), INTERNAL (a damaged row).
class Store {
 public:
  // Opens or creates the database; migrates an older schema after a backup beside it
  // (state.db.backup-<version>). FAILED_PRECONDITION for a schema newer than this program knows.
  // With `reserve_path`, a file there holds `reserve_bytes` of the disk back for what must be
  // written down also when the disk is full; see StoreChange::may_use_reserve.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path,
                                                     const std::string& reserve_path = "",
                                                     uint64_t reserve_bytes = 0);

  absl::Status Apply(const StoreChange& change);

  // OK when the whole reserve is there, or could be made whole now. STORE_UNAVAILABLE otherwise:
  // the disk is full, and no new work should begin.
  absl::Status RequireReserve();

  // Whether any row speaks of `text` (an id), but for those of operations that have ended.
  absl::StatusOr<bool> Mentions(const std::string& text);
  // The same of operations under way only.
  absl::StatusOr<bool> OperationMentions(const std::string& text);
  // Nothing has ever been written into it.
  absl::StatusOr<bool> IsNew();

  absl::StatusOr<std::vector<v1::Instance>> LoadInstances();
  absl::StatusOr<std::vector<v1::Image>> LoadImages();
  absl::StatusOr<std::vector<store::OperationRecord>> LoadUnfinishedOperations();
  // Empty ones when there are none.
  absl::StatusOr<InstanceSecrets> LoadSecrets(const std::string& instance_id);
  absl::StatusOr<InstanceSecrets> LoadOperationSecrets(const std::string& operation_id);

  // NOT_FOUND status when there is none.
  absl::StatusOr<store::OperationRecord> LoadOperation(const std::string& id);
  // Newest first.
  absl::StatusOr<std::vector<v1::Operation>> ListOperations(const OperationFilter& filter);
  absl::StatusOr<std::optional<RequestRow>> FindRequest(const std::string& scope,
                                                        const std::string& request_id);

  // Forgets operations that ended before `time` and whose target is gone. Their request ids stay,
  // so that a replay fails instead of running again.
  absl::Status ForgetOperations(absl::Time time);

 private:
  Store(std::unique_ptr<Sqlite> db, Reserve reserve)
      : db_(std::move(db)), reserve_(std::move(reserve)) {}
  absl::Status WriteLocked(const StoreChange& change) CVM_REQUIRES(mutex_);
  absl::StatusOr<bool> AnyRow(const std::string& table, const std::string& condition,
                              const std::string& text) CVM_REQUIRES(mutex_);
  absl::Status ApplyLocked(const StoreChange& change) CVM_REQUIRES(mutex_);
  absl::StatusOr<InstanceSecrets> LoadSecretsLocked(std::string_view sql, const std::string& id)
      CVM_REQUIRES(mutex_);

  Mutex mutex_;
  std::unique_ptr<Sqlite> db_ CVM_GUARDED_BY(mutex_);
  Reserve reserve_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::agent
