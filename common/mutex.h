// SPDX-License-Identifier: Apache-2.0
//
// std::mutex with Clang's thread-safety annotations. ThreadSanitizer knows std::mutex; it does not
// know absl::Mutex of an uninstrumented library.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define CVM_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define CVM_THREAD_ANNOTATION(x)
#endif

#define CVM_CAPABILITY(x) CVM_THREAD_ANNOTATION(capability(x))
#define CVM_SCOPED_CAPABILITY CVM_THREAD_ANNOTATION(scoped_lockable)
#define CVM_GUARDED_BY(x) CVM_THREAD_ANNOTATION(guarded_by(x))
#define CVM_REQUIRES(...) CVM_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define CVM_EXCLUDES(...) CVM_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define CVM_ACQUIRE(...) CVM_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define CVM_RELEASE(...) CVM_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define CVM_NO_THREAD_SAFETY_ANALYSIS CVM_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace cvm {

class CVM_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() CVM_ACQUIRE() { mutex_.lock(); }
  void Unlock() CVM_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class CVM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CVM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() CVM_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wait in a loop over the condition: wake-ups may be spurious.
class CondVar {
 public:
  void Wait(Mutex& mutex) CVM_REQUIRES(mutex) CVM_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when the time passed without a notification.
  template <class Rep, class Period>
  bool WaitFor(Mutex& mutex, std::chrono::duration<Rep, Period> timeout)
      CVM_REQUIRES(mutex) CVM_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const auto result = cv_.wait_for(lock, timeout);
    lock.release();
    return result == std::cv_status::no_timeout;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace cvm
