// SPDX-License-Identifier: Apache-2.0
//
// Bad input of every kind: refused with the right reason and the field's name, and nothing is left
// behind.
#include "agent/core/validation.h"

#include <functional>

#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using v1::CreateInstanceRequest;
using v1::Operation;

constexpr char kKey[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBFNzME07M8Na04KTRtQCUqsg4O13VC6ukW0ko/PcZKw alice@e";
constexpr char kHash[] =
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kGib = 1 << 30;

class ValidationTest : public ::testing::Test {
 protected:
  ValidationTest() {
    agent_.ImportBase();
    // What a new instance can collide with.
    CreateInstanceRequest other = agent_.CreateRequest("ins-other000");
    v1::NicSpec& nic = *other.mutable_spec()->add_nics();
    nic.set_id("eni-other000");
    nic.set_mac("52:54:00:ab:cd:ef");
    nic.set_ipv4_address("10.77.0.50");
    nic.add_ipv6_addresses("2001:db8::50/64");
    other.mutable_spec()->mutable_system_disk()->set_id("disk-other000");
    EXPECT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, other)).state(),
              Operation::SUCCESS);
    files_ = agent_.Files();
    operations_ = agent_.engine().List({})->size();
  }

  // One with a good value in every field that a client may set.
  CreateInstanceRequest FullRequest() {
    CreateInstanceRequest request = agent_.CreateRequest("ins-00000001", "request-1");
    request.set_owner("alice");
    request.set_start(CreateInstanceRequest::START_NO);
    v1::InstanceSpec& spec = *request.mutable_spec();
    spec.set_name("web");
    spec.set_description("a <web> server & more");
    (*spec.mutable_tags())["role"] = "web";
    spec.mutable_system_disk()->set_id("disk-00000001");
    spec.mutable_system_disk()->set_size_bytes(64 * kMib);
    spec.add_data_disks()->set_id("disk-00000002");
    spec.mutable_data_disks(0)->set_size_bytes(kMib);
    v1::NicSpec& nic = *spec.add_nics();
    nic.set_id("eni-00000001");
    nic.set_network_id("net-a");
    nic.set_mac("52:54:00:00:00:01");
    nic.set_ipv4_address("10.77.0.9");
    nic.add_ipv6_addresses("2001:db8::9/64");
    spec.set_host_name("web-1");
    spec.mutable_login()->add_ssh_public_keys(kKey);
    spec.mutable_login()->set_password_hash(kHash);
    spec.set_user_data(std::string(16384, '#'));
    v1::GuestProperties& properties = *spec.mutable_properties();
    properties.set_os_family(v1::OS_FAMILY_LINUX);
    properties.set_firmware(v1::FIRMWARE_UEFI);
    properties.set_cdrom_bus(v1::CDROM_BUS_SATA);
    properties.set_machine_family(v1::MACHINE_FAMILY_Q35);
    properties.set_default_user("debian");
    return request;
  }

  v1::ImportImageRequest FullImport() {
    v1::ImportImageRequest request = agent_.ImportRequest("img-00000001", "request-1");
    request.set_owner("alice");
    request.set_sha256(std::string(64, 'a'));
    request.mutable_properties()->set_default_user("debian");
    return request;
  }

  void ExpectNothingDone() {
    EXPECT_EQ(agent_.Files(), files_);
    EXPECT_EQ(agent_.engine().List({})->size(), operations_);
    EXPECT_EQ(agent_.ledger().instances().All().size(), 1u);
    EXPECT_EQ(agent_.ledger().images().List("", SIZE_MAX).size(), 1u);
    EXPECT_FALSE(agent_.store().FindRequest(agent_.caller.scope, "request-1")->has_value());
  }

  AgentHarness agent_;
  std::set<std::string> files_;
  size_t operations_ = 0;
};

std::string FieldOf(const absl::Status& status) {
  const auto info = ErrorInfoOf(status);
  if (!info || !info->metadata().contains("field")) return "";
  return info->metadata().at("field");
}

TEST_F(ValidationTest, TakesTheFullRequests) {
  EXPECT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, FullRequest())).state(),
            Operation::SUCCESS);
  v1::ImportImageRequest import = FullImport();
  import.set_request_id("request-2");
  import.clear_sha256();
  EXPECT_EQ(agent_.Run(agent_.images().Import(agent_.caller, import)).state(), Operation::SUCCESS);
}

TEST_F(ValidationTest, RefusesBadCreations) {
  using R = CreateInstanceRequest;
  struct Case {
    ErrorReason reason;
    std::string field;
    std::function<void(R&)> spoil;
  };
  const auto nic = [](R& r) -> v1::NicSpec& { return *r.mutable_spec()->mutable_nics(0); };
  const auto properties = [](R& r) -> v1::GuestProperties& {
    return *r.mutable_spec()->mutable_properties();
  };
  const std::vector<Case> cases = {
      // Ids.
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "instance_id",
       [](R& r) { r.set_instance_id("ins-1"); }},
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "instance_id",
       [](R& r) { r.set_instance_id("img-00000001"); }},
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "instance_id",
       [](R& r) { r.set_instance_id("ins-0000000A"); }},
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "instance_id",
       [](R& r) { r.set_instance_id("ins-../../ab"); }},
      {ErrorReason::ERROR_REASON_INSTANCE_EXISTS, "",
       [](R& r) { r.set_instance_id("ins-other000"); }},
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "spec.system_disk.id",
       [](R& r) { r.mutable_spec()->mutable_system_disk()->set_id("../x"); }},
      {ErrorReason::ERROR_REASON_DUPLICATE_ID, "spec.data_disks[0].id",
       [](R& r) { r.mutable_spec()->mutable_data_disks(0)->set_id("disk-00000001"); }},
      {ErrorReason::ERROR_REASON_DUPLICATE_ID, "spec.disks",
       [](R& r) { r.mutable_spec()->mutable_data_disks(0)->set_id("disk-other000"); }},
      {ErrorReason::ERROR_REASON_DUPLICATE_ID, "spec.nics[0].id",
       [&](R& r) { nic(r).set_id("eni-other000"); }},
      {ErrorReason::ERROR_REASON_DUPLICATE_ID, "spec.nics[1].id",
       [&](R& r) { r.mutable_spec()->add_nics()->set_id(nic(r).id()); }},
      // Missing, too small, too large.
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec", [](R& r) { r.clear_spec(); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec.image_id",
       [](R& r) { r.mutable_spec()->clear_image_id(); }},
      {ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND, "spec.image_id",
       [](R& r) { r.mutable_spec()->set_image_id("img-none0000"); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec.vcpus",
       [](R& r) { r.mutable_spec()->clear_vcpus(); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS, "",
       [](R& r) { r.mutable_spec()->set_vcpus(UINT32_MAX); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS, "",
       [](R& r) { r.mutable_spec()->set_vcpus(9); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec.memory_mib",
       [](R& r) { r.mutable_spec()->clear_memory_mib(); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.memory_mib",
       [](R& r) { r.mutable_spec()->set_memory_mib(63); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY, "",
       [](R& r) { r.mutable_spec()->set_memory_mib(UINT64_MAX); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY, "",
       [](R& r) {
         r.set_start(R::START_YES);
         r.mutable_spec()->set_memory_mib(16000);
       }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.system_disk.size_bytes",
       [](R& r) { r.mutable_spec()->mutable_system_disk()->set_size_bytes(64 * kMib + 512); }},
      {ErrorReason::ERROR_REASON_DISK_TOO_SMALL, "spec.system_disk.size_bytes",
       [](R& r) { r.mutable_spec()->mutable_system_disk()->set_size_bytes(3 * kMib); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_DISK, "",
       [](R& r) { r.mutable_spec()->mutable_system_disk()->set_size_bytes(uint64_t{1} << 63); }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_DISK, "",
       [](R& r) {
         // Their sum does not fit into 64 bits.
         r.mutable_spec()->mutable_system_disk()->set_size_bytes(uint64_t{1} << 63);
         r.mutable_spec()->mutable_data_disks(0)->set_size_bytes(uint64_t{1} << 63);
       }},
      {ErrorReason::ERROR_REASON_INSUFFICIENT_DISK, "",
       [](R& r) { r.mutable_spec()->mutable_system_disk()->set_size_bytes(98 * kGib); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec.data_disks[0].size_bytes",
       [](R& r) { r.mutable_spec()->mutable_data_disks(0)->clear_size_bytes(); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.data_disks[0].size_bytes",
       [](R& r) { r.mutable_spec()->mutable_data_disks(0)->set_size_bytes(512); }},
      {ErrorReason::ERROR_REASON_TOO_MANY_DISKS, "spec.data_disks",
       [](R& r) {
         while (r.spec().data_disks_size() < 21) {
           r.mutable_spec()->add_data_disks()->set_size_bytes(kMib);
         }
       }},
      {ErrorReason::ERROR_REASON_TOO_MANY_NICS, "spec.nics",
       [](R& r) {
         while (r.spec().nics_size() < 9) r.mutable_spec()->add_nics();
       }},
      {ErrorReason::ERROR_REASON_USER_DATA_TOO_LARGE, "spec.user_data",
       [](R& r) { r.mutable_spec()->set_user_data(std::string(16385, '#')); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.user_data",
       [](R& r) { r.mutable_spec()->set_user_data(std::string("#\0", 2)); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.name",
       [](R& r) { r.mutable_spec()->set_name(std::string(61, 'n')); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.description",
       [](R& r) { r.mutable_spec()->set_description(std::string(256, 'n')); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "owner",
       [](R& r) { r.set_owner(std::string(129, 'n')); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.tags",
       [](R& r) {
         for (int i = 0; i < 50; ++i) (*r.mutable_spec()->mutable_tags())[std::to_string(i)] = "";
       }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.tags",
       [](R& r) { (*r.mutable_spec()->mutable_tags())[std::string(128, 'k')] = ""; }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.tags",
       [](R& r) { (*r.mutable_spec()->mutable_tags())["k"] = std::string(256, 'v'); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "spec.tags",
       [](R& r) { (*r.mutable_spec()->mutable_tags())[""] = "v"; }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.machine_type",
       [](R& r) { r.mutable_spec()->set_machine_type("pc-q35-7.2"); }},
      // Networks.
      {ErrorReason::ERROR_REASON_NETWORK_NOT_FOUND, "spec.nics[0].network_id",
       [&](R& r) { nic(r).set_network_id("none"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_NOT_IN_SUBNET, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.78.0.2"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_NOT_IN_SUBNET, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.255"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_NOT_IN_SUBNET, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.0"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_IN_USE, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.1"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_IN_USE, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.50"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_IN_USE, "spec.nics[1].ipv4_address",
       [&](R& r) { r.mutable_spec()->add_nics()->set_ipv4_address(nic(r).ipv4_address()); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.9/24"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].ipv4_address",
       [&](R& r) { nic(r).set_ipv4_address("10.77.0.09"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].ipv6_addresses",
       [&](R& r) { nic(r).set_ipv6_addresses(0, "2001:db8::9"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec",
       [&](R& r) { nic(r).set_ipv6_addresses(0, "ff02::1/64"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_IN_USE, "spec.nics[0].ipv6_addresses",
       [&](R& r) { nic(r).set_ipv6_addresses(0, "2001:db8:0::50/48"); }},
      {ErrorReason::ERROR_REASON_ADDRESS_IN_USE, "spec.nics[0].ipv6_addresses",
       [&](R& r) { nic(r).add_ipv6_addresses("2001:db8::0009/64"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].ipv6_addresses",
       [&](R& r) {
         for (int i = 0; i < 16; ++i) {
           nic(r).add_ipv6_addresses("2001:db8::1:" + std::to_string(i) + "/64");
         }
       }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].mac",
       [&](R& r) { nic(r).set_mac("53:54:00:00:00:01"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].mac",
       [&](R& r) { nic(r).set_mac("52:54:00:00:00"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].mac",
       [&](R& r) { nic(r).set_mac("52-54-00-00-00-01"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.nics[0].mac",
       [&](R& r) { nic(r).set_mac("00:00:00:00:00:00"); }},
      {ErrorReason::ERROR_REASON_MAC_IN_USE, "spec.nics[0].mac",
       [&](R& r) { nic(r).set_mac("52:54:00:AB:CD:EF"); }},
      {ErrorReason::ERROR_REASON_MAC_IN_USE, "spec.nics[1].mac",
       [&](R& r) { r.mutable_spec()->add_nics()->set_mac(nic(r).mac()); }},
      // Login and guest.
      {ErrorReason::ERROR_REASON_INVALID_SSH_KEY, "spec.login.ssh_public_keys[1]",
       [](R& r) { r.mutable_spec()->mutable_login()->add_ssh_public_keys("ssh-ed25519 x"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.login.ssh_public_keys",
       [](R& r) {
         for (int i = 0; i < 16; ++i) r.mutable_spec()->mutable_login()->add_ssh_public_keys(kKey);
       }},
      {ErrorReason::ERROR_REASON_INVALID_PASSWORD_HASH, "spec.login.password_hash",
       [](R& r) { r.mutable_spec()->mutable_login()->set_password_hash("in clear"); }},
      {ErrorReason::ERROR_REASON_INVALID_HOST_NAME, "spec.host_name",
       [](R& r) { r.mutable_spec()->set_host_name("-web"); }},
      {ErrorReason::ERROR_REASON_INVALID_HOST_NAME, "spec.host_name",
       [](R& r) { r.mutable_spec()->set_host_name("a b"); }},
      {ErrorReason::ERROR_REASON_INVALID_HOST_NAME, "spec.host_name",
       [&](R& r) {
         properties(r).set_os_family(v1::OS_FAMILY_WINDOWS);
         r.mutable_spec()->set_host_name("longer-than-netbios");
       }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.properties.default_user",
       [&](R& r) { properties(r).set_default_user("a b"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.properties.default_user",
       [&](R& r) { properties(r).set_default_user("-rf"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.properties.default_user",
       [&](R& r) { properties(r).set_default_user(std::string(33, 'u')); }},
      {ErrorReason::ERROR_REASON_FIELDS_CONFLICT, "spec.properties.cdrom_bus",
       [&](R& r) { properties(r).set_cdrom_bus(v1::CDROM_BUS_IDE); }},
      {ErrorReason::ERROR_REASON_FIELDS_CONFLICT, "spec.properties.cdrom_bus",
       [&](R& r) { properties(r).set_machine_family(v1::MACHINE_FAMILY_PC); }},
      // Enums.
      {ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE, "start",
       [](R& r) { r.set_start(static_cast<R::Start>(99)); }},
      {ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE, "spec.properties.firmware",
       [&](R& r) { properties(r).set_firmware(static_cast<v1::Firmware>(-1)); }},
      {ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE, "spec.properties.os_family",
       [&](R& r) { properties(r).set_os_family(static_cast<v1::OsFamily>(99)); }},
  };
  int index = 0;
  for (const Case& bad : cases) {
    SCOPED_TRACE("case " + std::to_string(index++) + ", " + bad.field);
    CreateInstanceRequest request = FullRequest();
    bad.spoil(request);
    const absl::Status status = agent_.instances().Create(agent_.caller, request).status();
    EXPECT_EQ(ReasonName(ReasonOf(status)), ReasonName(bad.reason)) << status;
    if (!bad.field.empty()) {
      EXPECT_EQ(FieldOf(status), bad.field) << status;
    }
    // Not a secret, and nothing of the host.
    EXPECT_EQ(std::string(status.message()).find(agent_.paths().state_dir()), std::string::npos);
    EXPECT_EQ(std::string(status.message()).find("in clear"), std::string::npos);
  }
  ExpectNothingDone();
}

TEST_F(ValidationTest, RefusesAnImageThatIsNotReady) {
  LedgerChange change;
  for (const auto state : {v1::Image::IMPORTING, v1::Image::DELETING}) {
    v1::Image image = *agent_.images().Get("img-base0000");
    image.set_id("img-state000");
    image.set_state(state);
    change.put_images = {image};
    ASSERT_TRUE(agent_.ledger().Commit(change).ok());
    CreateInstanceRequest request = FullRequest();
    request.mutable_spec()->set_image_id("img-state000");
    const absl::Status status = agent_.instances().Create(agent_.caller, request).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::ERROR_REASON_IMAGE_NOT_READY);
  }
}

TEST_F(ValidationTest, RefusesADiskWhenTheHostHasNoneFree) {
  agent_.disk_space.free_bytes = kGib;
  EXPECT_EQ(ReasonOf(agent_.instances().Create(agent_.caller, FullRequest()).status()),
            ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
  ExpectNothingDone();
}

TEST(InstanceLimitTest, RefusesOneInstanceMoreThanConfigured) {
  AgentHarness agent([](Config& config) { config.limits.max_instances = 1; });
  agent.ImportBase();
  agent.MakeInstance("ins-first000");
  const absl::Status status =
      agent.instances().Create(agent.caller, agent.CreateRequest("ins-second00")).status();
  EXPECT_EQ(ReasonOf(status), ErrorReason::ERROR_REASON_TOO_MANY_INSTANCES);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  agent.ExpectNothingLeftOver();
}

// --- Every string field ---

// The way to a string within a message: fields, with an index for repeated ones.
using FieldPath = std::vector<std::pair<const FieldDescriptor*, int>>;

void FindStrings(const Message& message, const FieldPath& prefix, std::vector<FieldPath>& paths) {
  const auto* reflection = message.GetReflection();
  for (int f = 0; f < message.GetDescriptor()->field_count(); ++f) {
    const FieldDescriptor* field = message.GetDescriptor()->field(f);
    const bool is_string = field->type() == FieldDescriptor::TYPE_STRING;
    if (!is_string && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    EXPECT_GT(count, 0) << field->full_name() << " is not covered";
    for (int i = 0; i < count; ++i) {
      FieldPath path = prefix;
      path.emplace_back(field, i);
      if (is_string) {
        paths.push_back(path);
      } else {
        FindStrings(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                         : reflection->GetMessage(message, field),
                    path, paths);
      }
    }
  }
}

void SetString(Message& message, const FieldPath& path, const std::string& value) {
  Message* at = &message;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto& [field, index] = path[i];
    const auto* reflection = at->GetReflection();
    if (i + 1 == path.size()) {
      field->is_repeated() ? reflection->SetRepeatedString(at, field, index, value)
                           : reflection->SetString(at, field, value);
    } else {
      at = field->is_repeated() ? reflection->MutableRepeatedMessage(at, field, index)
                                : reflection->MutableMessage(at, field);
    }
  }
}

std::string PathName(const FieldPath& path) {
  std::string name;
  for (const auto& [field, index] : path) name += (name.empty() ? "" : ".") + field->name();
  return name;
}

std::string WithoutIndexes(const std::string& field) {
  std::string name;
  bool within = false;
  for (const char c : field) {
    if (c == '[') within = true;
    if (!within) name += c;
    if (c == ']') within = false;
  }
  return name;
}

template <class Request>
void ExpectEveryStringChecked(const Request& good, size_t at_least,
                              const std::function<absl::Status(const Request&)>& submit) {
  std::vector<FieldPath> paths;
  FindStrings(good, {}, paths);
  EXPECT_GE(paths.size(), at_least);
  for (const FieldPath& path : paths) {
    for (const std::string& bad :
         {std::string("a\x01"
                      "b"),
          std::string("a\nb"), std::string("\xff"), std::string("a\0b", 3)}) {
      SCOPED_TRACE(PathName(path));
      Request request = good;
      SetString(request, path, bad);
      const absl::Status status = submit(request);
      ASSERT_FALSE(status.ok());
      EXPECT_NE(ReasonOf(status), ErrorReason::ERROR_REASON_UNSPECIFIED) << status;
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      const std::string field = WithoutIndexes(FieldOf(status));
      EXPECT_FALSE(field.empty()) << status;
      EXPECT_TRUE(PathName(path).starts_with(field)) << status << " names " << field;
    }
  }
}

TEST_F(ValidationTest, ChecksEveryStringOfACreation) {
  ExpectEveryStringChecked<CreateInstanceRequest>(
      FullRequest(), 20, [this](const CreateInstanceRequest& request) {
        return agent_.instances().Create(agent_.caller, request).status();
      });
  ExpectNothingDone();
}

TEST_F(ValidationTest, ChecksEveryStringOfAnImport) {
  ExpectEveryStringChecked<v1::ImportImageRequest>(
      FullImport(), 7, [this](const v1::ImportImageRequest& request) {
        return agent_.images().Import(agent_.caller, request).status();
      });
  ExpectNothingDone();
}

TEST_F(ValidationTest, RefusesBadImports) {
  struct Case {
    ErrorReason reason;
    std::string field;
    std::function<void(v1::ImportImageRequest&)> spoil;
  };
  const std::vector<Case> cases = {
      {ErrorReason::ERROR_REASON_MALFORMED_ID, "image_id", [](auto& r) { r.set_image_id("x"); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "name", [](auto& r) { r.clear_name(); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "name",
       [](auto& r) { r.set_name(std::string(61, 'n')); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "source_file",
       [](auto& r) { r.clear_source_file(); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "source_file",
       [](auto& r) { r.set_source_file("../x"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "source_file",
       [](auto& r) { r.set_source_file(std::string(1025, 'n')); }},
      {ErrorReason::ERROR_REASON_MISSING_FIELD, "format", [](auto& r) { r.clear_format(); }},
      {ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE, "format",
       [](auto& r) { r.set_format(static_cast<v1::DiskFormat>(9)); }},
      {ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE, "properties.cdrom_bus",
       [](auto& r) { r.mutable_properties()->set_cdrom_bus(static_cast<v1::CdromBus>(9)); }},
      {ErrorReason::ERROR_REASON_FIELDS_CONFLICT, "properties.cdrom_bus",
       [](auto& r) { r.mutable_properties()->set_cdrom_bus(v1::CDROM_BUS_IDE); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "sha256", [](auto& r) { r.set_sha256("abc"); }},
      {ErrorReason::ERROR_REASON_INVALID_FIELD, "sha256",
       [](auto& r) { r.set_sha256(std::string(64, 'g')); }},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.field);
    v1::ImportImageRequest request = FullImport();
    bad.spoil(request);
    const absl::Status status = agent_.images().Import(agent_.caller, request).status();
    EXPECT_EQ(ReasonName(ReasonOf(status)), ReasonName(bad.reason)) << status;
    EXPECT_EQ(FieldOf(status), bad.field) << status;
  }
  ExpectNothingDone();
}

TEST_F(ValidationTest, RefusesBadPowerRequests) {
  const auto stop = [&](const std::function<void(v1::StopInstanceRequest&)>& spoil) {
    v1::StopInstanceRequest request;
    request.set_instance_id("ins-other000");
    spoil(request);
    return agent_.instances().Stop(agent_.caller, request).status();
  };
  using Stop = v1::StopInstanceRequest;
  EXPECT_EQ(FieldOf(stop([](Stop& r) { r.set_mode(static_cast<v1::StopMode>(9)); })), "mode");
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int>{0, 0},
                                       {0, 999999999},
                                       {-5, 0},
                                       {3601, 0},
                                       {INT64_MAX, 0},
                                       {INT64_MIN, -1}}) {
    const absl::Status status = stop([&](Stop& r) {
      r.mutable_timeout()->set_seconds(seconds);
      r.mutable_timeout()->set_nanos(nanos);
    });
    EXPECT_EQ(ReasonOf(status), ErrorReason::ERROR_REASON_INVALID_FIELD) << seconds;
    EXPECT_EQ(FieldOf(status), "timeout");
  }
  EXPECT_EQ(ReasonOf(stop([](Stop& r) { r.set_instance_id("ins-none0000"); })),
            ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND);
  EXPECT_EQ(ReasonOf(stop([](Stop& r) { r.clear_instance_id(); })),
            ErrorReason::ERROR_REASON_MISSING_FIELD);
  v1::RebootInstanceRequest reboot;
  reboot.set_instance_id("ins-other000");
  reboot.set_mode(static_cast<v1::StopMode>(9));
  EXPECT_EQ(ReasonOf(agent_.instances().Reboot(agent_.caller, reboot).status()),
            ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE);
  ExpectNothingDone();
}

TEST_F(ValidationTest, RefusesBadPages) {
  v1::ListInstancesRequest request;
  request.set_page_size(1001);
  EXPECT_EQ(FieldOf(agent_.instances().List(request).status()), "page_size");
  request.set_page_size(1000);
  for (const char* bad : {"x", "!!!", "aW5z", "\xff"}) {
    request.set_page_token(bad);
    EXPECT_EQ(ReasonOf(agent_.instances().List(request).status()),
              ErrorReason::ERROR_REASON_INVALID_PAGE_TOKEN);
    v1::ListImagesRequest images;
    images.set_page_token(bad);
    EXPECT_EQ(ReasonOf(agent_.images().List(images).status()),
              ErrorReason::ERROR_REASON_INVALID_PAGE_TOKEN);
  }
}

}  // namespace
}  // namespace cvm::agent::core
