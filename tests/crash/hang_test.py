# SPDX-License-Identifier: Apache-2.0
"""libvirtd, then one QEMU, hang (SIGSTOP): what does not need them goes on, nothing is untrue."""

import datetime
import signal
import threading
import time

import pytest

from tests.harness import env, tiny, truth
from tests.harness.agent import Agent
from tests.harness.api import ApiError
from tests.harness.node import Node
from tests.harness.waiting import wait_until

HUNG = "ins-hang0001"
OTHER = "ins-hang0002"
# An answer from memory, on a busy machine.
AT_ONCE = 5
# A hard stop of a healthy guest under emulation.
STOP_TIME = 40
NOTICE_TIME = 45
# The call's deadline, the grace below, and what libvirt takes.
FAIL_TIME = 120


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("hang") as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    # So that what waits for a hung one is told soon.
    overrides = {"operations.hypervisor_grace": "5s", "libvirt.call_timeout": "15s"}
    with Agent(node, overrides) as agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="tiny_image", scope="module")
def fixture_tiny_image(agent):
    return agent.import_image(env.image("tiny"), "img-tiny0000")


@pytest.fixture(name="guests")
def fixture_guests(agent, tiny_image):
    for guest in (HUNG, OTHER):
        request = {"instanceId": guest, "spec": tiny.spec(tiny_image, nics=[{}])}
        agent.api.do("InstanceService/CreateInstance", request)
    yield
    for guest in (HUNG, OTHER):
        tiny.delete(agent, guest)


class Stopped:
    """Processes of the node that hang within the block."""

    def __init__(self, node, *pids: str):
        self._node = node
        self._pids = pids

    def __enter__(self):
        self._send(signal.SIGSTOP)
        return self

    def __exit__(self, *_) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        self._node.run(["kill", f"-{int(number)}", *self._pids], check=False)


def libvirtd_pid(node) -> str:
    return node.path("/run/libvirt/libvirtd.pid").read_text().strip()


def qemu_pid(node, guest: str) -> str:
    return node.run(["pgrep", "-f", f"guest={guest},"]).stdout.split()[0]


def state(api, guest: str) -> str:
    return api.instance(guest)["state"]


def within(seconds: float, call):
    started = time.monotonic()
    result = call()
    took = time.monotonic() - started
    assert took < seconds, f"took {took:.1f} s, at most {seconds} s"
    return result


def seconds(timestamp: str) -> float:
    """Whole ones, of a time of the API's."""
    return datetime.datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp()


def observed_at(api) -> float:
    """How old the list of the instances is, as it says."""
    return seconds(api.call("InstanceService/ListInstances")["observedAt"])


def stop_hard(api, guest: str, request_id: str) -> dict:
    request = {"instanceId": guest, "mode": "STOP_MODE_HARD", "requestId": request_id}
    return api.call("InstanceService/StopInstance", request)


def test_libvirtd_hangs(node, agent, api, guests):
    with Stopped(node, libvirtd_pid(node)):
        stopped_at = time.time()
        # Before anybody has noticed.
        listed = within(AT_ONCE, api.instances)
        assert {entry["id"] for entry in listed} == {HUNG, OTHER}
        assert observed_at(api) <= stopped_at
        operation = within(AT_ONCE, lambda: stop_hard(api, HUNG, "stop-hung"))
        assert operation["state"] == "OPERATING"

        # Noticed: unknown since then, and what was known last.
        wait_until(lambda: state(api, OTHER) == "UNKNOWN", NOTICE_TIME, "the hang is noticed")
        power = api.instance(OTHER)["observedPower"]
        assert power["lastKnown"] == "RUNNING" and power["reason"] == "no-connection"
        assert seconds(power["observedAt"]) == within(AT_ONCE, lambda: observed_at(api))
        assert stopped_at - AT_ONCE < observed_at(api) <= stopped_at
        host = within(AT_ONCE, lambda: api.call("HostService/GetHost"))
        assert not host["hypervisor"].get("connected", False)
        assert within(AT_ONCE, lambda: api.call("ImageService/ListImages"))["images"]
        with pytest.raises(ApiError) as refused:
            within(AT_ONCE, lambda: stop_hard(api, OTHER, "stop-other"))
        assert refused.value.reason == "STATE_UNKNOWN"

        # The stop that was taken on ends in time, and says why.
        with pytest.raises(ApiError) as failed:
            api.wait(operation, FAIL_TIME)
        assert failed.value.reason == "HYPERVISOR_UNAVAILABLE"
        assert state(api, HUNG) == "UNKNOWN", "nobody knows whether it was carried out"

    # Carried out late or not at all: what is said is what is.
    wait_until(lambda: state(api, OTHER) == "RUNNING", 60, "libvirtd is asked again")
    truth.wait_true(agent)
    wait_until(lambda: observed_at(api) > time.time() - AT_ONCE, 60, "the list is as of now")
    again = stop_hard(api, HUNG, "stop-hung")
    assert (again["id"], again["state"]) == (operation["id"], "FAILED")
    api.wait(stop_hard(api, OTHER, "stop-other"))
    assert state(api, OTHER) == "STOPPED"


def test_a_short_hang_of_libvirtd_is_waited_out(node, agent, api, guests):
    with Stopped(node, libvirtd_pid(node)):
        operation = stop_hard(api, HUNG, "short-hang")
        assert api.instances()
    api.wait(operation, FAIL_TIME)
    assert state(api, HUNG) == "STOPPED"
    truth.wait_true(agent)


def test_a_qemu_hangs(node, agent, api, guests):
    with Stopped(node, qemu_pid(node, HUNG)):
        # Something waits for the hung one.
        errors = []

        def look() -> None:
            try:
                api.call("InstanceService/GetScreenshot", {"instanceId": HUNG}, timeout=120)
            except ApiError as error:
                errors.append(error.reason)

        looking = threading.Thread(target=look)
        looking.start()
        assert len(within(AT_ONCE, api.instances)) == 2
        screenshot = {"instanceId": OTHER}
        within(STOP_TIME, lambda: api.call("InstanceService/GetScreenshot", screenshot))
        within(STOP_TIME, lambda: api.wait(stop_hard(api, OTHER, "stop-the-other")))
        assert state(api, OTHER) == "STOPPED"
        assert state(api, HUNG) == "RUNNING", "as libvirt says"
        looking.join(120)
        assert errors == ["HYPERVISOR_UNAVAILABLE"], errors
    truth.wait_true(agent)
    assert state(api, HUNG) == "RUNNING"
    wait_until(lambda: screen_of(api, HUNG), 60, "the guest that hung is served again")

    with Stopped(node, qemu_pid(node, HUNG)):
        within(FAIL_TIME, lambda: api.wait(stop_hard(api, HUNG, "stop-the-hung"), FAIL_TIME))
        assert state(api, HUNG) == "STOPPED"
        truth.wait_true(agent)


def screen_of(api, guest: str) -> bool:
    try:
        return bool(api.call("InstanceService/GetScreenshot", {"instanceId": guest})["png"])
    except ApiError:
        return False
