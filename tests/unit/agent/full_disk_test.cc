// SPDX-License-Identifier: Apache-2.0
//
// A store whose disk is really full: the agent's state on a small tmpfs in a mount namespace of
// this process's own.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using v1::Operation;

constexpr char kId[] = "ins-00000001";

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs to be root, to mount a small file system";
    // Mounts are seen by this process alone, and end with it.
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    agent_.Crash();
    ASSERT_EQ(mount("tmpfs", State().c_str(), "tmpfs", 0, "size=16m"), 0);
    mounted_ = true;
    for (const std::string& folder :
         {agent_.paths().Images(), agent_.paths().Volumes(), agent_.paths().Instances()}) {
      std::filesystem::create_directories(folder);
    }
    agent_.Restart();
    agent_.ImportBase();
  }

  void TearDown() override {
    agent_.Crash();
    if (mounted_) {
      EXPECT_EQ(umount(State().c_str()), 0);
    }
  }

  std::string State() const { return agent_.paths().state_dir(); }

  // Not a byte is left.
  void Fill() {
    const UniqueFd fd(open((State() + "/filler").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
    ASSERT_TRUE(fd);
    const std::string block(4096, 'x');
    while (write(fd.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
  }

  // Until the store cannot take anything down without its reserve: its log is refilled in place
  // first.
  void FillUntilWritesFail() {
    for (int i = 0; i < 10000; ++i) {
      Fill();
      StoreChange change;
      v1::Image image;
      image.set_id("img-filler00");
      image.set_name(std::string(4096, 'n'));
      change.put_images.push_back(image);
      if (!agent_.store().Apply(change).ok()) return;
    }
    FAIL() << "the disk does not fill up";
  }

  absl::StatusOr<Operation> Stop(const std::string& id, v1::StopMode mode) {
    v1::StopInstanceRequest request;
    request.set_instance_id(id);
    request.set_mode(mode);
    return agent_.instances().Stop(agent_.caller, request);
  }

  absl::StatusOr<Operation> Start(const std::string& id) {
    v1::StartInstanceRequest request;
    request.set_instance_id(id);
    return agent_.instances().Start(agent_.caller, request);
  }

  AgentHarness agent_;
  bool mounted_ = false;
};

TEST_F(FullDiskTest, RefusesNewWorkAndServesReadsStopsAndDeletions) {
  agent_.MakeInstance(kId);
  agent_.MakeInstance("ins-00000002");
  agent_.MakeInstance("ins-00000003", /*start=*/false);
  FillUntilWritesFail();
  if (HasFatalFailure()) return;

  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ReasonOf(Start("ins-00000003").status()),
              ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);
    EXPECT_EQ(ReasonOf(agent_.instances()
                           .Create(agent_.caller, agent_.CreateRequest("ins-00000004"))
                           .status()),
              ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);
    // Reads.
    EXPECT_EQ(agent_.instances().List({})->instances.size(), 3u);
    EXPECT_TRUE(agent_.instances().Get(kId).ok());
    EXPECT_TRUE(agent_.engine().List({}).ok());
    // A stop, hard or soft; the second round has given a part of the reserve up already.
    const std::string id = i == 0 ? kId : "ins-00000002";
    const Operation stopped =
        agent_.Run(Stop(id, i == 0 ? v1::STOP_MODE_HARD : v1::STOP_MODE_SOFT));
    EXPECT_EQ(stopped.state(), Operation::SUCCESS) << stopped.ShortDebugString();
    agent_.Settle();
    EXPECT_EQ(agent_.StateOf(id), v1::STOPPED);
    Fill();
  }
  // The outcome is written down, also for an agent that starts on the full disk.
  agent_.Restart();
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);

  v1::DeleteInstanceRequest deletion;
  deletion.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, deletion)).state(),
            Operation::SUCCESS);
  EXPECT_EQ(ReasonOf(Start("ins-00000003").status()), ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);

  // Room again: everything is taken, and the reserve is whole.
  std::filesystem::remove(State() + "/filler");
  EXPECT_EQ(agent_.Run(Start("ins-00000003")).state(), Operation::SUCCESS);
  EXPECT_EQ(std::filesystem::file_size(agent_.paths().Reserve()), uint64_t{4} << 20);
}

TEST_F(FullDiskTest, AnAgentStartsWhereNotEvenTheStoresHelpersFindRoom) {
  agent_.MakeInstance(kId);
  agent_.Crash();
  for (const char* suffix : {"-wal", "-shm"}) {
    std::filesystem::remove(agent_.paths().Database() + suffix);
  }
  Fill();
  agent_.Restart();
  ASSERT_NE(agent_.Find(kId), nullptr);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  EXPECT_EQ(agent_.Run(Stop(kId, v1::STOP_MODE_HARD)).state(), Operation::SUCCESS);
}

TEST_F(FullDiskTest, WorkUnderWayWaitsForRoomAndLosesNothing) {
  agent_.MakeInstance(kId, /*start=*/false);
  agent_.host->HangNext(hypervisor::FakeMethod::kStartDomain);
  const auto started = Start(kId);
  ASSERT_TRUE(started.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(hypervisor::FakeMethod::kStartDomain));
  FillUntilWritesFail();
  if (HasFatalFailure()) return;
  agent_.host->ReleaseHung(hypervisor::FakeMethod::kStartDomain,
                           hypervisor::HungOutcome::kAnswered);
  ASSERT_TRUE(agent_.WaitFor([&] {
    return agent_.engine().Get(started->id())->stage().find("trying again") != std::string::npos;
  }));
  std::filesystem::remove(State() + "/filler");
  EXPECT_EQ(agent_.WaitEndAdvancing(started->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
}

}  // namespace
}  // namespace cvm::agent::core
