// SPDX-License-Identifier: Apache-2.0
#include "agent/app.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>

#include <filesystem>

#include "agent/core/event_log.h"
#include "agent/core/host_manager.h"
#include "agent/core/host_view.h"
#include "agent/core/image_manager.h"
#include "agent/core/instance_manager.h"
#include "agent/core/operation_engine.h"
#include "agent/core/power_monitor.h"
#include "agent/core/reconciler.h"
#include "agent/core/recycle_bin.h"
#include "agent/core/workflows.h"
#include "agent/services/host_service.h"
#include "agent/services/image_service.h"
#include "agent/services/instance_service.h"
#include "agent/services/operation_service.h"
#include "agent/services/server.h"
#include "agent/store/store.h"
#include "agent/version.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/libvirt_hypervisor.h"
#include "fmt/format.h"

namespace cvm::agent {
namespace {

constexpr size_t kRequestKeyBytes = 32;
// Room for the records of some hundreds of stops on a disk that is full.
constexpr uint64_t kReserveBytes = uint64_t{16} << 20;
constexpr absl::Duration kShutdownGrace = absl::Seconds(5);
constexpr absl::Duration kHousekeeping = absl::Hours(1);

absl::Status MakeTree(const Config& config, const Paths& paths) {
  CVM_RETURN_IF_ERROR(MakeFolders(config.state_dir, 0711));
  for (const std::string& folder : {paths.Images(), paths.Volumes(), paths.Instances()}) {
    CVM_RETURN_IF_ERROR(MakeFolders(folder, 0711));
  }
  CVM_RETURN_IF_ERROR(MakeFolders(config.import_dir, 0700));
  return MakeFolders(config.run_dir, 0755);
}

// What a crash left of files that were being written.
absl::Status RemoveLeftovers(const Paths& paths) {
  CVM_RETURN_IF_ERROR(RemoveTemporaryFiles(paths.state_dir()));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(paths.Instances(), error)) {
    CVM_RETURN_IF_ERROR(RemoveTemporaryFiles(entry.path()));
  }
  if (!error) return absl::OkStatus();
  return absl::InternalError(
      fmt::format("cannot look into {}: {}", paths.Instances(), error.message()));
}

// Two agents on one state would run operations twice.
absl::StatusOr<UniqueFd> TakeLock(const Paths& paths) {
  UniqueFd fd(open(paths.Lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return absl::InternalError(fmt::format("cannot open {}", paths.Lock()));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("another cvm-agentd runs on {}", paths.state_dir()));
  }
  return fd;
}

absl::StatusOr<std::string> LoadOrMakeRequestKey(const Paths& paths, Random& random) {
  absl::StatusOr<std::string> key = ReadFile(paths.RequestKey(), kRequestKeyBytes);
  if (key.ok() && key->size() == kRequestKeyBytes) return key;
  if (!key.ok() && !absl::IsNotFound(key.status())) return key.status();
  std::string made(kRequestKeyBytes, '\0');
  random.Fill(made.data(), made.size());
  CVM_RETURN_IF_ERROR(WriteFileAtomically(paths.RequestKey(), made, 0600));
  return made;
}

absl::StatusOr<core::DiskSpace> DiskSpaceOf(const std::string& folder) {
  struct statvfs stat {};
  if (statvfs(folder.c_str(), &stat) != 0) {
    return Error(ErrorReason::ERROR_REASON_INTERNAL, "cannot ask for the free space of the disk");
  }
  return core::DiskSpace{.total_bytes = uint64_t{stat.f_blocks} * stat.f_frsize,
                         .free_bytes = uint64_t{stat.f_bavail} * stat.f_frsize};
}

LogLevel LogLevelOf(const std::string& word) {
  if (word == "debug") return LogLevel::kDebug;
  if (word == "warning") return LogLevel::kWarning;
  if (word == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

void LogIfError(const absl::Status& status, std::string_view what) {
  if (!status.ok()) CVM_LOG_WARNING("{}: {}", what, std::string(status.message()));
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Waits for a stop signal; meanwhile pats the watchdog and does what is done from time to time.
void WaitForStop(Store& store, absl::Duration retention, core::RecycleBin& recycle_bin) {
  const sigset_t signals = StopSignals();
  const absl::Duration watchdog = WatchdogInterval().value_or(absl::Minutes(2));
  absl::Duration since_housekeeping = kHousekeeping;
  while (true) {
    LogIfError(NotifyWatchdog(), "cannot reach systemd's watchdog");
    recycle_bin.Tick();
    if (since_housekeeping >= kHousekeeping) {
      since_housekeeping = absl::ZeroDuration();
      LogIfError(store.ForgetOperations(absl::Now() - retention), "cannot forget old operations");
    }
    const absl::Duration step = std::min(watchdog / 2, absl::Minutes(1));
    const timespec timeout = absl::ToTimespec(step);
    const int signal = sigtimedwait(&signals, nullptr, &timeout);
    if (signal > 0) {
      CVM_LOG_INFO("stopping on signal {}; guests keep running", signal);
      return;
    }
    since_housekeeping += step;
  }
}

}  // namespace

absl::Status RunAgent(const Config& config) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  SetLogLevel(LogLevelOf(config.log_level));
  const Paths paths(config.state_dir);
  const Clock& clock = Clock::Real();
  Random& random = Random::Secure();

  CVM_RETURN_IF_ERROR(MakeTree(config, paths));
  CVM_ASSIGN_OR_RETURN(const UniqueFd lock, TakeLock(paths));
  CVM_RETURN_IF_ERROR(RemoveLeftovers(paths));
  CVM_ASSIGN_OR_RETURN(const std::string request_key, LoadOrMakeRequestKey(paths, random));
  CVM_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                       Store::Open(paths.Database(), paths.Reserve(), kReserveBytes));

  core::Ledger ledger(*store);
  CVM_RETURN_IF_ERROR(ledger.Load(clock.Now()));
  core::PowerMonitor power(ledger, clock);
  const std::unique_ptr<hypervisor::Hypervisor> hypervisor =
      hypervisor::MakeLibvirtHypervisor({.uri = config.libvirt.uri,
                                         .call_deadline = config.libvirt.call_timeout,
                                         .long_call_deadline = config.libvirt.start_timeout});
  const std::unique_ptr<images::DiskImages> disk_images = images::MakeQemuDiskImages();
  const std::unique_ptr<network::Bridges> bridges = network::MakeNetlinkBridges();
  core::EventLog events(clock);
  core::OperationEngine* made_engine = nullptr;
  const core::Core core{
      .config = config,
      .paths = paths,
      .clock = clock,
      .random = random,
      .ledger = ledger,
      .power = power,
      .hypervisor = *hypervisor,
      .disk_images = *disk_images,
      .bridges = *bridges,
      .disk_space = [&] { return DiskSpaceOf(paths.Volumes()); },
      .events = events,
      .engine = [&made_engine]() -> core::OperationEngine& { return *made_engine; }};

  core::OperationEngine engine(
      ledger, clock, random,
      [&core](const store::OperationRecord& record) { return core::MakeWorkflow(core, record); },
      core::LaneOf,
      {.normal_workers = static_cast<size_t>(config.operations.workers),
       .hypervisor_grace = config.operations.hypervisor_grace,
       .request_key = request_key,
       .crash_hook = core::CrashHookFromEnvironment()});
  made_engine = &engine;
  core::InstanceManager instances(core, engine);
  core::ImageManager images(core, engine);
  core::HostView host(core, kVersion);
  core::HostManager host_manager(core, engine);
  core::Reconciler reconciler(core);
  // The domains of a store that was lost come back first: they own names and addresses.
  CVM_ASSIGN_OR_RETURN(const bool new_store, store->IsNew());
  power.SetReady(!new_store);

  power.Start([&engine](const std::string& instance_id) {
    instance_id.empty() ? engine.WakeAll() : engine.Wake(instance_id);
  });
  hypervisor->Start([&power, &reconciler](const hypervisor::HypervisorEvent& event) {
    power.OnEvent(event);
    reconciler.OnEvent(event);
  });
  if (const absl::Status resumed = engine.Resume(); !resumed.ok()) {
    // Its handler must not outlive what it calls.
    hypervisor->Stop();
    return resumed;
  }
  reconciler.Start(config.operations.reconcile_interval);

  services::InstanceServiceImpl instance_service(instances, ledger.instances(), MakeUuid(random));
  services::OperationServiceImpl operation_service(engine, clock);
  services::ImageServiceImpl image_service(images);
  services::HostServiceImpl host_service(host, host_manager, MakeUuid(random));
  absl::StatusOr<std::unique_ptr<services::Server>> server = services::Server::Start(
      config.listen, {&instance_service, &operation_service, &image_service, &host_service});
  if (server.ok()) {
    LogIfError(
        NotifyReady(fmt::format("version {}, listening on {}", kVersion, config.listen.socket)),
        "cannot tell systemd that the start is done");
    core::RecycleBin recycle_bin(core, [&instances](const std::string& instance_id) {
      v1::DeleteInstanceRequest request;
      request.set_instance_id(instance_id);
      return instances.Delete({.scope = "agent"}, request);
    });
    WaitForStop(*store, config.operations.retention, recycle_bin);
    LogIfError(NotifyStopping("stopping"), "cannot tell systemd of the stop");
    (*server)->Shutdown(kShutdownGrace);
  }
  // No step begins any more, and those that the end of the connection makes fail are left for the
  // next start.
  engine.BeginStop();
  hypervisor->Stop();
  reconciler.Stop();
  power.Stop();
  engine.Stop();
  return server.status();
}

}  // namespace cvm::agent
