// SPDX-License-Identifier: Apache-2.0
//
// An agent put together as agent/app.cc does it, without gRPC and libvirt: a real store and real
// disk images in a folder of the test's own, a FakeHost as the machine. The host, the files and the
// clock outlive a crash of the agent; everything else is made anew by Restart().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/core/core.h"
#include "agent/core/event_log.h"
#include "agent/core/host_manager.h"
#include "agent/core/image_manager.h"
#include "agent/core/instance_manager.h"
#include "agent/core/operation_engine.h"
#include "agent/core/power_monitor.h"
#include "agent/core/reconciler.h"
#include "agent/core/volume_manager.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/errors.h"
#include "common/mutex.h"
#include "drivers/hypervisor/fake/fake_hypervisor.h"
#include "drivers/network/fake_bridges.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm::agent::core {

// Where a test may stop the agent dead: the crash points of the engine, and before and after every
// call of a driver. Sites are numbered by their occurrence ("...#1"). Thread-safe.
class CrashSites {
 public:
  // From now on records every site that is passed, and stops the agent at the `at`-th, counted from
  // 0; without `at` never.
  void Arm(std::optional<size_t> at);
  void Disarm();

  // True when the agent has to stop here.
  bool Pass(const std::string& site);

  std::vector<std::string> passed() const;
  bool crashed() const;

 private:
  mutable Mutex mutex_;
  bool armed_ CVM_GUARDED_BY(mutex_) = false;
  bool crashed_ CVM_GUARDED_BY(mutex_) = false;
  std::optional<size_t> at_ CVM_GUARDED_BY(mutex_);
  std::map<std::string, int> count_ CVM_GUARDED_BY(mutex_);
  std::vector<std::string> passed_ CVM_GUARDED_BY(mutex_);
};

class AgentHarness {
 public:
  // `configure` changes the configuration before the agent starts.
  explicit AgentHarness(const std::function<void(Config&)>& configure = nullptr);
  ~AgentHarness();

  // The agent is gone, and what was under way stays as it was.
  void Crash();
  // A new agent on the same files and the same host.
  void Restart();

  Config config;
  FakeClock clock;
  CrashSites crash_sites;
  DiskSpace disk_space{.total_bytes = uint64_t{100} << 30, .free_bytes = uint64_t{90} << 30};
  const std::shared_ptr<hypervisor::FakeHost> host = std::make_shared<hypervisor::FakeHost>();
  network::FakeBridges bridges;
  const Caller caller{.scope = "tests"};

  const Paths& paths() const { return paths_; }
  Store& store();
  Ledger& ledger();
  PowerMonitor& power();
  OperationEngine& engine();
  InstanceManager& instances();
  ImageManager& images();
  VolumeManager& volumes();
  HostManager& hosts();
  Reconciler& reconciler();
  EventLog& events();
  const Core& core();

  // Waits until the operation has ended, without moving the clock.
  v1::Operation WaitEnd(const std::string& operation_id);
  // The same, moving the clock on whenever nothing happens by itself.
  v1::Operation WaitEndAdvancing(const std::string& operation_id);
  // Waits until the operation has ended or the agent has crashed; moves the clock. True: crashed.
  bool WaitCrashOrEnd(const std::string& operation_id);
  // Fails the test when `operation` is an error; else waits for its end.
  v1::Operation Run(const absl::StatusOr<v1::Operation>& operation);
  // Waits until `condition` holds; false after a minute.
  bool WaitFor(const std::function<bool()>& condition);
  // What the hypervisor has reported so far is in the ledger.
  void Settle();
  // Moves the clock and lets timers fire.
  void Advance(absl::Duration duration);

  // Writes a small qcow2 into the import folder and returns its name.
  std::string MakeSourceImage(const std::string& name);
  // There is an image `id`, as an import of one leaves it. No operation: another agent has imported
  // it, once in this process.
  void ImportBase(const std::string& id = "img-base0000",
                  const v1::GuestProperties& properties = {});
  v1::ImportImageRequest ImportRequest(const std::string& id, const std::string& request_id);
  // The image img-base0000, 1 vCPU, 128 MiB, no NIC, no data disk.
  v1::CreateInstanceRequest CreateRequest(const std::string& id,
                                          const std::string& request_id = "");
  // With two data disks and two NICs.
  v1::CreateInstanceRequest BigCreateRequest(const std::string& id,
                                             const std::string& request_id = "");
  // A running instance, or a stopped one.
  std::string MakeInstance(const std::string& id, bool start = true);

  InstancePtr Find(const std::string& id) { return ledger().instances().Find(id); }
  v1::InstanceState StateOf(const std::string& id);
  std::string UuidOf(const std::string& id);
  // Nothing when the host has no such domain.
  std::optional<hypervisor::PowerState> DomainStateOf(const std::string& id);

  // Paths beneath the state folder, without the store's own.
  std::set<std::string> Files() const;
  // What the ledger's images and instances should have there.
  std::set<std::string> ExpectedFiles();
  // Files, domains and taps are those of the ledger's objects, no more and no less, and no
  // operation is unfinished.
  void ExpectNothingLeftOver();

 private:
  class TrippingDiskImages;
  struct Agent;

  TemporaryFolder folder_;
  const Paths paths_;
  const std::unique_ptr<Random> random_;
  std::unique_ptr<Agent> agent_;
};

using cvm::ReasonOf;
// The reason of a failed operation.
ErrorReason ReasonOf(const v1::Operation& operation);

}  // namespace cvm::agent::core
