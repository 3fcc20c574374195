// SPDX-License-Identifier: Apache-2.0
//
// Calls that are answered at once.
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <sstream>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/cli/fixture.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kId[] = "ins-00000001";

std::string ReadAll(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST_F(CvmctlTest, UnreachableAgentIsExitCodeThree) {
  const std::string absent = (folder_ / "absent").string();
  const Outcome outcome = RunAlone({"--socket", absent, "host", "get"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, StartsWith("cvmctl: AGENT_UNREACHABLE: cannot reach the agent at "));
  EXPECT_THAT(outcome.err, HasSubstr("No such file or directory"));
  const Outcome json = RunAlone({"--socket", absent, "host", "get", "-o", "json"});
  EXPECT_EQ(json.exit_code, 3);
  EXPECT_EQ(nlohmann::json::parse(json.err)["error"]["reason"], "AGENT_UNREACHABLE");
  EXPECT_EQ(RunAlone({"--address", "127.0.0.1:1", "host", "get"}).exit_code, 3);
}

TEST_F(CvmctlTest, WrongUseIsExitCodeTwo) {
  EXPECT_EQ(RunAlone({}).exit_code, 2);
  EXPECT_EQ(RunAlone({"host", "get", "-o", "xml"}).exit_code, 2);
  EXPECT_EQ(RunAlone({"host", "get", "--timeout", "soon"}).exit_code, 2);
  EXPECT_EQ(RunAlone({"host", "get", "--timeout", "0"}).exit_code, 2);
  EXPECT_EQ(RunAlone({"--address", "192.0.2.1:80", "host", "get"}).exit_code, 2);
  EXPECT_EQ(RunAlone({"completion", "tcsh"}).exit_code, 2);
  EXPECT_THAT(RunAlone({"instance", "create", "--image", "i", "--memory", "lots"}).err,
              StartsWith("cvmctl: USAGE: --memory: 'lots' is not a size"));
}

TEST_F(CvmctlTest, PrintsTheCompletionOfEachShell) {
  EXPECT_THAT(RunAlone({"completion", "bash"}).out, HasSubstr("complete -F _cvmctl cvmctl"));
  EXPECT_THAT(RunAlone({"completion", "zsh"}).out, StartsWith("#compdef cvmctl"));
  EXPECT_THAT(RunAlone({"completion", "fish"}).out, HasSubstr("complete -c cvmctl"));
}

TEST_F(CvmctlTest, ExitCodesTellTheErrorsOfTheAgentApart) {
  absl::Status answer;
  script_.get_instance = [&](const auto&) -> absl::StatusOr<agent::v1::Instance> { return answer; };
  const auto run = [&](const absl::Status& status) {
    answer = status;
    return Run({"instance", "get", kId});
  };
  const Outcome absent =
      run(Error(common::v1::ERROR_REASON_INSTANCE_NOT_FOUND, "no instance ins-00000001"));
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_EQ(absent.err, "cvmctl: INSTANCE_NOT_FOUND: no instance ins-00000001\n");
  EXPECT_EQ(
      run(Error(common::v1::ERROR_REASON_MALFORMED_ID, "", {{"field", "instance_id"}})).exit_code,
      2);
  EXPECT_EQ(run(Error(common::v1::ERROR_REASON_INVALID_INSTANCE_STATE, "")).exit_code, 1);
  // With a reason of the agent's, it is the agent's word: not tried again.
  EXPECT_EQ(run(Error(common::v1::ERROR_REASON_HYPERVISOR_UNAVAILABLE, "")).exit_code, 3);
  EXPECT_EQ(run(Error(common::v1::ERROR_REASON_INTERNAL, "")).exit_code, 4);
}

TEST_F(CvmctlTest, ListsInstancesOfAllPages) {
  std::atomic<int> calls = 0;
  script_.list_instances = [&](const agent::v1::ListInstancesRequest& request) {
    EXPECT_EQ(request.owner(), "me");
    agent::v1::ListInstancesResponse page;
    page.add_instances()->set_id(request.page_token().empty() ? "ins-00000001" : "ins-00000002");
    page.mutable_instances(0)->set_state(agent::v1::STOPPED);
    if (request.page_token().empty()) page.set_next_page_token("more");
    ++calls;
    return page;
  };
  const Outcome table = Run({"instance", "list", "--owner", "me"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(StartsWith("ID "), HasSubstr("\nins-00000001"),
                               HasSubstr("\nins-00000002"), HasSubstr("STOPPED")));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Run({"instance", "list", "--owner", "me", "-o", "id"}).out,
            "ins-00000001\nins-00000002\n");
  const auto json =
      nlohmann::json::parse(Run({"-o", "json", "instance", "list", "--owner", "me"}).out);
  EXPECT_EQ(json["instances"].size(), 2u);
  EXPECT_EQ(json["instances"][1]["state"], "STOPPED");
}

TEST_F(CvmctlTest, AnEmptyListIsAListInJson) {
  script_.list_images = [](const auto&) { return agent::v1::ListImagesResponse(); };
  EXPECT_EQ(nlohmann::json::parse(Run({"image", "list", "-o", "json"}).out)["images"],
            nlohmann::json::array());
}

TEST_F(CvmctlTest, ListsOperationsUpToALimitAndSaysSo) {
  script_.list_operations = [](const agent::v1::ListOperationsRequest& request) {
    EXPECT_TRUE(request.unfinished_only());
    agent::v1::ListOperationsResponse page;
    for (uint32_t i = 0; i < request.page_size(); ++i) page.add_operations()->set_id("op-x");
    page.set_next_page_token(request.page_token() + "x");
    return page;
  };
  const Outcome outcome = Run({"operation", "list", "--unfinished", "--limit", "3", "-o", "id"});
  EXPECT_EQ(outcome.out, "op-x\nop-x\nop-x\n");
  EXPECT_THAT(Run({"operation", "list", "--unfinished", "--limit", "3"}).err,
              HasSubstr("there are more than 3"));
}

TEST_F(CvmctlTest, CreateSendsWhatItsFlagsSay) {
  agent::v1::CreateInstanceRequest seen;
  script_.create_instance = [&](const agent::v1::CreateInstanceRequest& request) {
    seen = request;
    return MakeOperation(Operation::CREATE_INSTANCE, kId, Operation::OPERATING);
  };
  std::ofstream(folder_ / "key.pub") << "# mine\nssh-ed25519 AAAA a\nssh-rsa BBBB b\n";
  std::ofstream(folder_ / "hash") << "$6$salt$hash\n";
  std::ofstream(folder_ / "user-data") << std::string("#!/bin/sh\0x", 11);
  const Outcome outcome = Run({"instance",
                               "create",
                               "--id",
                               kId,
                               "--name",
                               "web",
                               "--image",
                               "img-debian12",
                               "--vcpus",
                               "2",
                               "--memory",
                               "1024",
                               "--disk",
                               "10",
                               "--data-disk",
                               "5",
                               "--data-disk",
                               "512M",
                               "--host-name",
                               "web1",
                               "--ssh-key",
                               (folder_ / "key.pub").string(),
                               "--ssh-key",
                               "ssh-ed25519 CCCC c",
                               "--password-hash-file",
                               (folder_ / "hash").string(),
                               "--nic",
                               "network=default,ip=192.168.222.10",
                               "--nic",
                               "network=other",
                               "--user-data",
                               (folder_ / "user-data").string(),
                               "--tag",
                               "k=v",
                               "--owner",
                               "me",
                               "--no-start",
                               "--protect",
                               "--description",
                               "d",
                               "--request-id",
                               "r1",
                               "--dry-run",
                               "-o",
                               "id"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "ins-00000001\n");
  EXPECT_EQ(seen.request_id(), "r1");
  EXPECT_TRUE(seen.validate_only());
  EXPECT_EQ(seen.instance_id(), kId);
  EXPECT_EQ(seen.owner(), "me");
  EXPECT_EQ(seen.start(), agent::v1::CreateInstanceRequest::START_NO);
  EXPECT_EQ(seen.spec().name(), "web");
  EXPECT_EQ(seen.spec().description(), "d");
  EXPECT_EQ(seen.spec().image_id(), "img-debian12");
  EXPECT_EQ(seen.spec().vcpus(), 2u);
  EXPECT_EQ(seen.spec().memory_mib(), 1024u);
  EXPECT_EQ(seen.spec().system_disk().size_bytes(), uint64_t{10} << 30);
  ASSERT_EQ(seen.spec().data_disks_size(), 2);
  EXPECT_EQ(seen.spec().data_disks(0).size_bytes(), uint64_t{5} << 30);
  EXPECT_EQ(seen.spec().data_disks(1).size_bytes(), uint64_t{512} << 20);
  EXPECT_EQ(seen.spec().host_name(), "web1");
  EXPECT_THAT(seen.spec().login().ssh_public_keys(),
              ::testing::ElementsAre("ssh-ed25519 AAAA a", "ssh-rsa BBBB b", "ssh-ed25519 CCCC c"));
  EXPECT_EQ(seen.spec().login().password_hash(), "$6$salt$hash");
  ASSERT_EQ(seen.spec().nics_size(), 2);
  EXPECT_EQ(seen.spec().nics(0).ipv4_address(), "192.168.222.10");
  EXPECT_EQ(seen.spec().user_data(), std::string("#!/bin/sh\0x", 11));
  EXPECT_EQ(seen.spec().tags().at("k"), "v");
  EXPECT_TRUE(seen.spec().termination_protection());
}

TEST_F(CvmctlTest, AFileThatIsNotThereIsExitCodeTwoAndNothingIsSent) {
  script_.create_instance = [](const auto&) -> absl::StatusOr<Operation> {
    ADD_FAILURE() << "was called";
    return absl::InternalError("");
  };
  for (const char* flag : {"--ssh-key", "--user-data", "--password-hash-file"}) {
    const Outcome outcome = Run({"instance", "create", "--image", "img-debian12", "--memory", "1G",
                                 flag, (folder_ / "absent").string()});
    EXPECT_EQ(outcome.exit_code, 2) << flag;
    EXPECT_THAT(outcome.err,
                AllOf(StartsWith(std::string("cvmctl: USAGE: ") + flag), HasSubstr("absent")));
  }
}

TEST_F(CvmctlTest, StopAndRebootSendModeAndTimeout) {
  script_.stop_instance = [](const agent::v1::StopInstanceRequest& request) {
    EXPECT_EQ(request.mode(), agent::v1::STOP_MODE_SOFT_FIRST);
    EXPECT_EQ(request.timeout().seconds(), 60);
    return MakeOperation(Operation::STOP_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  script_.reboot_instance = [](const agent::v1::RebootInstanceRequest& request) {
    EXPECT_EQ(request.mode(), agent::v1::STOP_MODE_UNSPECIFIED);
    EXPECT_FALSE(request.has_timeout());
    return MakeOperation(Operation::REBOOT_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  const Outcome stop =
      Run({"instance", "stop", kId, "--mode", "soft-first", "--soft-timeout", "60s"});
  EXPECT_EQ(stop.exit_code, 0) << stop.err;
  EXPECT_EQ(stop.out,
            "OPERATION    ACTION         TARGET        STATE      ELAPSED\n"
            "op-00000001  STOP_INSTANCE  ins-00000001  OPERATING  0:00\n");
  EXPECT_EQ(Run({"instance", "reboot", kId}).exit_code, 0);
  EXPECT_EQ(Run({"instance", "reboot", kId, "--mode", "gently"}).exit_code, 2);
}

TEST_F(CvmctlTest, DeleteSendsTheRecyclePeriodOnlyWhenItIsGiven) {
  std::vector<std::optional<int64_t>> seen;
  script_.delete_instance = [&](const agent::v1::DeleteInstanceRequest& request) {
    seen.push_back(request.has_recycle_period()
                       ? std::optional<int64_t>(request.recycle_period().seconds())
                       : std::nullopt);
    return MakeOperation(Operation::DELETE_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  script_.restore_instance = [](const agent::v1::RestoreInstanceRequest& request) {
    return MakeOperation(Operation::RESTORE_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "delete", kId}).exit_code, 0);
  EXPECT_EQ(Run({"instance", "delete", kId, "--recycle", "0s"}).exit_code, 0);
  EXPECT_EQ(Run({"instance", "delete", kId, "--recycle", "2h"}).exit_code, 0);
  EXPECT_EQ(seen, (std::vector<std::optional<int64_t>>{std::nullopt, 0, 7200}));
  EXPECT_EQ(Run({"instance", "delete", kId, "--recycle", "long"}).exit_code, 2);
  EXPECT_EQ(Run({"instance", "restore", kId}).exit_code, 0);
}

TEST_F(CvmctlTest, ResizeSendsWhatIsGiven) {
  agent::v1::ResizeInstanceRequest seen;
  script_.resize_instance = [&](const agent::v1::ResizeInstanceRequest& request) {
    seen = request;
    return MakeOperation(Operation::RESIZE_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "resize", kId, "--memory", "2G", "--force-stop"}).exit_code, 0);
  EXPECT_EQ(seen.vcpus(), 0u);
  EXPECT_EQ(seen.memory_mib(), 2048u);
  EXPECT_TRUE(seen.force_stop());
  EXPECT_FALSE(seen.online());
  EXPECT_FALSE(seen.has_timeout());
  EXPECT_EQ(Run({"instance", "resize", kId, "--vcpus", "2", "--online", "--guest-timeout", "90s"})
                .exit_code,
            0);
  EXPECT_EQ(seen.vcpus(), 2u);
  EXPECT_TRUE(seen.online());
  EXPECT_EQ(seen.timeout().seconds(), 90);
  EXPECT_EQ(Run({"instance", "resize", kId, "--memory", "much"}).exit_code, 2);
  EXPECT_EQ(Run({"instance", "resize", kId, "--guest-timeout", "long"}).exit_code, 2);
}

TEST_F(CvmctlTest, ReinstallSendsWhatIsGiven) {
  agent::v1::ReinstallInstanceRequest seen;
  script_.reinstall_instance = [&](const agent::v1::ReinstallInstanceRequest& request) {
    seen = request;
    return MakeOperation(Operation::REINSTALL_INSTANCE, request.instance_id(),
                         Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "reinstall", kId, "--image", "img-other000", "--disk", "60",
                 "--ssh-key", "ssh-ed25519 AAAA me", "--force-stop"})
                .exit_code,
            0);
  EXPECT_EQ(seen.instance_id(), kId);
  EXPECT_EQ(seen.image_id(), "img-other000");
  EXPECT_EQ(seen.system_disk_size_bytes(), uint64_t{60} << 30);
  EXPECT_EQ(seen.login().ssh_public_keys_size(), 1);
  EXPECT_TRUE(seen.force_stop());
  EXPECT_FALSE(seen.keep_image_login());
  EXPECT_EQ(Run({"instance", "reinstall", kId, "--keep-image-login"}).exit_code, 0);
  EXPECT_TRUE(seen.keep_image_login());
  EXPECT_EQ(seen.image_id(), "");
  EXPECT_EQ(Run({"instance", "reinstall", kId, "--disk", "much"}).exit_code, 2);
  EXPECT_EQ(Run({"instance", "reinstall", kId, "--ssh-key", "/no/file"}).exit_code, 2);
}

TEST_F(CvmctlTest, RescueAndUnrescue) {
  agent::v1::EnterRescueRequest entered;
  script_.enter_rescue = [&](const agent::v1::EnterRescueRequest& request) {
    entered = request;
    return MakeOperation(Operation::ENTER_RESCUE, request.instance_id(), Operation::OPERATING);
  };
  std::string left;
  script_.exit_rescue = [&](const agent::v1::ExitRescueRequest& request) {
    left = request.instance_id();
    return MakeOperation(Operation::EXIT_RESCUE, request.instance_id(), Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "rescue", kId, "--ssh-key", "ssh-ed25519 AAAA me", "--force-stop"})
                .exit_code,
            0);
  EXPECT_EQ(entered.instance_id(), kId);
  EXPECT_EQ(entered.login().ssh_public_keys_size(), 1);
  EXPECT_TRUE(entered.force_stop());
  EXPECT_EQ(Run({"instance", "rescue", kId, "--password-hash-file", "/no/file"}).exit_code, 2);
  EXPECT_EQ(Run({"instance", "unrescue", kId}).exit_code, 0);
  EXPECT_EQ(left, kId);
}

TEST_F(CvmctlTest, UpdateNamesInItsMaskWhatIsGiven) {
  std::vector<std::string> paths;
  agent::v1::UpdateInstanceRequest seen;
  script_.update_instance = [&](const agent::v1::UpdateInstanceRequest& request) {
    seen = request;
    paths.assign(request.update_mask().paths().begin(), request.update_mask().paths().end());
    return MakeOperation(Operation::UPDATE_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  const Outcome outcome = Run({"instance", "update", kId, "--name", "new", "--tag", "a=b", "--tag",
                               "c=d", "--unprotect", "--clear", "owner", "--etag", "e"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(paths, ::testing::UnorderedElementsAre("spec.name", "spec.tags", "owner",
                                                     "spec.termination_protection"));
  EXPECT_EQ(seen.spec().name(), "new");
  EXPECT_EQ(seen.spec().tags_size(), 2);
  EXPECT_FALSE(seen.spec().termination_protection());
  EXPECT_EQ(seen.etag(), "e");
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"--protect", "--unprotect"},
                                                {"--clear", "name"},
                                                {"--owner", "me", "--clear", "owner"},
                                                {"--tag", "novalue"}}) {
    std::vector<std::string> arguments = {"instance", "update", kId};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(Run(arguments).exit_code, 2);
  }
}

TEST_F(CvmctlTest, ScreenshotIsSavedOnceAndNotOverwritten) {
  script_.get_screenshot = [](const auto&) {
    agent::v1::Screenshot shot;
    shot.set_png(std::string("\x89PNG\0\n", 6));
    shot.set_width(720);
    shot.set_height(400);
    return shot;
  };
  const auto file = folder_ / "shot.png";
  const std::vector<std::string> arguments = {"instance", "screenshot", kId, "-f", file.string()};
  const Outcome first = Run(arguments);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("shot.png: 720x400, 6 B"));
  EXPECT_EQ(ReadAll(file), std::string("\x89PNG\0\n", 6));
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::ofstream(file) << "mine";
  EXPECT_EQ(Run(arguments).exit_code, 2);
  EXPECT_EQ(ReadAll(file), "mine");
  auto forced = arguments;
  forced.emplace_back("--force");
  EXPECT_EQ(Run(forced).exit_code, 0);
  EXPECT_EQ(ReadAll(file), std::string("\x89PNG\0\n", 6));
  EXPECT_EQ(Run({"instance", "screenshot", kId, "-f", "-"}).out, std::string("\x89PNG\0\n", 6));
}

TEST_F(CvmctlTest, AskedPasswordsAreSentAsHashesAndNotShown) {
  agent::v1::CreateInstanceRequest seen;
  script_.create_instance = [&](const agent::v1::CreateInstanceRequest& request) {
    seen = request;
    return MakeOperation(Operation::CREATE_INSTANCE, kId, Operation::OPERATING);
  };
  const auto process = Start(
      {"instance", "create", "--image", "img-debian12", "--memory", "1G", "--password-prompt"},
      Process::Terminal::kInputAndErrors);
  ASSERT_TRUE(process->WaitForErr("Password: "));
  process->Write("correct horse\n");
  ASSERT_TRUE(process->WaitForErr("Again: "));
  process->Write("correct horse\n");
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_THAT(process->err(), Not(HasSubstr("horse")));
  EXPECT_THAT(seen.spec().login().password_hash(), StartsWith("$6$"));
  EXPECT_THAT(seen.DebugString(), Not(HasSubstr("horse")));
  EXPECT_EQ(Run({"instance", "create", "--image", "img-debian12", "--memory", "1G",
                 "--password-prompt", "--password-hash-file", "x"})
                .exit_code,
            2);
}

}  // namespace
}  // namespace cvm::cli
