// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/agent_harness.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>

#include "agent/core/derive_state.h"
#include "agent/core/workflows.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "fmt/format.h"
#include "gtest/gtest.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeCall;
using hypervisor::FakeMethod;
using v1::Operation;

constexpr uint64_t kReserveBytes = uint64_t{4} << 20;
constexpr size_t kMostImageBytes = size_t{16} << 20;
constexpr auto kDeadline = std::chrono::minutes(2);

const char* NameOf(FakeMethod method) {
  switch (method) {
    case FakeMethod::kGetDomain:
      return "GetDomain";
    case FakeMethod::kDefineDomain:
      return "DefineDomain";
    case FakeMethod::kStartDomain:
      return "StartDomain";
    case FakeMethod::kShutdownDomain:
      return "ShutdownDomain";
    case FakeMethod::kDestroyDomain:
      return "DestroyDomain";
    case FakeMethod::kRebootDomain:
      return "RebootDomain";
    case FakeMethod::kResetDomain:
      return "ResetDomain";
    case FakeMethod::kUndefineDomain:
      return "UndefineDomain";
    case FakeMethod::kGetDomainSize:
      return "GetDomainSize";
    case FakeMethod::kAddVcpus:
      return "AddVcpus";
    case FakeMethod::kRequestHotplugMemory:
      return "RequestHotplugMemory";
    case FakeMethod::kSetBalloon:
      return "SetBalloon";
    case FakeMethod::kSetDomainMetadata:
      return "SetDomainMetadata";
    case FakeMethod::kGetDomainDefinition:
      return "GetDomainDefinition";
    case FakeMethod::kSetAutostart:
      return "SetAutostart";
    default:
      return "other";
  }
}

}  // namespace

void CrashSites::Arm(std::optional<size_t> at) {
  MutexLock lock(mutex_);
  armed_ = true;
  crashed_ = false;
  at_ = at;
  count_.clear();
  passed_.clear();
}

void CrashSites::Disarm() {
  MutexLock lock(mutex_);
  armed_ = false;
  crashed_ = false;
}

bool CrashSites::Pass(const std::string& site) {
  MutexLock lock(mutex_);
  if (!armed_ || crashed_) return false;
  const size_t index = passed_.size();
  passed_.push_back(fmt::format("{}#{}", site, ++count_[site]));
  crashed_ = at_ == index;
  return crashed_;
}

std::vector<std::string> CrashSites::passed() const {
  MutexLock lock(mutex_);
  return passed_;
}

bool CrashSites::crashed() const {
  MutexLock lock(mutex_);
  return crashed_;
}

// The real qemu-img, with a crash site before and after each call that changes something.
class AgentHarness::TrippingDiskImages final : public images::DiskImages {
 public:
  explicit TrippingDiskImages(std::function<absl::Status(const std::string&)> pass)
      : pass_(std::move(pass)) {}

  absl::StatusOr<images::ImageInfo> InspectForeign(int fd, images::Format format,
                                                   uint64_t max_bytes) override {
    return real_->InspectForeign(fd, format, max_bytes);
  }
  absl::Status Convert(const images::ConvertRequest& request) override {
    return Between("Convert", [&] { return real_->Convert(request); });
  }
  absl::Status CreateOverlay(const std::string& path, const std::string& base_path,
                             uint64_t size_bytes) override {
    return Between("CreateOverlay",
                   [&] { return real_->CreateOverlay(path, base_path, size_bytes); });
  }
  absl::Status CreateEmpty(const std::string& path, uint64_t size_bytes) override {
    return Between("CreateEmpty", [&] { return real_->CreateEmpty(path, size_bytes); });
  }
  absl::StatusOr<images::ImageInfo> Inspect(const std::string& path) override {
    return real_->Inspect(path);
  }

 private:
  absl::Status Between(const std::string& name, const std::function<absl::Status()>& call) {
    if (absl::Status status = pass_(name + "/before"); !status.ok()) return status;
    if (absl::Status status = call(); !status.ok()) return status;
    return pass_(name + "/after");
  }

  const std::function<absl::Status(const std::string&)> pass_;
  const std::unique_ptr<images::DiskImages> real_ = images::MakeQemuDiskImages();
};

struct AgentHarness::Agent {
  explicit Agent(AgentHarness& harness)
      : store(*Store::Open(harness.paths_.Database(), harness.paths_.Reserve(), kReserveBytes)),
        ledger(*store),
        power(ledger, harness.clock),
        events(harness.clock),
        hypervisor(harness.host),
        disk_images(
            [this, &harness](const std::string& site) { return Pass(harness, "call/" + site); }),
        core{.config = harness.config,
             .paths = harness.paths_,
             .clock = harness.clock,
             .random = *harness.random_,
             .ledger = ledger,
             .power = power,
             .hypervisor = hypervisor,
             .disk_images = disk_images,
             .bridges = harness.bridges,
             .disk_space = [&harness] { return harness.disk_space; },
             .events = events,
             .engine = [this]() -> OperationEngine& { return engine; }},
        engine(ledger, harness.clock, *harness.random_,
               [this](const store::OperationRecord& record) { return MakeWorkflow(core, record); },
               LaneOf,
               {.normal_workers = 4,
                .urgent_workers = 2,
                .bulk_workers = 2,
                .hypervisor_grace = harness.config.operations.hypervisor_grace,
                .request_key = "the key of the tests",
                .crash_hook =
                    [&harness](const CrashSite& site) {
                      return harness.crash_sites.Pass(site.ToString());
                    }}),
        instances(core, engine),
        images(core, engine),
        volumes(core, engine),
        hosts(core, engine),
        reconciler(core) {
    EXPECT_TRUE(ledger.Load(harness.clock.Now()).ok());
    power.Start([this](const std::string& instance_id) {
      if (instance_id.empty()) return engine.WakeAll();
      engine.Wake(instance_id);
      engine.Wake(kHostTarget);
    });
    harness.host->SetHook([this, &harness](const FakeCall& call) {
      return Pass(harness,
                  fmt::format("call/{}/{}", NameOf(call.method), call.done ? "after" : "before"));
    });
    // Compares when a test says so, not by itself.
    hypervisor.Start([this](const hypervisor::HypervisorEvent& event) {
      power.OnEvent(event);
      reconciler.OnEvent(event);
    });
    EXPECT_TRUE(engine.Resume().ok());
  }

  void Stop(AgentHarness& harness) {
    engine.BeginStop();
    harness.host->SetHook(nullptr);
    hypervisor.Stop();
    power.Stop();
    engine.Stop();
  }

  // A crash within a step: no other step begins, and the one under way gets no further.
  absl::Status Pass(AgentHarness& harness, const std::string& site) {
    if (!harness.crash_sites.Pass(site)) return absl::OkStatus();
    engine.BeginStop();
    return absl::AbortedError("the agent was killed here");
  }

  const std::unique_ptr<Store> store;
  Ledger ledger;
  PowerMonitor power;
  EventLog events;
  hypervisor::FakeHypervisor hypervisor;
  TrippingDiskImages disk_images;
  const Core core;
  OperationEngine engine;
  InstanceManager instances;
  ImageManager images;
  VolumeManager volumes;
  HostManager hosts;
  Reconciler reconciler;
};

AgentHarness::AgentHarness(const std::function<void(Config&)>& configure)
    : paths_(folder_.File("state")), random_(MakeSeededRandom(1)) {
  config.state_dir = paths_.state_dir();
  config.import_dir = folder_.File("import");
  config.limits.default_system_disk_gib = 1;
  config.limits.reinstall_min_disk_gib = 0;
  config.networks.push_back({.id = "net-a",
                             .bridge = "br-a",
                             .subnet = *Ipv4Subnet::Parse("10.77.0.0/24"),
                             .gateway = Ipv4Address::Parse("10.77.0.1"),
                             .name_servers = {"10.77.0.2"},
                             .search_domains = {"a.example"},
                             .mtu = 1400});
  config.networks.push_back({.id = "net-b",
                             .bridge = "br-b",
                             .subnet = *Ipv4Subnet::Parse("10.78.0.0/29"),
                             .gateway = std::nullopt,
                             .name_servers = {},
                             .search_domains = {},
                             .mtu = 0});
  if (configure) configure(config);
  for (const std::string& made :
       {paths_.Images(), paths_.Volumes(), paths_.Instances(), config.import_dir}) {
    std::filesystem::create_directories(made);
  }
  Restart();
}

AgentHarness::~AgentHarness() { Crash(); }

void AgentHarness::Crash() {
  if (agent_ != nullptr) agent_->Stop(*this);
  agent_ = nullptr;
}

void AgentHarness::Restart() {
  Crash();
  agent_ = std::make_unique<Agent>(*this);
  Settle();
}

Store& AgentHarness::store() { return *agent_->store; }
Ledger& AgentHarness::ledger() { return agent_->ledger; }
PowerMonitor& AgentHarness::power() { return agent_->power; }
OperationEngine& AgentHarness::engine() { return agent_->engine; }
InstanceManager& AgentHarness::instances() { return agent_->instances; }
ImageManager& AgentHarness::images() { return agent_->images; }
VolumeManager& AgentHarness::volumes() { return agent_->volumes; }
HostManager& AgentHarness::hosts() { return agent_->hosts; }
Reconciler& AgentHarness::reconciler() { return agent_->reconciler; }
EventLog& AgentHarness::events() { return agent_->events; }
const Core& AgentHarness::core() { return agent_->core; }

Operation AgentHarness::WaitEnd(const std::string& operation_id) {
  struct Watched {
    Mutex mutex;
    CondVar changed;
    Operation operation CVM_GUARDED_BY(mutex);
  };
  const auto watched = std::make_shared<Watched>();
  const auto observation = engine().Observe(operation_id, [watched](const Operation& operation) {
    MutexLock lock(watched->mutex);
    watched->operation = operation;
    watched->changed.NotifyAll();
  });
  if (!observation.ok()) {
    ADD_FAILURE() << observation.status();
    return {};
  }
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  MutexLock lock(watched->mutex);
  while (watched->operation.state() == Operation::OPERATING) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) {
      ADD_FAILURE() << "has not ended: " << watched->operation.ShortDebugString();
      break;
    }
    watched->changed.WaitFor(watched->mutex, left);
  }
  return watched->operation;
}

bool AgentHarness::WaitFor(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    never.WaitFor(mutex, std::chrono::milliseconds(1));
  }
  return true;
}

Operation AgentHarness::WaitEndAdvancing(const std::string& operation_id) {
  EXPECT_FALSE(WaitCrashOrEnd(operation_id));
  return WaitEnd(operation_id);
}

bool AgentHarness::WaitCrashOrEnd(const std::string& operation_id) {
  int polls = 0;
  const bool reached = WaitFor([&] {
    if (crash_sites.crashed()) return true;
    const auto operation = engine().Get(operation_id);
    if (!operation.ok()) ADD_FAILURE() << operation.status();
    if (!operation.ok() || operation->state() != Operation::OPERATING) return true;
    // What can go on by itself gets some time before the clock moves.
    if (++polls % 20 == 0) {
      Settle();
      Advance(absl::Seconds(1));
    }
    return false;
  });
  EXPECT_TRUE(reached) << operation_id << " has not ended";
  return crash_sites.crashed();
}

Operation AgentHarness::Run(const absl::StatusOr<Operation>& operation) {
  EXPECT_TRUE(operation.ok()) << operation.status();
  if (!operation.ok()) return {};
  return WaitEnd(operation->id());
}

void AgentHarness::Settle() {
  agent_->hypervisor.WaitIdle();
  agent_->power.WaitIdle();
}

void AgentHarness::Advance(absl::Duration duration) {
  clock.Advance(duration);
  engine().CheckTimers();
}

std::string AgentHarness::MakeSourceImage(const std::string& name) {
  // Made once in a process: an agent is made for every test, and thousands for the crash matrix.
  static std::string content;
  const std::string path = config.import_dir + "/" + name;
  if (!content.empty()) {
    EXPECT_TRUE(WriteFileAtomically(path, content, 0600).ok());
    return name;
  }
  const auto made = RunCommand({"qemu-img", "create", "-q", "-f", "qcow2", path, "4M"});
  EXPECT_TRUE(made.ok() && made->exit_code == 0);
  content = ReadFile(path, kMostImageBytes).value_or("");
  return name;
}

v1::ImportImageRequest AgentHarness::ImportRequest(const std::string& id,
                                                   const std::string& request_id) {
  v1::ImportImageRequest request;
  request.set_request_id(request_id);
  request.set_image_id(id);
  request.set_name("base");
  request.set_source_file("base.qcow2");
  request.set_format(v1::DISK_FORMAT_QCOW2);
  return request;
}

void AgentHarness::ImportBase(const std::string& id, const v1::GuestProperties& properties) {
  struct Imported {
    v1::Image image;
    std::string content;
  };
  static std::map<std::string, Imported> imported_before;

  MakeSourceImage("base.qcow2");
  Imported& imported = imported_before[id + properties.SerializeAsString()];
  if (imported.content.empty()) {
    AgentHarness other;
    other.MakeSourceImage("base.qcow2");
    v1::ImportImageRequest request = other.ImportRequest(id, "");
    *request.mutable_properties() = properties;
    const Operation operation = other.Run(other.images().Import(caller, request));
    ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
    imported.image = *other.ledger().images().Find(id);
    imported.content = ReadFile(other.paths().Image(id), kMostImageBytes).value_or("");
  }
  ASSERT_TRUE(WriteFileAtomically(paths_.Image(id), imported.content, 0600).ok());
  LedgerChange change;
  change.put_images.push_back(imported.image);
  ASSERT_TRUE(ledger().Commit(change).ok());
}

v1::CreateInstanceRequest AgentHarness::CreateRequest(const std::string& id,
                                                      const std::string& request_id) {
  v1::CreateInstanceRequest request;
  request.set_request_id(request_id);
  request.set_instance_id(id);
  request.mutable_spec()->set_image_id("img-base0000");
  request.mutable_spec()->set_vcpus(1);
  request.mutable_spec()->set_memory_mib(128);
  return request;
}

v1::CreateInstanceRequest AgentHarness::BigCreateRequest(const std::string& id,
                                                         const std::string& request_id) {
  v1::CreateInstanceRequest request = CreateRequest(id, request_id);
  request.mutable_spec()->add_data_disks()->set_size_bytes(uint64_t{8} << 20);
  request.mutable_spec()->add_data_disks()->set_size_bytes(uint64_t{16} << 20);
  request.mutable_spec()->add_nics();
  request.mutable_spec()->add_nics()->set_network_id("net-b");
  return request;
}

std::string AgentHarness::MakeInstance(const std::string& id, bool start) {
  v1::CreateInstanceRequest request = CreateRequest(id);
  if (!start) request.set_start(v1::CreateInstanceRequest::START_NO);
  const Operation operation = Run(instances().Create(caller, request));
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  Settle();
  EXPECT_EQ(StateOf(id), start ? v1::RUNNING : v1::STOPPED);
  return id;
}

v1::InstanceState AgentHarness::StateOf(const std::string& id) {
  const InstancePtr instance = Find(id);
  return instance == nullptr ? v1::INSTANCE_STATE_UNSPECIFIED : instance->state();
}

std::string AgentHarness::UuidOf(const std::string& id) {
  const InstancePtr instance = Find(id);
  return instance == nullptr ? "" : instance->uuid();
}

std::optional<hypervisor::PowerState> AgentHarness::DomainStateOf(const std::string& id) {
  for (const hypervisor::DomainStatus& domain : host->Domains()) {
    if (domain.name == id) return domain.state;
  }
  return std::nullopt;
}

std::set<std::string> AgentHarness::Files() const {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(paths_.state_dir())) {
    const std::string path = std::filesystem::relative(entry.path(), paths_.state_dir());
    // The three folders themselves, and the store's files.
    if (path.find('/') != std::string::npos) files.insert(path);
  }
  return files;
}

std::set<std::string> AgentHarness::ExpectedFiles() {
  std::set<std::string> files;
  const auto add = [&](const std::string& path) {
    files.insert(std::filesystem::relative(path, paths_.state_dir()));
  };
  for (const v1::Image& image : ledger().images().List("", SIZE_MAX)) {
    EXPECT_EQ(image.state(), v1::Image::READY);
    add(paths_.Image(image.id()));
  }
  for (const v1::Volume& volume : ledger().volumes().All()) {
    EXPECT_EQ(volume.state(), v1::Volume::AVAILABLE) << volume.ShortDebugString();
    add(paths_.Volume(volume.id()));
  }
  for (const InstancePtr& instance : ledger().instances().All()) {
    if (!HoldsResources(*instance) || instance->adopted()) continue;
    add(paths_.Volume(instance->spec().system_disk().id()));
    for (const v1::DiskSpec& disk : instance->spec().data_disks()) add(paths_.Volume(disk.id()));
    add(paths_.Instance(instance->id()));
    add(paths_.ConfigDrive(instance->id(), instance->config_drive_generation()));
    if (!instance->has_rescue()) continue;
    const v1::Rescue& rescue = instance->rescue();
    if (rescue.has_disk()) add(paths_.Volume(rescue.disk().id()));
    if (!rescue.iso().empty()) add(paths_.RescueIso(instance->id()));
    add(paths_.RescueConfigDrive(instance->id()));
  }
  return files;
}

void AgentHarness::ExpectNothingLeftOver() {
  Settle();
  EXPECT_EQ(Files(), ExpectedFiles());
  std::set<std::string> domains;
  for (const hypervisor::DomainStatus& domain : host->Domains()) {
    // Somebody else's has no element of the agent's.
    if (!host->FindSpec(domain.uuid)->metadata.empty()) domains.insert(domain.uuid);
  }
  std::set<std::string> expected;
  for (const InstancePtr& instance : ledger().instances().All()) {
    if (HoldsResources(*instance)) expected.insert(instance->uuid());
  }
  EXPECT_EQ(domains, expected);
  const auto unfinished = store().LoadUnfinishedOperations();
  ASSERT_TRUE(unfinished.ok());
  EXPECT_TRUE(unfinished->empty());
}

ErrorReason ReasonOf(const Operation& operation) {
  return cvm::ReasonOf(FromProto(operation.error()));
}

}  // namespace cvm::agent::core
