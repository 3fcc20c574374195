// SPDX-License-Identifier: Apache-2.0
//
// The scripts of cli/completions, built in.
#pragma once

#include <string_view>

namespace cvm::cli {

extern const std::string_view kBashCompletion;
extern const std::string_view kZshCompletion;
extern const std::string_view kFishCompletion;

}  // namespace cvm::cli
