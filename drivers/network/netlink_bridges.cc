// SPDX-License-Identifier: Apache-2.0
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/network/bridges.h"
#include "fmt/format.h"

namespace cvm::network {
namespace {

struct SocketDeleter {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct LinkDeleter {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using Socket = std::unique_ptr<nl_sock, SocketDeleter>;
using Link = std::unique_ptr<rtnl_link, LinkDeleter>;

absl::Status NetlinkError(std::string_view action, std::string_view name, int error) {
  return Error(
      common::v1::ERROR_REASON_HYPERVISOR_ERROR,
      fmt::format("cannot {} network interface '{}': {}", action, name, nl_geterror(error)));
}

bool IsAbsent(int error) { return error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND; }

// No interface can have another name, and the kernel would take some for a mistake.
bool CanBeName(std::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name.find('\0') == std::string_view::npos;
}

// One socket a call: they cost microseconds, and need no lock.
absl::StatusOr<Socket> Connect() {
  Socket socket(nl_socket_alloc());
  const int error = socket ? nl_connect(socket.get(), NETLINK_ROUTE) : -NLE_NOMEM;
  if (error < 0) {
    return Error(
        common::v1::ERROR_REASON_HYPERVISOR_ERROR,
        fmt::format("cannot ask the kernel about its network interfaces: {}", nl_geterror(error)));
  }
  return socket;
}

// Null when there is none of that name.
absl::StatusOr<Link> FindLink(nl_sock* socket, const std::string& name) {
  rtnl_link* found = nullptr;
  const int error = rtnl_link_get_kernel(socket, 0, name.c_str(), &found);
  if (IsAbsent(error)) return Link();
  if (error < 0) return NetlinkError("look up", name, error);
  return Link(found);
}

bool HasType(rtnl_link* link, std::string_view type) {
  const char* found = rtnl_link_get_type(link);  // null for an interface that is not virtual
  return found != nullptr && found == type;
}

// The kernel calls taps and tuns alike "tun"; only a tap carries Ethernet frames.
bool IsTap(rtnl_link* link) {
  return HasType(link, "tun") && rtnl_link_get_arptype(link) == ARPHRD_ETHER;
}

struct CacheDeleter {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};

class NetlinkBridges : public Bridges {
 public:
  absl::StatusOr<bool> IsUp(const std::string& name) override {
    if (!CanBeName(name)) return false;
    CVM_ASSIGN_OR_RETURN(const Socket socket, Connect());
    CVM_ASSIGN_OR_RETURN(const Link link, FindLink(socket.get(), name));
    if (!link) return false;
    // Not the carrier: a bridge has none before its first guest.
    return HasType(link.get(), "bridge") && (rtnl_link_get_flags(link.get()) & IFF_UP) != 0;
  }

  absl::StatusOr<std::vector<std::string>> ListIdleTaps(const std::string& prefix) override {
    CVM_ASSIGN_OR_RETURN(const Socket socket, Connect());
    nl_cache* all = nullptr;
    const int error = rtnl_link_alloc_cache(socket.get(), AF_UNSPEC, &all);
    if (error < 0) return NetlinkError("list", prefix, error);
    const std::unique_ptr<nl_cache, CacheDeleter> cache(all);
    std::vector<std::string> taps;
    for (nl_object* object = nl_cache_get_first(all); object != nullptr;
         object = nl_cache_get_next(object)) {
      auto* link = reinterpret_cast<rtnl_link*>(object);
      const char* name = rtnl_link_get_name(link);
      if (name == nullptr || !std::string_view(name).starts_with(prefix) || !IsTap(link)) continue;
      // The carrier is the process at the other end.
      if (rtnl_link_get_carrier(link) != 0) continue;
      taps.emplace_back(name);
    }
    std::sort(taps.begin(), taps.end());
    return taps;
  }

  absl::Status RemoveTap(const std::string& name) override {
    if (!CanBeName(name)) return absl::OkStatus();
    CVM_ASSIGN_OR_RETURN(const Socket socket, Connect());
    CVM_ASSIGN_OR_RETURN(const Link link, FindLink(socket.get(), name));
    if (!link) return absl::OkStatus();
    if (!IsTap(link.get())) {
      return Error(common::v1::ERROR_REASON_HYPERVISOR_ERROR,
                   fmt::format("network interface '{}' is not a tap, so it is not removed; look "
                               "what made it",
                               name));
    }
    // By its index: another interface may have taken the name by now.
    Link target(rtnl_link_alloc());
    if (!target) return NetlinkError("remove", name, -NLE_NOMEM);
    rtnl_link_set_ifindex(target.get(), rtnl_link_get_ifindex(link.get()));
    const int error = rtnl_link_delete(socket.get(), target.get());
    if (error < 0 && !IsAbsent(error)) return NetlinkError("remove", name, error);
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Bridges> MakeNetlinkBridges() { return std::make_unique<NetlinkBridges>(); }

}  // namespace cvm::network
