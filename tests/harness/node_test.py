# SPDX-License-Identifier: Apache-2.0
"""A node is a host of its own, and nothing of it outlives it."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from tests.harness import cgroups, env, node
from tests.harness.node import Node
from tests.harness.waiting import wait_until

IN_NODE = env.ROOT / "tests/harness/in_node"

DOMAIN = """\
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>128</memory>
  <os><type machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'>
      <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'><source bridge='cvmbr0'/><model type='virtio'/></interface>
    <serial type='pty'><log file='/var/log/libvirt/console.log'/></serial>
  </devices>
</domain>
"""


def processes_of(group: str):
    """Processes in the node's control group, as the machine sees them."""
    root = next(iter(cgroups.hierarchies()[1].values())) / group
    return [
        int(pid)
        for folder, _, _ in os.walk(root)
        for pid in pathlib.Path(folder, "cgroup.procs").read_text().split()
    ]


def create_guest(host: Node, disk: pathlib.Path) -> None:
    xml = host.dir / "tmp/guest.xml"
    xml.write_text(DOMAIN.format(disk=disk))
    host.virsh("create", xml)


def place_tiny(host: Node) -> pathlib.Path:
    disk = host.dir / "lib/images/tiny.qcow2"
    shutil.copyfile(env.image("tiny"), disk)
    return pathlib.Path("/var/lib/libvirt/images/tiny.qcow2")


def test_it_is_a_host_of_its_own():
    outside = set(os.listdir("/sys/class/net"))
    with Node("alpha") as host:
        assert host.run(["hostname"]).stdout.strip() == "alpha"
        assert set(host.run(["ls", "/sys/class/net"]).stdout.split()) == {"lo", "cvmbr0"}
        assert set(os.listdir("/sys/class/net")) == outside
        assert host.run(["readlink", "/proc/self/cwd"], cwd="/usr").stdout.strip() == "/usr"
        (host.dir / "run/cvm/x").touch()
        assert host.run(["ls", "/run/cvm"]).stdout.split() == ["x"]
        assert host.path("/run/cvm/x") == host.dir / "run/cvm/x"
        assert host.path("/usr/bin") == pathlib.Path("/usr/bin")


def test_commands_tell_how_they_ended():
    with Node() as host:
        assert host.run(["cat"], input="typed").stdout == "typed"
        with pytest.raises(RuntimeError, match="exit 2"):
            host.run(["ls", "/nonexistent"])
        process = host.popen(["sleep", "300"])
        assert process.returncode is None
        comm = pathlib.Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text() == "sleep\n", 10, "the command itself has that pid")
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert host.popen(["true"]).wait(10) == 0


def test_nothing_outlives_it():
    host = Node()
    with host:
        folder, group = host.dir, host.dir.name
        host.popen(["sleep", "300"])
        create_guest(host, place_tiny(host))
        pids = processes_of(group)
        assert len(pids) >= 5, "init, virtlogd, libvirtd, QEMU, sleep"
    assert not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()]
    assert not folder.exists()
    assert group not in cgroups.list_all()
    host.stop()  # Again does no harm.


OWNER = """\
import sys
from tests.harness.node import Node
node = Node()
node.start()
node.popen(["sleep", "300"])
print(node.dir, flush=True)
sys.stdin.read()
"""


def test_nothing_outlives_a_killed_owner():
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=env.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = pathlib.Path(owner.stdout.readline().strip())
    pids = processes_of(folder.name)
    assert len(pids) >= 4
    owner.kill()
    owner.communicate()
    wait_until(
        lambda: not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()],
        20,
        "the node's processes end with its owner",
    )
    node.sweep_stale()
    assert not folder.exists()
    assert folder.name not in cgroups.list_all()


def test_two_at_once_with_guests_of_one_name():
    with Node("alpha") as alpha, Node("beta") as beta:
        for host in (alpha, beta):
            create_guest(host, place_tiny(host))
        assert alpha.virsh("domid", "guest") == beta.virsh("domid", "guest") == "1"
        alpha.virsh("destroy", "guest")
        assert beta.virsh("domstate", "guest") == "running"


def test_guests_go_on_without_libvirtd():
    with Node() as host:
        create_guest(host, place_tiny(host))
        host.kill_libvirtd()
        assert host.run(["virsh", "-c", "qemu:///system", "list"], check=False).returncode != 0
        assert host.run(["pgrep", "-f", "guest=guest"]).stdout.strip()
        host.start_libvirtd()
        assert host.virsh("domstate", "guest") == "running"


@pytest.mark.parametrize("distribution, user", [(False, "root"), (True, "libvirt-qemu")])
def test_a_guest_boots(distribution, user):
    """The user that QEMU runs as is the one asked for, and it can open its files."""
    with Node(distribution_qemu=distribution) as host:
        disk = place_tiny(host)
        create_guest(host, disk)
        # The command line of another user's process is not always readable: ask by pid file.
        pid = (host.dir / "run/libvirt/qemu/guest.pid").read_text()
        assert host.run(["stat", "--format=%U", f"/proc/{pid}"]).stdout.strip() == user
        console = host.dir / "log/console.log"
        wait_until(
            lambda: console.exists() and "TINY-READY" in console.read_text(errors="replace"),
            120,
            "the guest is ready",
        )
        host.virsh("destroy", "guest")


@pytest.mark.parametrize(
    "script, code, printed",
    [
        ("exit 0", 0, ""),
        ("exit 3", 3, ""),
        ("kill -ABRT $$", 128 + signal.SIGABRT, "ended by signal 6"),
        ('touch "$TEST_TMPDIR/left"', 1, "left over: file: "),
        ("ip link add br9 type bridge", 1, "left over: interface: bridge br9"),
        ('virsh -c "$CVM_TEST_LIBVIRT_URI" list && test -f "$CVM_TEST_TINY_IMAGE"', 0, ""),
        (f"{IN_NODE} -- ip link show cvmbr0", 0, ""),
        (f"{IN_NODE} -- ip link add br9 type bridge", 1, "left over: interface: bridge br9"),
    ],
)
def test_in_node(script, code, printed):
    done = subprocess.run(
        [IN_NODE, "--", "sh", "-c", script], stderr=subprocess.PIPE, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert printed in done.stderr
