// SPDX-License-Identifier: Apache-2.0
//
// The same guest made in two ways, one guest at a time.
#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "common/clock.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "tests/bench/agent_client.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/by_hand.h"
#include "tests/bench/measure.h"

namespace cvm::bench {
namespace {

namespace v1 = agent::v1;
using hypervisor::ConnectHandle;

constexpr double kAim = 1.15;

}  // namespace

absl::Status BenchCreate(const Options& options) {
  const ConnectHandle connection(virConnectOpen(options.libvirt_uri.c_str()));
  if (connection == nullptr) return absl::InternalError(virGetLastErrorMessage());
  AgentClient agent(options.socket);
  CVM_ASSIGN_OR_RETURN(ByHand by_hand, ByHand::Learn(options, connection.get(), agent));

  const Measure through_the_agent = [&]() -> absl::StatusOr<Sample> {
    v1::CreateInstanceRequest request = SmallInstance(options.image_id);
    request.set_instance_id(MakeId(kInstancePrefix, Random::Secure()));
    const absl::Duration start = Clock::Real().Monotonic();
    CVM_RETURN_IF_ERROR(agent.Create(request));
    const absl::Duration took = Clock::Real().Monotonic() - start;
    CVM_RETURN_IF_ERROR(CheckRunning(connection.get(), request.instance_id()));
    CVM_RETURN_IF_ERROR(agent.Delete(request.instance_id()));
    return Sample{took};
  };
  const Measure with_virsh = [&]() -> absl::StatusOr<Sample> {
    CVM_ASSIGN_OR_RETURN(const std::string name, by_hand.Prepare());
    const absl::Duration start = Clock::Real().Monotonic();
    CVM_RETURN_IF_ERROR(by_hand.Create(name));
    const absl::Duration took = Clock::Real().Monotonic() - start;
    CVM_RETURN_IF_ERROR(CheckRunning(connection.get(), name));
    CVM_RETURN_IF_ERROR(by_hand.Remove(name));
    return Sample{took};
  };
  CVM_ASSIGN_OR_RETURN(const std::vector<Pair> pairs,
                       TakePairs(options.pairs, through_the_agent, with_virsh));
  fmt::print("{}", RatioReport("create_to_running", "qemu-img+virsh", kAim, Summarize(pairs, 0)));
  return by_hand.RemoveShared();
}

}  // namespace cvm::bench
