// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/cli/fixture.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;
using ::testing::HasSubstr;

constexpr char kImage[] = "img-debian12";

class CvmctlImportTest : public CvmctlTest {
 protected:
  CvmctlImportTest() {
    std::filesystem::create_directories(folder_ / "import");
    std::ofstream(folder_ / "outside.raw") << "content";
    std::ofstream(folder_ / "import" / "inside.raw") << "content";
    script_.import_image = [this](const agent::v1::ImportImageRequest& request) {
      seen_ = request;
      std::stringstream text;
      text << std::ifstream(folder_ / "import" / request.source_file()).rdbuf();
      content_ = text.str();
      Operation operation = Make(Operation::OPERATING);
      operation.set_validate_only(request.validate_only());
      return operation;
    };
  }

  static Operation Make(Operation::State state) {
    return MakeOperation(Operation::IMPORT_IMAGE, kImage, state, 10, "copying");
  }
  std::vector<std::string> Arguments(const std::filesystem::path& file,
                                     const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"image",  "import",       file.string(),
                                          "--name", "debian12",     "--format",
                                          "raw",    "--import-dir", (folder_ / "import").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> Imported() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "import")) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  agent::v1::ImportImageRequest seen_;
  // Of the source, as the agent finds it during the call.
  std::string content_;
};

TEST_F(CvmctlImportTest, TakesAFileInTheFolderInPlaceAndDoesNotWait) {
  const Outcome outcome = Run(Arguments(
      folder_ / "import" / "inside.raw",
      {"--id", kImage, "--os", "windows", "--firmware", "uefi", "--machine", "pc", "--cdrom-bus",
       "ide", "--default-user", "admin", "--sha256", "00ff", "--owner", "me", "-o", "id"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "img-debian12\n");
  EXPECT_EQ(seen_.source_file(), "inside.raw");
  EXPECT_EQ(seen_.name(), "debian12");
  EXPECT_EQ(seen_.image_id(), kImage);
  EXPECT_EQ(seen_.format(), agent::v1::DISK_FORMAT_RAW);
  EXPECT_EQ(seen_.properties().os_family(), agent::v1::OS_FAMILY_WINDOWS);
  EXPECT_EQ(seen_.properties().firmware(), agent::v1::FIRMWARE_UEFI);
  EXPECT_EQ(seen_.properties().machine_family(), agent::v1::MACHINE_FAMILY_PC);
  EXPECT_EQ(seen_.properties().cdrom_bus(), agent::v1::CDROM_BUS_IDE);
  EXPECT_EQ(seen_.properties().default_user(), "admin");
  EXPECT_EQ(seen_.sha256(), "00ff");
  EXPECT_EQ(seen_.owner(), "me");
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
}

TEST_F(CvmctlImportTest, PlacesAnotherFileWaitsAndTakesItAway) {
  std::atomic<bool> there_during_the_operation = false;
  script_.watch_operation = [&](const auto&, const std::function<bool(const Operation&)>& send,
                                const auto&) {
    there_during_the_operation = std::filesystem::exists(folder_ / "import" / seen_.source_file());
    send(Make(Operation::OPERATING));
    send(Make(Operation::SUCCESS));
    return absl::OkStatus();
  };
  const Outcome outcome = Run(Arguments(folder_ / "outside.raw"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("SUCCESS"));
  EXPECT_EQ(content_, "content");
  EXPECT_TRUE(there_during_the_operation);
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "outside.raw"));
}

TEST_F(CvmctlImportTest, TakesThePlacedFileAwayWhenTheImportIsRefusedOrFails) {
  script_.watch_operation = [](const auto&, const std::function<bool(const Operation&)>& send,
                               const auto&) {
    Operation operation = Make(Operation::FAILED);
    *operation.mutable_error() =
        ToProto(Error(common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH, "is qcow2"));
    send(operation);
    return absl::OkStatus();
  };
  const Outcome failed = Run(Arguments(folder_ / "outside.raw"));
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("cvmctl: IMAGE_FORMAT_MISMATCH: is qcow2"));
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
  // A dry run ends with its call.
  EXPECT_EQ(Run(Arguments(folder_ / "outside.raw", {"--dry-run"})).exit_code, 0);
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
}

TEST_F(CvmctlImportTest, TakesThePlacedFileAwayWhenTheCallIsRefused) {
  script_.import_image = [](const auto&) -> absl::StatusOr<Operation> {
    return Error(common::v1::ERROR_REASON_IMAGE_EXISTS, "is there");
  };
  EXPECT_EQ(Run(Arguments(folder_ / "outside.raw")).exit_code, 1);
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
}

class CvmctlImportCutShortTest : public CvmctlImportTest {
 protected:
  CvmctlImportCutShortTest() {
    script_.cancel_operation = [this](const agent::v1::CancelOperationRequest& request) {
      EXPECT_EQ(request.operation_id(), "op-00000001");
      // The file goes only when the operation has ended.
      there_at_cancel_ = std::filesystem::exists(folder_ / "import" / seen_.source_file());
      cancelled_ = true;
      return Make(Operation::OPERATING);
    };
    script_.watch_operation = [this](const auto&, const std::function<bool(const Operation&)>& send,
                                     const std::function<bool()>& gone) {
      send(Make(Operation::OPERATING));
      while (!cancelled_ && !gone()) std::this_thread::yield();
      Operation operation = Make(Operation::FAILED);
      *operation.mutable_error() =
          ToProto(Error(common::v1::ERROR_REASON_OPERATION_CANCELLED, "asked"));
      if (cancelled_) send(operation);
      return absl::OkStatus();
    };
  }
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> there_at_cancel_ = false;
};

TEST_F(CvmctlImportCutShortTest, CtrlCCancelsTheImportAndTakesTheFileAway) {
  const auto process = Start(Arguments(folder_ / "outside.raw"));
  ASSERT_TRUE(process->WaitForErr("copying"));
  process->Signal(SIGINT);
  EXPECT_EQ(process->Wait(), 130);
  EXPECT_TRUE(cancelled_);
  EXPECT_TRUE(there_at_cancel_);
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
}

TEST_F(CvmctlImportCutShortTest, TheTimeoutToo) {
  const Outcome outcome = Run(Arguments(folder_ / "outside.raw", {"--timeout", "1s"}));
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_TRUE(cancelled_);
  EXPECT_TRUE(there_at_cancel_);
  EXPECT_THAT(Imported(), ::testing::ElementsAre("inside.raw"));
}

TEST_F(CvmctlImportTest, WhatIsNoFileOrNoFormatIsExitCodeTwo) {
  EXPECT_EQ(Run(Arguments(folder_ / "absent")).exit_code, 2);
  EXPECT_EQ(Run(Arguments(folder_)).exit_code, 2);
  EXPECT_EQ(Run({"image", "import", (folder_ / "outside.raw").string(), "--name", "x", "--format",
                 "vmdk"})
                .exit_code,
            2);
  EXPECT_EQ(seen_.name(), "");
}

}  // namespace
}  // namespace cvm::cli
