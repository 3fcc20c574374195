// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_manager.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/core/action_policy.h"
#include "agent/core/maintenance.h"
#include "agent/core/paging.h"
#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {

using v1::ObservedPower;
using v1::Operation;

template <class Request>
absl::StatusOr<Operation> InstanceManager::Submit(const Caller& caller, const Request& request,
                                                  absl::StatusOr<Plan> (*plan)(const Core&,
                                                                               const Request&)) {
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return plan(core_, request); });
}

absl::StatusOr<Operation> InstanceManager::Create(const Caller& caller,
                                                  const v1::CreateInstanceRequest& request) {
  return Submit(caller, request, PlanCreateInstance);
}

absl::StatusOr<Operation> InstanceManager::Adopt(const Caller& caller,
                                                 const v1::AdoptInstanceRequest& request) {
  // Before the engine's locks; of a replay nothing of it matters.
  const absl::StatusOr<DomainToAdopt> domain = ReadDomainToAdopt(core_, request);
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return PlanAdoptInstance(core_, request, domain); });
}

absl::StatusOr<Operation> InstanceManager::Delete(const Caller& caller,
                                                  const v1::DeleteInstanceRequest& request) {
  return Submit(caller, request, PlanDeleteInstance);
}

absl::StatusOr<Operation> InstanceManager::Restore(const Caller& caller,
                                                   const v1::RestoreInstanceRequest& request) {
  return Submit(caller, request, PlanRestoreInstance);
}

absl::StatusOr<Operation> InstanceManager::Update(const Caller& caller,
                                                  const v1::UpdateInstanceRequest& request) {
  return Submit(caller, request, PlanUpdateInstance);
}

absl::StatusOr<Operation> InstanceManager::Resize(const Caller& caller,
                                                  const v1::ResizeInstanceRequest& request) {
  return Submit(caller, request, PlanResizeInstance);
}

absl::StatusOr<Operation> InstanceManager::Reinstall(const Caller& caller,
                                                     const v1::ReinstallInstanceRequest& request) {
  return Submit(caller, request, PlanReinstallInstance);
}

absl::StatusOr<Operation> InstanceManager::EnterRescue(const Caller& caller,
                                                       const v1::EnterRescueRequest& request) {
  return Submit(caller, request, PlanEnterRescue);
}

absl::StatusOr<Operation> InstanceManager::ExitRescue(const Caller& caller,
                                                      const v1::ExitRescueRequest& request) {
  return Submit(caller, request, PlanExitRescue);
}

absl::StatusOr<Operation> InstanceManager::Start(const Caller& caller,
                                                 const v1::StartInstanceRequest& request) {
  return Submit(caller, request, PlanStartInstance);
}

absl::StatusOr<Operation> InstanceManager::Stop(const Caller& caller,
                                                const v1::StopInstanceRequest& request) {
  return Submit(caller, request, PlanStopInstance);
}

absl::StatusOr<Operation> InstanceManager::Reboot(const Caller& caller,
                                                  const v1::RebootInstanceRequest& request) {
  return Submit(caller, request, PlanRebootInstance);
}

absl::StatusOr<InstancePtr> InstanceManager::Get(const std::string& id) const {
  return FindInstance(core_, id);
}

absl::StatusOr<InstancePage> InstanceManager::List(const v1::ListInstancesRequest& request) const {
  CVM_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  CVM_ASSIGN_OR_RETURN(const std::string after, ParsePageToken(request.page_token()));
  InstancePage page;
  // One more than the page tells whether there is another page.
  const InstanceTable& table = core_.ledger.instances();
  if (request.owner().empty()) {
    page.instances = table.List(after, size + 1);
  } else {
    for (EncodedInstance& encoded : table.List(after, SIZE_MAX)) {
      if (encoded.instance->owner() == request.owner() && page.instances.size() <= size) {
        page.instances.push_back(std::move(encoded));
      }
    }
  }
  if (page.instances.size() > size) {
    page.instances.pop_back();
    page.next_page_token = MakePageToken(page.instances.back().instance->id());
  }
  const PowerMonitor::Connection connection = core_.power.connection();
  page.observed_at = connection.connected ? core_.clock.Now() - core_.hypervisor.SinceLastAnswer()
                                          : connection.since;
  return page;
}

std::vector<v1::DeniedAction> InstanceManager::Denied(const v1::Instance& instance) const {
  std::vector<v1::DeniedAction> denied = DeniedActions(instance, core_.power.connection().message);
  // What the state would allow and the host does not.
  const absl::Status maintenance = CheckMaintenance(core_);
  const bool refused = std::any_of(denied.begin(), denied.end(), [](const auto& entry) {
    return entry.action() == Operation::START_INSTANCE;
  });
  if (!maintenance.ok() && !refused) {
    v1::DeniedAction& entry = denied.emplace_back();
    entry.set_action(Operation::START_INSTANCE);
    entry.set_reason(ReasonName(ReasonOf(maintenance)));
    entry.set_message(std::string(maintenance.message()));
  }
  return denied;
}

absl::StatusOr<InstancePtr> InstanceManager::RequireRunning(const std::string& id) const {
  CVM_ASSIGN_OR_RETURN(InstancePtr instance, Get(id));
  const ObservedPower::State power = instance->observed_power().state();
  if (IsOn(power)) return instance;
  const ErrorMetadata metadata = {{"instance_id", id},
                                  {"state", v1::InstanceState_Name(instance->state())}};
  if (power == ObservedPower::UNKNOWN) {
    return Error(ErrorReason::ERROR_REASON_STATE_UNKNOWN,
                 fmt::format("libvirt cannot be asked about {}: {}. Try again when it is back", id,
                             core_.power.connection().message),
                 metadata);
  }
  return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
               fmt::format("{} is not on: start it first", id), metadata);
}

absl::StatusOr<v1::Screenshot> InstanceManager::GetScreenshot(const std::string& id) const {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireRunning(id));
  CVM_ASSIGN_OR_RETURN(hypervisor::Screenshot taken,
                       core_.hypervisor.TakeScreenshot(instance->uuid()));
  v1::Screenshot screenshot;
  screenshot.set_png(std::move(taken.png));
  screenshot.set_width(taken.width);
  screenshot.set_height(taken.height);
  *screenshot.mutable_taken_at() = ToTimestamp(core_.clock.Now());
  return screenshot;
}

absl::StatusOr<std::string> InstanceManager::ReadConsoleLog(const std::string& id,
                                                            size_t bytes) const {
  CVM_RETURN_IF_ERROR(RequireRunning(id).status());
  const UniqueFd fd(open(core_.paths.ConsoleLog(id).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || bytes == 0) return std::string();
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  std::string tail(std::min<size_t>(bytes, size > 0 ? static_cast<size_t>(size) : 0), '\0');
  const ssize_t got =
      pread(fd.get(), tail.data(), tail.size(), size - static_cast<off_t>(tail.size()));
  tail.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return tail;
}

absl::StatusOr<std::unique_ptr<hypervisor::ConsoleSession>> InstanceManager::OpenSerial(
    const std::string& id, bool take_over, hypervisor::ConsoleHandler handler) const {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireRunning(id));
  return core_.hypervisor.OpenConsole(instance->uuid(), take_over, std::move(handler));
}

}  // namespace cvm::agent::core
