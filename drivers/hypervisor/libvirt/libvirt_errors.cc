// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/libvirt_errors.h"

#include <libvirt/virterror.h>

#include "common/log.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

struct Row {
  int code;
  ErrorReason reason;
};

// What is not in here is HYPERVISOR_ERROR.
constexpr Row kReasons[] = {
    {VIR_ERR_NO_DOMAIN, ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND},
    {VIR_ERR_OPERATION_INVALID, ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE},
    {VIR_ERR_NO_CONNECT, ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE},
    {VIR_ERR_INVALID_CONN, ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE},
    {VIR_ERR_RPC, ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE},
    // Somebody else's job holds the domain.
    {VIR_ERR_OPERATION_TIMEOUT, ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE},
    {VIR_ERR_OPERATION_ABORTED, ErrorReason::ERROR_REASON_HYPERVISOR_ERROR},
};

bool BeginsPath(std::string_view text, size_t at) {
  if (text[at] != '/' || at + 1 == text.size() || text[at + 1] == ' ') return false;
  if (at == 0) return true;
  return std::string_view(" \t'\"=(<>[{,:;").find(text[at - 1]) != std::string_view::npos;
}

}  // namespace

ErrorReason ReasonOfLibvirtError(int code, int source) {
  for (const Row& row : kReasons) {
    if (row.code == code) return row.reason;
  }
  // A connection that breaks reports system and internal errors of these layers.
  const bool transport = source == VIR_FROM_RPC || source == VIR_FROM_REMOTE;
  if (transport && (code == VIR_ERR_SYSTEM_ERROR || code == VIR_ERR_INTERNAL_ERROR)) {
    return ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE;
  }
  return ErrorReason::ERROR_REASON_HYPERVISOR_ERROR;
}

std::string WithoutPaths(std::string_view text) {
  std::string result;
  size_t at = 0;
  while (at < text.size()) {
    if (!BeginsPath(text, at)) {
      result += text[at++];
      continue;
    }
    result += "(path)";
    // A quoted path may hold spaces.
    const char quote =
        at > 0 && (text[at - 1] == '\'' || text[at - 1] == '"') ? text[at - 1] : '\0';
    const size_t end =
        quote != 0 ? text.find(quote, at) : text.find_first_of(" \t\n'\",;:)<>]}", at);
    at = end == std::string_view::npos ? text.size() : end;
  }
  return result;
}

absl::Status LastLibvirtError(std::string_view doing) {
  return LibvirtError(virGetLastError(), doing);
}

absl::Status LibvirtError(const virError* error, std::string_view doing) {
  if (error == nullptr || error->code == VIR_ERR_OK) {
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                 fmt::format("libvirt could not {} and did not say why.", doing));
  }
  const std::string words = error->message != nullptr ? error->message : "no message";
  const ErrorReason reason = ReasonOfLibvirtError(error->code, error->domain);
  // What is no fault of the host's needs no line in its log.
  if (reason != ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND &&
      reason != ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE) {
    CVM_LOG_WARNING("libvirt could not {}: {} (code {}, from {})", doing, words, error->code,
                    error->domain);
  }
  return Error(reason, fmt::format("libvirt could not {}: {}", doing, WithoutPaths(words)),
               {{"libvirt_code", std::to_string(error->code)}});
}

int LastLibvirtCode() {
  const virError* error = virGetLastError();
  return error == nullptr ? VIR_ERR_OK : error->code;
}

absl::Status Unavailable(std::string_view why) {
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
               fmt::format("libvirt does not answer: {}.", why));
}

absl::Status WrongState(std::string_view name, std::string_view state) {
  return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
               fmt::format("Domain '{}' {}.", name, state));
}

absl::Status DomainNotFound(std::string_view uuid) {
  return Error(ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND,
               fmt::format("libvirt has no domain with UUID {}.", uuid));
}

}  // namespace cvm::hypervisor
