# SPDX-License-Identifier: Apache-2.0
"""The table of workflows. Each entry is run against every kind of fault; to add one, add an entry.

An entry says from where the workflow begins, what is asked for, and what is true when its operation
has ended in SUCCESS or in FAILED, whatever happened on the way.
"""

import dataclasses
import re
from typing import Callable, Dict, Optional, Tuple

from tests.crash.surroundings import HAND_MADE, HAND_MADE_UUID, VOLUME
from tests.crash.world import IMAGE, INSTANCE, PASSWORD_HASH, World

# Long enough for a guest that is ready, short enough for one that is not.
SOFT = {"mode": "STOP_MODE_SOFT", "timeout": "20s"}
TARGET = {"instanceId": INSTANCE}
HARD = {"mode": "STOP_MODE_HARD"}
ROGUE_UUID = "11111111-2222-4333-8444-555555555555"


@dataclasses.dataclass(frozen=True)
class Workflow:
    name: str
    # Of the agent's crash sites.
    action: str
    method: str
    # Brings the host to where the workflow begins.
    prepare: Callable[[World], None]
    # The request without its id, which it may use to tell one try from another.
    request: Callable[[World, str], dict]
    # The instance's states that are true after the end of the operation, by how it ended.
    states: Dict[str, Tuple[str, ...]]
    # What is true besides, given the request and how it ended.
    check: Optional[Callable[[World, dict, str], None]] = None
    # Without a fault it ends so.
    ends: str = "SUCCESS"
    # Takes back what `prepare` did that would be in the way of the looks at the host, given how the
    # operation ended.
    clean_up: Optional[Callable[[World, str], None]] = None
    # Its guest is running at first and can be killed.
    has_guest: bool = False


def of_instance(method: str, **fields):
    return f"InstanceService/{method}", lambda world, request_id: {**TARGET, **fields}


def check_size(world: World, request: dict, ended: str) -> None:
    vcpus = request["vcpus"] if ended == "SUCCESS" else 1
    assert world.size() == (vcpus, vcpus), f"{world.size()} vCPUs after {ended}"


def check_size_online(world: World, request: dict, ended: str) -> None:
    """What a guest has got of vCPUs is not taken from it: the record then has them, too."""
    recorded, defined = world.size()
    assert recorded == defined, f"{world.size()} vCPUs after {ended}"
    if ended == "SUCCESS":
        assert recorded == request["vcpus"], f"{recorded} vCPUs after {ended}"
    memory = request["memoryMib"] if ended == "SUCCESS" else "128"
    assert world.instance()["spec"]["memoryMib"] == memory, f"memory after {ended}"


def check_reinstalled(world: World, request: dict, ended: str) -> None:
    """The record and the definition have the same system disk, and the files are the record's."""
    disk = world.instance()["spec"]["systemDisk"]["id"]
    generation = world.instance()["configDriveGeneration"]
    xml = world.node.virsh("dumpxml", "--inactive", INSTANCE)
    assert f"/{disk}.qcow2" in xml, f"after {ended} the guest has not {disk}"
    assert f"/config-drive-{generation}.iso" in xml, f"after {ended}: not drive {generation}"


def check_rescue(world: World, request: dict, ended: str) -> None:
    """The definition boots the rescue disk in rescue only."""
    instance = world.instance()
    xml = world.node.virsh("dumpxml", "--inactive", INSTANCE)
    disk = instance.get("rescue", {}).get("disk", instance["spec"]["systemDisk"])["id"]
    first = re.search(r"<disk type='file' device='disk'>.*?<source file='([^']*)'", xml, re.DOTALL)
    assert first and first[1].endswith(f"/{disk}.qcow2"), f"after {ended}: {first and first[1]}"


def check_tag(world: World, request: dict, ended: str) -> None:
    value = request["spec"]["tags"]["try"]
    kept = world.instance()["spec"].get("tags", {}).get("try") == value
    defined = value in world.node.virsh("dumpxml", "--inactive", INSTANCE)
    assert (kept, defined) == (ended == "SUCCESS",) * 2, (ended, kept, defined)


def check_image(world: World, request: dict, ended: str) -> None:
    imported = "sourceFile" in request
    there = imported == (ended == "SUCCESS")
    assert world.image_state() == ("READY" if there else "absent"), world.image_state()


def add_rogue(world: World) -> None:
    """Somebody else's domain has the name: ours cannot be defined."""
    world.bring_absent()
    world.around.add_domain(INSTANCE, ROGUE_UUID)


def remove_rogue(world: World, _ended: str) -> None:
    assert world.node.virsh("domstate", INSTANCE) == "shut off", "the other's domain is left alone"
    world.around.remove_domain(INSTANCE)


def check_kept(world: World, _request: dict, ended: str) -> None:
    assert world.around.has_volume() == (ended == "SUCCESS"), f"the volume after {ended}"


def check_taken(world: World, _request: dict, ended: str) -> None:
    assert world.around.has_volume() == (ended != "SUCCESS"), f"the volume after {ended}"


def add_hand_made(world: World) -> None:
    world.bring_absent()
    world.around.add_domain()
    world.node.virsh("autostart", HAND_MADE)


def check_adopted(world: World, _request: dict, ended: str) -> None:
    """Ours or as it was, with the metadata and the automatic start that belong to that."""
    adopted = ended == "SUCCESS"
    assert (world.state() != "absent") == adopted
    assert ("urn:cvm:agent" in world.node.virsh("dumpxml", HAND_MADE)) == adopted
    start = re.search(r"Autostart: +(\w+)", world.node.virsh("dominfo", HAND_MADE))[1]
    assert start == ("disable" if adopted else "enable"), f"{start} after {ended}"


def check_wanted_on(world: World, _request: dict, _ended: str) -> None:
    assert world.instance()["wantedPower"] == "WANTED_POWER_ON", "it is to start after the boot"


def check_maintenance(world: World, request: dict, ended: str) -> None:
    reason = world.around.maintenance().get("reason")
    assert (reason == request["reason"]) == (ended == "SUCCESS"), f"{reason} after {ended}"


def add_disorder(world: World) -> None:
    """A disk of nobody's, and a definition that somebody changed."""
    world.bring_stopped()
    world.around.add_orphan()
    world.node.virsh("setvcpus", INSTANCE, "2", "--config")


def check_repaired(world: World, ended: str) -> None:
    orphan, vcpus = world.around.has_orphan(), world.size()[1]
    assert ended != "SUCCESS" or (orphan, vcpus) == (False, 1), (ended, orphan, vcpus)
    world.around.remove_orphan()
    world.node.virsh("setvcpus", INSTANCE, "1", "--config")


def _workflow(name, action, method_and_request, prepare, success, failure, **more) -> Workflow:
    method, request = method_and_request
    states = {"SUCCESS": success, "FAILED": failure}
    return Workflow(name, action, method, prepare, request, states, **more)


def _creation(**more):
    def request(world: World, _request_id: str) -> dict:
        return {**world.creation(), **more}

    return "InstanceService/CreateInstance", request


def _update(world: World, request_id: str) -> dict:
    mask = {"updateMask": "spec.tags", "spec": {"tags": {"try": request_id}}}
    return {"instanceId": INSTANCE, **mask}


_ANY = ("absent", "STOPPED", "RUNNING", "SHUTDOWN", "LAUNCH_FAILED")
_RESIZE = {"vcpus": 2, "memoryMib": "160"}
_REPAIR = {"kinds": ["ORPHANED_DISK", "DEFINITION_DRIFT"]}

WORKFLOWS = [
    _workflow(
        "create",
        "CREATE_INSTANCE",
        _creation(),
        World.bring_absent,
        ("RUNNING",),
        ("LAUNCH_FAILED",),
    ),
    _workflow(
        "create, not started",
        "CREATE_INSTANCE",
        _creation(start="START_NO"),
        World.bring_absent,
        ("STOPPED",),
        ("LAUNCH_FAILED",),
    ),
    _workflow(
        "create, refused",
        "CREATE_INSTANCE",
        _creation(),
        add_rogue,
        (),
        ("LAUNCH_FAILED",),
        ends="FAILED",
        clean_up=remove_rogue,
    ),
    _workflow(
        "create, with a kept disk",
        "CREATE_INSTANCE",
        (
            "InstanceService/CreateInstance",
            lambda world, _: {**world.creation([{"id": VOLUME}]), "start": "START_NO"},
        ),
        World.bring_volume,
        ("STOPPED",),
        ("LAUNCH_FAILED",),
        check=check_taken,
    ),
    _workflow(
        "adopt",
        "ADOPT_INSTANCE",
        ("InstanceService/AdoptInstance", lambda world, _: {**TARGET, "uuid": HAND_MADE_UUID}),
        add_hand_made,
        ("STOPPED",),
        ("absent",),
        check=check_adopted,
    ),
    _workflow(
        "start",
        "START_INSTANCE",
        of_instance("StartInstance"),
        World.bring_stopped,
        ("RUNNING",),
        ("STOPPED",),
    ),
    _workflow(
        "stop, soft",
        "STOP_INSTANCE",
        of_instance("StopInstance", **SOFT),
        World.bring_ready,
        ("STOPPED",),
        # It may have heard the button and take its time.
        ("RUNNING", "STOPPED"),
        has_guest=True,
    ),
    _workflow(
        "stop, hard",
        "STOP_INSTANCE",
        of_instance("StopInstance", **HARD),
        World.bring_running,
        ("STOPPED",),
        ("RUNNING",),
        has_guest=True,
    ),
    _workflow(
        "reboot, soft",
        "REBOOT_INSTANCE",
        of_instance("RebootInstance", **SOFT),
        World.bring_ready,
        ("RUNNING",),
        # A kill of libvirtd can come between the guest's end and the reset.
        ("RUNNING", "STOPPED", "PAUSED"),
        has_guest=True,
    ),
    _workflow(
        "reboot, hard",
        "REBOOT_INSTANCE",
        of_instance("RebootInstance", **HARD),
        World.bring_running,
        ("RUNNING",),
        ("RUNNING",),
        has_guest=True,
    ),
    _workflow(
        "resize, offline",
        "RESIZE_INSTANCE",
        of_instance("ResizeInstance", **_RESIZE),
        World.bring_stopped,
        ("STOPPED",),
        ("STOPPED",),
        check=check_size,
    ),
    _workflow(
        "resize, force_stop",
        "RESIZE_INSTANCE",
        of_instance("ResizeInstance", forceStop=True, **_RESIZE),
        World.bring_running,
        ("RUNNING",),
        ("RUNNING",),
        check=check_size,
        has_guest=True,
    ),
    _workflow(
        "resize, online",
        "RESIZE_INSTANCE",
        of_instance("ResizeInstance", online=True, vcpus=2, memoryMib="112", timeout="20s"),
        World.bring_ready,
        ("RUNNING",),
        ("RUNNING",),
        check=check_size_online,
        has_guest=True,
    ),
    _workflow(
        "reinstall",
        "REINSTALL_INSTANCE",
        of_instance("ReinstallInstance", forceStop=True, keepImageLogin=True),
        World.bring_running,
        ("RUNNING",),
        ("RUNNING",),
        check=check_reinstalled,
        has_guest=True,
    ),
    _workflow(
        "rescue",
        "ENTER_RESCUE",
        of_instance("EnterRescue", forceStop=True, login={"passwordHash": PASSWORD_HASH}),
        World.bring_running,
        ("RESCUE",),
        ("RUNNING",),
        check=check_rescue,
        has_guest=True,
    ),
    _workflow(
        "unrescue",
        "EXIT_RESCUE",
        of_instance("ExitRescue"),
        World.bring_rescue,
        ("RUNNING",),
        ("RESCUE",),
        check=check_rescue,
        has_guest=True,
    ),
    _workflow(
        "update",
        "UPDATE_INSTANCE",
        ("InstanceService/UpdateInstance", _update),
        World.bring_stopped,
        ("STOPPED",),
        ("STOPPED",),
        check=check_tag,
    ),
    _workflow(
        "delete, recycle",
        "DELETE_INSTANCE",
        of_instance("DeleteInstance", recyclePeriod="3600s"),
        World.bring_running,
        ("SHUTDOWN",),
        # The power may be off already; nobody's wish to keep it on is known.
        ("RUNNING", "STOPPED"),
        has_guest=True,
    ),
    _workflow(
        "restore",
        "RESTORE_INSTANCE",
        of_instance("RestoreInstance"),
        World.bring_recycled,
        ("STOPPED",),
        ("SHUTDOWN",),
    ),
    _workflow(
        "delete",
        "DELETE_INSTANCE",
        of_instance("DeleteInstance"),
        World.bring_running,
        ("absent",),
        ("RUNNING", "STOPPED"),
        has_guest=True,
    ),
    _workflow(
        "delete, a disk kept",
        "DELETE_INSTANCE",
        of_instance("DeleteInstance", keepDiskIds=[VOLUME]),
        World.bring_running,
        ("absent",),
        ("RUNNING", "STOPPED"),
        check=check_kept,
        has_guest=True,
    ),
    _workflow(
        "stop of all guests",
        "STOP_GUESTS",
        ("HostService/StopGuests", lambda *_: {"budget": "20s"}),
        World.bring_ready,
        ("STOPPED",),
        ("RUNNING", "STOPPED"),
        check=check_wanted_on,
        has_guest=True,
    ),
    _workflow(
        "maintenance",
        "SET_MAINTENANCE",
        ("HostService/SetMaintenance", lambda _, request_id: {"on": True, "reason": request_id}),
        World.bring_stopped,
        ("STOPPED",),
        ("STOPPED",),
        check=check_maintenance,
    ),
    _workflow(
        "repair of the host",
        "REPAIR_HOST",
        ("HostService/RepairHost", lambda *_: _REPAIR),
        add_disorder,
        ("STOPPED",),
        ("STOPPED",),
        clean_up=check_repaired,
    ),
    _workflow(
        "import of an image",
        "IMPORT_IMAGE",
        ("ImageService/ImportImage", lambda world, _: world.import_request()),
        lambda world: world.bring_image(False),
        _ANY,
        _ANY,
        check=check_image,
    ),
    _workflow(
        "delete of an image",
        "DELETE_IMAGE",
        ("ImageService/DeleteImage", lambda world, _: {"imageId": IMAGE}),
        lambda world: world.bring_image(True),
        _ANY,
        _ANY,
        check=check_image,
    ),
]
