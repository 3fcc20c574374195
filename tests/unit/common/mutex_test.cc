// SPDX-License-Identifier: Apache-2.0
#include "common/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace cvm {
namespace {

struct Counter {
  Mutex mutex;
  CondVar changed;
  int value CVM_GUARDED_BY(mutex) = 0;
};

TEST(Mutex, LetsOneInAtATime) {
  Counter counter;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&counter] {
        for (int j = 0; j < 10'000; ++j) {
          MutexLock lock(counter.mutex);
          ++counter.value;
        }
      });
    }
  }
  MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.value, 40'000);
}

TEST(CondVar, WakesAWaiter) {
  Counter counter;
  std::jthread setter([&counter] {
    MutexLock lock(counter.mutex);
    counter.value = 1;
    counter.changed.NotifyAll();
  });
  MutexLock lock(counter.mutex);
  while (counter.value == 0) counter.changed.Wait(counter.mutex);
  EXPECT_EQ(counter.value, 1);
}

TEST(CondVar, WaitForGivesUpAndHoldsTheMutexAgain) {
  Counter counter;
  MutexLock lock(counter.mutex);
  const auto start = std::chrono::steady_clock::now();
  while (counter.changed.WaitFor(counter.mutex, std::chrono::milliseconds(5))) {
  }
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(5));
  std::jthread other([&counter] {
    MutexLock inner(counter.mutex);
    counter.value = 2;
    counter.changed.NotifyOne();
  });
  EXPECT_EQ(counter.value, 0);
  while (counter.value == 0) counter.changed.Wait(counter.mutex);
}

}  // namespace
}  // namespace cvm
