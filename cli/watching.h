// SPDX-License-Identifier: Apache-2.0
//
// Streams that go on till they are ended.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/client.h"
#include "cli/parse.h"
#include "cli/session.h"

namespace cvm::cli {

// Calls `print` for each event of `method`, for as long as `duration` says (as of --duration;
// empty: till Ctrl-C) or until it returns another code than 0. Returns the exit code; that the time
// is over is no failure.
template <typename Event>
int Watch(Session& session, const std::string& duration,
          absl::Status (Client::*method)(const std::function<bool(const Event&)>&),
          const std::function<int(const Event&)>& print) {
  absl::Time end = absl::InfiniteFuture();
  if (!duration.empty()) {
    const auto length = ParseDuration(duration);
    if (!length.ok()) return session.Fail(About("--duration", length.status()));
    session.LimitTo(*length);
    end = absl::Now() + *length;
  }
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  int code = kExitOk;
  const absl::Status status = ((**client).*method)([&](const Event& event) {
    code = print(event);
    return code == kExitOk;
  });
  if (status.ok()) return code;
  // The deadline on the wire is rounded up to milliseconds.
  if (absl::IsDeadlineExceeded(status) && absl::Now() + absl::Milliseconds(5) >= end) {
    return kExitOk;
  }
  return session.Fail(status);
}

}  // namespace cvm::cli
