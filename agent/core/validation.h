// SPDX-License-Identifier: Apache-2.0
//
// Checks of what clients send that need nothing but the request itself.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

// A single line of UTF-8 without control characters, of `min` to `max` bytes. INVALID_FIELD, or
// MISSING_FIELD when it is empty and must not be.
absl::Status CheckText(std::string_view field, std::string_view value, size_t min, size_t max);

// UNKNOWN_ENUM_VALUE for a number that the enum of that type does not have, at any depth of the
// message: proto3 lets any number pass.
absl::Status CheckEnums(const google::protobuf::Message& message);

// Form, ranges and limits of everything in the request.
absl::Status ValidateCreate(const v1::CreateInstanceRequest& request);
absl::Status ValidateImport(const v1::ImportImageRequest& request);

// The mask's paths, and the values that it names. MISSING_FIELD, INVALID_FIELD,
// USER_DATA_TOO_LARGE.
absl::Status ValidateUpdate(const v1::UpdateInstanceRequest& request);

// MISSING_FIELD (neither vCPUs nor memory), INVALID_FIELD.
absl::Status ValidateResize(const v1::ResizeInstanceRequest& request);

// INVALID_FIELD, FIELDS_CONFLICT, INVALID_SSH_KEY, INVALID_PASSWORD_HASH.
absl::Status ValidateReinstall(const v1::ReinstallInstanceRequest& request);
// INVALID_FIELD, INVALID_SSH_KEY, INVALID_PASSWORD_HASH.
absl::Status ValidateRescue(const v1::EnterRescueRequest& request);

// Whether there is any key or password in it.
bool GivesLogin(const v1::LoginSettings& login);

// What depends on the guest's system: host name and login. After the image's properties have been
// filled in.
absl::Status ValidateForGuest(const v1::InstanceSpec& spec);

// A soft stop's or reboot's timeout, absent or 1 s to 1 h. INVALID_FIELD.
absl::Status CheckTimeout(bool present, const google::protobuf::Duration& timeout);

}  // namespace cvm::agent::core
