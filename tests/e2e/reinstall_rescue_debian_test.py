# SPDX-License-Identifier: Apache-2.0
"""A real Debian guest is reinstalled, broken, rescued and repaired: five boots."""

import base64
import json
import subprocess

import pytest

from tests.e2e.conftest import DEBIAN_USER
from tests.harness import env, tiny
from tests.harness.agent import Agent
from tests.harness.node import Node
from tests.harness.ssh import Key, Ssh

INSTANCE = "ins-debian02"
FIRST = "img-debian12"
# Boots /dev/vda1 whatever else there is, so it is fit for a rescue system, and has its own mark.
SECOND = "img-debian2x"
ADDRESS = "192.168.222.51"
GIB = 1 << 30
BOOT_TIMEOUT = 420
HASH = (
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
)
USER_DATA = """\
#cloud-config
runcmd:
  - [sh, -c, "echo ran >>/var/lib/runcmd-ran"]
"""


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("rescue") as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    overrides = {"limits.reinstall_min_disk_gib": 1, "rescue.image_id": SECOND}
    with Agent(node, overrides) as agent:
        agent.wait_connected()
        yield agent


def run(*command) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout


def make_second_image(folder):
    """A variation of the image: another kernel command line and fstab, and /etc/variation."""
    raw, made = folder / "second.raw", folder / "second.qcow2"
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", env.image("debian12"), raw)
    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]["partitions"]
    root = next(p for p in table if p["node"].endswith("raw1"))
    system = f"{raw}?offset={root['start'] * 512}"
    grub = run("debugfs", "-R", "cat /boot/grub/grub.cfg", system)
    words = ["root=/dev/vda1" if w.startswith("root=UUID=") else w for w in grub.split(" ")]
    assert "root=/dev/vda1" in words
    files = {
        "/boot/grub/grub.cfg": " ".join(words),
        "/etc/fstab": "/dev/vda1 / ext4 defaults,noatime 0 0\n",
        "/etc/variation": "second\n",
    }
    commands = []
    for number, (name, content) in enumerate(files.items()):
        source = folder / f"file-{number}"
        source.write_text(content)
        directory, _, base = name.rpartition("/")
        commands.append(f"cd {directory}")
        if base != "variation":
            commands.append(f"rm {base}")
        # It knows no folder but the present one.
        commands.append(f"write {source} {base}")
    script = folder / "script"
    script.write_text("\n".join(commands) + "\n")
    run("debugfs", "-w", "-f", script, system)
    assert run("debugfs", "-R", "cat /etc/variation", system) == "second\n"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made)
    raw.unlink()
    return made


@pytest.fixture(name="images", scope="module")
def fixture_images(agent, tmp_path_factory):
    agent.import_image(env.image("debian12"), FIRST, defaultUser=DEBIAN_USER)
    made = make_second_image(tmp_path_factory.mktemp("second"))
    agent.import_image(made, SECOND, defaultUser=DEBIAN_USER)


def create_request(public_key: str) -> dict:
    return {
        "instanceId": INSTANCE,
        "spec": {
            "imageId": FIRST,
            "vcpus": 2,
            "memoryMib": "1024",
            "systemDisk": {"sizeBytes": str(6 * GIB)},
            "dataDisks": [{"sizeBytes": str(GIB)}],
            "nics": [{"ipv4Address": ADDRESS}],
            "hostName": "web-2",
            "login": {"sshPublicKeys": [public_key]},
            "userData": base64.b64encode(USER_DATA.encode()).decode(),
        },
    }


def check_first_boot(ssh: Ssh, instance_id: str) -> None:
    assert "status: done" in ssh.run("cloud-init status --wait", timeout=300)
    assert ssh.run("cat /var/lib/cloud/data/instance-id") == instance_id
    assert ssh.run("cat /var/lib/runcmd-ran") == "ran"
    assert ssh.run("hostname") == "web-2"


@pytest.mark.full
def test_a_debian_guest_is_reinstalled_and_rescued(node, agent, api, images):
    del images
    first_key, second_key = Key(node, "first"), Key(node, "second")
    target = {"instanceId": INSTANCE}

    # The first system, with something on its data disk.
    api.do("InstanceService/CreateInstance", create_request(first_key.public))
    ssh = Ssh(node, ADDRESS, first_key, DEBIAN_USER)
    boot = ssh.wait(BOOT_TIMEOUT)
    check_first_boot(ssh, INSTANCE)
    ssh.run(
        "sudo mkfs.ext4 -q /dev/vdb && sudo mount /dev/vdb /mnt"
        " && echo kept | sudo tee /mnt/kept >/dev/null && sudo umount /mnt && sync"
    )
    host_key = ssh.run("cat /etc/ssh/ssh_host_ed25519_key.pub")

    # Another system, with another key: its first boot, and the same data disk.
    reinstall = {
        **target,
        "imageId": SECOND,
        "systemDiskSizeBytes": str(8 * GIB),
        "login": {"sshPublicKeys": [second_key.public]},
        "forceStop": True,
    }
    api.do("InstanceService/ReinstallInstance", reinstall)
    ssh = Ssh(node, ADDRESS, second_key, DEBIAN_USER)
    boot = ssh.wait(BOOT_TIMEOUT, other_than=boot)
    check_first_boot(ssh, f"{INSTANCE}-1")
    assert ssh.run("cat /etc/variation") == "second"
    assert ssh.run("cat /etc/ssh/ssh_host_ed25519_key.pub") != host_key
    assert int(ssh.run("df --output=size --block-size=1 / | tail -n 1")) > 7 * GIB
    assert ssh.run("sudo mount /dev/vdb /mnt && cat /mnt/kept && sudo umount /mnt") == "kept"
    assert Ssh(node, ADDRESS, first_key, DEBIAN_USER).boot_id() == "", "the old key is no good"

    # Broken: it waits for a disk that is not there and ends in an emergency shell.
    broken = "UUID=00000000-dead-beef-0000-000000000000 /lost ext4 x-systemd.device-timeout=5s 0 2"
    ssh.run(f"echo '{broken}' | sudo tee -a /etc/fstab >/dev/null && sync")
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/RebootInstance", {**target, "mode": "STOP_MODE_HARD"})
    agent.wait_console(INSTANCE, "emergency mode", BOOT_TIMEOUT, after=printed)
    assert ssh.run("true; echo up", check=False) == ""

    # Rescued: the rescue system is vda, the broken one vdb, the data disk vdc.
    before = node.virsh("dumpxml", "--inactive", INSTANCE)
    login = {"sshPublicKeys": [first_key.public], "passwordHash": HASH}
    api.do("InstanceService/EnterRescue", {**target, "login": login, "forceStop": True})
    root = Ssh(node, ADDRESS, first_key, "root")
    boot = root.wait(BOOT_TIMEOUT, other_than=boot)
    assert api.instance(INSTANCE)["state"] == "RESCUE"
    assert root.run("findmnt --noheadings --output SOURCE /") == "/dev/vda1"
    root.run("cloud-init status --wait", timeout=300)
    assert root.run("getent shadow root | cut -d: -f2") == HASH
    root.run(
        "mount /dev/vdb1 /mnt && grep -q dead-beef /mnt/etc/fstab"
        " && sed -i /dead-beef/d /mnt/etc/fstab && umount /mnt && sync"
    )
    assert root.run("mount /dev/vdc /mnt && cat /mnt/kept && umount /mnt") == "kept"

    # Repaired.
    api.do("InstanceService/ExitRescue", target)
    assert api.instance(INSTANCE)["state"] == "RUNNING"
    assert node.virsh("dumpxml", "--inactive", INSTANCE) == before
    boot = ssh.wait(BOOT_TIMEOUT, other_than=boot)
    assert ssh.run("cat /var/lib/runcmd-ran") == "ran", "no first boot"
    assert ssh.run("sudo getent shadow root | cut -d: -f2") != HASH
    tiny.delete(agent, INSTANCE)
