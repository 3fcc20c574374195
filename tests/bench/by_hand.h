// SPDX-License-Identifier: Apache-2.0
//
// The other way to a guest: what an operator with a finished domain XML and a finished config drive
// would type. Neither is counted, nor is the removal of the guest:
//   qemu-img create -f qcow2 -b BASE -F qcow2 DISK SIZE
//   virsh 'define FILE; start NAME'
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/agent_client.h"
#include "tests/bench/benchmarks.h"

namespace cvm::bench {

// OK when libvirt says that the domain runs.
absl::Status CheckRunning(virConnectPtr connection, const std::string& name);

// Makes guests by qemu-img and virsh as the agent once made one. Create and Remove are thread-safe.
// `options` and `connection` must outlive it.
class ByHand {
 public:
  // Takes domain XML and config drive from an instance of the agent's, which it deletes again.
  static absl::StatusOr<ByHand> Learn(const Options& options, virConnectPtr connection,
                                      AgentClient& agent);

  // The name of a guest whose domain XML is written now.
  absl::StatusOr<std::string> Prepare();
  // Returns when the guest runs.
  absl::Status Create(const std::string& name) const;
  absl::Status Remove(const std::string& name) const;
  // The config drive, after the last guest.
  absl::Status RemoveShared() const;

 private:
  ByHand(const Options& options, virConnectPtr connection)
      : options_(options), connection_(connection) {}

  std::string InScratch(std::string_view file) const;

  const Options& options_;
  virConnectPtr connection_;
  std::string xml_;
  std::string base_;
  uint64_t disk_bytes_ = 0;
};

}  // namespace cvm::bench
