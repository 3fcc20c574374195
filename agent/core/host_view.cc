// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_view.h"

#include <unistd.h>

#include "agent/core/derive_state.h"
#include "agent/core/host_capacity.h"
#include "agent/core/power_monitor.h"
#include "common/log.h"
#include "fmt/format.h"

namespace cvm::agent::core {

HostView::HostView(const Core& core, std::string agent_version)
    : core_(core), agent_version_(std::move(agent_version)), started_(core.clock.Now()) {}

absl::StatusOr<v1::Host> HostView::Get() const {
  v1::Host host;
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) == 0) host.set_host_name(name);
  host.set_agent_version(agent_version_);
  *host.mutable_agent_start_time() = ToTimestamp(started_);

  const PowerMonitor::Connection connection = core_.power.connection();
  v1::Host::Hypervisor& hypervisor = *host.mutable_hypervisor();
  hypervisor.set_connected(connection.connected && core_.power.ready());
  *hypervisor.mutable_since() = ToTimestamp(connection.since);
  hypervisor.set_message(connection.connected && !core_.power.ready()
                             ? "the domains are still being compared with the records"
                             : connection.message);
  // Not known before the first connection: the fields stay empty.
  if (const auto info = core_.hypervisor.GetHostInfo(); info.ok()) {
    host.set_architecture(info->architecture);
    host.set_acceleration(info->kvm ? v1::Host::KVM : v1::Host::TCG);
    hypervisor.set_libvirt_version(info->libvirt_version);
    hypervisor.set_qemu_version(info->qemu_version);
    absl::StatusOr<v1::Host::Capacity> capacity = GetCapacity(core_);
    if (!capacity.ok()) return capacity.status();
    *host.mutable_capacity() = *std::move(capacity);
  }

  const std::vector<InstancePtr> instances = core_.ledger.instances().All();
  for (const NetworkConfig& network : core_.config.networks) {
    v1::Host::Network& shown = *host.add_networks();
    shown.set_id(network.id);
    shown.set_bridge(network.bridge);
    shown.set_subnet(network.subnet.ToString());
    if (network.gateway) shown.set_gateway(network.gateway->ToString());
    const absl::StatusOr<bool> up = core_.bridges.IsUp(network.bridge);
    if (!up.ok()) {
      CVM_LOG_WARNING("cannot look at bridge {}: {}", network.bridge,
                      std::string(up.status().message()));
    }
    shown.set_present(up.ok() && *up);
    uint32_t in_use = 0;
    for (const InstancePtr& instance : instances) {
      if (!HoldsResources(*instance)) continue;
      for (const v1::NicSpec& nic : instance->spec().nics()) {
        if (nic.network_id() == network.id && !nic.ipv4_address().empty()) ++in_use;
      }
    }
    shown.set_addresses_in_use(in_use);
  }
  host.set_instances_total(static_cast<uint32_t>(instances.size()));
  uint32_t running = 0;
  for (const InstancePtr& instance : instances) {
    if (instance->observed_power().state() == v1::ObservedPower::RUNNING) ++running;
  }
  host.set_instances_running(running);
  return host;
}

}  // namespace cvm::agent::core
