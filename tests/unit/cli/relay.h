// SPDX-License-Identifier: Apache-2.0
//
// Stands between a client and a server on unix sockets, and breaks connections as a crash would.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "common/file.h"
#include "common/mutex.h"

namespace cvm::cli {

// Thread-safe.
class Relay {
 public:
  Relay(std::string path, std::string server_path);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Breaks what is open; new connections are taken.
  void Cut() CVM_EXCLUDES(mutex_);
  // Breaks what is open and takes nothing any more.
  void Close() CVM_EXCLUDES(mutex_);

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
  };
  void Loop() CVM_EXCLUDES(mutex_);

  const std::string path_;
  const std::string server_path_;
  UniqueFd wake_;
  Mutex mutex_;
  UniqueFd listener_ CVM_GUARDED_BY(mutex_);
  bool stop_ CVM_GUARDED_BY(mutex_) = false;
  std::vector<Pair> pairs_ CVM_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace cvm::cli
