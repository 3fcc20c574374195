// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_names.h"

#include <gtest/gtest.h>

#include <set>

namespace cvm::cloudinit::iso {
namespace {

std::string Ucs2(std::u16string_view text) {
  std::string out;
  for (const char16_t c : text) {
    out += static_cast<char>(c >> 8U);
    out += static_cast<char>(c & 0xffU);
  }
  return out;
}

TEST(PrimaryIdentifiers, CutAndMapToLevelOne) {
  EXPECT_EQ(PrimaryIdentifiers({{"meta_data.json"},
                                {"user_data"},
                                {"openstack", true},
                                {"2018-08-27", true},
                                {".hidden"},
                                {"a.b.c"},
                                {"v1.0", true}}),
            (std::vector<std::string>{"META_DAT.JSO;1", "USER_DAT.;1", "OPENSTAC", "2018_08_",
                                      "_HIDDEN.;1", "A_B.C;1", "V1_0"}));
}

TEST(PrimaryIdentifiers, AreUnique) {
  std::vector<std::string> names;
  for (int i = 0; i < 1500; ++i) names.push_back("common_beginning_" + std::to_string(i) + ".text");
  names.emplace_back("common_beginning.text");
  names.emplace_back("COMMON_BEGINNING.TEXT");
  std::vector<NamedEntry> entries;
  for (const std::string& name : names) entries.push_back({name});
  entries.push_back({"common_beginning", true});
  std::set<std::string> seen;
  for (const std::string& identifier : PrimaryIdentifiers(entries)) {
    EXPECT_TRUE(seen.insert(identifier).second) << identifier;
    EXPECT_LE(identifier.size(), 14U);
  }
}

TEST(PrimaryIdentifiers, DirectoryAndFileDifferWithoutTheirVersion) {
  EXPECT_EQ(PrimaryIdentifiers({{"A", true}, {"a"}}), (std::vector<std::string>{"A", "A0.;1"}));
}

TEST(JolietIdentifiers, KeepShortNames) {
  EXPECT_EQ(JolietIdentifiers({{"meta_data.json"}, {"openstack", true}}),
            (std::vector<std::string>{Ucs2(u"meta_data.json;1"), Ucs2(u"openstack")}));
}

TEST(JolietIdentifiers, CutLongNamesBeforeTheirExtension) {
  const std::string long_name = std::string(100, 'n');
  const std::vector<std::string> identifiers =
      JolietIdentifiers({{long_name + "1.json"}, {long_name + "2.json"}, {long_name, true}});
  EXPECT_EQ(identifiers[0], Ucs2(std::u16string(57, u'n') + u".json;1"));
  EXPECT_EQ(identifiers[1], Ucs2(std::u16string(55, u'n') + u"_1.json;1"));
  EXPECT_EQ(identifiers[2], Ucs2(std::u16string(64, u'n')));
  for (const std::string& identifier : identifiers) EXPECT_LE(identifier.size(), 128U);
}

TEST(JolietIdentifiers, DifferInMoreThanCase) {
  EXPECT_EQ(JolietIdentifiers({{"README.TXT"}, {"Readme.txt"}, {"readme.txt"}}),
            (std::vector<std::string>{Ucs2(u"README.TXT;1"), Ucs2(u"Readme_1.txt;1"),
                                      Ucs2(u"readme_2.txt;1")}));
}

TEST(JolietIdentifiers, ReplaceWhatJolietForbids) {
  EXPECT_EQ(JolietIdentifiers({{"a*b:c;d?e\\f"}, {"\xf0\x9f\x98\x80"}, {"dot."}, {"\xe6\x97\xa5"}}),
            (std::vector<std::string>{Ucs2(u"a_b_c_d_e_f;1"), Ucs2(u"_;1"), Ucs2(u"dot_;1"),
                                      Ucs2(u"\u65e5;1")}));
}

TEST(Order, ShorterNamesAndExtensionsComeFirst) {
  EXPECT_TRUE(PrimaryBefore("A.B;1", "A.B0;1"));
  EXPECT_TRUE(PrimaryBefore("A.Z;1", "A0.A;1"));
  EXPECT_TRUE(PrimaryBefore("A", "A.B;1"));
  EXPECT_FALSE(PrimaryBefore("A.B;1", "A.B;1"));
  EXPECT_TRUE(JolietBefore(Ucs2(u"meta.x;1"), Ucs2(u"meta-data;1")));
  EXPECT_TRUE(JolietBefore(Ucs2(u"a.b;1"), Ucs2(u"a.b0;1")));
  EXPECT_FALSE(JolietBefore(Ucs2(u"a;1"), Ucs2(u"a;1")));
}

}  // namespace
}  // namespace cvm::cloudinit::iso
