// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/libvirt/options.h"

namespace cvm::hypervisor {

// The real hypervisor. Nothing is connected before Start().
//
// Stop() and the destructor are bounded: a thread that hangs in libvirt is left behind and ends
// when libvirt returns to it. What it uses outlives the object.
std::unique_ptr<Hypervisor> MakeLibvirtHypervisor(LibvirtOptions options = {});

}  // namespace cvm::hypervisor
