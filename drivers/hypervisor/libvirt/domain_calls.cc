// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/domain_calls.h"

#include <libvirt/virterror.h>

#include <set>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/domain_state.h"
#include "drivers/hypervisor/libvirt/domain_xml.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "drivers/hypervisor/png.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

std::string NameOf(virDomainPtr domain) {
  const char* name = virDomainGetName(domain);
  return name == nullptr ? "" : name;
}

std::string UuidOf(virDomainPtr domain) {
  char uuid[VIR_UUID_STRING_BUFLEN] = {};
  virDomainGetUUIDString(domain, uuid);
  return uuid;
}

// The error of a call on one domain.
absl::Status DomainError(std::string_view verb, virDomainPtr domain) {
  // Asking for the name forgets the error.
  virErrorPtr error = virSaveLastError();
  absl::Status status = LibvirtError(error, fmt::format("{} domain '{}'", verb, NameOf(domain)));
  virFreeError(error);
  return status;
}

absl::StatusOr<bool> IsActive(virDomainPtr domain) {
  const int active = virDomainIsActive(domain);
  if (active < 0) return DomainError("look up", domain);
  return active == 1;
}

// For a call that found the domain in the wrong state: OK when it is off by now.
absl::Status OkIfOff(virDomainPtr domain, const absl::Status& error) {
  if (ReasonOf(error) != ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE) return error;
  CVM_ASSIGN_OR_RETURN(const bool active, IsActive(domain));
  return active ? error : absl::OkStatus();
}

absl::StatusOr<DomainStatus> ReadStatus(virDomainPtr domain) {
  DomainStatus status;
  status.uuid = UuidOf(domain);
  status.name = NameOf(domain);
  int state = 0;
  int reason = 0;
  if (virDomainGetState(domain, &state, &reason, 0) < 0) return DomainError("look up", domain);
  SetState(state, reason, &status);
  const int persistent = virDomainIsPersistent(domain);
  if (persistent < 0) return DomainError("look up", domain);
  status.persistent = persistent == 1;
  const int saved = virDomainHasManagedSaveImage(domain, 0);
  if (saved < 0) return DomainError("look up", domain);
  status.has_managed_save = saved == 1;
  return status;
}

absl::StatusOr<std::set<std::string>> ListUuids(virConnectPtr connection, unsigned flags) {
  virDomainPtr* domains = nullptr;
  const int count = virConnectListAllDomains(connection, &domains, flags);
  if (count < 0) return LastLibvirtError("list domains");
  std::set<std::string> uuids;
  for (int i = 0; i < count; ++i) {
    const DomainHandle domain(domains[i]);
    uuids.insert(UuidOf(domain.get()));
  }
  std::free(domains);
  return uuids;
}

int StatValue(const virDomainStatsRecord& record, const char* field) {
  int value = 0;
  virTypedParamsGetInt(record.params, record.nparams, field, &value);
  return value;
}

int AppendToString(virStreamPtr, const char* data, size_t size, void* opaque) {
  auto* text = static_cast<std::string*>(opaque);
  if (text->size() + size > kMaxScreenBytes) return -1;
  text->append(data, size);
  return static_cast<int>(size);
}

}  // namespace

absl::StatusOr<DomainHandle> FindDomain(virConnectPtr connection, const std::string& uuid) {
  DomainHandle domain(virDomainLookupByUUIDString(connection, uuid.c_str()));
  if (domain != nullptr) return domain;
  // libvirt refuses what is no UUID as an invalid argument.
  if (LastLibvirtCode() == VIR_ERR_NO_DOMAIN || LastLibvirtCode() == VIR_ERR_INVALID_ARG) {
    return DomainNotFound(uuid);
  }
  return LastLibvirtError("look up a domain");
}

absl::StatusOr<std::vector<DomainStatus>> ListDomains(virConnectPtr connection) {
  // Three calls for the whole list rather than three for each domain.
  CVM_ASSIGN_OR_RETURN(const std::set<std::string> transient,
                       ListUuids(connection, VIR_CONNECT_LIST_DOMAINS_TRANSIENT));
  CVM_ASSIGN_OR_RETURN(const std::set<std::string> saved,
                       ListUuids(connection, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE));
  virDomainStatsRecordPtr* records = nullptr;
  const int count = virConnectGetAllDomainStats(connection, VIR_DOMAIN_STATS_STATE, &records, 0);
  if (count < 0) return LastLibvirtError("list domains");
  std::vector<DomainStatus> domains;
  for (int i = 0; i < count; ++i) {
    const virDomainStatsRecord& record = *records[i];
    DomainStatus status;
    status.uuid = UuidOf(record.dom);
    status.name = NameOf(record.dom);
    SetState(StatValue(record, "state.state"), StatValue(record, "state.reason"), &status);
    status.persistent = !transient.contains(status.uuid);
    status.has_managed_save = saved.contains(status.uuid);
    domains.push_back(std::move(status));
  }
  virDomainStatsRecordListFree(records);
  return domains;
}

absl::StatusOr<DomainStatus> GetDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  return ReadStatus(domain.get());
}

absl::Status DefineDomain(virConnectPtr connection, const std::string& xml) {
  const DomainHandle domain(virDomainDefineXMLFlags(connection, xml.c_str(), 0));
  if (domain == nullptr) return LastLibvirtError("define the domain");
  // Kept from an earlier definition.
  int autostart = 0;
  if (virDomainGetAutostart(domain.get(), &autostart) < 0 ||
      (autostart != 0 && virDomainSetAutostart(domain.get(), 0) < 0)) {
    return DomainError("turn off the automatic start of", domain.get());
  }
  return absl::OkStatus();
}

absl::Status StartDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  CVM_ASSIGN_OR_RETURN(DomainStatus status, ReadStatus(domain.get()));
  if (status.state == PowerState::kStopped) {
    if (status.has_managed_save) {
      return WrongState(status.name, "has a saved state, which starting it would resume");
    }
    if (virDomainCreateWithFlags(domain.get(), 0) == 0) return absl::OkStatus();
    const absl::Status error = DomainError("start", domain.get());
    if (ReasonOf(error) != ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE) return error;
    // Somebody else was quicker.
    CVM_ASSIGN_OR_RETURN(status, ReadStatus(domain.get()));
    if (status.state == PowerState::kStopped) return error;
  }
  if (status.state == PowerState::kRunning) return absl::OkStatus();
  return WrongState(status.name, fmt::format("is not stopped ({})", status.reason));
}

absl::Status ShutdownDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  CVM_ASSIGN_OR_RETURN(const bool active, IsActive(domain.get()));
  if (!active) return absl::OkStatus();
  // Without flags: through the guest agent when it answers, by the power button otherwise.
  if (virDomainShutdownFlags(domain.get(), 0) == 0) return absl::OkStatus();
  return OkIfOff(domain.get(), DomainError("shut down", domain.get()));
}

absl::Status DestroyDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  if (virDomainDestroyFlags(domain.get(), 0) == 0) return absl::OkStatus();
  const absl::Status error = DomainError("turn off", domain.get());
  // A transient domain is gone when it is off.
  if (ReasonOf(error) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) return absl::OkStatus();
  return OkIfOff(domain.get(), error);
}

absl::Status RebootDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  if (virDomainReboot(domain.get(), 0) == 0) return absl::OkStatus();
  return DomainError("reboot", domain.get());
}

absl::Status ResetDomain(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  if (virDomainReset(domain.get(), 0) == 0) return absl::OkStatus();
  return DomainError("reset", domain.get());
}

absl::Status UndefineDomain(virConnectPtr connection, const std::string& uuid) {
  absl::StatusOr<DomainHandle> found = FindDomain(connection, uuid);
  if (ReasonOf(found.status()) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) {
    return absl::OkStatus();
  }
  CVM_RETURN_IF_ERROR(found.status());
  virDomainPtr domain = found->get();
  // libvirt would make a running domain transient.
  CVM_ASSIGN_OR_RETURN(const bool active, IsActive(domain));
  if (active) return WrongState(NameOf(domain), "is running: turn it off first");
  constexpr unsigned kFlags =
      VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
  if (virDomainUndefineFlags(domain, kFlags | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                                         VIR_DOMAIN_UNDEFINE_NVRAM) == 0) {
    return absl::OkStatus();
  }
  // libvirt's test driver knows of no checkpoints and no NVRAM.
  if (LastLibvirtCode() == VIR_ERR_INVALID_ARG && virDomainUndefineFlags(domain, kFlags) == 0) {
    return absl::OkStatus();
  }
  const absl::Status error = DomainError("undefine", domain);
  if (ReasonOf(error) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) return absl::OkStatus();
  return error;
}

absl::StatusOr<std::string> GetDomainMetadata(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  const TextHandle xml(virDomainGetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT,
                                            kMetadataNamespace, VIR_DOMAIN_AFFECT_CURRENT));
  if (xml != nullptr) return ReadMetadataXml(xml.get());
  if (LastLibvirtCode() == VIR_ERR_NO_DOMAIN_METADATA) {
    return absl::NotFoundError("The domain has no metadata of the agent.");
  }
  return DomainError("read the metadata of", domain.get());
}

absl::Status SetDomainMetadata(virConnectPtr connection, const std::string& uuid,
                               const std::string& text) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  CVM_ASSIGN_OR_RETURN(const DomainStatus status, ReadStatus(domain.get()));
  unsigned flags = 0;
  if (status.persistent) flags |= VIR_DOMAIN_AFFECT_CONFIG;
  if (status.state != PowerState::kStopped) flags |= VIR_DOMAIN_AFFECT_LIVE;
  const std::string xml = WriteMetadataXml(text);
  if (virDomainSetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT,
                           text.empty() ? nullptr : xml.c_str(), kMetadataPrefix,
                           kMetadataNamespace, flags) == 0) {
    return absl::OkStatus();
  }
  return DomainError("write the metadata of", domain.get());
}

absl::StatusOr<DomainDefinition> GetDomainDefinition(virConnectPtr connection,
                                                     const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  const int persistent = virDomainIsPersistent(domain.get());
  if (persistent < 0) return DomainError("look up", domain.get());
  const TextHandle xml(
      virDomainGetXMLDesc(domain.get(), persistent == 1 ? VIR_DOMAIN_XML_INACTIVE : 0));
  if (xml == nullptr) return DomainError("read the definition of", domain.get());
  CVM_ASSIGN_OR_RETURN(DomainDefinition definition, ReadDomainXml(xml.get()));
  definition.persistent = persistent == 1;
  int autostart = 0;
  if (definition.persistent && virDomainGetAutostart(domain.get(), &autostart) < 0) {
    return DomainError("look up", domain.get());
  }
  definition.autostart = autostart != 0;
  return definition;
}

absl::StatusOr<uint64_t> GetDiskBytes(virConnectPtr connection, const std::string& uuid,
                                      const std::string& target) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  virDomainBlockInfo info;
  if (virDomainGetBlockInfo(domain.get(), target.c_str(), &info, 0) < 0) {
    return DomainError("measure a disk of", domain.get());
  }
  return uint64_t{info.capacity};
}

absl::Status SetAutostart(virConnectPtr connection, const std::string& uuid, bool on) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  const int persistent = virDomainIsPersistent(domain.get());
  if (persistent < 0) return DomainError("look up", domain.get());
  if (persistent == 0) return WrongState(NameOf(domain.get()), "is transient");
  if (virDomainSetAutostart(domain.get(), on ? 1 : 0) == 0) return absl::OkStatus();
  return DomainError("set the automatic start of", domain.get());
}

absl::StatusOr<Screenshot> TakeScreenshot(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(connection, uuid));
  const StreamHandle stream(virStreamNew(connection, 0));
  if (stream == nullptr) return DomainError("take a screenshot of", domain.get());
  const TextHandle type(virDomainScreenshot(domain.get(), stream.get(), 0, 0));
  if (type == nullptr) return DomainError("take a screenshot of", domain.get());
  std::string dump;
  if (virStreamRecvAll(stream.get(), AppendToString, &dump) < 0) {
    // virStreamRecvAll has aborted the stream.
    return DomainError("take a screenshot of", domain.get());
  }
  if (virStreamFinish(stream.get()) < 0) return DomainError("take a screenshot of", domain.get());
  return ScreenshotFromDump(std::move(dump));
}

}  // namespace cvm::hypervisor
