// SPDX-License-Identifier: Apache-2.0
//
// What people see of each resource. Pure functions: the same message gives the same text.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "cvm/agent/v1/host.pb.h"
#include "cvm/agent/v1/host_service.pb.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "cvm/agent/v1/operation_service.pb.h"

namespace cvm::cli {

struct ViewStyle {
  bool colour = false;
  absl::TimeZone zone = absl::UTCTimeZone();
};

// One word without the enum's prefix, as in "RUNNING", "Q35".
std::string Word(agent::v1::InstanceState state);
std::string Word(agent::v1::Operation::State state);
std::string Word(agent::v1::Operation::Action action);

std::string InstancesView(const agent::v1::ListInstancesResponse& list, const ViewStyle& style);
std::string InstanceView(const agent::v1::Instance& instance, const ViewStyle& style);
// One line of `instance watch`, without a line break.
std::string InstanceEventLine(const agent::v1::InstanceEvent& event, absl::Time now,
                              const ViewStyle& style);

std::string ImagesView(const agent::v1::ListImagesResponse& list, const ViewStyle& style);
std::string ImageView(const agent::v1::Image& image, const ViewStyle& style);

std::string OperationsView(const agent::v1::ListOperationsResponse& list, const ViewStyle& style);
std::string OperationView(const agent::v1::Operation& operation, const ViewStyle& style);
// What a mutating command shows: one row, or what a dry run found.
std::string StartedOperationView(const agent::v1::Operation& operation, const ViewStyle& style);
// One line of `operation watch`, without a line break.
std::string OperationLine(const agent::v1::Operation& operation);

std::string HostView(const agent::v1::Host& host, const ViewStyle& style);
std::string FindingsView(const agent::v1::CheckHostResponse& found, const ViewStyle& style);
// One line of `host events`, without a line break.
std::string HostEventLine(const agent::v1::HostEvent& event, const ViewStyle& style);

}  // namespace cvm::cli
