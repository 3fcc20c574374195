# SPDX-License-Identifier: Apache-2.0
"""The agent with QEMU as the distribution runs it: its own user, dynamic ownership.

Everything that QEMU opens (disks, config drive, sockets, logs) must be reachable for that user.
"""

import pytest

from tests.harness import env, tiny
from tests.harness.agent import Agent
from tests.harness.node import Node

INSTANCE = "ins-distro01"


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("distribution", distribution_qemu=True) as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    with Agent(node) as agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="image", scope="module")
def fixture_image(agent):
    return agent.import_image(env.image("tiny"), "img-distro01")


def test_a_guest_lives_and_ends(node, agent, api, image):
    data = [{"sizeBytes": str(tiny.GIB)}]
    tiny.create(agent, image, INSTANCE, dataDisks=data, nics=[{}])
    pid = (node.dir / f"run/libvirt/qemu/{INSTANCE}.pid").read_text()
    owner = node.run(["stat", "--format=%U", f"/proc/{pid}"]).stdout.strip()
    assert owner == "libvirt-qemu"
    screenshot = api.call("InstanceService/GetScreenshot", {"instanceId": INSTANCE})
    assert screenshot["png"]

    hard = {"instanceId": INSTANCE, "mode": "STOP_MODE_HARD"}
    api.do("InstanceService/RebootInstance", hard)
    api.do("InstanceService/StopInstance", hard)
    # libvirt has given the files back to root; the next start must get them again.
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/StartInstance", {"instanceId": INSTANCE})
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    tiny.delete(agent, INSTANCE)


def test_two_guests_share_an_image(agent, api, image):
    """The second start must not take the image away from the first guest, nor its end."""
    others = [INSTANCE, "ins-distro02"]
    for instance in others:
        tiny.create(agent, image, instance)
    tiny.delete(agent, others[0])
    assert api.instance(others[1])["state"] == "RUNNING"
    hard = {"instanceId": others[1], "mode": "STOP_MODE_HARD"}
    printed = len(agent.console(others[1]))
    api.do("InstanceService/RebootInstance", hard)
    agent.wait_console(others[1], "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    tiny.delete(agent, others[1])


def test_uefi(agent, image):
    """The firmware's variables are one more file that QEMU writes. GRUB needs room beside it."""
    uefi = {"properties": {"firmware": "FIRMWARE_UEFI"}, "memoryMib": "512"}
    tiny.create(agent, image, INSTANCE, **uefi)
    tiny.delete(agent, INSTANCE)
