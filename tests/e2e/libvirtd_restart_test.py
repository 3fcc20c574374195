# SPDX-License-Identifier: Apache-2.0
"""libvirtd dies and comes back while the agent runs: the agent says so and needs no restart."""

import time

import pytest

from tests.harness import tiny
from tests.harness.api import ApiError
from tests.harness.waiting import wait_until

INSTANCE = "ins-restart1"
# How long the agent may take to notice. A dead socket is seen at once.
NOTICE_TIMEOUT = 30
RECONNECT_TIMEOUT = 60


def state_of(api, instance_id=INSTANCE):
    return api.instance(instance_id)["state"]


def wait_state(api, state, timeout, instance_id=INSTANCE):
    wait_until(lambda: state_of(api, instance_id) == state, timeout, f"{instance_id} is {state}")


def qemu_pids(node):
    return node.run(["pgrep", "-f", f"guest={INSTANCE}"], check=False).stdout.split()


@pytest.fixture(name="guest")
def fixture_guest(agent, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    yield INSTANCE
    tiny.delete(agent, INSTANCE)


def test_guests_are_listed_again(node, agent, api, guest):
    agent_pid = agent.process.pid
    qemu = qemu_pids(node)
    assert len(qemu) == 1

    node.kill_libvirtd()
    wait_state(api, "UNKNOWN", NOTICE_TIMEOUT)
    power = api.instance(guest)["observedPower"]
    assert power["state"] == "UNKNOWN"
    assert power["lastKnown"] == "RUNNING"
    assert power["observedAt"], "since when it is unknown"
    host = api.call("HostService/GetHost")
    assert not host["hypervisor"].get("connected", False)
    assert host["hypervisor"]["message"]

    # Lists answer from memory, and what is unknown is no reason to act.
    started = time.monotonic()
    assert [entry["state"] for entry in api.instances()] == ["UNKNOWN"]
    assert time.monotonic() - started < 5
    for call in ("StartInstance", "StopInstance", "RebootInstance"):
        with pytest.raises(ApiError) as refused:
            api.call(f"InstanceService/{call}", {"instanceId": guest})
        assert refused.value.reason == "STATE_UNKNOWN"

    node.start_libvirtd()
    wait_state(api, "RUNNING", RECONNECT_TIMEOUT)
    assert [entry["id"] for entry in api.instances()] == [guest]
    assert agent.process.pid == agent_pid and agent.process.returncode is None
    assert qemu_pids(node) == qemu, "the guest went on"

    # Events arrive again: a change that the agent did not make is seen.
    node.virsh("destroy", guest)
    wait_state(api, "STOPPED", NOTICE_TIMEOUT)


def test_what_happened_meanwhile_is_seen(node, api, guest):
    """A guest that ended while nobody looked is not reported as running."""
    node.kill_libvirtd()
    wait_state(api, "UNKNOWN", NOTICE_TIMEOUT)
    node.run(["kill", "-9", *qemu_pids(node)])
    wait_until(lambda: not qemu_pids(node), 20, "QEMU is gone")
    node.start_libvirtd()
    wait_state(api, "STOPPED", RECONNECT_TIMEOUT)
    # libvirt does not remove the group of a guest that ended without it.
    groups = ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*-{guest}.libvirt-qemu*"]
    node.run([*groups, "-exec", "rmdir", "{}", "+"])
    api.do("InstanceService/StartInstance", {"instanceId": guest})
    assert state_of(api) == "RUNNING"


def test_restarts_in_a_row(node, api, guest):
    for _ in range(3):
        node.restart_libvirtd()
    wait_state(api, "RUNNING", RECONNECT_TIMEOUT)
    api.do("InstanceService/StopInstance", {"instanceId": guest, "mode": "STOP_MODE_HARD"})
    assert state_of(api) == "STOPPED"


def test_an_operation_outlives_a_restart(node, agent, api, tiny_image):
    """libvirtd goes away under a creation: it ends with the truth, and leaves nothing."""
    request = {"instanceId": INSTANCE, "spec": tiny.spec(tiny_image)}
    operation = api.call("InstanceService/CreateInstance", request)
    node.restart_libvirtd()
    try:
        api.wait(operation, timeout=240)
        wait_state(api, "RUNNING", RECONNECT_TIMEOUT)
    except ApiError:
        assert state_of(api) == "LAUNCH_FAILED"
        assert node.virsh("list", "--all", "--name") == ""
    tiny.delete(agent, INSTANCE)
