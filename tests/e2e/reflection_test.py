# SPDX-License-Identifier: Apache-2.0
"""Everything by server reflection: no proto file, JSON in and out, as a stranger would do it."""

import base64
import hashlib
import shutil

import pytest

from tests.harness import tiny
from tests.harness import env
from tests.harness.api import ApiError, ReflectionApi

INSTANCE = "ins-reflect1"
IMAGE = "img-reflect1"
ADDRESS = "192.168.222.60"


@pytest.fixture(name="api")
def fixture_api(agent):
    return ReflectionApi(agent.socket)


def refused(api, method, request):
    """The reason for which a call fails."""
    with pytest.raises(ApiError) as error:
        api.call(method, request)
    return error.value.reason


def test_the_services_describe_themselves(api):
    services = api.list_services()
    for name in ("InstanceService", "ImageService", "OperationService", "HostService"):
        assert f"cvm.agent.v1.{name}" in services
    assert "grpc.health.v1.Health" in services
    methods = " ".join(api.list_methods())
    for name in ("CreateInstance", "WatchInstances", "ImportImage", "WaitOperation", "GetHost"):
        assert f"/{name}" in methods


def test_health(api):
    # Another package than the agent's own.
    answers = api.call_url("grpc.health.v1.Health/Check", {})
    assert answers == [{"status": "SERVING"}]


def test_host(node, api):
    host = api.call("HostService/GetHost")
    assert host["hostName"] == node.name
    assert host["acceleration"] in ("KVM", "TCG")
    assert host["hypervisor"]["connected"]
    assert host["hypervisor"]["libvirtVersion"] and host["hypervisor"]["qemuVersion"]
    assert int(host["capacity"]["memoryTotalMib"]) > 0
    network = host["networks"][0]
    assert (network["bridge"], network["present"]) == (node.bridge, True)


def test_images(agent, api):
    source = env.image("tiny")
    placed = agent.import_dir / "tiny.qcow2"
    shutil.copyfile(source, placed)
    request = {
        "requestId": "import-1",
        "imageId": IMAGE,
        "name": "tiny",
        "sourceFile": "tiny.qcow2",
        "format": "DISK_FORMAT_QCOW2",
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    dry = api.call("ImageService/ImportImage", {**request, "validateOnly": True})
    assert dry["validateOnly"] and "id" not in dry
    assert refused(api, "ImageService/GetImage", {"imageId": IMAGE}) == "IMAGE_NOT_FOUND"

    operation = api.do("ImageService/ImportImage", request)
    assert (operation["action"], operation["targetId"]) == ("IMPORT_IMAGE", IMAGE)
    assert api.call("ImageService/ImportImage", request)["id"] == operation["id"]
    image = api.call("ImageService/GetImage", {"imageId": IMAGE})
    assert image["state"] == "READY"
    assert image["sha256"] == request["sha256"]
    assert int(image["virtualSizeBytes"]) == 64 << 20
    listed = api.call("ImageService/ListImages")["images"]
    assert IMAGE in [entry["id"] for entry in listed]
    assert placed.exists(), "the source is left as it is"
    placed.unlink()

    api.do("ImageService/DeleteImage", {"imageId": IMAGE})
    assert refused(api, "ImageService/GetImage", {"imageId": IMAGE}) == "IMAGE_NOT_FOUND"


def test_an_instance_from_create_to_delete(agent, api, tiny_image):
    request = {
        "requestId": "create-1",
        "instanceId": INSTANCE,
        "owner": "a stranger",
        "spec": tiny.spec(
            tiny_image,
            name="<&> \u00fc",
            hostName="tiny-1",
            tags={"purpose": "test"},
            dataDisks=[{"sizeBytes": str(tiny.GIB)}, {"sizeBytes": str(2 * tiny.GIB)}],
            nics=[{"ipv4Address": ADDRESS}, {}],
        ),
    }
    # A dry run does nothing, and finds what is wrong.
    dry = api.call("InstanceService/CreateInstance", {**request, "validateOnly": True})
    assert dry["validateOnly"] and "id" not in dry
    wrong = {**request, "validateOnly": True, "spec": {**request["spec"], "vcpus": 100000}}
    assert refused(api, "InstanceService/CreateInstance", wrong) == "INSUFFICIENT_VCPUS"
    assert api.instances() == []

    # Creation, watched; asked for twice it is the same operation, for something else an error.
    operation = api.call("InstanceService/CreateInstance", request)
    assert api.call("InstanceService/CreateInstance", request)["id"] == operation["id"]
    other = {**request, "owner": "another"}
    assert refused(api, "InstanceService/CreateInstance", other) == "REQUEST_ID_REUSED"
    watched = api.call_stream("OperationService/WatchOperation", {"operationId": operation["id"]})
    assert watched[-1]["state"] == "SUCCESS"
    percents = [entry.get("percent", 0) for entry in watched]
    assert percents == sorted(percents) and percents[-1] == 100
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT)
    assert f"hostname=tiny-1 ip={ADDRESS}" in agent.console(INSTANCE)

    instance = api.instance(INSTANCE)
    assert instance["state"] == "RUNNING"
    assert instance["spec"]["name"] == "<&> \u00fc"
    assert instance["latestOperation"]["id"] == operation["id"]
    assert [entry["id"] for entry in api.instances()] == [INSTANCE]
    mine = api.call("InstanceService/ListInstances", {"owner": "a stranger"})
    assert len(mine["instances"]) == 1
    assert "instances" not in api.call("InstanceService/ListInstances", {"owner": "nobody"})
    assert refused(api, "ImageService/DeleteImage", {"imageId": tiny_image}) == "IMAGE_IN_USE"

    # The screen and the serial port.
    screenshot = api.call("InstanceService/GetScreenshot", {"instanceId": INSTANCE})
    assert base64.b64decode(screenshot["png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert screenshot["width"] > 0 and screenshot["height"] > 0
    talk_on_serial_port(api)

    # Stop, start, reboot.
    stop = {"instanceId": INSTANCE, "mode": "STOP_MODE_SOFT", "timeout": "60s"}
    api.do("InstanceService/StopInstance", stop)
    assert "POWERBTN" in agent.console(INSTANCE)
    assert api.instance(INSTANCE)["state"] == "STOPPED"
    assert refused(api, "InstanceService/StopInstance", stop) == "INVALID_INSTANCE_STATE"
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/StartInstance", {"instanceId": INSTANCE})
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    printed = len(agent.console(INSTANCE))
    reboot = {"instanceId": INSTANCE, "mode": "STOP_MODE_HARD"}
    api.do("InstanceService/RebootInstance", reboot)
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)

    # Deletion works in every power state.
    deletion = api.do("InstanceService/DeleteInstance", {"instanceId": INSTANCE})
    assert refused(api, "InstanceService/GetInstance", {"instanceId": INSTANCE}) == (
        "INSTANCE_NOT_FOUND"
    )
    cancel = {"operationId": deletion["id"]}
    assert refused(api, "OperationService/CancelOperation", cancel) == "OPERATION_NOT_CANCELLABLE"
    listed = api.call("OperationService/ListOperations", {"targetId": INSTANCE})["operations"]
    assert listed[0]["id"] == deletion["id"], "newest first"
    assert [entry["action"] for entry in listed].count("CREATE_INSTANCE") == 1


def talk_on_serial_port(api):
    """Reads the log's end, types a command, and reads its answer."""

    def output(messages):
        return b"".join(base64.b64decode(m.get("output", "")) for m in messages).decode(
            errors="replace"
        )

    with api.open("InstanceService/StreamSerial") as stream:
        stream.send({"instanceId": INSTANCE, "logBytes": 65536})
        heard = []

        def hear_until(text):
            def heard_it(message):
                heard.append(message)
                return text in output(heard)

            stream.receive_until(heard_it, 60)

        hear_until("TINY-READY")
        # The answer is not what was typed, which is echoed.
        stream.send({"input": base64.b64encode(b"echo sum-$((40 + 2))\n").decode()})
        hear_until("sum-42")


def test_instances_are_watched(agent, api, tiny_image):
    with api.watch("InstanceService/WatchInstances") as stream:
        stream.receive_until(lambda event: event["kind"] == "SYNCED", 30)
        request = {
            "instanceId": INSTANCE,
            "spec": tiny.spec(tiny_image),
            "start": "START_NO",
        }
        api.do("InstanceService/CreateInstance", request)
        created = stream.receive_until(
            lambda event: event.get("instance", {}).get("state") == "STOPPED", 30
        )
        assert all(event["kind"] == "CHANGED" for event in created)
        token = created[-1]["resumeToken"]
        tiny.delete(agent, INSTANCE)
        stream.receive_until(lambda event: event["kind"] == "DELETED", 30)
    # From the token on, only what came after it.
    with api.watch("InstanceService/WatchInstances", {"resumeToken": token}) as stream:
        missed = stream.receive_until(lambda event: event["kind"] == "DELETED", 30)
        assert missed[-1]["instance"]["id"] == INSTANCE


def test_recycle(agent, api, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    target = {"instanceId": INSTANCE}
    api.do("InstanceService/DeleteInstance", {**target, "recyclePeriod": "3600s"})
    assert api.instance(INSTANCE)["state"] == "SHUTDOWN"
    assert refused(api, "InstanceService/StartInstance", target) == "INVALID_INSTANCE_STATE"
    api.do("InstanceService/RestoreInstance", target)
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/StartInstance", target)
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    tiny.delete(agent, INSTANCE)


def test_resize(node, agent, api, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    resize = {"instanceId": INSTANCE, "vcpus": 2, "memoryMib": "192"}
    assert refused(api, "InstanceService/ResizeInstance", resize) == "INVALID_INSTANCE_STATE"
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/ResizeInstance", {**resize, "forceStop": True})
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    info = node.virsh("dominfo", INSTANCE)
    assert "running" in info
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    assert (fields["CPU(s)"].strip(), fields["Max memory"].strip()) == ("2", f"{192 << 10} KiB")
    tiny.delete(agent, INSTANCE)


def test_update(node, agent, api, tiny_image):
    request = {"instanceId": INSTANCE, "spec": tiny.spec(tiny_image), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    update = {
        "instanceId": INSTANCE,
        "updateMask": "owner,spec.tags,spec.terminationProtection",
        "owner": "alice",
        "spec": {"tags": {"a": "<b>"}, "terminationProtection": True},
    }
    api.do("InstanceService/UpdateInstance", update)
    instance = api.instance(INSTANCE)
    assert (instance["owner"], instance["spec"]["tags"]) == ("alice", {"a": "<b>"})
    denied = {entry["action"]: entry["reason"] for entry in instance["deniedActions"]}
    assert denied["DELETE_INSTANCE"] == "TERMINATION_PROTECTED"
    assert denied["STOP_INSTANCE"] == "INVALID_INSTANCE_STATE"
    assert "START_INSTANCE" not in denied
    # libvirt keeps it too, for the day on which the store is lost.
    assert "alice" in node.virsh("dumpxml", "--inactive", INSTANCE)
    unprotect = {"instanceId": INSTANCE, "updateMask": "spec.terminationProtection"}
    api.do("InstanceService/UpdateInstance", unprotect)
    tiny.delete(agent, INSTANCE)


@pytest.mark.parametrize("call", ["ResetPassword", "GetConsole"])
def test_what_is_to_come_says_so(api, call):
    with pytest.raises(ApiError) as error:
        api.call(f"InstanceService/{call}", {"instanceId": INSTANCE})
    assert (error.value.code, error.value.reason) == ("unimplemented", "NOT_IMPLEMENTED")
