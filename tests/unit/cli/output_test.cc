// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include "cli/exit_code.h"
#include "common/errors.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace cvm::cli {
namespace {

TEST(HumanBytes, PicksTheUnit) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1 KiB");
  EXPECT_EQ(HumanBytes(uint64_t{512} << 20), "512 MiB");
  EXPECT_EQ(HumanBytes((uint64_t{1} << 30) * 3 / 2), "1.5 GiB");
  EXPECT_EQ(HumanBytes((uint64_t{1} << 30) - 1), "1 GiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16 EiB");
}

TEST(HumanDuration, ShowsHoursOnlyWhenThereAreSome) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(7900)), "0:07");
  EXPECT_EQ(HumanDuration(absl::Seconds(750)), "12:30");
  EXPECT_EQ(HumanDuration(absl::Seconds(3723)), "1:02:03");
  EXPECT_EQ(HumanDuration(-absl::Seconds(3)), "0:00");
}

TEST(Printable, ReplacesWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("na\x1b[31mme\n"), "na?[31mme?");
  EXPECT_EQ(Printable("grün 日本"), "grün 日本");
  EXPECT_EQ(Printable("a\xff\xc3"), "a??");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "?31m");
  EXPECT_EQ(Printable("\xc0\xaf"), "??");
}

TEST(Table, AlignsColumnsAndShowsEmptyCells) {
  Table table({"ID", "NAME", "STATE"});
  table.AddRow({"ins-00000001", "web", "RUNNING"});
  table.AddRow({"ins-00000002", "größer", "STOPPED"});
  table.AddRow({"ins-00000003", "", "PENDING"});
  EXPECT_EQ(table.Render(false),
            "ID            NAME    STATE\n"
            "ins-00000001  web     RUNNING\n"
            "ins-00000002  größer  STOPPED\n"
            "ins-00000003  -       PENDING\n");
}

TEST(Table, ColoursOnlyWhenAsked) {
  Table table({"STATE", "NAME"});
  table.AddRow({"RUNNING", "web"});
  table.SetTone(0, Tone::kGood);
  EXPECT_EQ(table.Render(true), "STATE    NAME\n\x1b[32mRUNNING\x1b[0m  web\n");
  EXPECT_EQ(table.Render(false), "STATE    NAME\nRUNNING  web\n");
}

TEST(ToJson, KeepsEmptyListsAndZeroes) {
  agent::v1::ListInstancesResponse list;
  EXPECT_EQ(nlohmann::json::parse(*ToJson(list, true))["instances"], nlohmann::json::array());
  agent::v1::Operation operation;
  operation.set_state(agent::v1::Operation::OPERATING);
  const auto line = ToJson(operation, false);
  EXPECT_EQ(line->find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(*line)["percent"], 0);
  EXPECT_EQ(nlohmann::json::parse(*line)["state"], "OPERATING");
  EXPECT_FALSE(nlohmann::json::parse(*line).contains("endTime"));
}

TEST(ErrorText, ShowsReasonMessageAndField) {
  EXPECT_EQ(
      ErrorText(InvalidField("spec.name", "is too long")),
      "cvmctl: INVALID_FIELD: " + std::string(InvalidField("spec.name", "is too long").message()) +
          " (field spec.name)");
  EXPECT_EQ(ErrorText(absl::UnavailableError("nobody there")),
            "cvmctl: AGENT_UNREACHABLE: nobody there");
  EXPECT_EQ(ErrorText(absl::InvalidArgumentError("--x: no")), "cvmctl: USAGE: --x: no");
  EXPECT_EQ(ErrorText(absl::DeadlineExceededError("late\x1b")), "cvmctl: TIMED_OUT: late?");
}

TEST(ErrorJson, HoldsWhatTheTextHolds) {
  const auto json = nlohmann::json::parse(ErrorJson(
      Error(common::v1::ERROR_REASON_IMAGE_IN_USE, "img-1 is in use", {{"by", "ins-1"}})));
  EXPECT_EQ(json["error"]["reason"], "IMAGE_IN_USE");
  EXPECT_EQ(json["error"]["message"], "img-1 is in use");
  EXPECT_EQ(json["error"]["metadata"]["by"], "ins-1");
  EXPECT_FALSE(json["error"].contains("field"));
  // Not UTF-8, and still JSON.
  EXPECT_FALSE(nlohmann::json::parse(ErrorJson(absl::InternalError("\xff"))).is_null());
}

TEST(ExitCodeOf, TellsUserErrorFromRefusalFromFailure) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_IMAGE_IN_USE, "")), 1);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_INSUFFICIENT_MEMORY, "")), 1);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_OPERATION_IN_PROGRESS, "")), 1);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_INSTANCE_EXISTS, "")), 1);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_NOT_IMPLEMENTED, "")), 1);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_INSTANCE_NOT_FOUND, "")), 2);
  EXPECT_EQ(ExitCodeOf(InvalidField("f", "p")), 2);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_HYPERVISOR_UNAVAILABLE, "")), 3);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 3);
  EXPECT_EQ(ExitCodeOf(Error(common::v1::ERROR_REASON_INTERNAL, "")), 4);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("")), 4);
}

}  // namespace
}  // namespace cvm::cli
