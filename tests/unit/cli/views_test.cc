// SPDX-License-Identifier: Apache-2.0
//
// The tables, as people see them.
#include "cli/views.h"

#include "common/errors.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

template <typename Message>
Message Parse(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

constexpr char kInstance[] = R"pb(
  id: "ins-00000001"
  uuid: "6b6f0d3e-0000-4000-8000-000000000001"
  etag: "e1"
  state: RUNNING
  owner: "me"
  spec {
    name: "web"
    image_id: "img-debian12"
    vcpus: 2
    memory_mib: 1536
    host_name: "web1"
    system_disk { id: "disk-00000001" size_bytes: 10737418240 }
    data_disks { id: "disk-00000002" size_bytes: 536870912 }
    nics {
      id: "eni-00000001"
      network_id: "default"
      mac: "52:54:00:00:00:01"
      ipv4_address: "192.0.2.10"
      ipv6_addresses: "2001:db8::5/64"
    }
    tags { key: "b" value: "2" }
    tags { key: "a" value: "1" }
    properties { os_family: OS_FAMILY_LINUX firmware: FIRMWARE_BIOS cdrom_bus: CDROM_BUS_SCSI }
  }
  observed_power { state: RUNNING reason: "booted" }
  latest_operation { id: "op-00000001" action: CREATE_INSTANCE state: SUCCESS stage: "done" }
  create_time { seconds: 1700000000 })pb";

TEST(InstancesView, Golden) {
  agent::v1::ListInstancesResponse list;
  *list.add_instances() = Parse<agent::v1::Instance>(kInstance);
  *list.add_instances() =
      Parse<agent::v1::Instance>(R"pb(id: "ins-00000002" state: LAUNCH_FAILED)pb");
  EXPECT_EQ(InstancesView(list, {}),
            "ID            NAME  STATE          VCPUS  MEMORY   DISK    ADDRESS                    "
            "IMAGE         CREATED\n"
            "ins-00000001  web   RUNNING        2      1.5 GiB  10 GiB  192.0.2.10,2001:db8::5/64  "
            "img-debian12  2023-11-14 22:13:20\n"
            "ins-00000002  -     LAUNCH_FAILED  0      0 B      0 B     -                          "
            "-             -\n");
}

TEST(InstancesView, EmptyIsItsHeader) {
  EXPECT_EQ(InstancesView({}, {}),
            "ID  NAME  STATE  VCPUS  MEMORY  DISK  ADDRESS  IMAGE  CREATED\n");
}

TEST(InstanceView, Golden) {
  EXPECT_EQ(InstanceView(Parse<agent::v1::Instance>(kInstance), {}),
            R"(ID           ins-00000001
Name         web
State        RUNNING
Power        RUNNING (booted)
Host name    web1
Image        img-debian12
vCPUs        2
Memory       1.5 GiB
System disk  disk-00000001 10 GiB
Data disk    disk-00000002 512 MiB
NIC          eni-00000001 default 52:54:00:00:00:01 192.0.2.10 2001:db8::5/64
OS           LINUX
Firmware     BIOS
CD-ROM bus   SCSI
Tag          a=1
Tag          b=2
Owner        me
Created      2023-11-14 22:13:20
UUID         6b6f0d3e-0000-4000-8000-000000000001
Etag         e1
Operation    op-00000001 CREATE_INSTANCE SUCCESS
Stage        done
)");
}

TEST(InstanceView, ShowsWhatIsRefusedNow) {
  const auto instance = Parse<agent::v1::Instance>(R"pb(
    id: "ins-00000001"
    state: RUNNING
    denied_actions { action: START_INSTANCE reason: "INVALID_INSTANCE_STATE" message: "m" })pb");
  EXPECT_THAT(InstanceView(instance, {}),
              ::testing::HasSubstr("Refused      START_INSTANCE (INVALID_INSTANCE_STATE)"));
}

TEST(InstanceView, SaysSinceWhenTheStateIsUnknown) {
  const auto instance = Parse<agent::v1::Instance>(R"pb(
    id: "ins-00000001"
    state: UNKNOWN
    observed_power {
      state: UNKNOWN
      last_known: RUNNING
      observed_at { seconds: 1700000000 }
    })pb");
  EXPECT_THAT(InstanceView(instance, {}),
              ::testing::HasSubstr("UNKNOWN since 2023-11-14 22:13:20, last known RUNNING"));
}

TEST(InstanceEventLine, ShowsWhatIsUnderWay) {
  agent::v1::InstanceEvent event;
  event.set_kind(agent::v1::InstanceEvent::CHANGED);
  *event.mutable_instance() = Parse<agent::v1::Instance>(R"pb(
    id: "ins-00000001"
    state: STOPPING
    spec { name: "web\n" }
    latest_operation { action: STOP_INSTANCE state: OPERATING percent: 40 stage: "asking" })pb");
  const absl::Time now = absl::FromUnixSeconds(1700000000);
  EXPECT_EQ(InstanceEventLine(event, now, {}),
            "22:13:20  CHANGED  ins-00000001  STOPPING       web?  [STOP_INSTANCE 40%: asking]");
  event.set_kind(agent::v1::InstanceEvent::DELETED);
  EXPECT_EQ(InstanceEventLine(event, now, {}), "22:13:20  DELETED  ins-00000001");
  event.Clear();
  event.set_kind(agent::v1::InstanceEvent::SYNCED);
  EXPECT_EQ(InstanceEventLine(event, now, {}), "22:13:20  SYNCED ");
}

TEST(ImagesView, Golden) {
  agent::v1::ListImagesResponse list;
  *list.add_images() = Parse<agent::v1::Image>(R"pb(
    id: "img-debian12"
    name: "debian12"
    state: READY
    virtual_size_bytes: 2147483648
    stored_size_bytes: 566231040
    instance_count: 3
    create_time { seconds: 1700000000 })pb");
  EXPECT_EQ(ImagesView(list, {}),
            "ID            NAME      STATE  SIZE   STORED   INSTANCES  CREATED\n"
            "img-debian12  debian12  READY  2 GiB  540 MiB  3          2023-11-14 22:13:20\n");
}

agent::v1::Operation FailedOperation() {
  auto operation = Parse<agent::v1::Operation>(R"pb(
    id: "op-00000001"
    action: START_INSTANCE
    state: FAILED
    target_id: "ins-00000001"
    percent: 40
    request_id: "r1"
    stage: "starting"
    create_time { seconds: 1700000000 }
    end_time { seconds: 1700000065 }
    elapsed { seconds: 65 })pb");
  *operation.mutable_error() = ToProto(Error(common::v1::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  return operation;
}

TEST(OperationsView, Golden) {
  agent::v1::ListOperationsResponse list;
  *list.add_operations() = Parse<agent::v1::Operation>(R"pb(
    id: "op-00000002"
    action: CREATE_INSTANCE
    state: OPERATING
    target_id: "ins-00000001"
    percent: 7
    stage: "creating the disks"
    undoing: true
    elapsed { seconds: 3 })pb");
  *list.add_operations() = FailedOperation();
  EXPECT_EQ(OperationsView(list, {}),
            "ID           ACTION           TARGET        STATE      DONE  ELAPSED  "
            "STARTED              STAGE\n"
            "op-00000002  CREATE_INSTANCE  ins-00000001  OPERATING  7%    0:03     "
            "-                    creating the disks (undoing)\n"
            "op-00000001  START_INSTANCE   ins-00000001  FAILED     40%   1:05     "
            "2023-11-14 22:13:20  HYPERVISOR_ERROR: no\n");
}

TEST(OperationView, Golden) {
  EXPECT_EQ(OperationView(FailedOperation(), {}), R"(ID          op-00000001
Action      START_INSTANCE
Target      ins-00000001
State       FAILED
Stage       starting
Done        40%
Error       HYPERVISOR_ERROR: no
Request id  r1
Started     2023-11-14 22:13:20
Ended       2023-11-14 22:14:25
Elapsed     1:05
)");
}

TEST(StartedOperationView, SaysThatADryRunDidNothing) {
  agent::v1::Operation operation;
  operation.set_action(agent::v1::Operation::DELETE_IMAGE);
  operation.set_validate_only(true);
  EXPECT_EQ(StartedOperationView(operation, {}),
            "Dry run: DELETE_IMAGE would be accepted; nothing was done.\n");
}

TEST(Word, ShowsNumbersOfNewerEnumsAndNothingForNone) {
  EXPECT_EQ(Word(static_cast<agent::v1::InstanceState>(99)), "99");
  EXPECT_EQ(Word(agent::v1::INSTANCE_STATE_UNSPECIFIED), "-");
}

TEST(HostView, Golden) {
  const auto host = Parse<agent::v1::Host>(R"pb(
    host_name: "node1"
    agent_version: "0.1.0"
    architecture: "x86_64"
    acceleration: TCG
    hypervisor {
      connected: true
      since { seconds: 1700000000 }
      libvirt_version: "9.0.0"
    }
    capacity {
      vcpus_total: 8
      vcpus_allocated: 2
      memory_total_mib: 16384
      memory_reserved_mib: 1024
      memory_allocated_mib: 1536
      disk_total_bytes: 107374182400
      disk_allocated_bytes: 10737418240
      disk_free_bytes: 53687091200
    }
    networks {
      id: "default"
      bridge: "cvmbr0"
      subnet: "192.0.2.0/24"
      gateway: "192.0.2.1"
      addresses_in_use: 1
      present: true
    }
    instances_total: 2
    instances_running: 1)pb");
  EXPECT_EQ(HostView(host, {}), R"(Host          node1
Agent         0.1.0
Architecture  x86_64
Acceleration  TCG
Hypervisor    connected since 2023-11-14 22:13:20
libvirt       9.0.0
Instances     2, 1 running
vCPUs         2 of 8 allocated
Memory        1.5 GiB of 16 GiB allocated, 1 GiB reserved
Disk          10 GiB of 100 GiB allocated, 0 B reserved, 50 GiB free

NETWORK  BRIDGE  SUBNET        GATEWAY    ADDRESSES  STATE
default  cvmbr0  192.0.2.0/24  192.0.2.1  1 in use   present
)");
}

TEST(HostViews, ShowFindingsAndEvents) {
  EXPECT_EQ(FindingsView({}, {}), "Nothing found: the host is as the records say.\n");
  const auto found = Parse<agent::v1::CheckHostResponse>(R"pb(
    findings {
      kind: ORPHANED_TAP
      object: "cvm00000001-0"
      message: "tap of no running guest"
      repairable: true
    }
    findings { kind: FOREIGN_DOMAIN object: "web" message: "left alone" })pb");
  EXPECT_EQ(FindingsView(found, {}),
            R"(KIND            OBJECT         REPAIR  WHAT
ORPHANED_TAP    cvm00000001-0  yes     tap of no running guest
FOREIGN_DOMAIN  web            no      left alone
)");
  const auto event = Parse<agent::v1::HostEvent>(R"pb(
    kind: FOUND
    time { seconds: 1700000000 }
    finding: DOMAIN_MISSING
    message: "somebody undefined it")pb");
  EXPECT_EQ(HostEventLine(event, {}),
            "2023-11-14 22:13:20  FOUND DOMAIN_MISSING  somebody undefined it");
}

}  // namespace
}  // namespace cvm::cli
