// SPDX-License-Identifier: Apache-2.0
//
// For tests of a machine that loses its power; compiled with CVM_TEST_HOOKS only. An SQLite VFS
// that keeps, beside each database and log, what was overwritten there since the file's last sync:
// in
// "<file>-unsynced". After all processes were killed the unsynced writes can so be taken back, as a
// disk without power would have forgotten them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace cvm {

// The name of the VFS to open databases with, or nullptr for SQLite's own: as the environment's
// CVM_SQLITE_UNSYNCED says. "keep": writes are recorded. "drop" and "drop:<seed>": besides, what is
// recorded of the database at `path` is taken back before its first opening by this process, all of
// it, or all after a place that the seed chooses. Aborts when that fails: a test would prove
// nothing.
const char* UnsyncedVfsFromEnvironment(const std::string& path);

// Takes back the recorded writes of the database at `path` and of its log, last first, but for the
// first ones that `seed` chooses to keep (0: none is kept). Nobody may have the database open.
absl::Status DropUnsyncedWrites(const std::string& path, uint64_t seed);

}  // namespace cvm
