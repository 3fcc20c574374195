// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function when `expr` is a status that is not OK.
#define CVM_RETURN_IF_ERROR(expr)                       \
  do {                                                  \
    if (auto cvm_status_ = (expr); !cvm_status_.ok()) { \
      return cvm_status_;                               \
    }                                                   \
  } while (false)

#define CVM_STATUS_CONCAT_INNER_(a, b) a##b
#define CVM_STATUS_CONCAT_(a, b) CVM_STATUS_CONCAT_INNER_(a, b)

// CVM_ASSIGN_OR_RETURN(auto value, expr): assigns the value of a StatusOr, or returns its status.
#define CVM_ASSIGN_OR_RETURN(lhs, expr) \
  CVM_ASSIGN_OR_RETURN_IMPL_(CVM_STATUS_CONCAT_(cvm_status_or_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): `lhs` may be a declaration.
#define CVM_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  if (!tmp.ok()) return tmp.status();              \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)
