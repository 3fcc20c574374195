// SPDX-License-Identifier: Apache-2.0
//
// Pieces that several workflows are made of.
#pragma once

#include <functional>
#include <string>

#include "agent/core/core.h"
#include "agent/core/workflow.h"

namespace cvm::agent::core {

// INSTANCE_NOT_FOUND when the record is gone.
absl::StatusOr<InstancePtr> RequireInstance(const Core& core, const std::string& id);

// Waits, by events, until the instance's observed power satisfies `reached`. Done when it does;
// else asks the hypervisor again from time to time, in case an event was missed.
absl::StatusOr<StepResult> WaitForPower(
    const Core& core, const std::string& instance_id,
    const std::function<bool(v1::ObservedPower::State)>& reached);

bool IsOff(v1::ObservedPower::State state);
bool IsOn(v1::ObservedPower::State state);

// Boots the domain and waits until it is seen to run. Undone by cutting the power.
Step StartDomainStep(const Core& core, const std::string& instance_id, uint32_t percent);

// The two ends of a change that needs the guest off: cuts the power of one that was on when the
// operation was submitted (its record has kWasOnNote), and boots it again. Undone by booting it
// again; a guest that does not come back then is left off, and its state says so.
inline constexpr char kWasOnNote[] = "was-on";
Step PowerOffForChangeStep(const Core& core, const std::string& instance_id, uint32_t percent);
Step PowerOnAgainStep(const Core& core, const std::string& instance_id, uint32_t percent);

// Cuts the power and waits until that is seen.
absl::StatusOr<StepResult> CutPower(const Core& core, const std::string& instance_id);

// Cuts the power of a domain that may not exist; removes taps that a killed QEMU left.
absl::Status EnsureOff(const Core& core, const v1::Instance& instance);

// Writes the agent's element of the instance's domain as it is after `change`; nothing when the
// domain is gone.
absl::Status WriteMetadata(const Core& core, const v1::Instance& instance,
                           const std::function<void(v1::Instance&)>& change);

// A time in the operation's notes; nothing when it is not there.
std::optional<absl::Time> TimeNote(const StepContext& context, const std::string& key);
void SetTimeNote(StepContext& context, const std::string& key, absl::Time time);

}  // namespace cvm::agent::core
