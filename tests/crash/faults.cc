// SPDX-License-Identifier: Apache-2.0
//
// Loaded by LD_PRELOAD into the agent and its qemu-img. Counts the calls that change something
// below the folder CVM_FAULT_ROOT, makes the wanted ones fail as on a full disk, and writes the
// order of changes and syncs down. tests/harness/faults.py and tests/crash/with_faults set it up:
// CVM_FAULT_CONTROL names a file that holds a Control and is shared by all of the processes;
// CVM_FAULT_TRACE a file for the order.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "tests/crash/fault_control.h"

namespace {

using cvm::faults::Control;

Control* control = nullptr;
char root[PATH_MAX];
size_t root_size = 0;
int trace_fd = -1;

__attribute__((constructor)) void SetUp() {
  const char* control_path = getenv("CVM_FAULT_CONTROL");
  const char* root_path = getenv("CVM_FAULT_ROOT");
  const char* trace_path = getenv("CVM_FAULT_TRACE");
  if (control_path == nullptr || root_path == nullptr || trace_path == nullptr) return;
  const int fd = open(control_path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* memory = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) abort();
  // Out of the way of numbers that programs expect.
  const int opened = open(trace_path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (opened < 0) abort();
  trace_fd = fcntl(opened, F_DUPFD_CLOEXEC, 200);
  close(opened);
  root_size = static_cast<size_t>(snprintf(root, sizeof(root), "%s/", root_path));
  control = static_cast<Control*>(memory);
}

template <class Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// The function that this library stands before, looked up once.
#define REAL(name) static const auto real = Next<decltype(&(name))>(#name)

bool IsOurs(const char* path) {
  if (control == nullptr || strncmp(path, root, root_size) != 0) return false;
  // The records of the tests' own VFS.
  return !std::string_view(path).ends_with("-unsynced");
}

bool PathOf(int fd, char (&path)[PATH_MAX]) {
  if (control == nullptr || fd < 0) return false;
  char link[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof(path) - 1);
  path[size > 0 ? size : 0] = '\0';
  return size > 0 && IsOurs(path);
}

void Trace(const char* call, const char* path, const char* other = "") {
  if (control == nullptr || control->trace == 0) return;
  char line[2 * PATH_MAX + 64];
  const int size = snprintf(line, sizeof(line), "%s\t%s\t%s\n", call, path, other);
  static const auto real = Next<decltype(&write)>("write");
  if (real(trace_fd, line, static_cast<size_t>(size)) < 0) abort();
}

// Counts the call; true when it is to fail.
bool Fails(const char* call, const char* path) {
  const uint64_t number = ++control->calls;
  const uint64_t first = control->fail_at;
  if (first == 0 || number < first || number - first >= control->fail_count) return false;
  ++control->failed;
  snprintf(control->last, sizeof(control->last), "%s %s", call, path + root_size);
  errno = ENOSPC;
  return true;
}

bool FailsAt(const char* call, const char* path) { return IsOurs(path) && Fails(call, path); }

bool FailsOn(const char* call, int fd) {
  char path[PATH_MAX];
  return PathOf(fd, path) && Fails(call, path);
}

void TraceOn(const char* call, int fd) {
  if (control == nullptr || control->trace == 0) return;
  char path[PATH_MAX];
  if (PathOf(fd, path)) Trace(call, path);
}

mode_t ModeOf(int flags, va_list arguments) {
  const bool makes_file = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return makes_file ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

// Whether an opening that may make a file fails; when it does not, it is written down.
bool OpenFails(const char* path, int flags) {
  if ((flags & O_CREAT) == 0 || !IsOurs(path)) return false;
  // SQLite opens files that exist as if to create them, too.
  if (access(path, F_OK) == 0) return false;
  if (Fails("open", path)) return true;
  Trace("create", path);
  return false;
}

}  // namespace

extern "C" {

// The C library's own names for parameters are reserved ones.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

#define DEFINE_OPEN(name)                         \
  int name(const char* path, int flags, ...) {    \
    REAL(name);                                   \
    va_list arguments;                            \
    va_start(arguments, flags);                   \
    const mode_t mode = ModeOf(flags, arguments); \
    va_end(arguments);                            \
    if (OpenFails(path, flags)) return -1;        \
    return real(path, flags, mode);               \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

// Without a folder: nobody here opens by one for writing.
#define DEFINE_OPENAT(name)                                \
  int name(int folder, const char* path, int flags, ...) { \
    REAL(name);                                            \
    va_list arguments;                                     \
    va_start(arguments, flags);                            \
    const mode_t mode = ModeOf(flags, arguments);          \
    va_end(arguments);                                     \
    if (OpenFails(path, flags)) return -1;                 \
    return real(folder, path, flags, mode);                \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_MKOSTEMP(name)                           \
  int name(char* path, int flags) {                     \
    REAL(name);                                         \
    if (FailsAt(#name, path)) return -1;                \
    const int fd = real(path, flags);                   \
    if (fd >= 0 && IsOurs(path)) Trace("create", path); \
    return fd;                                          \
  }
DEFINE_MKOSTEMP(mkostemp)
DEFINE_MKOSTEMP(mkostemp64)

int mkdir(const char* path, mode_t mode) {
  REAL(mkdir);
  if (access(path, F_OK) != 0 && FailsAt("mkdir", path)) return -1;
  const int result = real(path, mode);
  if (result == 0 && IsOurs(path)) Trace("mkdir", path);
  return result;
}

int rename(const char* from, const char* to) {
  REAL(rename);
  if (FailsAt("rename", to)) return -1;
  const int result = real(from, to);
  if (result == 0 && IsOurs(to)) Trace("rename", from, to);
  return result;
}

int unlink(const char* path) {
  REAL(unlink);
  const int result = real(path);
  if (result == 0 && IsOurs(path)) Trace("unlink", path);
  return result;
}

#define DEFINE_WRITE(name, parameters, values) \
  ssize_t name parameters {                    \
    REAL(name);                                \
    if (FailsOn(#name, fd)) return -1;         \
    TraceOn("write", fd);                      \
    return real values;                        \
  }
DEFINE_WRITE(write, (int fd, const void* data, size_t size), (fd, data, size))
DEFINE_WRITE(pwrite, (int fd, const void* data, size_t size, off_t at), (fd, data, size, at))
DEFINE_WRITE(pwrite64, (int fd, const void* data, size_t size, off64_t at), (fd, data, size, at))
DEFINE_WRITE(writev, (int fd, const iovec* parts, int count), (fd, parts, count))
DEFINE_WRITE(pwritev, (int fd, const iovec* parts, int count, off_t at), (fd, parts, count, at))
DEFINE_WRITE(pwritev64, (int fd, const iovec* parts, int count, off64_t at), (fd, parts, count, at))

#define DEFINE_CHANGE(name, event, parameters, values) \
  int name parameters {                                \
    REAL(name);                                        \
    if (FailsOn(#name, fd)) return -1;                 \
    TraceOn(event, fd);                                \
    return real values;                                \
  }
DEFINE_CHANGE(ftruncate, "write", (int fd, off_t size) noexcept, (fd, size))
DEFINE_CHANGE(ftruncate64, "write", (int fd, off64_t size) noexcept, (fd, size))
DEFINE_CHANGE(fallocate, "write", (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
DEFINE_CHANGE(fallocate64, "write", (int fd, int mode, off64_t at, off64_t size),
              (fd, mode, at, size))
DEFINE_CHANGE(fsync, "sync", (int fd), (fd))
DEFINE_CHANGE(fdatasync, "sync", (int fd), (fd))

int posix_fallocate(int fd, off_t at, off_t size) {
  REAL(posix_fallocate);
  if (FailsOn("posix_fallocate", fd)) return ENOSPC;
  TraceOn("write", fd);
  return real(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
  REAL(posix_fallocate64);
  if (FailsOn("posix_fallocate64", fd)) return ENOSPC;
  TraceOn("write", fd);
  return real(fd, at, size);
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)

}  // extern "C"
