// SPDX-License-Identifier: Apache-2.0
#include "agent/core/networks.h"

#include <algorithm>
#include <set>

#include "agent/core/derive_state.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// What is taken on this host.
struct Taken {
  std::set<std::string> nic_ids;
  std::set<std::string> macs;
  std::set<std::pair<std::string, uint32_t>> ipv4;     // network id, address
  std::set<std::pair<std::string, std::string>> ipv6;  // network id, address without prefix
};

std::string WithoutPrefix(const std::string& address) {
  return address.substr(0, address.find('/'));
}

void Take(Taken& taken, const v1::NicSpec& nic) {
  taken.nic_ids.insert(nic.id());
  taken.macs.insert(nic.mac());
  if (const auto address = Ipv4Address::Parse(nic.ipv4_address())) {
    taken.ipv4.emplace(nic.network_id(), address->bits);
  }
  for (const std::string& address : nic.ipv6_addresses()) {
    taken.ipv6.emplace(nic.network_id(), WithoutPrefix(address));
  }
}

absl::Status AddressInUse(const std::string& field, const std::string& address) {
  return Error(ErrorReason::ERROR_REASON_ADDRESS_IN_USE,
               fmt::format("{}: {} belongs to another instance or NIC", field, address),
               {{"field", field}, {"address", address}});
}

absl::Status AssignIpv4(const NetworkConfig& network, const Taken& taken, const std::string& field,
                        v1::NicSpec& nic) {
  if (!nic.ipv4_address().empty()) {
    const Ipv4Address address = *Ipv4Address::Parse(nic.ipv4_address());
    if (!network.subnet.IsHost(address)) {
      return Error(ErrorReason::ERROR_REASON_ADDRESS_NOT_IN_SUBNET,
                   fmt::format("{}: {} is not a host address of {} (network {})", field,
                               address.ToString(), network.subnet.ToString(), network.id),
                   {{"field", field}, {"subnet", network.subnet.ToString()}});
    }
    if (address == network.gateway || taken.ipv4.contains({network.id, address.bits})) {
      return AddressInUse(field, address.ToString());
    }
    return absl::OkStatus();
  }
  for (uint64_t bits = network.subnet.network.bits; bits <= network.subnet.Broadcast().bits;
       ++bits) {
    const Ipv4Address address{static_cast<uint32_t>(bits)};
    if (!network.subnet.IsHost(address) || address == network.gateway) continue;
    if (taken.ipv4.contains({network.id, address.bits})) continue;
    nic.set_ipv4_address(address.ToString());
    return absl::OkStatus();
  }
  return Error(ErrorReason::ERROR_REASON_NO_FREE_ADDRESS,
               fmt::format("network {} ({}) has no free address left", network.id,
                           network.subnet.ToString()),
               {{"field", field}, {"network_id", network.id}});
}

absl::Status AssignNic(const Config& config, const Taken& taken, Random& random,
                       const std::string& field, v1::NicSpec& nic) {
  const NetworkConfig* network = nullptr;
  if (!nic.network_id().empty()) {
    network = config.FindNetwork(nic.network_id());
  } else if (!config.networks.empty()) {
    network = &config.networks.front();
  }
  if (network == nullptr) {
    return Error(
        ErrorReason::ERROR_REASON_NETWORK_NOT_FOUND,
        fmt::format("{}.network_id: this host has no network '{}'", field, nic.network_id()),
        {{"field", field + ".network_id"}});
  }
  nic.set_network_id(network->id);

  if (nic.id().empty()) {
    do {
      nic.set_id(MakeId(kNicPrefix, random));
    } while (taken.nic_ids.contains(nic.id()));
  } else if (taken.nic_ids.contains(nic.id())) {
    return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                 fmt::format("{}.id: {} belongs to another instance", field, nic.id()),
                 {{"field", field + ".id"}});
  }

  if (nic.mac().empty()) {
    do {
      nic.set_mac(MakeMac(random));
    } while (taken.macs.contains(nic.mac()));
  } else {
    std::string& mac = *nic.mutable_mac();
    std::transform(mac.begin(), mac.end(), mac.begin(), [](unsigned char c) { return tolower(c); });
    if (taken.macs.contains(mac)) {
      return Error(ErrorReason::ERROR_REASON_MAC_IN_USE,
                   fmt::format("{}.mac: {} belongs to another instance or NIC", field, mac),
                   {{"field", field + ".mac"}});
    }
  }

  CVM_RETURN_IF_ERROR(AssignIpv4(*network, taken, field + ".ipv4_address", nic));
  std::set<std::string> own;
  for (std::string& address : *nic.mutable_ipv6_addresses()) {
    address = *CanonicalIpv6WithPrefix(address);
    const std::string plain = WithoutPrefix(address);
    if (taken.ipv6.contains({network->id, plain}) || !own.insert(plain).second) {
      return AddressInUse(field + ".ipv6_addresses", plain);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AssignNics(const Config& config, const std::vector<InstancePtr>& others,
                        Random& random, v1::InstanceSpec& spec) {
  Taken taken;
  for (const InstancePtr& other : others) {
    if (!HoldsResources(*other)) continue;
    for (const v1::NicSpec& nic : other->spec().nics()) Take(taken, nic);
  }
  // What the request names comes first, so that a NIC without an address does not take one that a
  // later NIC asks for.
  Taken with_given = taken;
  for (const v1::NicSpec& nic : spec.nics()) {
    if (const auto address = Ipv4Address::Parse(nic.ipv4_address())) {
      const std::string network = nic.network_id().empty() && !config.networks.empty()
                                      ? config.networks.front().id
                                      : nic.network_id();
      with_given.ipv4.emplace(network, address->bits);
    }
  }
  for (int i = 0; i < spec.nics_size(); ++i) {
    v1::NicSpec& nic = *spec.mutable_nics(i);
    const bool given = !nic.ipv4_address().empty();
    CVM_RETURN_IF_ERROR(AssignNic(config, given ? taken : with_given, random,
                                  fmt::format("spec.nics[{}]", i), nic));
    Take(taken, nic);
    Take(with_given, nic);
  }
  return absl::OkStatus();
}

std::string TapName(const std::string& instance_id, int nic_index) {
  return fmt::format("cvm{}-{}", instance_id.substr(instance_id.find('-') + 1), nic_index);
}

}  // namespace cvm::agent::core
