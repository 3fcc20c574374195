// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_size.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "absl/strings/str_split.h"
#include "agent/core/host_capacity.h"
#include "drivers/hypervisor/domain_spec.h"
#include "fmt/format.h"

namespace cvm::agent::core {

InstanceSize SizeOf(const v1::Instance& instance) {
  const v1::InstanceSpec& spec = instance.spec();
  return {.vcpus = spec.vcpus(),
          .memory_mib = spec.memory_mib(),
          .max_vcpus = spec.max_vcpus(),
          .max_memory_mib = spec.max_memory_mib(),
          .boot_memory_mib = instance.boot_memory_mib()};
}

void SetSize(const InstanceSize& size, v1::Instance& instance) {
  v1::InstanceSpec& spec = *instance.mutable_spec();
  spec.set_vcpus(size.vcpus);
  spec.set_memory_mib(size.memory_mib);
  spec.set_max_vcpus(size.max_vcpus);
  spec.set_max_memory_mib(size.max_memory_mib);
  instance.set_boot_memory_mib(size.boot_memory_mib);
}

std::string ToNote(const InstanceSize& size) {
  return fmt::format("{} {} {} {} {}", size.vcpus, size.memory_mib, size.max_vcpus,
                     size.max_memory_mib, size.boot_memory_mib);
}

InstanceSize SizeFromNote(const std::string& note) {
  std::vector<uint64_t> numbers;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(note, ' '))) {
    uint64_t number = 0;
    std::from_chars(part.data(), part.data() + part.size(), number);
    numbers.push_back(number);
  }
  if (numbers.size() != 5) return {};
  return {.vcpus = static_cast<uint32_t>(numbers[0]),
          .memory_mib = numbers[1],
          .max_vcpus = static_cast<uint32_t>(numbers[2]),
          .max_memory_mib = numbers[3],
          .boot_memory_mib = numbers[4]};
}

InstanceSize ResizedOffline(InstanceSize size, uint32_t vcpus, uint64_t memory_mib) {
  size.vcpus = vcpus;
  size.memory_mib = memory_mib;
  if (size.max_vcpus != 0) size.max_vcpus = std::max(size.max_vcpus, vcpus);
  if (size.max_memory_mib != 0) size.max_memory_mib = std::max(size.max_memory_mib, memory_mib);
  size.boot_memory_mib = 0;
  return size;
}

InstanceSize ResizedOnline(InstanceSize size, uint32_t vcpus, uint64_t memory_mib) {
  const uint64_t boot = BootMemoryMib(size);
  size.vcpus = vcpus;
  size.memory_mib = memory_mib;
  size.boot_memory_mib = boot == memory_mib ? 0 : boot;
  return size;
}

uint64_t BootMemoryMib(const InstanceSize& size) {
  return size.boot_memory_mib == 0 ? size.memory_mib : size.boot_memory_mib;
}

uint32_t MaxVcpus(const InstanceSize& size) { return std::max(size.max_vcpus, size.vcpus); }

uint64_t HotplugMemoryMib(const InstanceSize& size) {
  const uint64_t boot = BootMemoryMib(size);
  if (size.max_memory_mib <= boot) return 0;
  const uint64_t above = size.max_memory_mib - boot;
  return above - above % hypervisor::kHotplugPieceMib;
}

uint64_t RequestedHotplugMib(const InstanceSize& size) {
  const uint64_t boot = BootMemoryMib(size);
  return size.memory_mib > boot ? size.memory_mib - boot : 0;
}

uint64_t BalloonMib(const InstanceSize& size) {
  return std::min(BootMemoryMib(size), size.memory_mib);
}

uint64_t CountedMemoryMib(const InstanceSize& size) {
  return std::max(BootMemoryMib(size), size.memory_mib);
}

uint32_t CountedVcpus(const v1::Instance& instance) {
  return std::max(instance.spec().vcpus(), instance.pending_size().vcpus());
}

uint64_t CountedMemoryMib(const v1::Instance& instance) {
  return std::max(CountedMemoryMib(SizeOf(instance)), instance.pending_size().memory_mib());
}

void FillMaxima(const Config::Limits& limits, const hypervisor::HostInfo& host,
                v1::InstanceSpec& spec) {
  if (spec.max_vcpus() == 0) {
    const auto wanted = static_cast<uint64_t>(spec.vcpus() * limits.max_vcpus_ratio);
    spec.set_max_vcpus(std::max(
        spec.vcpus(), static_cast<uint32_t>(std::min<uint64_t>(wanted, MaxGuestVcpus(host)))));
  }
  if (spec.max_memory_mib() == 0) {
    const auto wanted =
        static_cast<uint64_t>(static_cast<double>(spec.memory_mib()) * limits.max_memory_ratio);
    const auto reserve = static_cast<uint64_t>(limits.memory_reserve_mib);
    const uint64_t most = host.memory_mib > reserve ? host.memory_mib - reserve : 0;
    spec.set_max_memory_mib(std::max(spec.memory_mib(), std::min(wanted, most)));
  }
}

}  // namespace cvm::agent::core
