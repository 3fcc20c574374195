// SPDX-License-Identifier: Apache-2.0
//
// Many guests wanted at the same time: the agent is asked for all of them at once, against a loop
// of qemu-img and virsh. Both begin with no guest, and every guest goes on running until the last
// one does. A guest's time counts from the instant at which all are wanted.
#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <algorithm>
#include <charconv>

#include "common/clock.h"
#include "common/file.h"
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

constexpr double kAim = 1.0;
constexpr double kMemoryAimKib = 1024;
// Guests removed at the same time.
constexpr size_t kRemovers = 8;
constexpr size_t kMaxStatusBytes = 1 << 16;

struct Burst {
  // Until each guest ran.
  Sample times;
  // What the agent's resident memory grew by, with all of them running.
  double agent_kib = 0;

  absl::Duration Total() const { return *std::max_element(times.begin(), times.end()); }
};

absl::StatusOr<double> ResidentKib(const std::string& pid) {
  CVM_ASSIGN_OR_RETURN(const std::string status,
                       ReadFile(fmt::format("/proc/{}/status", pid), kMaxStatusBytes));
  constexpr std::string_view kField = "VmRSS:";
  const size_t field = status.find(kField);
  if (field == std::string::npos) return absl::InternalError("no VmRSS of process " + pid);
  const size_t digits = status.find_first_of("0123456789", field);
  double value = 0;
  std::from_chars(status.data() + digits, status.data() + status.size(), value);
  return value;
}

absl::StatusOr<Burst> ThroughTheAgent(const Options& options, virConnectPtr connection) {
  std::vector<std::string> ids;
  for (size_t i = 0; i < options.count; ++i) {
    ids.push_back(MakeId(kInstancePrefix, Random::Secure()));
  }
  CVM_ASSIGN_OR_RETURN(const double before, ResidentKib(options.agent_pid));
  Burst burst;
  burst.times.resize(options.count);
  const absl::Duration start = Clock::Real().Monotonic();
  CVM_RETURN_IF_ERROR(InParallel(options.socket, options.count, options.count,
                                 [&](AgentClient& agent, size_t index) -> absl::Status {
                                   v1::CreateInstanceRequest request =
                                       SmallInstance(options.image_id);
                                   request.set_instance_id(ids[index]);
                                   CVM_RETURN_IF_ERROR(agent.Create(request));
                                   burst.times[index] = Clock::Real().Monotonic() - start;
                                   return absl::OkStatus();
                                 }));
  CVM_ASSIGN_OR_RETURN(const double after, ResidentKib(options.agent_pid));
  burst.agent_kib = after - before;
  for (const std::string& id : ids) CVM_RETURN_IF_ERROR(CheckRunning(connection, id));
  CVM_RETURN_IF_ERROR(
      InParallel(options.socket, kRemovers, options.count,
                 [&](AgentClient& agent, size_t index) { return agent.Delete(ids[index]); }));
  return burst;
}

absl::StatusOr<Burst> ByALoop(const Options& options, ByHand& by_hand, virConnectPtr connection) {
  std::vector<std::string> names;
  for (size_t i = 0; i < options.count; ++i) {
    CVM_ASSIGN_OR_RETURN(names.emplace_back(), by_hand.Prepare());
  }
  Burst burst;
  const absl::Duration start = Clock::Real().Monotonic();
  for (const std::string& name : names) {
    CVM_RETURN_IF_ERROR(by_hand.Create(name));
    burst.times.push_back(Clock::Real().Monotonic() - start);
  }
  for (const std::string& name : names) CVM_RETURN_IF_ERROR(CheckRunning(connection, name));
  CVM_RETURN_IF_ERROR(
      InParallel(options.socket, kRemovers, options.count,
                 [&](AgentClient&, size_t index) { return by_hand.Remove(names[index]); }));
  return burst;
}

// One figure of both sides' times, in milliseconds; the other side's is the aim.
std::string TimeLine(std::string_view name, const Sample& ours, const Sample& theirs, double q) {
  const double mine = absl::ToDoubleMilliseconds(QuantileOf(ours, q));
  const double other = absl::ToDoubleMilliseconds(QuantileOf(theirs, q));
  return FigureLine({.name = std::string(name),
                     .value = mine,
                     .unit = "ms",
                     .against = fmt::format("virsh-loop:{:.3f}", other),
                     .aim = other});
}

}  // namespace

absl::Status BenchBurst(const Options& options) {
  const ConnectHandle connection(virConnectOpen(options.libvirt_uri.c_str()));
  if (connection == nullptr) return absl::InternalError(virGetLastErrorMessage());
  AgentClient agent(options.socket);
  CVM_ASSIGN_OR_RETURN(ByHand by_hand, ByHand::Learn(options, connection.get(), agent));

  std::vector<Pair> totals;
  Sample ours;
  Sample theirs;
  double agent_kib = 0;
  for (size_t round = 0; round < options.pairs; ++round) {
    Burst mine;
    Burst other;
    if (round % 2 == 1) {
      CVM_ASSIGN_OR_RETURN(other, ByALoop(options, by_hand, connection.get()));
    }
    CVM_ASSIGN_OR_RETURN(mine, ThroughTheAgent(options, connection.get()));
    if (round % 2 == 0) {
      CVM_ASSIGN_OR_RETURN(other, ByALoop(options, by_hand, connection.get()));
    }
    totals.push_back({.ours = {mine.Total()}, .theirs = {other.Total()}});
    ours.insert(ours.end(), mine.times.begin(), mine.times.end());
    theirs.insert(theirs.end(), other.times.begin(), other.times.end());
    // Later rounds find memory that the first one has left to them.
    if (round == 0) agent_kib = mine.agent_kib / static_cast<double>(options.count);
  }
  fmt::print("{}", RatioReport("burst_create", "virsh-loop", kAim, Summarize(totals, 0)));
  fmt::print("{}\n", TimeLine("burst_create_p50", ours, theirs, 0.5));
  fmt::print("{}\n", TimeLine("burst_create_p95", ours, theirs, 0.95));
  fmt::print("{}\n", FigureLine({.name = "memory_per_running_instance",
                                 .value = std::max(0.0, agent_kib),
                                 .unit = "KiB",
                                 .against = "none",
                                 .aim = kMemoryAimKib}));
  return by_hand.RemoveShared();
}

}  // namespace cvm::bench
