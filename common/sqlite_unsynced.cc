// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite_unsynced.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>
#include <vector>

#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr char kName[] = "cvm-unsynced";
constexpr char kSuffix[] = "-unsynced";

// Followed by `length` bytes: what the file held at `offset` before a write that began there, as
// far as it held anything.
struct Record {
  uint64_t offset = 0;
  uint64_t length = 0;
  // Of the file before the write.
  uint64_t size = 0;
};

sqlite3_vfs* Real() { return sqlite3_vfs_find("unix"); }

struct File {
  sqlite3_file base;
  // Of the records; -1 for files that a crash may lose anyway.
  int records;
  // Lies behind this struct, in memory that SQLite gives.
  sqlite3_file* real;
};

File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* RealOf(sqlite3_file* file) { return Of(file)->real; }

// Records what a change of [offset, offset + length) of the file is about to destroy.
void Keep(const File& file, sqlite3_int64 offset, sqlite3_int64 length) {
  if (file.records < 0) return;
  sqlite3_int64 size = 0;
  if (file.real->pMethods->xFileSize(file.real, &size) != SQLITE_OK) abort();
  const sqlite3_int64 end = std::min(size, offset + length);
  std::string entry(sizeof(Record) + static_cast<size_t>(std::max<sqlite3_int64>(0, end - offset)),
                    '\0');
  const Record record = {.offset = static_cast<uint64_t>(offset),
                         .length = entry.size() - sizeof(Record),
                         .size = static_cast<uint64_t>(size)};
  std::memcpy(entry.data(), &record, sizeof(record));
  if (record.length > 0 &&
      file.real->pMethods->xRead(file.real, entry.data() + sizeof(record),
                                 static_cast<int>(record.length), offset) != SQLITE_OK) {
    abort();
  }
  const ssize_t written = write(file.records, entry.data(), entry.size());
  if (written != static_cast<ssize_t>(entry.size())) abort();
}

int Close(sqlite3_file* file) {
  if (Of(file)->records >= 0) close(Of(file)->records);
  return RealOf(file)->pMethods->xClose(RealOf(file));
}

int Read(sqlite3_file* file, void* data, int amount, sqlite3_int64 offset) {
  return RealOf(file)->pMethods->xRead(RealOf(file), data, amount, offset);
}

int Write(sqlite3_file* file, const void* data, int amount, sqlite3_int64 offset) {
  Keep(*Of(file), offset, amount);
  return RealOf(file)->pMethods->xWrite(RealOf(file), data, amount, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  Keep(*Of(file), size, INT32_MAX);
  return RealOf(file)->pMethods->xTruncate(RealOf(file), size);
}

int Sync(sqlite3_file* file, int flags) {
  const int code = RealOf(file)->pMethods->xSync(RealOf(file), flags);
  if (code == SQLITE_OK && Of(file)->records >= 0 && ftruncate(Of(file)->records, 0) != 0) abort();
  return code;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return RealOf(file)->pMethods->xFileSize(RealOf(file), size);
}

int Lock(sqlite3_file* file, int level) {
  return RealOf(file)->pMethods->xLock(RealOf(file), level);
}

int Unlock(sqlite3_file* file, int level) {
  return RealOf(file)->pMethods->xUnlock(RealOf(file), level);
}

int CheckReservedLock(sqlite3_file* file, int* result) {
  return RealOf(file)->pMethods->xCheckReservedLock(RealOf(file), result);
}

int FileControl(sqlite3_file* file, int what, void* argument) {
  return RealOf(file)->pMethods->xFileControl(RealOf(file), what, argument);
}

int SectorSize(sqlite3_file* file) { return RealOf(file)->pMethods->xSectorSize(RealOf(file)); }

int DeviceCharacteristics(sqlite3_file* file) {
  return RealOf(file)->pMethods->xDeviceCharacteristics(RealOf(file));
}

int ShmMap(sqlite3_file* file, int page, int size, int extend, void volatile** memory) {
  return RealOf(file)->pMethods->xShmMap(RealOf(file), page, size, extend, memory);
}

int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  return RealOf(file)->pMethods->xShmLock(RealOf(file), offset, count, flags);
}

void ShmBarrier(sqlite3_file* file) { RealOf(file)->pMethods->xShmBarrier(RealOf(file)); }

int ShmUnmap(sqlite3_file* file, int remove) {
  return RealOf(file)->pMethods->xShmUnmap(RealOf(file), remove);
}

// Version 2: without memory-mapped reads, which no write would pass by.
const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Unlock,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
    .xShmMap = ShmMap,
    .xShmLock = ShmLock,
    .xShmBarrier = ShmBarrier,
    .xShmUnmap = ShmUnmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int Open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  File* const made = new (file) File{};
  made->records = -1;
  made->real = reinterpret_cast<sqlite3_file*>(made + 1);
  const int code = Real()->xOpen(Real(), path, made->real, flags, out_flags);
  if (code != SQLITE_OK) return code;
  made->base.pMethods = &kMethods;
  if (path != nullptr && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0) {
    const std::string records = std::string(path) + kSuffix;
    made->records = open(records.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (made->records < 0) abort();
  }
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* path, int sync_folder) {
  const int code = Real()->xDelete(Real(), path, sync_folder);
  if (code == SQLITE_OK) unlink((std::string(path) + kSuffix).c_str());
  return code;
}

void Register() {
  static sqlite3_vfs* const vfs = [] {
    auto* made = new sqlite3_vfs(*Real());
    made->szOsFile = static_cast<int>(sizeof(File)) + Real()->szOsFile;
    made->zName = kName;
    made->pNext = nullptr;
    made->xOpen = Open;
    made->xDelete = Delete;
    return made;
  }();
  if (sqlite3_vfs_register(vfs, /*makeDflt=*/0) != SQLITE_OK) abort();
}

absl::Status DropOf(const std::string& path, uint64_t seed) {
  const std::string name = path + kSuffix;
  absl::StatusOr<std::string> records = ReadFile(name, size_t{1} << 30);
  if (absl::IsNotFound(records.status())) return absl::OkStatus();
  CVM_RETURN_IF_ERROR(records.status());
  std::vector<std::pair<Record, std::string_view>> list;
  for (std::string_view rest = *records; rest.size() >= sizeof(Record);) {
    Record record;
    std::memcpy(&record, rest.data(), sizeof(record));
    rest.remove_prefix(sizeof(record));
    // Cut short by the kill: its write did not begin.
    if (rest.size() < record.length) break;
    list.emplace_back(record, rest.substr(0, record.length));
    rest.remove_prefix(record.length);
  }
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return RemoveFile(name);
  if (!fd) return FileError(errno, "open", path);
  const size_t kept = seed == 0 ? 0 : seed % (list.size() + 1);
  for (size_t i = list.size(); i > kept; --i) {
    const auto& [record, bytes] = list[i - 1];
    if (pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(record.offset)) !=
            static_cast<ssize_t>(bytes.size()) ||
        ftruncate(fd.get(), static_cast<off_t>(record.size)) != 0) {
      return FileError(errno, "restore", path);
    }
  }
  if (fsync(fd.get()) != 0) return FileError(errno, "sync", path);
  return RemoveFile(name);
}

}  // namespace

absl::Status DropUnsyncedWrites(const std::string& path, uint64_t seed) {
  CVM_RETURN_IF_ERROR(DropOf(path, seed));
  return DropOf(path + "-wal", seed);
}

const char* UnsyncedVfsFromEnvironment(const std::string& path) {
  const char* const asked = std::getenv("CVM_SQLITE_UNSYNCED");
  if (asked == nullptr) return nullptr;
  const std::string_view word = asked;
  static std::once_flag once;
  std::call_once(once, [&] {
    Register();
    if (!word.starts_with("drop")) return;
    uint64_t seed = 0;
    if (word.starts_with("drop:")) {
      std::from_chars(word.data() + 5, word.data() + word.size(), seed);
    }
    const absl::Status dropped = DropUnsyncedWrites(path, seed);
    if (!dropped.ok()) {
      fmt::print(stderr, "cannot drop unsynced writes: {}\n", dropped.ToString());
      abort();
    }
  });
  return kName;
}

}  // namespace cvm
