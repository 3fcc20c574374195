// SPDX-License-Identifier: Apache-2.0
//
// Set CVM_UPDATE_GOLDEN=1 to write tests/testdata/domain_xml anew.
#include "drivers/hypervisor/libvirt/domain_xml.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "absl/time/time.h"
#include "common/errors.h"
#include "common/subprocess.h"
#include "drivers/hypervisor/domain_check.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/hypervisor/domain_specs.h"

namespace cvm::hypervisor {
namespace {

std::string GoldenPath(const std::string& name) {
  return std::string(CVM_TESTDATA) + "/domain_xml/" + name + ".xml";
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Write(const DomainSpec& spec) {
  const auto xml = WriteDomainXml(spec, GoldenFacts(false));
  EXPECT_TRUE(xml.ok()) << xml.status();
  return xml.value_or("");
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class GoldenDomainXml : public testing::TestWithParam<NamedSpec> {};

TEST_P(GoldenDomainXml, IsAsRecorded) {
  const auto xml = WriteDomainXml(GetParam().spec, GoldenFacts(GetParam().kvm_host));
  ASSERT_TRUE(xml.ok()) << xml.status();
  const std::string path = GoldenPath(GetParam().name);
  if (std::getenv("CVM_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << *xml;
  }
  EXPECT_EQ(*xml, ReadAll(path)) << path;
}

TEST_P(GoldenDomainXml, IsValidForLibvirt) {
  CommandLimits limits;
  limits.timeout = absl::Seconds(120);
  const auto result =
      RunCommand({"virt-xml-validate", GoldenPath(GetParam().name), "domain"}, limits);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 0) << result->out << result->err;
}

INSTANTIATE_TEST_SUITE_P(Specs, GoldenDomainXml, testing::ValuesIn(GoldenSpecs()),
                         [](const testing::TestParamInfo<NamedSpec>& info) {
                           std::string name = info.param.name;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

TEST(DomainXml, HasAGoldenFileForEverySpecAndNoOther) {
  std::set<std::string> expected;
  for (const NamedSpec& named : GoldenSpecs()) expected.insert(named.name + ".xml");
  EXPECT_GE(expected.size(), 22u);
  std::set<std::string> found;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(CVM_TESTDATA) + "/domain_xml")) {
    found.insert(entry.path().filename());
  }
  EXPECT_EQ(found, expected);
}

TEST(DomainXml, IsDeterministic) { EXPECT_EQ(Write(PlainSpec()), Write(PlainSpec())); }

TEST(DomainXml, GivesBackMetadataUnchanged) {
  DomainSpec spec = PlainSpec();
  for (const std::string& text :
       {std::string("plain"), std::string(" <&>\"' ]]> \t\n\r\n end "), std::string("主机 é"),
        std::string("\n"), std::string("<![CDATA[x]]>")}) {
    spec.metadata = text;
    const std::string xml = Write(spec);
    const size_t begin = xml.find("<cvm:instance");
    const size_t end = xml.find("</cvm:instance>");
    ASSERT_NE(begin, std::string::npos);
    ASSERT_NE(end, std::string::npos);
    const auto read = ReadMetadataXml(xml.substr(begin, end + 15 - begin));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, text);
  }
}

TEST(DomainXml, RefusesMetadataThatIsNotWellFormed) {
  EXPECT_EQ(ReasonOf(ReadMetadataXml("<a>").status()), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(ReasonOf(ReadMetadataXml("").status()), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
}

TEST(DomainXml, KeepsTheAddressOfANicWhenDisksAreAdded) {
  DomainSpec more = PlainSpec();
  more.disks.push_back(GoldenSpecs()[0].spec.disks[0]);
  more.disks[1].id = "disk-other";
  const auto nic = [](const std::string& xml) {
    const size_t begin = xml.find("<interface");
    return xml.substr(begin, xml.find("</interface>") - begin);
  };
  EXPECT_EQ(nic(Write(PlainSpec())), nic(Write(more)));
}

TEST(DomainXml, HasARootPortForEveryDiskAndNic) {
  const std::string xml = Write(PlainSpec());
  EXPECT_EQ(Count(xml, "pcie-root-port"), kMaxDisks + kMaxNics);
}

TEST(DomainXml, GivesNoPciAddressTwice) {
  for (const NamedSpec& named : GoldenSpecs()) {
    const auto xml = WriteDomainXml(named.spec, GoldenFacts(named.kvm_host));
    ASSERT_TRUE(xml.ok()) << xml.status();
    std::set<std::string> seen;
    for (size_t at = xml->find("type=\"pci\" domain="); at != std::string::npos;
         at = xml->find("type=\"pci\" domain=", at + 1)) {
      const std::string rest = xml->substr(at, xml->find('>', at) - at);
      const std::string address = rest.substr(0, rest.find(" multifunction"));
      EXPECT_TRUE(seen.insert(address.substr(0, address.find(" /"))).second)
          << named.name << ": " << address;
    }
    EXPECT_GE(seen.size(), 6u) << named.name;
  }
}

TEST(DomainXml, BootsOnlyFromTheSystemDiskAndARescueMediumBeforeIt) {
  for (const NamedSpec& named : GoldenSpecs()) {
    const auto xml = WriteDomainXml(named.spec, GoldenFacts(named.kvm_host));
    ASSERT_TRUE(xml.ok());
    EXPECT_EQ(Count(*xml, "<boot "), named.spec.boots_rescue_medium ? 2u : 1u) << named.name;
    EXPECT_EQ(Count(*xml, "<rom enabled=\"no\""), named.spec.nics.size()) << named.name;
  }
}

TEST(DomainXml, RefusesToBootARescueMediumThatIsNotThere) {
  DomainSpec spec = PlainSpec();
  spec.boots_rescue_medium = true;
  EXPECT_EQ(ReasonOf(WriteDomainXml(spec, GoldenFacts(false)).status()),
            ErrorReason::ERROR_REASON_MISSING_FIELD);
}

TEST(DomainXml, RefusesAMachineFamilyThatTheHostLacks) {
  HostFacts facts = GoldenFacts(false);
  facts.machine_q35.clear();
  EXPECT_EQ(ReasonOf(WriteDomainXml(PlainSpec(), facts).status()),
            ErrorReason::ERROR_REASON_INVALID_FIELD);
}

TEST(DomainXml, RefusesMetadataThatIsTooLongOnceEscaped) {
  DomainSpec spec = PlainSpec();
  spec.metadata = std::string(kMaxMetadataBytes, '&');
  EXPECT_EQ(ReasonOf(WriteDomainXml(spec, GoldenFacts(false)).status()),
            ErrorReason::ERROR_REASON_INVALID_FIELD);
  spec.metadata = std::string(kMaxMetadataBytes, 'x');
  EXPECT_TRUE(WriteDomainXml(spec, GoldenFacts(false)).ok());
}

struct BadSpec {
  std::string name;
  std::function<void(DomainSpec&)> spoil;
  std::string field;
  ErrorReason reason = ErrorReason::ERROR_REASON_INVALID_FIELD;
};

class BadDomainSpec : public testing::TestWithParam<BadSpec> {};

TEST_P(BadDomainSpec, IsRefused) {
  DomainSpec spec = PlainSpec();
  ASSERT_TRUE(CheckDomainSpec(spec).ok());
  GetParam().spoil(spec);
  const absl::Status status = WriteDomainXml(spec, GoldenFacts(false)).status();
  EXPECT_EQ(ReasonOf(status), GetParam().reason) << status;
  const auto info = ErrorInfoOf(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->metadata().at("field"), GetParam().field);
}

std::vector<BadSpec> BadSpecs() {
  constexpr ErrorReason kMissing = ErrorReason::ERROR_REASON_MISSING_FIELD;
  return {
      {"MaxVcpusBelowVcpus",
       [](DomainSpec& s) {
         s.vcpus = 2;
         s.max_vcpus = 1;
       },
       "max_vcpus"},
      {"MaxVcpusTooMany", [](DomainSpec& s) { s.max_vcpus = 256; }, "max_vcpus"},
      {"HotplugNotInPieces", [](DomainSpec& s) { s.hotplug_memory_mib = 64; },
       "hotplug_memory_mib"},
      {"HotplugTooLarge", [](DomainSpec& s) { s.hotplug_memory_mib = kMaxMemoryMib; },
       "hotplug_memory_mib"},
      {"RequestedNotInSteps",
       [](DomainSpec& s) {
         s.hotplug_memory_mib = 128;
         s.hotplug_requested_mib = 2;
       },
       "hotplug_requested_mib"},
      {"RequestedAboveTheDevice",
       [](DomainSpec& s) {
         s.hotplug_memory_mib = 128;
         s.hotplug_requested_mib = 132;
       },
       "hotplug_requested_mib"},
      {"BalloonAboveTheMemory", [](DomainSpec& s) { s.balloon_mib = s.memory_mib + 1; },
       "balloon_mib"},
      {"NoName", [](DomainSpec& s) { s.name.clear(); }, "name", kMissing},
      {"NameWithSlash", [](DomainSpec& s) { s.name = "a/b"; }, "name"},
      {"NameWithLineBreak", [](DomainSpec& s) { s.name = "a\nb"; }, "name"},
      {"NameTooLong", [](DomainSpec& s) { s.name = std::string(201, 'a'); }, "name"},
      {"UuidUpperCase", [](DomainSpec& s) { s.uuid[0] = 'A'; }, "uuid"},
      {"UuidShort", [](DomainSpec& s) { s.uuid.pop_back(); }, "uuid"},
      {"TitleWithControl", [](DomainSpec& s) { s.title = "a\x01"; }, "title"},
      {"TitleWithNul", [](DomainSpec& s) { s.title = std::string("a\0b", 3); }, "title"},
      {"TitleWithLineBreak", [](DomainSpec& s) { s.title = "a\nb"; }, "title"},
      {"TitleWithC1Control", [](DomainSpec& s) { s.title = "a\xc2\x85"; }, "title"},
      {"TitleNotUtf8", [](DomainSpec& s) { s.title = "a\xff"; }, "title"},
      {"TitleOverlong", [](DomainSpec& s) { s.title = "\xc0\xaf"; }, "title"},
      {"TitleSurrogate", [](DomainSpec& s) { s.title = "\xed\xa0\x80"; }, "title"},
      {"TitleTruncated", [](DomainSpec& s) { s.title = "\xe4\xb8"; }, "title"},
      {"TitleNonCharacter", [](DomainSpec& s) { s.title = "\xef\xbf\xbe"; }, "title"},
      {"MetadataWithControl", [](DomainSpec& s) { s.metadata = "\x1b"; }, "metadata"},
      {"MetadataWithNul", [](DomainSpec& s) { s.metadata = std::string(1, '\0'); }, "metadata"},
      {"MetadataNotUtf8", [](DomainSpec& s) { s.metadata = "\xf5\x80\x80\x80"; }, "metadata"},
      {"MetadataTooLong",
       [](DomainSpec& s) { s.metadata = std::string(kMaxMetadataBytes + 1, 'a'); }, "metadata"},
      {"MachineWithSpace", [](DomainSpec& s) { s.machine_type = "pc q35"; }, "machine_type"},
      {"NoCpuModel", [](DomainSpec& s) { s.cpu_policy = CpuPolicy::kNamedModel; }, "cpu_model"},
      {"NoVcpu", [](DomainSpec& s) { s.vcpus = 0; }, "vcpus"},
      {"ManyVcpus", [](DomainSpec& s) { s.vcpus = 256; }, "vcpus"},
      {"NoMemory", [](DomainSpec& s) { s.memory_mib = 0; }, "memory_mib"},
      {"MuchMemory", [](DomainSpec& s) { s.memory_mib = kMaxMemoryMib + 1; }, "memory_mib"},
      {"IdeOnQ35", [](DomainSpec& s) { s.cdrom_bus = CdromBus::kIde; }, "cdrom_bus",
       ErrorReason::ERROR_REASON_FIELDS_CONFLICT},
      {"NoNvram", [](DomainSpec& s) { s.firmware = Firmware::kUefi; }, "nvram_path", kMissing},
      {"NoConsoleLog", [](DomainSpec& s) { s.console_log_path.clear(); }, "console_log_path",
       kMissing},
      {"RelativeLog", [](DomainSpec& s) { s.console_log_path = "x"; }, "console_log_path"},
      {"NoDisk", [](DomainSpec& s) { s.disks.clear(); }, "disks", kMissing},
      {"ManyDisks", [](DomainSpec& s) { s.disks.resize(22, s.disks[0]); }, "disks",
       ErrorReason::ERROR_REASON_TOO_MANY_DISKS},
      {"DiskIdTooLong", [](DomainSpec& s) { s.disks[0].id = std::string(21, 'a'); }, "disks[0].id"},
      {"DiskIdTwice", [](DomainSpec& s) { s.disks.push_back(s.disks[0]); }, "disks[1].id"},
      {"DiskPathRelative", [](DomainSpec& s) { s.disks[0].path = "a"; }, "disks[0].path"},
      {"DiskPathControl", [](DomainSpec& s) { s.disks[0].path = "/a\n"; }, "disks[0].path"},
      {"NoDiskPath", [](DomainSpec& s) { s.disks[0].path.clear(); }, "disks[0].path", kMissing},
      {"CdromRelative", [](DomainSpec& s) { s.cdroms[2].path = "a"; }, "cdroms[2].path"},
      {"ManyNics", [](DomainSpec& s) { s.nics.resize(9, s.nics[0]); }, "nics",
       ErrorReason::ERROR_REASON_TOO_MANY_NICS},
      {"MacUpperCase", [](DomainSpec& s) { s.nics[0].mac = "52:54:00:AA:00:01"; }, "nics[0].mac"},
      {"MacMulticast", [](DomainSpec& s) { s.nics[0].mac = "53:54:00:00:00:01"; }, "nics[0].mac"},
      {"MacTwice",
       [](DomainSpec& s) {
         s.nics.push_back(s.nics[0]);
         s.nics[1].tap_name = "other";
       },
       "nics[1].mac"},
      {"TapTooLong", [](DomainSpec& s) { s.nics[0].tap_name = "a234567890123456"; },
       "nics[0].tap_name"},
      {"TapOfLibvirt", [](DomainSpec& s) { s.nics[0].tap_name = "vnet0"; }, "nics[0].tap_name"},
      {"TapWithSpace", [](DomainSpec& s) { s.nics[0].tap_name = "a b"; }, "nics[0].tap_name"},
      {"TapTwice",
       [](DomainSpec& s) {
         s.nics.push_back(s.nics[0]);
         s.nics[1].mac = "52:54:00:00:00:99";
       },
       "nics[1].tap_name"},
      {"NoBridge", [](DomainSpec& s) { s.nics[0].bridge.clear(); }, "nics[0].bridge", kMissing},
      {"SmallMtu", [](DomainSpec& s) { s.nics[0].mtu = 67; }, "nics[0].mtu"},
  };
}

INSTANTIATE_TEST_SUITE_P(Specs, BadDomainSpec, testing::ValuesIn(BadSpecs()),
                         [](const testing::TestParamInfo<BadSpec>& info) {
                           return info.param.name;
                         });

TEST(DomainCheck, AcceptsWhatXmlCanHold) {
  DomainSpec spec = PlainSpec();
  spec.metadata = "\t\n\r \x7f \xc2\x85 \xf4\x8f\xbf\xbf \xee\x80\x80";
  EXPECT_TRUE(CheckDomainSpec(spec).ok()) << CheckDomainSpec(spec);
  spec.title = "\xc2\xa0";
  EXPECT_TRUE(CheckDomainSpec(spec).ok()) << CheckDomainSpec(spec);
}

}  // namespace
}  // namespace cvm::hypervisor
