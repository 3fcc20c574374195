// SPDX-License-Identifier: Apache-2.0
//
// Questions about many instances, asked over both daemons' unix sockets by clients that are
// connected already.
#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <atomic>
#include <functional>
#include <thread>

#include "common/clock.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "tests/bench/agent_client.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/measure.h"

namespace cvm::bench {
namespace {

namespace v1 = agent::v1;
using hypervisor::ConnectHandle;
using hypervisor::DomainHandle;

constexpr double kAim = 1.0;
// Clients of one daemon at the same time.
constexpr size_t kClients = 8;
// For an answer of ListInstances.
constexpr size_t kAnswerBytes = 4 << 20;
// How long they ask it in each pair.
constexpr absl::Duration kSlice = absl::Milliseconds(250);

absl::Status LibvirtError(std::string_view what) {
  return absl::InternalError(fmt::format("{}: {}", what, virGetLastErrorMessage()));
}

absl::Status CheckCount(std::string_view who, size_t found, size_t expected) {
  if (found == expected) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} told of {} guests, not {}", who, found, expected));
}

absl::StatusOr<ConnectHandle> Connect(const Options& options) {
  ConnectHandle connection(virConnectOpen(options.libvirt_uri.c_str()));
  if (connection == nullptr) return LibvirtError(options.libvirt_uri);
  return connection;
}

// Reads every state, as a caller would, and gives everything back. The answer is put into `memory`,
// which is used again each time: allocated one by one, its ten thousand strings and messages would
// take longer than the call.
absl::Status ListThroughAgent(AgentClient& agent, std::vector<char>& memory, size_t expected) {
  google::protobuf::ArenaOptions arena_options;
  arena_options.initial_block = memory.data();
  arena_options.initial_block_size = memory.size();
  google::protobuf::Arena arena(arena_options);
  CVM_ASSIGN_OR_RETURN(const v1::ListInstancesResponse* const response, agent.List(arena));
  size_t stopped = 0;
  for (const v1::Instance& instance : response->instances()) {
    if (instance.state() == v1::STOPPED) ++stopped;
  }
  return CheckCount("the agent", stopped, expected);
}

absl::Status ListThroughLibvirt(virConnectPtr connection, size_t expected) {
  virDomainStatsRecordPtr* records = nullptr;
  const int count = virConnectGetAllDomainStats(connection, VIR_DOMAIN_STATS_STATE, &records, 0);
  if (count < 0) return LibvirtError("virConnectGetAllDomainStats");
  size_t stopped = 0;
  for (int i = 0; i < count; ++i) {
    int state = VIR_DOMAIN_NOSTATE;
    virTypedParamsGetInt(records[i]->params, records[i]->nparams, "state.state", &state);
    if (state == VIR_DOMAIN_SHUTOFF) ++stopped;
  }
  virDomainStatsRecordListFree(records);
  return CheckCount("libvirt", stopped, expected);
}

template <class Work>
absl::StatusOr<Sample> Timed(const Work& work) {
  const absl::Duration start = Clock::Real().Monotonic();
  CVM_RETURN_IF_ERROR(work());
  return Sample{Clock::Real().Monotonic() - start};
}

// Several clients, each in a thread, that repeat one call for the length of a slice.
template <class Client>
class Hammer {
 public:
  using Call = std::function<absl::Status(Client&)>;

  Hammer(std::vector<Client> clients, Call call)
      : clients_(std::move(clients)), call_(std::move(call)) {}

  // The median and the 99th percentile of what the calls took.
  absl::StatusOr<Sample> Run() {
    std::vector<absl::Duration> all;
    absl::Status status;
    Mutex mutex;
    {
      std::vector<std::jthread> threads;
      for (Client& client : clients_) {
        threads.emplace_back([&] {
          std::vector<absl::Duration> own;
          const absl::Status ended = Repeat(client, own);
          MutexLock lock(mutex);
          all.insert(all.end(), own.begin(), own.end());
          if (!ended.ok()) status = ended;
        });
      }
    }
    CVM_RETURN_IF_ERROR(status);
    calls_ += all.size();
    return Sample{QuantileOf(all, 0.5), QuantileOf(all, 0.99)};
  }

  size_t calls() const { return calls_; }

 private:
  absl::Status Repeat(Client& client, std::vector<absl::Duration>& took) {
    const absl::Duration end = Clock::Real().Monotonic() + kSlice;
    absl::Duration now = Clock::Real().Monotonic();
    do {
      const absl::Duration start = now;
      CVM_RETURN_IF_ERROR(call_(client));
      now = Clock::Real().Monotonic();
      took.push_back(now - start);
    } while (now < end);
    return absl::OkStatus();
  }

  std::vector<Client> clients_;
  const Call call_;
  size_t calls_ = 0;
};

absl::StatusOr<std::vector<std::string>> InstanceIds(const Options& options) {
  AgentClient agent(options.socket);
  google::protobuf::Arena arena;
  CVM_ASSIGN_OR_RETURN(const v1::ListInstancesResponse* const response, agent.List(arena));
  CVM_RETURN_IF_ERROR(
      CheckCount("the agent", static_cast<size_t>(response->instances_size()), options.count));
  std::vector<std::string> ids;
  for (const v1::Instance& instance : response->instances()) ids.push_back(instance.id());
  return ids;
}

// A domain and the connection that it belongs to.
struct LibvirtClient {
  ConnectHandle connection;
  DomainHandle domain;
};

}  // namespace

absl::Status BenchList(const Options& options) {
  AgentClient agent(options.socket);
  std::vector<char> memory(kAnswerBytes);
  CVM_ASSIGN_OR_RETURN(const ConnectHandle connection, Connect(options));
  CVM_ASSIGN_OR_RETURN(
      const std::vector<Pair> pairs,
      TakePairs(
          options.pairs,
          [&] { return Timed([&] { return ListThroughAgent(agent, memory, options.count); }); },
          [&] {
            return Timed([&] { return ListThroughLibvirt(connection.get(), options.count); });
          }));
  fmt::print("{}", RatioReport("list_instances", "virConnectGetAllDomainStats", kAim,
                               Summarize(pairs, 0)));
  return absl::OkStatus();
}

absl::Status BenchGet(const Options& options) {
  CVM_ASSIGN_OR_RETURN(const std::vector<std::string> ids, InstanceIds(options));
  std::vector<AgentClient> agents;
  std::vector<LibvirtClient> libvirts;
  for (size_t i = 0; i < kClients; ++i) {
    agents.emplace_back(options.socket);
    CVM_ASSIGN_OR_RETURN(ConnectHandle connection, Connect(options));
    DomainHandle domain(virDomainLookupByName(connection.get(), ids[i % ids.size()].c_str()));
    if (domain == nullptr) return LibvirtError("virDomainLookupByName");
    libvirts.push_back({std::move(connection), std::move(domain)});
  }
  std::atomic<size_t> next = 0;
  Hammer<AgentClient> ours(std::move(agents), [&](AgentClient& agent) {
    return agent.Get(ids[next++ % ids.size()]).status();
  });
  Hammer<LibvirtClient> theirs(std::move(libvirts), [&](LibvirtClient& client) {
    virDomainInfo info;
    return virDomainGetInfo(client.domain.get(), &info) == 0 ? absl::OkStatus()
                                                             : LibvirtError("virDomainGetInfo");
  });
  CVM_ASSIGN_OR_RETURN(const std::vector<Pair> pairs, TakePairs(
                                                          options.pairs, [&] { return ours.Run(); },
                                                          [&] { return theirs.Run(); }));
  fmt::print("{} clients at the same time: {} calls of the agent, {} of libvirt\n", kClients,
             ours.calls(), theirs.calls());
  const char* const names[] = {"get_instance_p50", "get_instance_p99"};
  for (size_t i = 0; i < std::size(names); ++i) {
    fmt::print("{}", RatioReport(names[i], "virDomainGetInfo", kAim, Summarize(pairs, i)));
  }
  return absl::OkStatus();
}

absl::Status Populate(const Options& options) {
  const absl::Duration start = Clock::Real().Monotonic();
  CVM_RETURN_IF_ERROR(
      InParallel(options.socket, kClients, options.count, [&](AgentClient& agent, size_t) {
        v1::CreateInstanceRequest request = SmallInstance(options.image_id);
        request.set_start(v1::CreateInstanceRequest::START_NO);
        return agent.Create(request);
      }));
  fmt::print("{} instances made, not started, {} at a time, in {:.1f} s\n", options.count, kClients,
             absl::ToDoubleSeconds(Clock::Real().Monotonic() - start));
  return absl::OkStatus();
}

absl::Status Clear(const Options& options) {
  CVM_ASSIGN_OR_RETURN(const std::vector<std::string> ids, InstanceIds(options));
  const absl::Duration start = Clock::Real().Monotonic();
  CVM_RETURN_IF_ERROR(
      InParallel(options.socket, kClients, ids.size(),
                 [&](AgentClient& agent, size_t index) { return agent.Delete(ids[index]); }));
  fmt::print("{} instances deleted, {} at a time, in {:.1f} s\n", ids.size(), kClients,
             absl::ToDoubleSeconds(Clock::Real().Monotonic() - start));
  return absl::OkStatus();
}

}  // namespace cvm::bench
