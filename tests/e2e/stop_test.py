# SPDX-License-Identifier: Apache-2.0
"""Stopping and rebooting on real libvirt: guests that obey, that do not, that act by themselves."""

import threading
import time

import pytest

from tests.harness import tiny
from tests.harness.api import ApiError
from tests.harness.waiting import wait_until

INSTANCE = "ins-stop0001"


@pytest.fixture(name="guest")
def fixture_guest(agent, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    yield {"instanceId": INSTANCE}
    tiny.delete(agent, INSTANCE)


def boot_ids(agent):
    lines = agent.console(INSTANCE).splitlines()
    return [line for line in lines if line.startswith("TINY-READY")]


def failure(api, method, request):
    with pytest.raises(ApiError) as error:
        api.do(method, request)
    return error.value.reason


def test_a_soft_stop_without_guest_agent_presses_the_power_button(agent, api, guest):
    api.do("InstanceService/StopInstance", {**guest, "mode": "STOP_MODE_SOFT", "timeout": "60s"})
    assert "POWERBTN" in agent.console(INSTANCE)
    power = api.instance(INSTANCE)["observedPower"]
    assert (power["state"], power["reason"]) == ("STOPPED", "shutdown")


def test_a_soft_stop_that_is_ignored_leaves_the_guest_on(node, agent, api, guest):
    tiny.ignore_power_button(api, INSTANCE)
    stop = {**guest, "mode": "STOP_MODE_SOFT", "timeout": "3s"}
    started = time.monotonic()
    assert failure(api, "InstanceService/StopInstance", stop) == "SOFT_STOP_TIMED_OUT"
    assert 3 <= time.monotonic() - started < 30
    assert api.instance(INSTANCE)["state"] == "RUNNING"
    assert node.virsh("domstate", INSTANCE) == "running"
    assert api.instance(INSTANCE)["wantedPower"] == "WANTED_POWER_ON"
    api.do("InstanceService/StopInstance", {**stop, "mode": "STOP_MODE_SOFT_FIRST"})
    assert api.instance(INSTANCE)["observedPower"]["reason"] == "destroyed"


def test_a_hard_stop_takes_over_a_pending_soft_one(api, guest):
    tiny.ignore_power_button(api, INSTANCE)
    soft = api.call(
        "InstanceService/StopInstance", {**guest, "mode": "STOP_MODE_SOFT", "timeout": "600s"}
    )
    with pytest.raises(ApiError) as busy:
        api.call("InstanceService/StopInstance", {**guest, "mode": "STOP_MODE_SOFT"})
    assert busy.value.reason == "OPERATION_IN_PROGRESS"
    started = time.monotonic()
    api.do("InstanceService/StopInstance", {**guest, "mode": "STOP_MODE_HARD"})
    api.wait(soft, 30)
    assert time.monotonic() - started < 30, "both end well, and soon"
    assert api.instance(INSTANCE)["state"] == "STOPPED"


def test_a_soft_reboot_that_is_ignored_is_reported(node, agent, api, guest):
    tiny.ignore_power_button(api, INSTANCE)
    boots = len(boot_ids(agent))
    reboot = {**guest, "mode": "STOP_MODE_SOFT", "timeout": "3s"}
    assert failure(api, "InstanceService/RebootInstance", reboot) == "GUEST_IGNORED_REBOOT"
    assert api.instance(INSTANCE)["state"] == "RUNNING"
    assert node.virsh("domstate", INSTANCE) == "running"
    assert len(boot_ids(agent)) == boots, "it was not rebooted by force"


def test_a_soft_reboot(agent, api, guest):
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/RebootInstance", {**guest, "mode": "STOP_MODE_SOFT", "timeout": "60s"})
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    assert api.instance(INSTANCE)["state"] == "RUNNING"
    assert len(set(boot_ids(agent))) == 2, "another boot id"


def test_a_shutdown_from_inside_is_seen_within_a_second(node, api, guest):
    """From libvirt's event to the event of WatchInstances, on the same clock."""
    command = ["stdbuf", "-oL", "virsh", "-c", "qemu:///system"]
    command += ["event", "--event", "lifecycle", "--loop", "--domain", INSTANCE]
    with (node.dir / "tmp/events").open("wb") as sink:
        events = node.popen(command, stdout=sink)
    seen = {}

    def libvirt_tells():
        log = node.dir / "tmp/events"
        wait_until(lambda: b"Stopped" in log.read_bytes(), 60, "libvirt's event", 0.01)
        seen["libvirt"] = time.monotonic()

    listener = threading.Thread(target=libvirt_tells)
    with api.watch("InstanceService/WatchInstances") as stream:
        stream.receive_until(lambda event: event["kind"] == "SYNCED", 30)
        listener.start()
        tiny.type_line(api, INSTANCE, "poweroff -f")
        stream.receive_until(
            lambda event: event.get("instance", {}).get("state") == "STOPPED", 60
        )
        seen["agent"] = time.monotonic()
    listener.join(60)
    events.send_signal(15)
    events.wait(10)
    (node.dir / "tmp/events").unlink()
    delay = seen["agent"] - seen["libvirt"]
    print(f"seen {delay * 1000:.0f} ms after libvirt's own client")
    assert delay < 1
    assert api.instance(INSTANCE)["observedPower"]["reason"] == "shutdown"
    assert api.instance(INSTANCE)["wantedPower"] == "WANTED_POWER_ON"


def test_a_cancelled_soft_stop_leaves_the_guest_on(api, guest):
    tiny.ignore_power_button(api, INSTANCE)
    soft = api.call(
        "InstanceService/StopInstance", {**guest, "mode": "STOP_MODE_SOFT", "timeout": "600s"}
    )
    api.call("OperationService/CancelOperation", {"operationId": soft["id"]})
    with pytest.raises(ApiError) as error:
        api.wait(soft, 30)
    assert error.value.reason == "OPERATION_CANCELLED"
    assert api.instance(INSTANCE)["state"] == "RUNNING"


def test_a_saved_guest_is_not_started(node, api, guest):
    """Saved behind the agent's back, as libvirt-guests does: starting it would resume it."""
    node.virsh("managedsave", INSTANCE)
    wait_until(lambda: api.instance(INSTANCE)["state"] == "STOPPED", 30, "it is seen to be off")
    assert failure(api, "InstanceService/StartInstance", guest) == "INVALID_INSTANCE_STATE"
    node.virsh("managedsave-remove", INSTANCE)
    api.do("InstanceService/StartInstance", guest)
    assert api.instance(INSTANCE)["state"] == "RUNNING"
