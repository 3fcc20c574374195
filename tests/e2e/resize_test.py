# SPDX-License-Identifier: Apache-2.0
"""Tiny guests that are grown and shrunk while they run on, as they see it from inside."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.harness import env, tiny
from tests.harness.agent import Agent
from tests.harness.api import ApiError
from tests.harness.node import Node

INSTANCE = "ins-resize01"
TARGET = {"instanceId": INSTANCE}
# These guests are new enough for QEMU's emulator.
ALLOWED = {"operations.emulated_vcpu_growth": True}


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("resize") as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    with Agent(node, ALLOWED) as agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="tiny_image", scope="module")
def fixture_tiny_image(agent):
    return agent.import_image(env.image("tiny"), "img-tiny0000")


@pytest.fixture(name="guest")
def fixture_guest(agent, tiny_image):
    """1 vCPU and 256 MiB, with room for 2 and 768. It uses at once what it gets."""
    room = {"memoryMib": "256", "maxVcpus": 2, "maxMemoryMib": "768"}
    tiny.create(agent, tiny_image, INSTANCE, **room)
    yield Shell(agent.api)
    tiny.delete(agent, INSTANCE)


class Shell:
    """The guest's shell on its serial port."""

    def __init__(self, api):
        self.api = api

    def run(self, command: str) -> str:
        """Runs a command and returns what the port carried until it was done."""
        heard = b""

        def done(message) -> bool:
            nonlocal heard
            heard += base64.b64decode(message.get("output", ""))
            return b"did-42" in heard

        with self.api.open("InstanceService/StreamSerial") as stream:
            stream.send({**TARGET, "takeOver": True})
            line = f"{command}; echo did-$((40+2))\n"
            stream.send({"input": base64.b64encode(line.encode()).decode()})
            stream.receive_until(done, 60)
        return heard.decode(errors="replace")

    def use_what_comes(self) -> None:
        """What rules of udev do in a larger guest, for what is there already and what is to come;
        movable, so that it can be given back."""
        self.run("echo online_movable >/sys/devices/system/memory/auto_online_blocks")
        self.run("while ! grep -q virtio_mem /proc/modules; do usleep 100000; done")
        self.run(
            "grep -l offline /sys/devices/system/memory/memory*/state |"
            " while read f; do echo online_movable >$f; done"
        )

    def cpus(self) -> int:
        self.run("for c in /sys/devices/system/cpu/cpu*/online; do echo 1 >$c; done")
        return int(re.findall(r"cpus=0(?:-(\d+))?", self.run("state"))[-1] or 0) + 1

    def memory_mib(self) -> int:
        return int(re.findall(r"mem_kib=(\d+)", self.run("state"))[-1]) // 1024


def resize(api, **to):
    return api.do("InstanceService/ResizeInstance", {**TARGET, "online": True, **to})


def refusal(api, **to):
    with pytest.raises(ApiError) as error:
        resize(api, **to)
    return error.value


def size_in_libvirt(node, *flags):
    """vCPUs, requested virtio-mem and current memory in MiB, of what runs or is defined."""
    domain = ElementTree.fromstring(node.virsh("dumpxml", *flags, INSTANCE))
    requested = domain.find("devices/memory/target/requested")
    vcpu = domain.find("vcpu")
    return int(vcpu.get("current", vcpu.text)), int(requested.text) // 1024


def test_a_guest_grows_and_shrinks_while_it_runs(node, agent, api, guest):
    guest.use_what_comes()
    before = guest.memory_mib()
    assert guest.cpus() == 1

    resize(api, vcpus=2, memoryMib="512")
    instance = api.instance(INSTANCE)
    assert (instance["state"], instance["spec"]["memoryMib"]) == ("RUNNING", "512")
    assert instance["bootMemoryMib"] == "256"
    assert "pendingSize" not in instance
    assert guest.cpus() == 2
    assert guest.memory_mib() - before > 200
    assert size_in_libvirt(node) == size_in_libvirt(node, "--inactive") == (2, 256)

    # Less again, and below what it booted with.
    resize(api, memoryMib="384")
    assert size_in_libvirt(node) == size_in_libvirt(node, "--inactive") == (2, 128)
    resize(api, memoryMib="200")
    assert size_in_libvirt(node) == (2, 0)
    assert guest.memory_mib() < before
    capacity = api.call("HostService/GetHost")["capacity"]
    assert capacity["memoryAllocatedMib"] == "256", "what the balloon holds is the guest's"
    shown = agent.cvmctl("instance", "get", INSTANCE).stdout
    assert "200 MiB, up to 768 MiB online, 256 MiB at boot" in shown

    # It has run all the time, on one boot.
    assert agent.console(INSTANCE).count("TINY-READY") == 1


def test_a_resized_guest_keeps_its_size_over_stop_and_start(node, agent, api, guest):
    guest.use_what_comes()
    before = guest.memory_mib()
    resize(api, vcpus=2, memoryMib="512")
    api.do("InstanceService/StopInstance", {**TARGET, "mode": "STOP_MODE_HARD"})
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/StartInstance", TARGET)
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    assert size_in_libvirt(node) == (2, 256)
    guest.use_what_comes()
    assert guest.memory_mib() - before > 200
    assert guest.cpus() == 2
    # Offline it becomes the memory at boot; the room that is left shrinks by that.
    printed = len(agent.console(INSTANCE))
    offline = {**TARGET, "vcpus": 1, "memoryMib": "640", "forceStop": True}
    api.do("InstanceService/ResizeInstance", offline)
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    assert size_in_libvirt(node) == (1, 0)
    assert "bootMemoryMib" not in api.instance(INSTANCE)
    assert refusal(api, memoryMib="772").metadata["limit"] == "768"


def test_what_cannot_be_done_online_is_refused(node, agent, api, guest):
    resize(api, vcpus=2)
    for size, limit in (
        ({"vcpus": 1}, "2"),
        ({"vcpus": 3}, "2"),
        ({"memoryMib": "772"}, "768"),
        ({"memoryMib": "100"}, "128"),
        # What could be done of it is not done either.
        ({"vcpus": 3, "memoryMib": "512"}, "2"),
    ):
        error = refusal(api, **size)
        assert (error.code, error.reason) == ("failed_precondition", "CANNOT_RESIZE_ONLINE")
        assert error.metadata["limit"] == limit
    assert refusal(api, memoryMib="258").reason == "CANNOT_RESIZE_ONLINE"
    assert refusal(api, vcpus=2, forceStop=True).reason == "FIELDS_CONFLICT"
    assert size_in_libvirt(node) == size_in_libvirt(node, "--inactive") == (2, 0)
    done = agent.cvmctl("instance", "resize", INSTANCE, "--vcpus", "1", "--online", check=False)
    assert done.returncode == 1 and "QEMU can crash" in done.stderr
    api.do("InstanceService/StopInstance", {**TARGET, "mode": "STOP_MODE_HARD"})
    assert refusal(api, vcpus=2).metadata["state"] == "STOPPED"


def test_a_guest_without_the_driver_keeps_its_former_size(node, api, guest):
    guest.use_what_comes()
    guest.run("rmmod virtio_mem")
    error = refusal(api, vcpus=2, memoryMib="512", timeout="5s")
    assert error.reason == "CANNOT_RESIZE_ONLINE" and "256 MiB" in error.message
    assert size_in_libvirt(node) == size_in_libvirt(node, "--inactive") == (1, 0)
    instance = api.instance(INSTANCE)
    assert (instance["state"], instance["spec"]["memoryMib"]) == ("RUNNING", "256")


@pytest.mark.usefixtures("guest")
def test_no_vcpu_without_kvm_unless_the_configuration_allows_it(node, agent, api):
    agent.stop()
    Agent(node)  # Writes the configuration as it is by default.
    agent.start()
    agent.wait_connected()
    if api.call("HostService/GetHost")["acceleration"] == "KVM":
        resize(api, vcpus=2)
    else:
        assert "emulated_vcpu_growth" in refusal(api, vcpus=2).message
        assert size_in_libvirt(node) == (1, 0)
    agent.stop()
    Agent(node, ALLOWED)
    agent.start()
    agent.wait_connected()
