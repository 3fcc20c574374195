# SPDX-License-Identifier: Apache-2.0
"""A real Debian guest from its creation to its end: three boots."""

import base64
import json
import os

import pytest

from tests.e2e.conftest import DEBIAN_USER
from tests.harness.api import ApiError
from tests.harness.ssh import Ssh
from tests.harness.waiting import wait_until

INSTANCE = "ins-debian01"
DATA_DISK = "disk-data0001"
ADDRESS = "192.168.222.50"
GIB = 1 << 30

USER_DATA = """\
#cloud-config
write_files:
  - path: /etc/from-user-data
    content: written by user data
  - path: /etc/udev/rules.d/80-hotplug.rules
    content: |
      SUBSYSTEM=="memory", ACTION=="add", ATTR{state}=="offline", ATTR{state}="online_movable"
      SUBSYSTEM=="cpu", ACTION=="add", TEST=="online", ATTR{online}=="0", ATTR{online}="1"
runcmd:
  - [sh, -c, "echo ran >>/var/lib/runcmd-ran"]
"""

# Leaves a mark when the system is shut down in good order, and only then.
AT_SHUTDOWN = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'echo in good order >/root/shutdown && sync'
"""

# An emulated guest that has run for long can crash when it gets another vCPU (docs/manual.md).
VCPUS = 2 if os.access("/dev/kvm", os.W_OK) else 1

# From power-on to sshd under emulation: 45 s alone, several times that on a busy machine.
BOOT_TIMEOUT = 420


def create_request(image_id: str, public_key: str) -> dict:
    return {
        "instanceId": INSTANCE,
        "spec": {
            "name": "web server",
            "imageId": image_id,
            "vcpus": 1,
            "maxVcpus": 2,
            "memoryMib": "1024",
            "maxMemoryMib": "2048",
            "systemDisk": {"sizeBytes": str(10 * GIB)},
            "dataDisks": [{"id": DATA_DISK, "sizeBytes": str(2 * GIB)}],
            "nics": [{"ipv4Address": ADDRESS}],
            "hostName": "web-1",
            "login": {"sshPublicKeys": [public_key]},
            "userData": base64.b64encode(USER_DATA.encode()).decode(),
        },
    }


def check_inside(ssh: Ssh) -> None:
    """What was asked for is what the guest has."""
    assert "status: done" in ssh.run("cloud-init status --wait", timeout=300)
    assert ssh.run("hostname") == "web-1"
    addresses = json.loads(ssh.run("ip -j -4 address show scope global"))
    assert [a["local"] for link in addresses for a in link["addr_info"]] == [ADDRESS]
    disks = json.loads(ssh.run("lsblk --json --bytes --nodeps --output NAME,SIZE,TYPE,SERIAL"))
    sizes = {d["name"]: int(d["size"]) for d in disks["blockdevices"] if d["type"] == "disk"}
    assert sizes == {"vda": 10 * GIB, "vdb": 2 * GIB}
    # The file system grew with the disk.
    assert int(ssh.run("df --output=size --block-size=1 / | tail -n 1")) > 9 * GIB
    by_id = ssh.run(f"readlink -f /dev/disk/by-id/virtio-{DATA_DISK}")
    assert by_id == "/dev/vdb"
    assert ssh.run("cat /etc/from-user-data") == "written by user data"
    assert ssh.run("cat /var/lib/runcmd-ran") == "ran"


def check_online_resize(api, ssh: Ssh) -> None:
    """vCPUs and memory come and go without a reboot, and the guest uses them."""

    def resize(**to) -> None:
        request = {"instanceId": INSTANCE, "online": True, "timeout": "180s", **to}
        api.do("InstanceService/ResizeInstance", request, timeout=240)

    def memory_mib() -> int:
        return int(ssh.run("awk '/^MemTotal:/ {print $2}' /proc/meminfo")) // 1024

    before = memory_mib()
    assert ssh.run("nproc") == "1"
    resize(vcpus=VCPUS, memoryMib="1536")
    wait_until(lambda: ssh.run("nproc") == str(VCPUS), 60, "the guest uses its vCPUs")
    wait_until(lambda: memory_mib() > before + 450, 60, "the guest uses its new memory")
    # All of that again, and a part of what it booted with.
    resize(memoryMib="896")
    assert before - 200 < memory_mib() < before - 100
    resize(memoryMib="1536")
    wait_until(lambda: memory_mib() > before + 450, 60, "the guest uses its new memory again")


def test_the_life_of_a_debian_guest(node, agent, api, debian_image, key):
    api.do("InstanceService/CreateInstance", create_request(debian_image, key.public))
    instance = api.instance(INSTANCE)
    assert instance["state"] == "RUNNING"
    assert "userData" not in instance["spec"], "user data may hold secrets"

    ssh = Ssh(node, ADDRESS, key, DEBIAN_USER)
    first_boot = ssh.wait(BOOT_TIMEOUT)
    check_inside(ssh)
    check_online_resize(api, ssh)
    ssh.run("echo kept | sudo tee /root/kept >/dev/null && sync")

    # A soft reboot: another boot of the same system.
    api.do(
        "InstanceService/RebootInstance",
        {"instanceId": INSTANCE, "mode": "STOP_MODE_SOFT", "timeout": "300s"},
        timeout=330,
    )
    second_boot = ssh.wait(BOOT_TIMEOUT, other_than=first_boot)
    assert ssh.run("sudo cat /root/kept") == "kept"
    assert ssh.run("nproc") == str(VCPUS), "kept over the reboot"
    assert ssh.run("cat /var/lib/runcmd-ran") == "ran", "user data is for the first boot only"
    assert api.instance(INSTANCE)["state"] == "RUNNING"

    # A soft stop runs the guest's own shutdown.
    unit = base64.b64encode(AT_SHUTDOWN.encode()).decode()
    ssh.run(
        f"echo {unit} | base64 -d | sudo tee /run/systemd/system/at-shutdown.service >/dev/null"
        " && sudo systemctl daemon-reload && sudo systemctl start at-shutdown.service"
    )
    printed = len(agent.console(INSTANCE))
    api.do(
        "InstanceService/StopInstance",
        {"instanceId": INSTANCE, "mode": "STOP_MODE_SOFT", "timeout": "300s"},
        timeout=330,
    )
    instance = api.instance(INSTANCE)
    assert instance["state"] == "STOPPED"
    assert instance["observedPower"]["reason"] == "shutdown"
    shutdown = agent.console(INSTANCE)[printed:]
    assert "Power down" in shutdown, shutdown[-2000:]

    # A start, and a hard stop.
    api.do("InstanceService/StartInstance", {"instanceId": INSTANCE})
    third_boot = ssh.wait(BOOT_TIMEOUT, other_than=second_boot)
    assert third_boot not in (first_boot, second_boot)
    assert ssh.run("sudo cat /root/shutdown") == "in good order"
    assert ssh.run("nproc") == str(VCPUS), "kept over stop and start"
    printed = len(agent.console(INSTANCE))
    api.do("InstanceService/StopInstance", {"instanceId": INSTANCE, "mode": "STOP_MODE_HARD"})
    instance = api.instance(INSTANCE)
    assert instance["state"] == "STOPPED"
    assert instance["observedPower"]["reason"] == "destroyed"
    assert "Power down" not in agent.console(INSTANCE)[printed:]

    # Nothing is left; the leak check sees to the rest.
    api.do("InstanceService/DeleteInstance", {"instanceId": INSTANCE})
    with pytest.raises(ApiError) as refused:
        api.instance(INSTANCE)
    assert refused.value.reason == "INSTANCE_NOT_FOUND"
    assert node.virsh("list", "--all", "--name") == ""
    assert not (agent.state_dir / "instances" / INSTANCE).exists()
