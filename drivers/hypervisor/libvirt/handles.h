// SPDX-License-Identifier: Apache-2.0
//
// Owners of libvirt's objects.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>

namespace cvm::hypervisor {

struct LibvirtDeleter {
  // Ends the connection with the last reference; asks the daemon, so it may block as a call does.
  void operator()(virConnectPtr connection) const { virConnectClose(connection); }
  void operator()(virDomainPtr domain) const { virDomainFree(domain); }
  void operator()(virStreamPtr stream) const { virStreamFree(stream); }
};

struct FreeDeleter {
  void operator()(char* text) const { std::free(text); }
};

using ConnectHandle = std::unique_ptr<virConnect, LibvirtDeleter>;
using DomainHandle = std::unique_ptr<virDomain, LibvirtDeleter>;
using StreamHandle = std::unique_ptr<virStream, LibvirtDeleter>;
using TextHandle = std::unique_ptr<char, FreeDeleter>;

}  // namespace cvm::hypervisor
