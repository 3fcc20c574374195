// SPDX-License-Identifier: Apache-2.0
//
// The part of CheckHost that looks at the agent's folders and at the host's taps, and the removal
// of what nobody owns. A thing is nobody's only when no row of the store speaks of its id: whatever
// owns files in this or a later version is written down there before it makes them.
#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/numbers.h"
#include "agent/core/derive_state.h"
#include "agent/core/host_check.h"
#include "agent/core/instance_files.h"
#include "agent/core/networks.h"
#include "agent/core/power_steps.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::Finding;

constexpr char kTapPrefix[] = "cvm";
constexpr char kDiskSuffix[] = ".qcow2";
constexpr char kPartialSuffix[] = ".qcow2.partial";
constexpr char kConfigDrivePrefix[] = "config-drive-";

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (!error) return names;
  CVM_LOG_ERROR("cannot look into {}: {}", folder, error.message());
  return Error(ErrorReason::ERROR_REASON_INTERNAL,
               "a folder of the agent cannot be read: its log says which");
}

// The id that a name of ours begins with, or nothing: "disk-1a2b3c4d.qcow2".
std::string IdBefore(std::string_view prefix, std::string_view name, std::string_view suffix) {
  if (name.size() < suffix.size() || name.substr(name.size() - suffix.size()) != suffix) return "";
  const std::string_view id = name.substr(0, name.size() - suffix.size());
  return IsId(prefix, id) ? std::string(id) : "";
}

Finding Found(Finding::Kind kind, const std::string& object, std::string message) {
  Finding finding;
  finding.set_kind(kind);
  finding.set_object(object);
  finding.set_message(std::move(message));
  finding.set_repairable(IsRepairable(kind));
  return finding;
}

Finding Unknown(const std::string& object) {
  return Found(Finding::UNKNOWN_FILE, object,
               fmt::format("{} has a name that the agent does not give: it is left alone", object));
}

// The generation of a config drive's file name.
std::optional<uint32_t> GenerationOf(std::string_view name) {
  const std::string_view prefix = kConfigDrivePrefix;
  if (name.substr(0, prefix.size()) != prefix) return std::nullopt;
  const std::string_view rest = name.substr(prefix.size());
  uint32_t generation = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), generation);
  if (error != std::errc() || std::string_view(end, rest.data() + rest.size() - end) != ".iso") {
    return std::nullopt;
  }
  return generation;
}

// Whether nobody owns what the finding is about. The one rule of the check and of the removal.
absl::StatusOr<bool> IsOrphan(const Core& core, Finding::Kind kind, const std::string& object) {
  Store& store = core.ledger.store();
  const auto not_mentioned = [&](const std::string& id) -> absl::StatusOr<bool> {
    if (id.empty()) return false;
    CVM_ASSIGN_OR_RETURN(const bool mentioned, store.Mentions(id));
    return !mentioned;
  };
  switch (kind) {
    case Finding::ORPHANED_DISK:
    case Finding::LOST_DISK:
      return not_mentioned(IdBefore(kDiskPrefix, object, kDiskSuffix));
    case Finding::ORPHANED_IMAGE:
      return not_mentioned(IdBefore(kImagePrefix, object, kDiskSuffix));
    case Finding::ORPHANED_INSTANCE_FOLDER:
      return not_mentioned(IdBefore(kInstancePrefix, object, ""));
    case Finding::PARTIAL_IMAGE: {
      const std::string id = IdBefore(kImagePrefix, object, kPartialSuffix);
      if (id.empty()) return false;
      CVM_ASSIGN_OR_RETURN(const bool mentioned, store.OperationMentions(id));
      return !mentioned;
    }
    case Finding::ORPHANED_ISO: {
      const size_t slash = object.find('/');
      if (slash == std::string::npos) return false;
      const InstancePtr instance = core.ledger.instances().Find(object.substr(0, slash));
      const auto generation = GenerationOf(object.substr(slash + 1));
      if (instance == nullptr || IsBusy(*instance) || !generation) return false;
      return *generation != instance->config_drive_generation();
    }
    case Finding::ORPHANED_TAP: {
      // "cvm1a2b3c4d-0"
      const size_t dash = object.find('-');
      if (object.substr(0, 3) != kTapPrefix || dash == std::string::npos) return false;
      const std::string id = fmt::format("{}-{}", kInstancePrefix, object.substr(3, dash - 3));
      if (!IsId(kInstancePrefix, id)) return false;
      const InstancePtr instance = core.ledger.instances().Find(id);
      if (instance == nullptr || !HoldsResources(*instance)) {
        CVM_ASSIGN_OR_RETURN(const bool mentioned, store.OperationMentions(id));
        return !mentioned;
      }
      return !IsBusy(*instance) && IsOff(instance->observed_power().state());
    }
    default:
      return false;
  }
}

absl::Status CheckFolder(const Core& core, const std::string& folder, Finding::Kind kind,
                         std::string_view prefix, std::string_view suffix, const char* what,
                         std::vector<Finding>& findings) {
  CVM_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    const std::string id = IdBefore(prefix, name, suffix);
    if (id.empty()) {
      if (kind == Finding::ORPHANED_IMAGE && !IdBefore(prefix, name, kPartialSuffix).empty()) {
        CVM_ASSIGN_OR_RETURN(const bool orphan, IsOrphan(core, Finding::PARTIAL_IMAGE, name));
        if (orphan) {
          findings.push_back(Found(Finding::PARTIAL_IMAGE, name,
                                   fmt::format("{} is of an import that is not under way", name)));
        }
        continue;
      }
      // A step under way may use a name of its own.
      const std::string begin = name.substr(0, prefix.size() + 9);
      if (IsId(prefix, begin)) {
        CVM_ASSIGN_OR_RETURN(const bool mentioned, core.ledger.store().Mentions(begin));
        if (mentioned) continue;
      }
      findings.push_back(Unknown(name));
      continue;
    }
    CVM_ASSIGN_OR_RETURN(const bool orphan, IsOrphan(core, kind, name));
    if (orphan) {
      findings.push_back(Found(kind, name, fmt::format("no record speaks of {} {}", what, id)));
    }
  }
  return absl::OkStatus();
}

// Where the finding's file or folder is; empty for a tap.
std::string PathOf(const Paths& paths, const Finding& finding) {
  switch (finding.kind()) {
    case Finding::ORPHANED_DISK:
    case Finding::LOST_DISK:
      return paths.Volumes() + "/" + finding.object();
    case Finding::ORPHANED_IMAGE:
    case Finding::PARTIAL_IMAGE:
      return paths.Images() + "/" + finding.object();
    case Finding::ORPHANED_INSTANCE_FOLDER:
    case Finding::ORPHANED_ISO:
      return paths.Instances() + "/" + finding.object();
    default:
      return "";
  }
}

// Whether the store was made after the disk was last written to: the record of the disk may have
// been in a store that was lost.
bool MayBeLost(const Core& core, const std::string& path) {
  int64_t made = 0;
  struct stat status {};
  return !absl::SimpleAtoi(core.ledger.settings().Get(kStoreMadeSetting), &made) ||
         stat(path.c_str(), &status) != 0 || status.st_mtim.tv_sec < made;
}

void TellLostDisks(const Core& core, std::vector<Finding>& findings) {
  for (Finding& finding : findings) {
    if (finding.kind() != Finding::ORPHANED_DISK || !MayBeLost(core, PathOf(core.paths, finding))) {
      continue;
    }
    finding = Found(Finding::LOST_DISK, finding.object(),
                    fmt::format("no record speaks of {}, but it is older than the store: its "
                                "record may have been in the one before",
                                finding.object()));
  }
}

absl::Status CheckConfigDrives(const Core& core, std::vector<Finding>& findings) {
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    const std::string folder = core.paths.Instance(instance->id());
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) continue;
    const absl::StatusOr<std::vector<std::string>> names = NamesIn(folder);
    // Deleted meanwhile, or what is wrong shows with the folders' own check.
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      const std::string object = instance->id() + "/" + name;
      CVM_ASSIGN_OR_RETURN(const bool orphan, IsOrphan(core, Finding::ORPHANED_ISO, object));
      if (!orphan) continue;
      findings.push_back(
          Found(Finding::ORPHANED_ISO, object,
                fmt::format("{} is not the config drive that {} is served", name, instance->id())));
      findings.back().set_instance_id(instance->id());
    }
  }
  return absl::OkStatus();
}

bool IsUsed(const std::set<std::string>& paths_in_use, const std::string& path) {
  if (path.empty()) return false;
  const auto it = paths_in_use.lower_bound(path);
  return it != paths_in_use.end() &&
         (*it == path || it->compare(0, path.size() + 1, path + "/") == 0);
}

absl::Status Remove(const Core& core, const Finding& finding) {
  switch (finding.kind()) {
    case Finding::ORPHANED_DISK:
    case Finding::LOST_DISK:
    case Finding::ORPHANED_IMAGE:
    case Finding::PARTIAL_IMAGE:
    case Finding::ORPHANED_ISO:
      return RemoveFile(PathOf(core.paths, finding));
    case Finding::ORPHANED_INSTANCE_FOLDER:
      return RemoveInstanceFolder(core.paths, finding.object());
    case Finding::ORPHANED_TAP:
      return core.bridges.RemoveTap(finding.object());
    default:
      return absl::InternalError("this is not removed");
  }
}

}  // namespace

absl::StatusOr<std::vector<Finding>> CheckFiles(const Core& core,
                                                const std::set<std::string>& paths_in_use) {
  std::vector<Finding> findings;
  CVM_RETURN_IF_ERROR(CheckFolder(core, core.paths.Volumes(), Finding::ORPHANED_DISK, kDiskPrefix,
                                  kDiskSuffix, "disk", findings));
  TellLostDisks(core, findings);
  CVM_RETURN_IF_ERROR(CheckFolder(core, core.paths.Images(), Finding::ORPHANED_IMAGE, kImagePrefix,
                                  kDiskSuffix, "image", findings));
  CVM_RETURN_IF_ERROR(CheckFolder(core, core.paths.Instances(), Finding::ORPHANED_INSTANCE_FOLDER,
                                  kInstancePrefix, "", "instance", findings));
  CVM_RETURN_IF_ERROR(CheckConfigDrives(core, findings));
  CVM_ASSIGN_OR_RETURN(const std::vector<std::string> taps, core.bridges.ListIdleTaps(kTapPrefix));
  for (const std::string& tap : taps) {
    CVM_ASSIGN_OR_RETURN(const bool orphan, IsOrphan(core, Finding::ORPHANED_TAP, tap));
    if (orphan) {
      findings.push_back(
          Found(Finding::ORPHANED_TAP, tap, fmt::format("tap {} is of no running guest", tap)));
    }
  }
  std::erase_if(findings, [&](const Finding& finding) {
    return IsUsed(paths_in_use, PathOf(core.paths, finding));
  });
  return findings;
}

absl::Status RemoveOrphan(const Core& core, const Finding& finding) {
  return core.ledger.WhileNothingChanges([&]() -> absl::Status {
    CVM_ASSIGN_OR_RETURN(const bool orphan, IsOrphan(core, finding.kind(), finding.object()));
    if (!orphan) return absl::OkStatus();
    if (finding.kind() == Finding::ORPHANED_TAP) {
      CVM_ASSIGN_OR_RETURN(const std::vector<std::string> idle,
                           core.bridges.ListIdleTaps(finding.object()));
      if (idle.empty() || idle.front() != finding.object()) return absl::OkStatus();
    }
    return Remove(core, finding);
  });
}

}  // namespace cvm::agent::core
