// SPDX-License-Identifier: Apache-2.0
//
// Lists, page by page.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cli/client.h"
#include "cli/session.h"
#include "fmt/format.h"

namespace cvm::cli {

inline constexpr uint32_t kPageSize = 1000;

// Reads all pages, or the first `limit` elements (0: all), prints them as one list and returns the
// exit code. `method` is the call of Client, `elements` gives the list within its answer, `view`
// the table. In the id format each element's id is a line.
template <typename Request, typename Response, typename Element, typename View>
int List(Session& session, Request request,
         absl::StatusOr<Response> (Client::*method)(const Request&),
         google::protobuf::RepeatedPtrField<Element>* (Response::*elements)(), uint32_t limit,
         View view) {
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  Response all;
  auto* const list = (all.*elements)();
  const auto full = [&] { return limit != 0 && list->size() >= static_cast<int>(limit); };
  do {
    request.set_page_size(limit == 0 || limit > kPageSize ? kPageSize : limit);
    auto page = ((*client)->*method)(request);
    if (!page.ok()) return session.Fail(page.status());
    // A token that does not move on would go on for ever.
    if (!page->next_page_token().empty() && page->next_page_token() == request.page_token()) {
      return session.Fail(absl::InternalError("the agent gave the same page token twice"));
    }
    request.set_page_token(page->next_page_token());
    all.MergeFrom(*page);
  } while (!request.page_token().empty() && !full());
  const bool more =
      !request.page_token().empty() || (limit != 0 && list->size() > static_cast<int>(limit));
  if (limit != 0 && list->size() > static_cast<int>(limit)) {
    list->DeleteSubrange(static_cast<int>(limit), list->size() - static_cast<int>(limit));
  }
  all.clear_next_page_token();
  if (session.format() == OutputFormat::kId) {
    std::string ids;
    for (const Element& element : *list) ids += Printable(element.id()) + "\n";
    return session.Print(ids);
  }
  const int code = session.Print(all, "", view(all));
  if (more) session.progress().Note(fmt::format("there are more than {}: see --limit", limit));
  return code;
}

}  // namespace cvm::cli
