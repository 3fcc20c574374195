// SPDX-License-Identifier: Apache-2.0
#include <absl/status/status.h>

#include <nlohmann/json.hpp>

#include "cloudinit/documents.h"
#include "cloudinit/json_text.h"
#include "cloudinit/password_hash.h"

namespace cvm::cloudinit {
namespace {

using nlohmann::json;

constexpr const char* kRoot = "root";

// Nothing: leave the image's setting.
std::optional<bool> SshPasswordLogin(const GuestSettings& settings) {
  if (settings.ssh_password_login.has_value()) return settings.ssh_password_login;
  if (!settings.ssh_public_keys.empty()) return false;
  if (settings.password_hash.has_value()) return true;
  return std::nullopt;
}

void AddHostName(const GuestSettings& settings, json& config) {
  config["preserve_hostname"] = false;
  // Keeps the rest of the guest's /etc/hosts, where "true" would replace the file at each boot.
  config["manage_etc_hosts"] = "localhost";
  // Without this, cloud-init would cut the name at its first dot on most distributions.
  if (settings.host_name.find('.') != std::string::npos) {
    config["prefer_fqdn_over_hostname"] = true;
  }
}

void AddPassword(const GuestSettings& settings, json& config) {
  if (!settings.password_hash.has_value()) return;
  const std::string& user = settings.login_user;
  const std::string& hash = *settings.password_hash;
  // Without this, the password would be expired at once.
  config["chpasswd"]["expire"] = false;
  if (user.empty()) {
    config["password"] = hash;
    return;
  }
  config["chpasswd"]["users"] =
      json::array({{{"name", user}, {"password", hash}, {"type", "hash"}}});
  if (IsHashKnownToOldCloudInit(hash)) {
    config["chpasswd"]["list"] = json::array({user + ":" + hash});
  }
}

// Root exists everywhere; any other login user may have to be created. Where it is the image's own
// default user, cloud-init merges the two entries, the image's first.
void AddLoginUser(const GuestSettings& settings, json& config) {
  const std::string& user = settings.login_user;
  if (user.empty()) return;
  if (user == kRoot) {
    config["disable_root"] = false;
    return;
  }
  json entry = {{"name", user},
                {"shell", "/bin/bash"},
                {"sudo", "ALL=(ALL) NOPASSWD:ALL"},
                {"lock_passwd", !settings.password_hash.has_value()}};
  if (!settings.ssh_public_keys.empty()) entry["ssh_authorized_keys"] = settings.ssh_public_keys;
  config["users"] = json::array({"default", std::move(entry)});
}

void AddSshServer(const GuestSettings& settings, json& config) {
  const std::optional<bool> password_login = SshPasswordLogin(settings);
  if (!password_login.has_value()) return;
  config["ssh_pwauth"] = *password_login;
  if (!*password_login || settings.login_user != kRoot) return;
  // cloud-init has no key for this. sshd takes the first value it meets, and reads these files in
  // order before its own; where it does not read them at all, its default lets root in.
  config["write_files"] = json::array({{{"path", "/etc/ssh/sshd_config.d/40-root-login.conf"},
                                        {"content", "PermitRootLogin yes\n"},
                                        {"owner", "root:root"},
                                        {"permissions", "0600"}}});
}

}  // namespace

absl::StatusOr<std::string> VendorCloudConfig(const GuestSettings& settings) {
  json config = json::object();
  AddHostName(settings, config);
  AddPassword(settings, config);
  AddLoginUser(settings, config);
  AddSshServer(settings, config);
  absl::StatusOr<std::string> text = ToJsonText(config, "the vendor cloud-config");
  if (!text.ok()) return text.status();
  return "#cloud-config\n" + *text;
}

absl::StatusOr<std::string> VendorDataJson(const GuestSettings& settings) {
  absl::StatusOr<std::string> config = VendorCloudConfig(settings);
  if (!config.ok()) return config.status();
  return ToJsonText({{"cloud-init", *config}}, "vendor_data.json");
}

}  // namespace cvm::cloudinit
