// SPDX-License-Identifier: Apache-2.0
#include <absl/status/status.h>
#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "cloudinit/documents.h"
#include "cloudinit/ip_address.h"
#include "cloudinit/json_text.h"

namespace cvm::cloudinit {
namespace {

using nlohmann::json;

// The name servers as OpenStack lists them. The search domains are an addition of cloud-init's,
// read from any one entry.
json Services(const GuestSettings& settings) {
  json services = json::array();
  for (const std::string& text : settings.name_servers) {
    const std::optional<IpAddress> ip = ParseIpAddress(text);
    services.push_back({{"type", "dns"}, {"address", ip.has_value() ? ToText(*ip) : text}});
  }
  if (!services.empty() && !settings.search_domains.empty()) {
    services.front()["search"] = settings.search_domains;
  }
  return services;
}

json Link(const Nic& nic) {
  json link = {{"id", nic.id}, {"type", "phy"}, {"ethernet_mac_address", nic.mac}};
  if (nic.mtu != 0) link["mtu"] = nic.mtu;
  return link;
}

json DefaultRoute(const IpAddress& gateway, int metric) {
  const std::string any = ToText(IpAddress{.family = gateway.family});
  json route = {{"network", any}, {"netmask", any}, {"gateway", ToText(gateway)}};
  if (metric != 0) route["metric"] = metric;
  return route;
}

// A NIC's default gateway of one family, until a network has taken it.
struct PendingGateway {
  std::optional<IpAddress> address;
  int metric = 0;
};

PendingGateway ParseGateway(const std::optional<std::string>& text, int& default_routes) {
  constexpr int kMetricStep = 100;
  if (!text.has_value()) return {};
  return {.address = ParseIpAddress(*text), .metric = kMetricStep * default_routes++};
}

json StaticNetwork(const Nic& nic, const Address& address, const IpAddress& ip,
                   PendingGateway& gateway) {
  json network = {{"type", ip.family == IpFamily::kV4 ? "ipv4" : "ipv6"},
                  {"link", nic.id},
                  {"ip_address", ToText(ip)},
                  {"netmask", ToText(Netmask(ip.family, address.prefix_length))},
                  {"routes", json::array()}};
  // The route goes with the first address that reaches its gateway; a link-local gateway is in no
  // prefix and goes with the first of its family.
  if (gateway.address.has_value() && (SamePrefix(ip, *gateway.address, address.prefix_length) ||
                                      IsLinkLocalV6(*gateway.address))) {
    network["routes"].push_back(DefaultRoute(*gateway.address, gateway.metric));
    gateway.address.reset();
  }
  return network;
}

// How many default routes of each family there are so far: two of one metric would be an error in
// the guest.
struct DefaultRoutes {
  int v4 = 0;
  int v6 = 0;
};

absl::Status AppendNetworks(const Nic& nic, DefaultRoutes& routes, json& networks) {
  PendingGateway gateway4 = ParseGateway(nic.gateway4, routes.v4);
  PendingGateway gateway6 = ParseGateway(nic.gateway6, routes.v6);
  if (nic.addresses.empty()) networks.push_back({{"type", "ipv4_dhcp"}, {"link", nic.id}});
  for (const Address& address : nic.addresses) {
    const std::optional<IpAddress> ip = ParseIpAddress(address.ip);
    if (!ip.has_value()) {
      return absl::InvalidArgumentError(fmt::format("NIC {} has a malformed address", nic.id));
    }
    networks.push_back(
        StaticNetwork(nic, address, *ip, ip->family == IpFamily::kV4 ? gateway4 : gateway6));
  }
  if (gateway4.address.has_value() || gateway6.address.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("NIC {} has a gateway that none of its addresses reaches", nic.id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> NetworkDataJson(const GuestSettings& settings) {
  json links = json::array();
  json networks = json::array();
  DefaultRoutes routes;
  for (const Nic& nic : settings.nics) {
    links.push_back(Link(nic));
    if (absl::Status status = AppendNetworks(nic, routes, networks); !status.ok()) return status;
  }
  for (std::size_t i = 0; i < networks.size(); ++i) networks[i]["id"] = fmt::format("network{}", i);
  const json services = Services(settings);
  // OpenStack repeats the name servers in each static network, where cloudbase-init looks for them.
  for (json& network : networks) {
    if (network["type"] != "ipv4_dhcp") network["services"] = services;
  }
  return ToJsonText({{"links", links}, {"networks", networks}, {"services", services}},
                    "network_data.json");
}

}  // namespace cvm::cloudinit
