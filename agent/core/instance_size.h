// SPDX-License-Identifier: Apache-2.0
//
// vCPUs and memory of an instance: what it has, what it can be grown to while it runs, and what the
// host counts of it. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/config.h"
#include "cvm/agent/v1/instance.pb.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::agent::core {

// All that a resize changes of an instance.
struct InstanceSize {
  uint32_t vcpus = 0;
  uint64_t memory_mib = 0;
  uint32_t max_vcpus = 0;
  uint64_t max_memory_mib = 0;
  uint64_t boot_memory_mib = 0;  // 0: memory_mib
};

InstanceSize SizeOf(const v1::Instance& instance);
void SetSize(const InstanceSize& size, v1::Instance& instance);

// As an operation's note, and back; all zero for a text that is none.
std::string ToNote(const InstanceSize& size);
InstanceSize SizeFromNote(const std::string& note);

// After an offline resize: the maxima are raised where the new size is above them.
InstanceSize ResizedOffline(InstanceSize size, uint32_t vcpus, uint64_t memory_mib);
// After an online resize: the memory at boot stays.
InstanceSize ResizedOnline(InstanceSize size, uint32_t vcpus, uint64_t memory_mib);

uint64_t BootMemoryMib(const InstanceSize& size);
uint32_t MaxVcpus(const InstanceSize& size);
// What the guest can be given above its memory at boot, in whole pieces of 128 MiB.
uint64_t HotplugMemoryMib(const InstanceSize& size);
// Of that, what it has; and what its balloon leaves of the memory at boot.
uint64_t RequestedHotplugMib(const InstanceSize& size);
uint64_t BalloonMib(const InstanceSize& size);

// The host counts the larger of what there is and what a resize under way is to come to. What a
// balloon holds counts as the guest's: it can have it back at any time.
uint64_t CountedMemoryMib(const InstanceSize& size);
uint32_t CountedVcpus(const v1::Instance& instance);
uint64_t CountedMemoryMib(const v1::Instance& instance);

// Fills in the maxima that are 0: by the configured ratios, at most what one guest of the host can
// have, at least what the spec has.
void FillMaxima(const Config::Limits& limits, const hypervisor::HostInfo& host,
                v1::InstanceSpec& spec);

}  // namespace cvm::agent::core
