# SPDX-License-Identifier: Apache-2.0
"""What others do to the host behind the agent's back, on the real libvirt."""

import os
import re
import time
import uuid

import pytest

from tests.harness import env, hand_made, tiny
from tests.harness.api import ApiError
from tests.harness.waiting import wait_until

INSTANCE = "ins-reconc01"
OTHER = "ins-reconc02"
WATCHED = "ins-reconc03"
ADOPTED = "ins-adopted1"


def findings(api):
    answer = api.call("HostService/CheckHost")
    return {(entry["kind"], entry["object"]) for entry in answer.get("findings", [])}


def events(api, **condition):
    """Waits for an event with these fields and returns it."""
    with api.watch("HostService/WatchEvents") as stream:
        return stream.receive_until(
            lambda event: all(event.get(key) == value for key, value in condition.items()), 60
        )[-1]


def state(api, instance_id):
    return api.instance(instance_id)["state"]


def domains(node):
    return set(node.virsh("list", "--all", "--name").split())


def autostart(node, name):
    return re.search(r"Autostart: +(\w+)", node.virsh("dominfo", name)).group(1)


@pytest.fixture(name="foreign")
def fixture_foreign(node):
    """Defines a domain by hand; its name, UUID and disk. Whatever becomes of it, all is removed."""
    name, identity, disk = "made-by-hand", str(uuid.uuid4()), node.dir / "hand-made.qcow2"
    disk.write_bytes(env.image("tiny").read_bytes())
    hand_made.define(node, name, identity, disk)
    node.virsh("autostart", name)
    yield name, identity, disk
    node.virsh("destroy", name, check=False)
    node.virsh("undefine", name, check=False)
    disk.unlink()


def test_an_undefined_domain_is_defined_again_and_not_started(node, agent, api, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    before = api.instance(INSTANCE)
    # While it runs: the definition comes back under the running guest.
    node.virsh("undefine", INSTANCE)
    wait_until(
        lambda: "yes" in re.search(r"Persistent: +\w+", node.virsh("dominfo", INSTANCE)).group(0),
        60,
        "the definition is written again",
    )
    assert node.virsh("domstate", INSTANCE) == "running"
    assert agent.console(INSTANCE).count("TINY-READY") == 1
    # And when it is off.
    node.virsh("destroy", INSTANCE)
    wait_until(lambda: state(api, INSTANCE) == "STOPPED", 30, "the stop is seen")
    event = events(api, kind="POWER_CHANGED", instanceId=INSTANCE, domainUuid=before["uuid"])
    assert event["time"] and event["message"]
    node.virsh("undefine", INSTANCE)
    wait_until(lambda: INSTANCE in domains(node), 60, "the definition is written again")
    assert events(api, kind="FOUND", finding="DOMAIN_MISSING")["instanceId"] == INSTANCE
    assert events(api, kind="REPAIRED")["instanceId"] == INSTANCE
    assert node.virsh("domstate", INSTANCE) == "shut off", "never started by itself"
    wait_until(
        lambda: api.instance(INSTANCE)["latestOperation"]["state"] == "SUCCESS", 30, "it is done"
    )
    after = api.instance(INSTANCE)
    assert (after["uuid"], after["spec"]) == (before["uuid"], before["spec"])
    api.do("InstanceService/StartInstance", {"instanceId": INSTANCE})
    node.virsh("destroy", INSTANCE)
    node.virsh("start", INSTANCE)
    wait_until(lambda: state(api, INSTANCE) == "RUNNING", 30, "somebody's start is seen")
    tiny.delete(agent, INSTANCE)


def test_a_changed_definition_is_told_and_repaired_on_request(node, agent, api, tiny_image):
    request = {"instanceId": INSTANCE, "spec": tiny.spec(tiny_image), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    assert findings(api) == set(), "libvirt's own form of a definition is no drift"
    node.virsh("setmaxmem", INSTANCE, "262144", "--config")
    assert findings(api) == {("DEFINITION_DRIFT", INSTANCE)}
    api.do("HostService/RepairHost", {})
    assert findings(api) == {("DEFINITION_DRIFT", INSTANCE)}, "only when it is named"
    api.do("HostService/RepairHost", {"kinds": ["DEFINITION_DRIFT"]})
    assert findings(api) == set()
    assert "131072" in node.virsh("dumpxml", "--inactive", INSTANCE)
    tiny.delete(agent, INSTANCE)


def test_what_nobody_owns_is_listed_and_removed(node, agent, api, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE, nics=[{}])
    assert findings(api) == set()
    disk = agent.state_dir / "volumes/disk-orphan01.qcow2"
    disk.write_bytes(b"orphan")
    iso = agent.state_dir / "instances" / INSTANCE / "config-drive-99.iso"
    iso.write_bytes(b"orphan")
    folder = agent.state_dir / "instances/ins-orphan01"
    folder.mkdir()
    (folder / "config-drive-1.iso").write_bytes(b"orphan")
    node.run(["ip", "tuntap", "add", "dev", "cvmorphan01-0", "mode", "tap"])
    node.run(["ip", "link", "set", "cvmorphan01-0", "master", node.bridge, "up"])
    planted = {
        ("ORPHANED_DISK", disk.name),
        ("ORPHANED_ISO", f"{INSTANCE}/{iso.name}"),
        ("ORPHANED_INSTANCE_FOLDER", folder.name),
        ("ORPHANED_TAP", "cvmorphan01-0"),
    }
    assert findings(api) == planted
    listed = agent.cvmctl("host", "check").stdout
    assert all(name in listed for _, name in planted)
    assert findings(api) == planted, "a check changes nothing"
    agent.cvmctl("host", "check", "--repair", "--wait")
    assert findings(api) == set()
    assert not disk.exists() and not iso.exists() and not folder.exists()
    assert "cvmorphan01-0" not in node.run(["ip", "link"]).stdout
    # The running guest kept its disk, its ISO and its tap.
    assert "cvmreconc01-0" in node.run(["ip", "link"]).stdout
    assert state(api, INSTANCE) == "RUNNING"
    shown = agent.cvmctl("host", "events", "--duration", "2s").stdout
    assert "REPAIRED ORPHANED_TAP" in shown
    tiny.delete(agent, INSTANCE)


@pytest.mark.parametrize("running", [True, False])
def test_a_domain_made_by_hand_is_adopted(node, agent, api, foreign, running):
    name, identity, disk = foreign
    if running:
        node.virsh("start", name)
    wait_until(
        lambda: ("FOREIGN_DOMAIN", name) in findings(api), 30, "the domain is seen as foreign"
    )
    definition = node.virsh("dumpxml", "--inactive", name)
    request = {"uuid": identity, "instanceId": ADOPTED, "owner": "me", "requestId": f"a{running}"}
    operation = api.do("InstanceService/AdoptInstance", request)
    assert api.call("InstanceService/AdoptInstance", request)["id"] == operation["id"]
    with pytest.raises(ApiError) as error:
        api.call("InstanceService/AdoptInstance", {"uuid": identity})
    assert error.value.reason == "DOMAIN_IN_USE"
    instance = api.instance(ADOPTED)
    assert instance["adopted"] and instance["domainName"] == name
    assert instance["state"] == ("RUNNING" if running else "STOPPED")
    assert (instance["spec"]["vcpus"], instance["spec"]["memoryMib"]) == (1, "128")
    assert int(instance["spec"]["systemDisk"]["sizeBytes"]) == 64 << 20
    assert instance["spec"]["nics"][0]["mac"] == "52:54:00:aa:bb:cc"
    assert autostart(node, name) == "disable"
    assert ADOPTED in node.virsh("metadata", name, "urn:cvm:agent:1", "--config")
    # Nothing else of the definition has changed.
    now = node.virsh("dumpxml", "--inactive", name)
    assert re.sub(r"\s*<metadata>.*?</metadata>", "", now, flags=re.S) == definition
    assert findings(api) == set()

    if not running:
        api.do("InstanceService/StartInstance", {"instanceId": ADOPTED})
    assert state(api, ADOPTED) == "RUNNING"
    assert api.call("InstanceService/GetScreenshot", {"instanceId": ADOPTED})["png"]
    update = {"instanceId": ADOPTED, "owner": "you", "updateMask": "owner"}
    api.do("InstanceService/UpdateInstance", update)
    assert '"owner":"you"' in node.virsh("metadata", name, "urn:cvm:agent:1", "--config").replace(
        "&quot;", '"'
    )
    reboot = {"instanceId": ADOPTED, "mode": "STOP_MODE_HARD"}
    api.do("InstanceService/RebootInstance", reboot)
    with pytest.raises(ApiError) as error:
        api.call(
            "InstanceService/ResizeInstance",
            {"instanceId": ADOPTED, "vcpus": 2, "forceStop": True},
        )
    assert error.value.reason == "ADOPTED_INSTANCE"
    api.do("InstanceService/DeleteInstance", {"instanceId": ADOPTED})
    assert name not in domains(node)
    assert disk.exists(), "its disk is somebody else's"


@pytest.fixture(name="put_store_back")
def fixture_put_store_back(agent):
    """The store as it was before the test is there again after it: for the images of others."""
    agent.stop()
    before = {file: file.read_bytes() for file in agent.state_dir.glob("state.db*")}
    agent.start()
    agent.wait_connected()
    yield
    agent.stop()
    for file in agent.state_dir.glob("state.db*"):
        file.unlink()
    for file, content in before.items():
        file.write_bytes(content)
    agent.start()
    agent.wait_connected()


@pytest.mark.usefixtures("put_store_back")
def test_a_lost_store_is_rebuilt_from_the_domains(agent, api, tiny_image):
    def findings_of_test():
        return {found for found in findings(api) if found[1] not in others}

    others = {f"{entry['id']}.qcow2" for entry in api.call("ImageService/ListImages")["images"]}
    tiny.create(agent, tiny_image, INSTANCE, nics=[{}], tags={"kept": "yes"})
    kept = {"id": "disk-reconc03", "sizeBytes": str(1 << 20)}
    request = {
        "instanceId": OTHER,
        "spec": tiny.spec(tiny_image, dataDisks=[kept]),
        "start": "START_NO",
    }
    api.do("InstanceService/CreateInstance", request)
    api.do(
        "InstanceService/DeleteInstance", {"instanceId": OTHER, "keepDiskIds": ["disk-reconc03"]}
    )
    del request["spec"]["dataDisks"]
    api.do("InstanceService/CreateInstance", request)
    before = {entry["id"]: entry for entry in api.instances()}
    agent.kill()
    for file in agent.state_dir.glob("state.db*"):
        file.unlink()
    an_hour_ago = time.time() - 3600
    os.utime(agent.state_dir / "volumes/disk-reconc03.qcow2", (an_hour_ago, an_hour_ago))
    agent.start()
    agent.wait_connected()
    wait_until(lambda: len(api.instances()) == 2, 60, "both are back")
    for instance_id, old in before.items():
        new = api.instance(instance_id)
        for field in ("uuid", "spec", "createTime", "state", "lifecycle", "etag"):
            assert new[field] == old[field], field
    assert agent.console(INSTANCE).count("TINY-READY") == 1, "the guest ran on"
    assert api.call("ImageService/GetImage", {"imageId": tiny_image})["state"] == "READY"
    assert events(api, kind="INSTANCE_REBUILT", instanceId=INSTANCE)["message"]
    # What no domain speaks of is listed, and stays until it is named.
    lost = ("LOST_DISK", "disk-reconc03.qcow2")
    assert findings_of_test() == {lost}
    api.do("HostService/RepairHost", {})
    assert findings_of_test() == {lost}
    api.do("HostService/RepairHost", {"kinds": ["LOST_DISK"]})
    assert findings_of_test() == set()
    # It all works on.
    api.do("InstanceService/StartInstance", {"instanceId": OTHER})
    api.do("InstanceService/StopInstance", {"instanceId": INSTANCE, "mode": "STOP_MODE_HARD"})
    tiny.delete(agent, INSTANCE)
    tiny.delete(agent, OTHER)


def test_events_resume_where_they_ended(agent, api, tiny_image):
    tiny.create(agent, tiny_image, WATCHED)
    with api.watch("HostService/WatchEvents") as stream:
        last = stream.receive_until(
            lambda event: event.get("instanceId") == WATCHED and "is running" in event["message"],
            60,
        )[-1]
    assert last["kind"] == "POWER_CHANGED"
    api.do("InstanceService/StopInstance", {"instanceId": WATCHED, "mode": "STOP_MODE_HARD"})
    request = {"resumeToken": last["resumeToken"]}
    with api.watch("HostService/WatchEvents", request) as stream:
        missed = stream.receive_until(lambda event: "STOP_INSTANCE" in event["message"], 30)
        assert last["message"] not in [event["message"] for event in missed]
    agent.stop()
    agent.start()
    with api.watch("HostService/WatchEvents", request) as stream:
        assert stream.receive(30)["kind"] == "RESYNC"
    with pytest.raises(ApiError) as error:
        with api.watch("HostService/WatchEvents", {"resumeToken": "no token"}) as stream:
            stream.receive(30)
    assert error.value.reason == "INVALID_PAGE_TOKEN"
    tiny.delete(agent, WATCHED)
