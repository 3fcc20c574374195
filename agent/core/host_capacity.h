// SPDX-License-Identifier: Apache-2.0
//
// What the host has, what instances were promised of it, and whether another one fits. Counted from
// the ledger at the moment of submission, so concurrent requests cannot both take the last place.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/host.pb.h"

namespace cvm::agent::core {

struct Demand {
  uint32_t vcpus = 0;
  uint64_t memory_mib = 0;
  uint64_t disk_bytes = 0;
  // What a file takes on the disk at once; 0 for one that only grows with what a guest writes.
  uint64_t file_bytes = 0;
  // Makes a file, so there must be free space beyond the reserve, whatever was promised.
  bool makes_files = false;
  // False: only defined for now. It must fit the host, but not beside those that are on.
  bool starts = true;
  // The instance that it replaces the share of; empty: a new one's.
  std::string instance_id = {};
};

// How many vCPUs one guest can have.
uint32_t MaxGuestVcpus(const hypervisor::HostInfo& host);

// The sum of all disks of a spec; the largest number when it would be larger.
uint64_t DiskBytes(const v1::InstanceSpec& spec);

// vCPUs and memory are counted for instances that are meant to be on or may still be, disks for
// all, and volumes. Never by what is free on the host now: what a guest does not use today, it was
// promised all the same.
absl::StatusOr<v1::Host::Capacity> GetCapacity(const Core& core);

// INSUFFICIENT_VCPUS, INSUFFICIENT_MEMORY, INSUFFICIENT_DISK with metadata "limit";
// HYPERVISOR_UNAVAILABLE while the host's size is not known.
absl::Status CheckCapacity(const Core& core, const Demand& demand);

}  // namespace cvm::agent::core
