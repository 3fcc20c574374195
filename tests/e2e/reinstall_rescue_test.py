# SPDX-License-Identifier: Apache-2.0
"""Reinstall and rescue on real libvirt, with tiny guests."""

import base64
import json
import re
import subprocess

import pytest

from tests.harness import env, tiny
from tests.harness.agent import Agent
from tests.harness.api import ApiError
from tests.harness.node import Node
from tests.harness.waiting import wait_until

INSTANCE = "ins-reinst01"
BASE = "img-base0000"
UEFI = "img-uefi0000"
RESCUE = "img-rescue00"
MIB = 1 << 20
# crypt(3) of "rescue".
HASH = (
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
)
LIMITS = {"limits.reinstall_min_disk_gib": 1}


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("reinstall") as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    """An agent with a rescue image, and three images for guests."""
    with Agent(node, {**LIMITS, "rescue.image_id": RESCUE}) as agent:
        agent.wait_connected()
        source = env.image("tiny")
        agent.import_image(source, BASE)
        agent.import_image(source, UEFI, firmware="FIRMWARE_UEFI")
        agent.import_image(source, RESCUE, machineFamily="MACHINE_FAMILY_PC")
        yield agent


def refused(api, method, request):
    """The reason for which a call fails."""
    with pytest.raises(ApiError) as error:
        api.call(f"InstanceService/{method}", request)
    return error.value.reason


def shell(api, command: str, expected: str) -> str:
    """Types a command on the guest's console and returns what it answers, up to `expected`."""
    heard = []

    def output() -> str:
        return b"".join(base64.b64decode(m.get("output", "")) for m in heard).decode(
            errors="replace"
        )

    def answered(message) -> bool:
        heard.append(message)
        return re.search(expected, output()) is not None

    with api.open("InstanceService/StreamSerial") as stream:
        stream.send({"instanceId": INSTANCE, "takeOver": True})
        stream.send({"input": base64.b64encode(f"{command}\n".encode()).decode()})
        stream.receive_until(answered, 60)
    return output()


def size_of(api, device: str) -> int:
    """Of a disk, in bytes, as the guest sees it."""
    answer = shell(api, f"echo sectors=$(cat /sys/block/{device}/size).", r"sectors=\d+\.")
    return int(re.search(r"sectors=(\d+)\.", answer).group(1)) * 512


def told(api) -> str:
    """The instance id on the guest's config drive."""
    command = (
        "mount -t iso9660 -o ro /dev/sr0 /config;"
        ' echo id=$(sed -n \'s/.*"uuid": "\\(.*\\)",*/\\1/p\''
        " /config/openstack/latest/meta_data.json).; umount /config"
    )
    return re.search(r"id=(ins-[^.$]*)\.", shell(api, command, r"id=ins-[^.$]*\.")).group(1)


def mark(api, device: str) -> None:
    shell(api, f"echo kept-$((6 * 7)) >/dev/{device}; sync; echo mark-$((1 + 1))", "mark-2")


def marked(api, device: str) -> bool:
    command = f"dd if=/dev/{device} bs=7 count=1 2>/dev/null; echo; echo r-$((2 + 3))"
    answer = shell(api, command, "r-5")
    return "kept-42" in answer


def ready_again(agent, action) -> None:
    """Does it, and waits until the guest has booted."""
    printed = len(agent.console(INSTANCE))
    action()
    agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)


def definition(node) -> str:
    return node.virsh("dumpxml", "--inactive", INSTANCE)


def volume(agent, disk_id: str):
    return agent.state_dir / "volumes" / f"{disk_id}.qcow2"


def test_reinstall(node, agent, api):
    data = [{"sizeBytes": str(16 * MIB)}]
    # GRUB needs room beside UEFI firmware.
    more = {"dataDisks": data, "nics": [{}], "memoryMib": "512"}
    before = tiny.create(agent, BASE, INSTANCE, **more)
    mark(api, "vdb")
    assert told(api) == INSTANCE
    request = {"instanceId": INSTANCE, "imageId": UEFI}
    assert refused(api, "ReinstallInstance", request) == "INVALID_INSTANCE_STATE"
    request["forceStop"] = True
    missing = {**request, "imageId": "img-none0000"}
    assert refused(api, "ReinstallInstance", missing) == "IMAGE_NOT_FOUND"
    small = {**request, "systemDiskSizeBytes": str(512 * MIB)}
    assert refused(api, "ReinstallInstance", small) == "DISK_TOO_SMALL"

    # To another firmware, with a larger disk.
    grown = {**request, "systemDiskSizeBytes": str(2 * tiny.GIB)}
    ready_again(agent, lambda: api.do("InstanceService/ReinstallInstance", grown))
    after = api.instance(INSTANCE)
    assert after["state"] == "RUNNING"
    assert after["uuid"] == before["uuid"]
    assert after["spec"]["nics"] == before["spec"]["nics"]
    assert after["spec"]["dataDisks"] == before["spec"]["dataDisks"]
    assert after["spec"]["systemDisk"]["id"] != before["spec"]["systemDisk"]["id"]
    assert size_of(api, "vda") == 2 * tiny.GIB
    assert marked(api, "vdb"), "the data disk has its content"
    assert told(api) == f"{INSTANCE}-1"
    assert not volume(agent, before["spec"]["systemDisk"]["id"]).exists()
    assert "pflash" in definition(node)
    nvram = agent.state_dir / "instances" / INSTANCE / "nvram-1.fd"
    assert nvram.exists()

    # And back, while it is off.
    hard = {"instanceId": INSTANCE, "mode": "STOP_MODE_HARD"}
    api.do("InstanceService/StopInstance", hard)
    api.do("InstanceService/ReinstallInstance", {"instanceId": INSTANCE, "imageId": BASE})
    assert api.instance(INSTANCE)["state"] == "STOPPED"
    assert "pflash" not in definition(node)
    assert not nvram.exists()
    target = {"instanceId": INSTANCE}
    ready_again(agent, lambda: api.do("InstanceService/StartInstance", target))
    assert marked(api, "vdb")
    assert told(api) == f"{INSTANCE}-2"
    tiny.delete(agent, INSTANCE)


def test_a_reinstall_that_fails_leaves_the_old_guest(node, agent, api):
    before = tiny.create(agent, BASE, INSTANCE, nics=[{}])
    xml = definition(node)
    # Somebody writes to the new image: QEMU does not start on it, and qemu-img may not either.
    image = agent.state_dir / "images" / f"{UEFI}.qcow2"
    command = ["qemu-io", "-f", "qcow2", image]
    request = {"instanceId": INSTANCE, "imageId": UEFI, "forceStop": True}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        # It has the image open once it answers.
        writer.stdin.write("length\n")
        writer.stdin.flush()
        assert "MiB" in writer.stdout.readline()

        def reinstall() -> None:
            with pytest.raises(ApiError):
                api.do("InstanceService/ReinstallInstance", request)

        ready_again(agent, reinstall)
        writer.stdin.close()
        writer.wait(30)
    after = api.instance(INSTANCE)
    assert after["state"] == "RUNNING"
    assert after["latestOperation"]["state"] == "FAILED"
    assert (after["spec"], after["etag"]) == (before["spec"], before["etag"])
    assert definition(node) == xml
    tiny.delete(agent, INSTANCE)


def rescue_request(**more) -> dict:
    return {"instanceId": INSTANCE, "login": {"passwordHash": HASH}, **more}


def test_rescue(node, agent, api):
    data = [{"sizeBytes": str(16 * MIB)}]
    tiny.create(agent, BASE, INSTANCE, dataDisks=data, nics=[{}])
    mark(api, "vdb")
    before = definition(node)
    assert refused(api, "EnterRescue", rescue_request()) == "INVALID_INSTANCE_STATE"
    nobody = {"instanceId": INSTANCE, "forceStop": True}
    assert refused(api, "EnterRescue", nobody) == "MISSING_FIELD"
    enter = rescue_request(forceStop=True)
    ready_again(agent, lambda: api.do("InstanceService/EnterRescue", enter))

    instance = api.instance(INSTANCE)
    assert (instance["state"], instance["observedPower"]["state"]) == ("RESCUE", "RUNNING")
    assert size_of(api, "vda") == 64 * MIB, "the rescue image's own size"
    assert size_of(api, "vdb") == tiny.GIB
    assert marked(api, "vdc")
    assert told(api) == f"{INSTANCE}-rescue"
    in_rescue = definition(node)
    assert "pc-i440fx" in in_rescue and "pc-i440fx" not in before
    drive = agent.state_dir / "instances" / INSTANCE / "rescue-config-drive.iso"
    assert HASH.encode() in drive.read_bytes()
    target = {"instanceId": INSTANCE}
    hard = {**target, "mode": "STOP_MODE_HARD"}
    assert refused(api, "StopInstance", hard) == "INVALID_INSTANCE_STATE"
    assert refused(api, "RebootInstance", hard) == "INVALID_INSTANCE_STATE"
    assert refused(api, "ReinstallInstance", target) == "INVALID_INSTANCE_STATE"
    denied = {entry["action"] for entry in instance["deniedActions"]}
    assert denied.isdisjoint({"EXIT_RESCUE", "UPDATE_INSTANCE", "DELETE_INSTANCE"})
    delete = {"imageId": RESCUE}
    with pytest.raises(ApiError) as error:
        api.call("ImageService/DeleteImage", delete)
    assert error.value.reason == "IMAGE_IN_USE"

    # The agent forgets nothing of it.
    agent.kill()
    agent.start()
    agent.wait_connected()
    assert api.instance(INSTANCE)["state"] == "RESCUE"
    assert definition(node) == in_rescue

    ready_again(agent, lambda: api.do("InstanceService/ExitRescue", target))
    assert api.instance(INSTANCE)["state"] == "RUNNING"
    assert definition(node) == before
    assert marked(api, "vdb")
    assert told(api) == INSTANCE
    assert not drive.exists()
    tiny.delete(agent, INSTANCE)


@pytest.mark.full
def test_rescue_of_a_guest_that_was_off(node, agent, api):
    request = {"instanceId": INSTANCE, "spec": tiny.spec(BASE), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    before = definition(node)
    ready_again(agent, lambda: api.do("InstanceService/EnterRescue", rescue_request()))
    node.virsh("destroy", INSTANCE)

    def seen_off() -> bool:
        return api.instance(INSTANCE)["observedPower"]["state"] == "STOPPED"

    wait_until(seen_off, 30, "it is seen to be off")
    assert api.instance(INSTANCE)["state"] == "RESCUE"
    api.do("InstanceService/ExitRescue", {"instanceId": INSTANCE})
    assert api.instance(INSTANCE)["state"] == "STOPPED"
    assert definition(node) == before
    tiny.delete(agent, INSTANCE)


@pytest.mark.full
def test_deletion_in_rescue(agent, api):
    tiny.create(agent, BASE, INSTANCE, dataDisks=[{"sizeBytes": str(MIB)}])
    api.do("InstanceService/EnterRescue", rescue_request(forceStop=True))
    tiny.delete(agent, INSTANCE)
    assert not (agent.state_dir / "instances" / INSTANCE).exists()
    assert list((agent.state_dir / "volumes").iterdir()) == []


def test_cvmctl(agent, api):
    request = {"instanceId": INSTANCE, "spec": tiny.spec(BASE), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    agent.cvmctl("instance", "reinstall", INSTANCE, "--disk", "2", "--keep-image-login", "--wait")
    assert api.instance(INSTANCE)["spec"]["systemDisk"]["sizeBytes"] == str(2 * tiny.GIB)
    hash_file = agent.node.dir / "tmp/hash"
    hash_file.write_text(HASH + "\n")
    password = ["--password-hash-file", str(hash_file)]
    agent.cvmctl("instance", "rescue", INSTANCE, *password, "--wait")
    hash_file.unlink()
    shown = agent.cvmctl("instance", "get", INSTANCE).stdout
    assert "RESCUE" in shown
    agent.cvmctl("instance", "unrescue", INSTANCE, "--wait")
    tiny.delete(agent, INSTANCE)


def make_iso(folder, target) -> None:
    """The tiny guest as a CD-ROM that boots itself."""
    boot = folder / "boot"
    (boot / "grub").mkdir(parents=True)
    source = env.image("tiny").parent
    for name in ("vmlinuz", "initrd.img"):
        (boot / name).write_bytes((source / name).read_bytes())
    (boot / "grub/grub.cfg").write_text(
        "linux /boot/vmlinuz console=ttyS0 quiet no_timer_check tsc=reliable from=rescue-iso\n"
        "initrd /boot/initrd.img\nboot\n"
    )
    command = ["grub-mkrescue", "-o", target, folder]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture(name="iso_agent")
def fixture_iso_agent(node, agent, tmp_path):
    """The agent with an ISO in place of the image, for one test."""
    (agent.import_dir / "isos").mkdir()
    iso = agent.import_dir / "isos/rescue.iso"
    make_iso(tmp_path / "iso", iso)
    configuration = agent.config.read_text()
    agent.stop()
    with Agent(node, {**LIMITS, "rescue.iso": "isos/rescue.iso"}) as other:
        other.wait_connected()
        yield other
    agent.config.write_text(configuration)
    iso.unlink()
    iso.parent.rmdir()
    agent.start()


@pytest.mark.full
def test_rescue_by_iso(node, iso_agent):
    agent, api = iso_agent, iso_agent.api
    tiny.create(agent, BASE, INSTANCE, nics=[{}])
    before = definition(node)
    request = {"instanceId": INSTANCE, "forceStop": True}
    ready_again(agent, lambda: api.do("InstanceService/EnterRescue", request))
    assert api.instance(INSTANCE)["state"] == "RESCUE"
    shell(api, "cat /proc/cmdline", "from=rescue-iso")
    assert size_of(api, "vda") == tiny.GIB, "its own system disk"
    copy = agent.state_dir / "instances" / INSTANCE / "rescue.iso"
    assert copy.read_bytes() == (agent.import_dir / "isos/rescue.iso").read_bytes()
    target = {"instanceId": INSTANCE}
    ready_again(agent, lambda: api.do("InstanceService/ExitRescue", target))
    answer = shell(api, "cat /proc/cmdline; echo end-$((3 + 4))", "end-7")
    assert "from=rescue-iso" not in answer
    assert definition(node) == before
    assert not copy.exists()
    tiny.delete(agent, INSTANCE)


def test_without_a_rescue_system(node, agent, api):
    configuration = agent.config.read_text()
    request = {"instanceId": INSTANCE, "spec": tiny.spec(BASE), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    agent.stop()
    Agent(node, LIMITS)  # Writes its configuration.
    agent.start()
    agent.wait_connected()
    assert refused(api, "EnterRescue", rescue_request()) == "RESCUE_NOT_CONFIGURED"
    agent.stop()
    agent.config.write_text(configuration)
    agent.start()
    agent.wait_connected()
    tiny.delete(agent, INSTANCE)


def test_dry_runs_change_nothing(node, agent, api):
    request = {"instanceId": INSTANCE, "spec": tiny.spec(BASE), "start": "START_NO"}
    api.do("InstanceService/CreateInstance", request)
    before = (json.dumps(api.instance(INSTANCE)), definition(node))
    dry = {"instanceId": INSTANCE, "validateOnly": True}
    assert api.call("InstanceService/ReinstallInstance", dry)["validateOnly"]
    request = rescue_request(validateOnly=True)
    assert api.call("InstanceService/EnterRescue", request)["validateOnly"]
    assert (json.dumps(api.instance(INSTANCE)), definition(node)) == before
    tiny.delete(agent, INSTANCE)
