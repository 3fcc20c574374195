# SPDX-License-Identifier: Apache-2.0
"""The host itself: maintenance, its shutdown, its boot; and the disks that outlive an instance."""

import pathlib
import time
import uuid

import pytest

from tests.harness import tiny
from tests.harness.api import ApiError
from tests.harness.waiting import wait_until

FIRST = "ins-host0001"
SECOND = "ins-host0002"
THIRD = "ins-host0003"
VOLUME = "disk-host0001"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def refused(api, method, request):
    """The reason for which a call fails."""
    with pytest.raises(ApiError) as error:
        api.call(method, request)
    return error.value.reason


def host_of(api):
    return api.call("HostService/GetHost")


def maintenance(api, on, reason=""):
    api.do("HostService/SetMaintenance", {"on": on, "reason": reason})


@pytest.fixture(name="boot_id")
def fixture_boot_id(node, agent):
    """A file that the node's processes see as the kernel's boot id: `write_text` and a restart of
    the agent are a boot of the host, as far as the agent can tell."""
    file = pathlib.Path(node.dir / "tmp/boot_id")
    file.write_text(pathlib.Path(BOOT_ID).read_text())
    node.run(["mount", "--bind", file, BOOT_ID])
    yield file
    node.run(["umount", BOOT_ID])
    file.unlink()
    # The agent's next boot is the real one again: nothing may be left to start then.
    agent.api.delete_all_instances()
    agent.stop()
    agent.start()
    agent.wait_connected()


def reboot_host(node, agent, boot_id, instances):
    """All guests end without a word, and the agent comes up in another boot."""
    agent.kill()
    for instance in instances:
        node.run(["pkill", "-9", "-f", f"guest={instance},"], check=False)
    node.kill_libvirtd()
    for instance in instances:
        # libvirt does not remove the group of a guest that ended without it.
        node.run(
            ["find", "/sys/fs/cgroup", "-depth", "-type", "d"]
            + ["-path", f"*-{instance}.libvirt-qemu*", "-exec", "rmdir", "{}", "+"]
        )
    boot_id.write_text(f"{uuid.uuid4()}\n")
    node.start_libvirtd()
    agent.start()
    agent.wait_connected()


def wait_state(api, instance, state, timeout=60):
    wait_until(lambda: api.instance(instance)["state"] == state, timeout, f"{instance} is {state}")


def test_maintenance(agent, api, tiny_image):
    tiny.create(agent, tiny_image, FIRST)
    maintenance(api, True, "new disks")
    shown = host_of(api)["maintenance"]
    assert shown["on"] and shown["reason"] == "new disks" and shown["since"]
    request = {"instanceId": SECOND, "spec": tiny.spec(tiny_image)}
    assert refused(api, "InstanceService/CreateInstance", request) == "HOST_IN_MAINTENANCE"
    assert api.instance(FIRST)["state"] == "RUNNING"
    agent.kill()
    agent.start()
    agent.wait_connected()
    assert host_of(api)["maintenance"]["on"], "it outlives the agent"
    wait_state(api, FIRST, "RUNNING")
    api.do("InstanceService/StopInstance", {"instanceId": FIRST, "mode": "STOP_MODE_HARD"})
    target = {"instanceId": FIRST}
    assert refused(api, "InstanceService/StartInstance", target) == "HOST_IN_MAINTENANCE"
    denied = {entry["action"]: entry["reason"] for entry in api.instance(FIRST)["deniedActions"]}
    assert denied["START_INSTANCE"] == "HOST_IN_MAINTENANCE"
    agent.cvmctl("host", "maintenance", "off", "--wait")
    assert "on" not in host_of(api)["maintenance"]
    api.do("InstanceService/StartInstance", target)
    tiny.delete(agent, FIRST)


def test_guests_are_stopped_in_order_and_started_after_the_boot(
    node, agent, api, tiny_image, boot_id
):
    for instance, order in ((FIRST, "5"), (SECOND, "-5")):
        tiny.create(agent, tiny_image, instance, tags={"cvm.stop-order": order})
    request = {"instanceId": THIRD, "spec": tiny.spec(tiny_image), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    # Noted: the boot in which they were made.
    agent.stop()
    agent.start()
    agent.wait_connected()
    wait_state(api, FIRST, "RUNNING")

    # The host goes down, as the unit does it.
    agent.cvmctl("host", "stop-guests", "--budget", "2m", "--wait")
    gone = {}
    for instance in (FIRST, SECOND):
        shown = api.instance(instance)
        assert (shown["state"], shown["wantedPower"]) == ("STOPPED", "WANTED_POWER_ON")
        assert "POWERBTN" in agent.console(instance), "it was asked, not cut off"
        gone[instance] = shown["observedPower"]["observedAt"]
    assert gone[SECOND] < gone[FIRST], "the lower number first"
    assert node.virsh("list", "--name") == ""
    assert "saved" not in node.virsh("list", "--all", "--managed-save")

    # A restart of the agent is no boot.
    agent.stop()
    agent.start()
    agent.wait_connected()
    assert host_of(api).get("instancesToStart", 0) == 0
    assert api.instance(FIRST)["state"] == "STOPPED"

    printed = len(agent.console(FIRST))
    reboot_host(node, agent, boot_id, [])
    agent.wait_console(FIRST, "TINY-READY", tiny.READY_TIMEOUT, after=printed)
    wait_state(api, SECOND, "RUNNING")
    assert api.instance(THIRD)["state"] == "STOPPED"
    assert host_of(api)["bootId"] == boot_id.read_text().strip()
    started = api.instance(SECOND)["latestOperation"]
    assert started["action"] == "START_INSTANCE" and started["requestId"].startswith("boot-")
    for instance in (FIRST, SECOND, THIRD):
        tiny.delete(agent, instance)


def test_a_crash_of_the_host_and_of_the_agent_after_it(node, agent, api, tiny_image, boot_id):
    for instance in (FIRST, SECOND):
        tiny.create(agent, tiny_image, instance)
    agent.stop()
    agent.start()
    agent.wait_connected()
    maintenance(api, True)
    reboot_host(node, agent, boot_id, [FIRST, SECOND])
    wait_state(api, FIRST, "STOPPED")
    assert host_of(api)["instancesToStart"] == 2, "not while maintenance is on"
    assert node.virsh("list", "--name") == ""
    agent.kill()
    agent.start()
    agent.wait_connected()
    assert host_of(api)["instancesToStart"] == 2, "not forgotten either"
    maintenance(api, False)
    for instance in (FIRST, SECOND):
        wait_state(api, instance, "RUNNING", 120)
    wait_until(
        lambda: host_of(api).get("instancesToStart", 0) == 0, 30, "nothing is left to start"
    )
    for instance in (FIRST, SECOND):
        tiny.delete(agent, instance)


def test_a_guest_that_ignores_the_shutdown_is_cut_off(node, agent, api, tiny_image):
    tiny.create(agent, tiny_image, FIRST)
    tiny.ignore_power_button(api, FIRST)
    started = time.monotonic()
    api.do("HostService/StopGuests", {"budget": "5s"})
    assert 5 <= time.monotonic() - started < 30
    assert api.instance(FIRST)["state"] == "STOPPED"
    assert api.instance(FIRST)["wantedPower"] == "WANTED_POWER_ON"
    tiny.delete(agent, FIRST)


def test_a_disk_outlives_its_instance(agent, api, tiny_image):
    disks = [{"id": VOLUME, "sizeBytes": str(tiny.GIB)}, {"sizeBytes": str(tiny.GIB)}]
    tiny.create(agent, tiny_image, FIRST, dataDisks=disks)
    tiny.type_line(api, FIRST, "echo kept-it | dd of=/dev/vdb conv=fsync; echo wrote-$((1 + 1))")
    agent.wait_console(FIRST, "wrote-2", 60)
    wrong = {"instanceId": FIRST, "keepDiskIds": ["disk-absent00"]}
    assert refused(api, "InstanceService/DeleteInstance", wrong) == "INVALID_FIELD"
    agent.cvmctl("instance", "delete", FIRST, "--keep", VOLUME, "--wait")
    volume = api.call("VolumeService/GetVolume", {"volumeId": VOLUME})
    assert (volume["state"], volume["sourceInstanceId"]) == ("AVAILABLE", FIRST)
    assert [entry["id"] for entry in api.call("VolumeService/ListVolumes")["volumes"]] == [VOLUME]
    assert [path.name for path in (agent.state_dir / "volumes").glob("*")] == [f"{VOLUME}.qcow2"]
    assert VOLUME in agent.cvmctl("volume", "list").stdout
    assert host_of(api)["volumesTotal"] == 1

    tiny.create(agent, tiny_image, SECOND, dataDisks=[{"id": VOLUME}])
    assert refused(api, "VolumeService/GetVolume", {"volumeId": VOLUME}) == "VOLUME_NOT_FOUND"
    tiny.type_line(api, SECOND, "head -c 8 /dev/vdb")
    agent.wait_console(SECOND, "\nkept-it", 60)
    api.do("InstanceService/DeleteInstance", {"instanceId": SECOND, "keepDiskIds": [VOLUME]})
    api.do("VolumeService/DeleteVolume", {"volumeId": VOLUME})
    assert not list((agent.state_dir / "volumes").glob("*"))


def test_capacity_adds_up(agent, api, tiny_image):
    before = host_of(api)["capacity"]
    number = {key: float(value) for key, value in before.items()}
    assert number["vcpusTotal"] == int(number["cpus"] * number["cpuOvercommit"])
    assert number["memoryAvailableMib"] == (
        number["memoryTotalMib"]
        - number["memoryReservedMib"]
        - number.get("memoryAllocatedMib", 0)
    )
    tiny.create(agent, tiny_image, FIRST)
    after = {key: float(value) for key, value in host_of(api)["capacity"].items()}
    assert number["vcpusAvailable"] - after["vcpusAvailable"] == 1
    assert number["memoryAvailableMib"] - after["memoryAvailableMib"] == 128
    assert number["diskAvailableBytes"] - after["diskAvailableBytes"] == tiny.GIB
    assert "available" in agent.cvmctl("host", "get").stdout
    tiny.delete(agent, FIRST)
