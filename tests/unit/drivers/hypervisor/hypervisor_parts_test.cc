// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/errors.h"
#include "drivers/hypervisor/console_sink.h"
#include "drivers/hypervisor/png.h"
#include "drivers/hypervisor/serial_queue.h"
#include "gtest/gtest.h"

namespace cvm::hypervisor {
namespace {

TEST(SerialQueue, RunsTasksInOrderOnAnotherThread) {
  SerialQueue queue;
  std::vector<int> order;
  std::thread::id runner;
  for (int i = 0; i < 100; ++i) {
    queue.Post([&order, &runner, i] {
      order.push_back(i);
      runner = std::this_thread::get_id();
    });
  }
  queue.WaitIdle();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_NE(runner, std::this_thread::get_id());
}

TEST(SerialQueue, StopWaitsForTheRunningTask) {
  SerialQueue queue;
  std::atomic<bool> begun = false;
  std::atomic<bool> go_on = false;
  std::atomic<bool> finished = false;
  queue.Post([&] {
    begun = true;
    begun.notify_all();
    go_on.wait(false);
    finished = true;
  });
  begun.wait(false);
  std::thread releaser([&] {
    go_on = true;
    go_on.notify_all();
  });
  queue.Stop();
  EXPECT_TRUE(finished);
  releaser.join();
  queue.Stop();
}

TEST(SerialQueue, RunsNothingAfterStop) {
  SerialQueue queue;
  queue.Stop();
  auto owned = std::make_shared<int>(1);
  bool ran = false;
  queue.Post([&ran, owned] { ran = true; });
  EXPECT_EQ(owned.use_count(), 1) << "the task is destroyed";
  queue.WaitIdle();
  EXPECT_FALSE(ran);
}

struct Recorder {
  std::string output;
  int closed = 0;
  ConsoleHandler Handler() {
    ConsoleHandler handler;
    handler.on_output = [this](std::string_view text) { output += text; };
    handler.on_closed = [this](const absl::Status&) { ++closed; };
    return handler;
  }
};

TEST(ConsoleSink, ClosesOnceAndLast) {
  Recorder recorder;
  ConsoleSink sink(recorder.Handler());
  sink.Deliver("a");
  sink.Deliver("");
  sink.Close(absl::OkStatus());
  sink.Close(absl::OkStatus());
  sink.Deliver("b");
  EXPECT_EQ(recorder.output, "a");
  EXPECT_EQ(recorder.closed, 1);
}

TEST(ConsoleSink, CallsNobodyOnceDetached) {
  Recorder recorder;
  ConsoleSink sink(recorder.Handler());
  sink.Detach();
  sink.Deliver("a");
  sink.Close(absl::OkStatus());
  EXPECT_EQ(recorder.output, "");
  EXPECT_EQ(recorder.closed, 0);
}

TEST(ConsoleSink, DetachWaitsForACallUnderWay) {
  std::atomic<bool> in_call = false;
  std::atomic<bool> go_on = false;
  std::atomic<bool> ended = false;
  ConsoleHandler handler;
  handler.on_output = [&](std::string_view) {
    in_call = true;
    in_call.notify_all();
    go_on.wait(false);
    ended = true;
  };
  ConsoleSink sink(handler);
  std::thread caller([&] { sink.Deliver("a"); });
  in_call.wait(false);
  std::thread releaser([&] {
    go_on = true;
    go_on.notify_all();
  });
  sink.Detach();
  EXPECT_TRUE(ended);
  caller.join();
  releaser.join();
}

TEST(ConsoleSink, MayBeDetachedFromItsOwnHandler) {
  std::unique_ptr<ConsoleSink> sink;
  int calls = 0;
  ConsoleHandler handler;
  handler.on_output = [&](std::string_view) {
    ++calls;
    sink->Detach();
  };
  sink = std::make_unique<ConsoleSink>(handler);
  sink->Deliver("a");
  sink->Deliver("b");
  EXPECT_EQ(calls, 1);
}

TEST(ConsoleSink, AcceptsAHandlerWithoutFunctions) {
  ConsoleSink sink{ConsoleHandler()};
  sink.Deliver("a");
  sink.Close(absl::OkStatus());
}

std::string Ppm(const std::string& header, size_t bytes) {
  return header + std::string(bytes, 'x');
}

TEST(Png, ConvertsAScreen) {
  const auto shot = PpmToPng(Ppm("P6\n# QEMU\n640 480\n255\n", size_t{640} * 480 * 3));
  ASSERT_TRUE(shot.ok()) << shot.status();
  EXPECT_EQ(shot->width, 640u);
  EXPECT_EQ(shot->height, 480u);
  EXPECT_EQ(shot->png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(shot->png.substr(12, 4), "IHDR");
  EXPECT_EQ(shot->png.substr(16, 8), std::string("\x00\x00\x02\x80\x00\x00\x01\xe0", 8));
  EXPECT_EQ(shot->png.substr(shot->png.size() - 8, 4), "IEND");
}

TEST(Png, TakesAPngDumpAsItIs) {
  const auto made = PpmToPng(Ppm("P6\n640 480\n255\n", size_t{640} * 480 * 3));
  ASSERT_TRUE(made.ok());
  const auto shot = ScreenshotFromDump(made->png);
  ASSERT_TRUE(shot.ok()) << shot.status();
  EXPECT_EQ(shot->png, made->png);
  EXPECT_EQ(shot->width, 640u);
  EXPECT_EQ(shot->height, 480u);
  const auto from_ppm = ScreenshotFromDump(Ppm("P6\n2 1\n255\n", 6));
  ASSERT_TRUE(from_ppm.ok()) << from_ppm.status();
  EXPECT_EQ(from_ppm->width, 2u);

  std::string huge = made->png;
  huge.replace(16, 4, std::string("\x00\x01\x00\x00", 4));
  for (const std::string& dump : {std::string("\x89PNG"), made->png.substr(0, 20), huge}) {
    EXPECT_EQ(ReasonOf(ScreenshotFromDump(dump).status()),
              ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  }
}

TEST(Png, RefusesWhatIsNoScreen) {
  for (const std::string& ppm :
       {std::string(), std::string("P6"), std::string("P5\n1 1\n255\nx"), Ppm("P6\n1 1\n255\n", 2),
        Ppm("P6\n1 1\n255\n", 4), Ppm("P6\n0 1\n255\n", 0), Ppm("P6\n1 1\n65535\n", 6),
        Ppm("P6\n99999 99999\n255\n", 3), Ppm("P6\n-1 1\n255\n", 3), std::string("P6\n1 1\n255"),
        std::string("P6\n# no end"), Ppm("P6\n99999999999999999999 1\n255\n", 3)}) {
    EXPECT_EQ(ReasonOf(PpmToPng(ppm).status()), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR)
        << ppm.substr(0, 40);
  }
}

}  // namespace
}  // namespace cvm::hypervisor
