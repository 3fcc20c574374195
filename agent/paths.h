// SPDX-License-Identifier: Apache-2.0
//
// Draws the agent's tree on disk; nobody else joins these names.
//
//   <state_dir>/                      0711  (QEMU's own user passes through)
//     state.db, state.db-wal, -shm    0600  the store
//     state.db.backup-<version>       0600  copy made before a schema migration
//     state.reserve                   0600  room for stops on a full disk
//     request-id.key                  0600  key of the request digests
//     agent.lock                      0600  held by the running agent
//     images/img-xxxxxxxx.qcow2             read-only bases of instances' disks
//     images/img-xxxxxxxx.qcow2.partial     an import under way
//     volumes/disk-xxxxxxxx.qcow2           system and data disks
//     instances/ins-xxxxxxxx/
//       config-drive-<generation>.iso
//       console.log                         written by virtlogd
//       nvram.fd                            UEFI variables
//   <run_dir>/agent.sock              0660
#pragma once

#include <string>

namespace cvm::agent {

// Immutable, thread-safe.
class Paths {
 public:
  explicit Paths(std::string state_dir) : state_dir_(std::move(state_dir)) {}

  const std::string& state_dir() const { return state_dir_; }
  std::string Database() const { return state_dir_ + "/state.db"; }
  std::string Reserve() const { return state_dir_ + "/state.reserve"; }
  std::string RequestKey() const { return state_dir_ + "/request-id.key"; }
  std::string Lock() const { return state_dir_ + "/agent.lock"; }
  std::string Images() const { return state_dir_ + "/images"; }
  std::string Image(const std::string& id) const { return Images() + "/" + id + ".qcow2"; }
  std::string PartialImage(const std::string& id) const { return Image(id) + ".partial"; }
  std::string Volumes() const { return state_dir_ + "/volumes"; }
  std::string Volume(const std::string& id) const { return Volumes() + "/" + id + ".qcow2"; }
  std::string Instances() const { return state_dir_ + "/instances"; }
  std::string Instance(const std::string& id) const { return Instances() + "/" + id; }
  std::string ConfigDrive(const std::string& id, uint32_t generation) const {
    return Instance(id) + "/config-drive-" + std::to_string(generation) + ".iso";
  }
  std::string ConsoleLog(const std::string& id) const { return Instance(id) + "/console.log"; }
  std::string Nvram(const std::string& id) const { return Instance(id) + "/nvram.fd"; }

 private:
  std::string state_dir_;
};

}  // namespace cvm::agent
