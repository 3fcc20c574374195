// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cloudinit/test_trees.h"

#include <fmt/format.h>

namespace cvm::cloudinit::testing {

std::vector<IsoFile> HardTree() {
  std::vector<IsoFile> files = {
      {"openstack/latest/meta_data.json", "{\"uuid\": \"x\"}\n"},
      {"openstack/latest/user_data", "#!/bin/sh\necho hello\n", 0400},
      {"openstack/2018-08-27/meta_data.json", "{\"uuid\": \"x\"}\n"},
      {"ec2/latest/meta-data.json", std::string(5000, 'e')},
      {"1/2/3/4/5/6/7/deep.txt", "seven directories\n"},
      {"empty", ""},
      {"also/empty.txt", ""},
      {"sector", std::string(2048, 's')},
      {"sector-and-one", std::string(2049, 't')},
      {"binary", std::string("\0\1\xff\xfe\n\r", 6)},
      {std::string(kIsoMaxNameBytes, 'n'), "longest name\n", 0644},
      {std::string(kIsoMaxNameBytes - 5, 'n') + ".json", "longest name with an extension\n"},
      {std::string(136, 'm') + ".j", "just too long for its record\n"},
      {std::string(kIsoMaxNameBytes, 'd') + "/" + std::string(kIsoMaxNameBytes, 'f'),
       "long directory\n", 0777},
      {"\xc3\xbcn\xc3\xaf/\xe6\x97\xa5\xe6\x9c\xac.txt", "unicode\n"},
      {"emoji \xf0\x9f\x98\x80.txt", "outside of UCS-2\n"},
      {"what?*:;.txt", "forbidden in Joliet\n"},
      {"what____.txt", "the same after replacing\n"},
      {"UPPER.TXT", "upper\n"},
      {"upper.txt", "lower\n"},
      {"dot.", "ends in a dot\n"},
      {"dot", "does not\n"},
      {".hidden", "hidden\n"},
      {"a.b.c", "several dots\n"},
  };
  for (int i = 0; i < 300; ++i) {
    files.push_back({fmt::format("many/file_with_a_common_beginning_{}.text", i),
                     fmt::format("number {}\n", i)});
  }
  for (int i = 0; i < 60; ++i) {
    files.push_back({fmt::format("long/{}{}", std::string(240, 'l'), i), fmt::format("{}\n", i)});
    files.push_back({fmt::format("directories/directory_{}/file", i), fmt::format("in {}\n", i)});
  }
  return files;
}

}  // namespace cvm::cloudinit::testing
