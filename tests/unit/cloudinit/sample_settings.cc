// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cloudinit/sample_settings.h"

namespace cvm::cloudinit::testing {

const char* const kEd25519Key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBFNzME07M8Na04KTRtQCUqsg4O13VC6ukW0ko/PcZKw alice@e"
    "xample";
const char* const kRsaKey =
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDlT3EvG78+OEUxfyGfbI7FUba7vIOdnFVeJRigKG+rhgOj3To2"
    "eg3U3omXUi+q+nbstZdGvWdkSZIVOXfL5Lb4XIMrwRxgYlxVHPEYBgWWaTCRZ1oZozUL4kr8Xfvp4v4XIzAtcKDc"
    "voNB/ZtOdQf5GbUfDwGVPDO/MLAz0fBzQlnxyAEJlSwORoCpgOT4CGT8w2FXw7IE8Z8TAX+V8Hy+YIfY7LRIU9ze"
    "0YDVnVoyN4EjjekuBD70D73cfBrBQ4If1qxfguTOTjBl0UlNLErrkh/mTgICxFlLKMTsrOQcBq/i8gNnazPMZM8L"
    "NXtQVgEMx/83UnL0LYn7FvpRCDZR bob";
const char* const kEcdsaKey =
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBC3y2sg1EfaPOR9Q"
    "MKeJp4J5YbUNekctjEDNXKugy6c882vHKGJnO0dWLBZJxlfhi7NRYdbDFA1Fbzh+eiNpn/E=";
const char* const kSha512Hash =
    "$6$k2XAnEHBqQ1Ct2aM$TYhsyHQo4s4z2cWDRgyuUte5JqA5cd7b.qCEG2TPKNQ5ircIzR/TCDm.4eRpo3nYGsbl"
    "IBdfDheIM0u2yGWb4/";
const char* const kYescryptHash =
    "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$91vRX312xCcTvH9ahetjY.SGV6OV7bzUDJDC/MJyue/";

GuestSettings MinimalSettings() {
  GuestSettings settings;
  settings.instance_id = "ins-abcd1234-1";
  settings.uuid = "6f1d9a52-3c1e-4b8e-9d43-0a1b2c3d4e5f";
  settings.host_name = "web1";
  return settings;
}

GuestSettings FullSettings() {
  GuestSettings settings = MinimalSettings();
  settings.display_name = "Front \"web\" \\ \xe5\x89\x8d\xe7\xab\xaf <1>";
  settings.ssh_public_keys = {kEd25519Key, kRsaKey};
  settings.password_hash = kSha512Hash;
  settings.login_user = "root";
  settings.nics = {
      {.id = "eni-aaaa0001",
       .mac = "52:54:00:aa:bb:01",
       .mtu = 1450,
       .addresses = {{"192.168.122.10", 24}, {"fd00:0:0:1::10", 64}},
       .gateway4 = "192.168.122.1",
       .gateway6 = "fe80::1"},
      {.id = "eni-aaaa0002",
       .mac = "52:54:00:aa:bb:02",
       .addresses = {{"10.1.2.3", 16}},
       .gateway4 = "10.1.0.1"},
  };
  settings.name_servers = {"192.168.122.1", "2001:0db8::53"};
  settings.search_domains = {"example.test", "corp.example.test"};
  settings.user_data = "#!/bin/sh\necho \"hello\" >/run/hello\n";
  return settings;
}

}  // namespace cvm::cloudinit::testing
