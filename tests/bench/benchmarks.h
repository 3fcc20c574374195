// SPDX-License-Identifier: Apache-2.0
//
// What agent_bench can do. Each function prints its figures and fails when one cannot be measured.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"

namespace cvm::bench {

struct Options {
  // The agent's unix socket.
  std::string socket;
  // The libvirt daemon that the agent uses.
  std::string libvirt_uri = "qemu:///system";
  // The agent's own folder.
  std::string state_dir;
  // For files of the benchmark; must exist.
  std::string scratch;
  // What instances are made from.
  std::string image_id;
  // The agent's process, as this one sees it.
  std::string agent_pid;
  // How many instances `populate` makes and `list` and `get` expect.
  size_t count = 500;
  // How many pairs are measured.
  size_t pairs = 20;
};

// From the call that creates a guest to the guest that runs, against qemu-img and virsh making the
// very same guest.
absl::Status BenchCreate(const Options& options);

// `count` guests wanted at once, against a loop of qemu-img and virsh; and the agent's memory for
// each running one.
absl::Status BenchBurst(const Options& options);

// All instances with their states, against all domains with theirs.
absl::Status BenchList(const Options& options);

// One instance out of many, asked for by several clients at the same time, against the state of one
// domain asked for by as many.
absl::Status BenchGet(const Options& options);

// Makes and deletes the stopped instances that BenchList and BenchGet need.
absl::Status Populate(const Options& options);
absl::Status Clear(const Options& options);

}  // namespace cvm::bench
