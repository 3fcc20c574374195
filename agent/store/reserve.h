// SPDX-License-Identifier: Apache-2.0
//
// A file that holds a part of the disk back, to be given up piece by piece when the disk is full.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace cvm::agent {

// Not thread-safe.
class Reserve {
 public:
  // An empty path: nothing is held back.
  Reserve(std::string path, uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}

  // Makes the file whole. NO_SPACE when the disk has no room for it; what there was stays.
  absl::Status Fill();
  // Gives a piece back to the disk. False when there is nothing left.
  bool GiveUpPiece();

 private:
  std::string path_;
  uint64_t bytes_ = 0;
};

}  // namespace cvm::agent
