// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/listing.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/views.h"
#include "cli/watching.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;

// An answer older than this is not what people take for "now".
constexpr absl::Duration kFresh = absl::Seconds(10);

struct TargetArguments {
  std::string id;
  std::string etag;
  std::string mode;
  std::string soft_timeout;
  std::string recycle;
  std::vector<std::string> keep;
  MutationFlags flags;
};

// The body of a command that changes one instance: `call` of the client with its request.
template <typename Request>
int Change(Session& session, const TargetArguments& arguments, Request request,
           absl::StatusOr<Operation> (Client::*call)(const Request&)) {
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  request.set_instance_id(arguments.id);
  ApplyMutationFlags(arguments.flags, &request);
  return FinishMutation(session, arguments.flags, ((*client)->*call)(request));
}

void AddList(Command group) {
  const auto owner = std::make_shared<std::string>();
  Command command = group.Sub("list", "List the instances");
  command.Text("--owner", owner.get(), "OWNER", "Only this owner's");
  command.Run([owner](Session& session) {
    agent::v1::ListInstancesRequest request;
    request.set_owner(*owner);
    const auto view = [&](const agent::v1::ListInstancesResponse& list) {
      const absl::Time seen = FromTimestamp(list.observed_at());
      if (list.has_observed_at() && absl::Now() - seen > kFresh) {
        session.progress().Note("the hypervisor does not answer: this is how it was at " +
                                HumanTime(list.observed_at(), session.style().zone));
      }
      return InstancesView(list, session.style());
    };
    return List<agent::v1::ListInstancesRequest, agent::v1::ListInstancesResponse,
                agent::v1::Instance>(session, request, &Client::ListInstances,
                                     &agent::v1::ListInstancesResponse::mutable_instances, 0, view);
  });
}

void AddGet(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("get", "Show an instance");
  command.Argument("INSTANCE", id.get(), "Its id (ins-...)");
  command.Run([id](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::GetInstanceRequest request;
    request.set_instance_id(*id);
    const auto instance = (*client)->GetInstance(request);
    if (!instance.ok()) return session.Fail(instance.status());
    return session.Print(*instance, instance->id(), InstanceView(*instance, session.style()));
  });
}

// A command that takes nothing but the instance.
template <typename Request>
void AddPlain(Command group, const std::string& name, const std::string& help,
              absl::StatusOr<Operation> (Client::*call)(const Request&)) {
  const auto arguments = std::make_shared<TargetArguments>();
  Command command = group.Sub(name, help);
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  AddMutationFlags(command, &arguments->flags);
  command.Run(
      [arguments, call](Session& session) { return Change(session, *arguments, Request(), call); });
}

// Stop and reboot take the same flags.
template <typename Request>
void AddDown(Command group, const std::string& name, const std::string& help,
             absl::StatusOr<Operation> (Client::*call)(const Request&)) {
  const auto arguments = std::make_shared<TargetArguments>();
  Command command = group.Sub(name, help);
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Text("--mode", &arguments->mode, "soft|hard|soft-first",
               "Ask the guest, do not ask, or ask first (default: soft)");
  command.Text("--soft-timeout", &arguments->soft_timeout, "DURATION",
               "How long the guest has to act when asked (default: the agent's)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments, call](Session& session) {
    Request request;
    if (!arguments->mode.empty()) {
      const auto mode = ParseStopMode(arguments->mode);
      if (!mode.ok()) return session.Fail(About("--mode", mode.status()));
      request.set_mode(*mode);
    }
    if (!arguments->soft_timeout.empty()) {
      const auto timeout = ParseDuration(arguments->soft_timeout);
      if (!timeout.ok()) return session.Fail(About("--soft-timeout", timeout.status()));
      *request.mutable_timeout() = ToProtoDuration(*timeout);
    }
    return Change(session, *arguments, request, call);
  });
}

void AddResize(Command group) {
  struct Arguments : TargetArguments {
    uint32_t vcpus = 0;
    std::string memory;
    std::string timeout;
    bool online = false;
    bool force_stop = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("resize", "Change an instance's processors and memory");
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Number("--vcpus", &arguments->vcpus, "Virtual processors (default: as they are)");
  command.Text("--memory", &arguments->memory, "SIZE",
               "Memory: MiB, or with K, M, G, T (default: as it is)");
  command.Flag("--online", &arguments->online, "Change the running guest");
  command.Text("--guest-timeout", &arguments->timeout, "DURATION",
               "With --online: how long the guest may take (default: the agent's)");
  command.Flag("--force-stop", &arguments->force_stop, "Cut the power of a running guest first");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    agent::v1::ResizeInstanceRequest request;
    request.set_vcpus(arguments->vcpus);
    request.set_online(arguments->online);
    if (!arguments->timeout.empty()) {
      const auto timeout = ParseDuration(arguments->timeout);
      if (!timeout.ok()) return session.Fail(About("--guest-timeout", timeout.status()));
      *request.mutable_timeout() = ToProtoDuration(*timeout);
    }
    request.set_force_stop(arguments->force_stop);
    if (!arguments->memory.empty()) {
      const auto memory = ParseSize(arguments->memory, kMib);
      if (!memory.ok()) return session.Fail(About("--memory", memory.status()));
      request.set_memory_mib(*memory / kMib);
    }
    return Change(session, *arguments, request, &Client::ResizeInstance);
  });
}

void AddAdopt(Command group) {
  struct Arguments {
    std::string uuid;
    std::string id;
    std::string owner;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("adopt", "Take over a libvirt domain that somebody else made");
  command.Argument("UUID", &arguments->uuid, "The domain's UUID");
  command.Text("--id", &arguments->id, "ID", "Id for the instance (default: the agent makes one)");
  command.Text("--owner", &arguments->owner, "TEXT", "Free text");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::AdoptInstanceRequest request;
    request.set_uuid(arguments->uuid);
    request.set_instance_id(arguments->id);
    request.set_owner(arguments->owner);
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->AdoptInstance(request));
  });
}

void AddDelete(Command group) {
  const auto arguments = std::make_shared<TargetArguments>();
  Command command = group.Sub("delete", "Delete an instance and its disks, running or not");
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Text("--etag", &arguments->etag, "ETAG", "Only if the instance still has this etag");
  command.Texts("--keep", &arguments->keep, "DISK",
                "A data disk that is kept as a volume instead of being deleted");
  command.Text("--recycle", &arguments->recycle, "DURATION",
               "How long it can be restored, 0 for not at all (default: the agent's)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    agent::v1::DeleteInstanceRequest request;
    request.set_etag(arguments->etag);
    for (const std::string& disk : arguments->keep) request.add_keep_disk_ids(disk);
    if (!arguments->recycle.empty()) {
      const auto period = ParseDuration(arguments->recycle);
      if (!period.ok()) return session.Fail(About("--recycle", period.status()));
      *request.mutable_recycle_period() = ToProtoDuration(*period);
    }
    return Change(session, *arguments, request, &Client::DeleteInstance);
  });
}

void AddWatch(Command group) {
  struct Arguments {
    bool json = false;
    std::string duration;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("watch", "Show every instance and then each change, till Ctrl-C");
  command.Flag("--json", &arguments->json, "The same as -o json");
  command.Text("--duration", &arguments->duration, "DURATION", "End after this long");
  command.Run([arguments](Session& session) {
    if (arguments->json) session.set_format(OutputFormat::kJson);
    return Watch<agent::v1::InstanceEvent>(
        session, arguments->duration, &Client::WatchInstances,
        [&session](const agent::v1::InstanceEvent& event) {
          return session.PrintEvent(event, event.instance().id(),
                                    InstanceEventLine(event, absl::Now(), session.style()));
        });
  });
}

}  // namespace

void AddInstanceCommands(Command root) {
  Command group = root.Sub("instance", "Virtual machines");
  AddInstanceCreate(group);
  AddList(group);
  AddGet(group);
  AddInstanceUpdate(group);
  AddPlain<agent::v1::StartInstanceRequest>(group, "start", "Start a stopped instance",
                                            &Client::StartInstance);
  AddDown<agent::v1::StopInstanceRequest>(group, "stop", "Stop a running instance",
                                          &Client::StopInstance);
  AddDown<agent::v1::RebootInstanceRequest>(group, "reboot", "Reboot a running instance",
                                            &Client::RebootInstance);
  AddResize(group);
  AddInstanceReinstall(group);
  AddInstanceRescue(group);
  AddAdopt(group);
  AddDelete(group);
  AddPlain<agent::v1::RestoreInstanceRequest>(
      group, "restore", "Take an instance out of its recycle period", &Client::RestoreInstance);
  AddWatch(group);
  AddInstanceSerial(group);
  AddInstanceScreenshot(group);
}

}  // namespace cvm::cli
