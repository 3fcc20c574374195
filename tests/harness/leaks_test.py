# SPDX-License-Identifier: Apache-2.0
"""The leak check finds one planted leak of each kind, names it, and is content once it is gone."""

import shutil
import subprocess

import pytest

from tests.harness import cgroups, leaks
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.usefixtures("node")

DOMAIN = """\
<domain type='qemu'>
  <name>planted</name>
  <memory unit='MiB'>32</memory>
  <os><type machine='q35'>hvm</type></os>
  <devices>
    <disk type='file'>
      <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""

CHECKPOINT = """\
<domaincheckpoint>
  <name>c1</name>
  <disks><disk name='vda' checkpoint='bitmap'/></disks>
</domaincheckpoint>
"""


@pytest.fixture(autouse=True)
def fixture_no_leaks():
    """In place of the usual check at the end of a test: `check` has looked already."""


@pytest.fixture(name="domain")
def fixture_domain(node):
    """A function that writes the XML of a domain with a disk; nothing is defined yet."""
    scratch = node.dir / "planted"
    scratch.mkdir()
    disk = scratch / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    xml = scratch / "domain.xml"
    xml.write_text(DOMAIN.format(disk=disk))
    yield xml
    shutil.rmtree(scratch)


def check(node, plant, remove, *expected):
    """Plants, expects a line with each text, removes, expects nothing."""
    before = leaks.take_in(node)
    plant()
    try:
        found = before.difference(leaks.take_in(node))
        for text in expected:
            assert any(text in line for line in found), f"no '{text}' in {found}"
    finally:
        remove()
    assert leaks.settled_difference(before, lambda: leaks.take_in(node)) == []


def check_commands(node, plant, remove, *expected):
    """As check, with lists of commands that run in the node."""

    def run_all(commands):
        for command in commands:
            node.run(command.split())

    check(node, lambda: run_all(plant), lambda: run_all(remove), *expected)


def test_nothing_planted_nothing_found(node):
    before = leaks.take_in(node)
    assert before.lines["interface"], "an empty snapshot would find nothing, ever"
    assert before.lines["process"]
    assert before.difference(leaks.take_in(node)) == []


def test_vanished_things_are_told_as_well(node):
    node.run(["ip", "link", "add", "br9", "type", "bridge"])
    before = leaks.take_in(node)
    node.run(["ip", "link", "delete", "br9"])
    assert before.difference(leaks.take_in(node)) == ["vanished: interface: bridge br9"]


def test_a_second_one_of_the_same_kind_counts(node):
    one = node.popen(["sleep", "300"])
    before = leaks.take_in(node)
    two = node.popen(["sleep", "300"])
    assert before.difference(leaks.take_in(node)) == ["left over: process: sleep: sleep 300"]
    for process in (one, two):
        process.send_signal(9)
        process.wait(10)


def test_defined_domain(node, domain):
    check(
        node,
        lambda: node.virsh("define", domain),
        lambda: node.virsh("undefine", "planted"),
        "left over: domain: planted",
    )


def test_running_domain(node, domain):
    check(
        node,
        lambda: node.virsh("create", domain, "--paused"),
        lambda: node.virsh("destroy", "planted"),
        "left over: domain: planted",
        "left over: process: qemu-system-x86",
        "left over: cgroup: machine/qemu-",
        "left over: file: /var/lib/libvirt/qemu/domain-",
    )


def test_snapshot(node, domain):
    def plant():
        node.virsh("define", domain)
        node.virsh("snapshot-create-as", "planted", "s1")

    def remove():
        node.virsh("snapshot-delete", "planted", "s1")
        node.virsh("undefine", "planted")

    check(node, plant, remove, "left over: snapshot: s1 of domain planted")


def test_checkpoint(node, domain):
    xml = domain.with_name("checkpoint.xml")
    xml.write_text(CHECKPOINT)

    def plant():
        node.virsh("define", domain)
        node.virsh("start", "planted", "--paused")
        node.virsh("checkpoint-create", "planted", xml)

    def remove():
        node.virsh("checkpoint-delete", "planted", "c1")
        node.virsh("destroy", "planted")
        node.virsh("undefine", "planted")

    check(node, plant, remove, "left over: checkpoint: c1 of domain planted")


def test_managed_save(node, domain):
    def plant():
        node.virsh("define", domain)
        node.virsh("start", "planted", "--paused")
        node.virsh("managedsave", "planted")

    def remove():
        node.virsh("undefine", "planted", "--managed-save")

    check(
        node,
        plant,
        remove,
        "left over: managed save: of domain planted",
        "left over: file: /var/lib/libvirt/qemu/save/planted.save",
    )


def test_saved_state_of_a_domain_that_is_gone(node):
    saved = node.dir / "lib/qemu/save/gone.save"
    check(
        node,
        lambda: saved.write_text("x"),
        saved.unlink,
        "left over: file: /var/lib/libvirt/qemu/save/gone.save",
    )


def test_nvram_of_a_domain_that_is_gone(node):
    nvram = node.dir / "lib/qemu/nvram/gone_VARS.fd"
    check(
        node,
        lambda: nvram.write_text("x"),
        nvram.unlink,
        "left over: file: /var/lib/libvirt/qemu/nvram/gone_VARS.fd",
    )


def test_nvram_of_a_domain(node, domain):
    text = domain.read_text().replace("<os>", "<os firmware='efi'>")
    domain.write_text(text.replace("<devices>", "<features><acpi/></features><devices>"))

    def start_once():
        node.virsh("define", domain)
        node.virsh("start", "planted", "--paused")

    def remove():
        node.virsh("destroy", "planted")
        node.virsh("undefine", "planted", "--nvram")

    check(node, start_once, remove, "left over: NVRAM: /var/lib/libvirt/qemu/nvram/planted_VARS")


@pytest.mark.parametrize(
    "plant, remove, expected",
    [
        pytest.param(
            ["ip tuntap add tap9 mode tap"],
            ["ip link delete tap9"],
            ["left over: interface: tun tap9"],
            id="tap",
        ),
        pytest.param(
            ["ip link add br9 type bridge"],
            ["ip link delete br9"],
            ["left over: interface: bridge br9"],
            id="bridge",
        ),
        pytest.param(
            ["ip address add 192.0.2.1/24 dev cvmbr0"],
            ["ip address delete 192.0.2.1/24 dev cvmbr0"],
            ["left over: address: 192.0.2.1/24 on cvmbr0"],
            id="address",
        ),
        pytest.param(
            ["ip netns add planted"],
            ["ip netns delete planted", "umount /run/netns", "rmdir /run/netns"],
            ["left over: file: /run/netns/planted", "left over: mount: nsfs"],
            id="network namespace",
        ),
        pytest.param(
            ["nft add table inet planted", "nft add chain inet planted c"],
            ["nft delete table inet planted"],
            ["left over: nft table", "left over: nft chain"],
            id="nft table and chain",
        ),
        pytest.param(
            ["tc qdisc add dev cvmbr0 root handle 9: htb"],
            ["tc qdisc delete dev cvmbr0 root"],
            ["left over: tc qdisc: htb 9:"],
            id="tc qdisc",
        ),
        pytest.param(
            ["mount -t tmpfs planted /run/cvm"],
            ["umount /run/cvm"],
            ["left over: mount: planted (tmpfs) on /run/cvm"],
            id="mount",
        ),
        pytest.param(
            ["virsh -q net-define /dev/stdin"],
            ["virsh -q net-undefine planted"],
            ["left over: libvirt network: planted"],
            id="libvirt network",
        ),
        pytest.param(
            ["virsh -q pool-define-as planted dir --target /var/lib/libvirt/images"],
            ["virsh -q pool-undefine planted"],
            ["left over: storage pool: planted"],
            id="storage pool",
        ),
    ],
)
def test_planted_by_commands(node, plant, remove, expected):
    if "net-define" in plant[0]:
        (node.dir / "run/net.xml").write_text("<network><name>planted</name></network>")
        plant = [plant[0].replace("/dev/stdin", "/run/net.xml")]
    check_commands(node, plant, remove, *expected)


def test_bridge_port(node):
    node.run("ip tuntap add tap9 mode tap".split())
    check_commands(
        node,
        ["ip link set tap9 master cvmbr0"],
        ["ip link set tap9 nomaster"],
        "left over: interface: tun tap9, port of cvmbr0",
        "vanished: interface: tun tap9",
    )
    node.run("ip link delete tap9".split())


def test_nft_rule(node):
    for command in ("add table inet kept", "add chain inet kept c"):
        node.run(["nft", *command.split()])
    check_commands(
        node,
        ["nft add rule inet kept c ip saddr 192.0.2.9 counter drop"],
        ["nft flush chain inet kept c"],
        "left over: nft rule",
        "192.0.2.9",
    )
    node.run("nft delete table inet kept".split())


def test_tc_filter(node):
    node.run("tc qdisc add dev cvmbr0 root handle 1: htb".split())
    check_commands(
        node,
        ["tc filter add dev cvmbr0 parent 1: protocol ip u32 match ip src 192.0.2.9 flowid 1:1"],
        ["tc filter delete dev cvmbr0 parent 1:"],
        "left over: tc filter",
    )
    node.run("tc qdisc delete dev cvmbr0 root".split())


def test_tc_ingress_filter(node):
    node.run("tc qdisc add dev cvmbr0 ingress".split())
    check_commands(
        node,
        ["tc filter add dev cvmbr0 ingress protocol ip u32 match ip src 192.0.2.9 flowid :1"],
        ["tc filter delete dev cvmbr0 ingress"],
        "left over: tc filter",
    )
    node.run("tc qdisc delete dev cvmbr0 ingress".split())


def test_loop_device(node):
    backing = node.dir / "lib/images/planted.raw"
    backing.write_bytes(bytes(1 << 20))
    # Seen at the file's place in the node.
    inside = "/var/lib/libvirt/images/planted.raw"
    device = []

    def plant():
        device.append(node.run(["losetup", "--find", "--show", inside]).stdout.strip())

    def remove():
        node.run(["losetup", "-d", device[0]])

    check(node, plant, remove, "left over: loop device: /dev/loop")
    backing.unlink()


@pytest.mark.parametrize("name", ["qemu-img", "cvm-metadatad", "dnsmasq", "unrelated"])
def test_process(node, name):
    program = node.dir / name
    shutil.copy("/usr/bin/sleep", program)
    started = []
    check(
        node,
        lambda: started.append(node.popen([program, "300"])),
        lambda: (started[0].send_signal(9), started[0].wait(10)),
        f"left over: process: {name[:15]}",
    )
    program.unlink()


def test_only_our_processes_count_on_a_shared_host(node):
    words = ["/usr/bin/python3", "-m", "tests.harness.leaks", "snapshot"]
    root = leaks.__file__.rsplit("/tests/", 1)[0]

    def take():
        return leaks.Snapshot.from_json(node.run(words, cwd=root).stdout)

    before = take()
    started = []
    for name in ("qemu-img", "unrelated"):
        program = node.dir / name
        shutil.copy("/usr/bin/sleep", program)
        started.append(node.popen([program, "300"]))
    found = before.difference(take())
    assert [line.split(":")[2].strip() for line in found] == ["qemu-img"]
    for process in started:
        process.send_signal(9)
        process.wait(10)


@pytest.mark.parametrize(
    "path",
    [
        "lib/images/planted.iso",
        "lib/qemu/channel/target/planted",
        "lib/qemu/checkpoint/planted",
        "run/libvirt/qemu/planted.xml",
        "run/cvm/planted.sock",
        "state/instances/ins-planted0/system.qcow2",
    ],
)
def test_file(node, path):
    root = str(node.dir / "state")
    (node.dir / "state/instances").mkdir(parents=True, exist_ok=True)
    before = leaks.take_in(node, [root])
    file = node.dir / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    found = before.difference(leaks.take_in(node, [root]))
    assert any(line.endswith("/" + path.split("/", 1)[1]) for line in found), found
    if path.startswith("state"):
        shutil.rmtree(file.parent)
    else:
        file.unlink()
    assert before.difference(leaks.take_in(node, [root])) == []


def test_the_stores_journal_is_no_leak(node):
    root = node.dir / "state"
    root.mkdir(exist_ok=True)
    (root / "state.db").write_text("")
    before = leaks.take_in(node, [str(root)])
    (root / "state.db-wal").write_text("")
    (root / "state.db-shm").write_text("")
    assert before.difference(leaks.take_in(node, [str(root)])) == []


def hierarchy() -> str:
    """Where a node's control groups are, the freezer's where each controller has its own."""
    return cgroups.MOUNT_POINT + ("" if cgroups.hierarchies()[0] == 2 else "/freezer")


def test_control_group_of_ours(node):
    group = f"{hierarchy()}/cvm-planted"
    check_commands(
        node, [f"mkdir {group}"], [f"rmdir {group}"], "left over: cgroup: cvm-planted"
    )


def test_control_group_of_a_guest_counts_while_a_process_is_in_it(node):
    guest = f"{hierarchy()}/machine/qemu-9-planted.libvirt-qemu"
    inside = f"{guest}/libvirt/emulator"
    before = leaks.take_in(node)
    node.run(["mkdir", "-p", inside])
    assert before.difference(leaks.take_in(node)) == []
    process = node.popen(["sh", "-c", f"echo $$ >{inside}/cgroup.procs && exec sleep 300"])
    try:
        wait_until(
            lambda: f"left over: cgroup: machine/{guest.rsplit('/', 1)[1]}"
            in before.difference(leaks.take_in(node)),
            20,
            "the group is found",
        )
    finally:
        process.send_signal(9)
        process.wait(10)
    assert leaks.settled_difference(before, lambda: leaks.take_in(node)) == []
    node.run(["rmdir", "-p", "--ignore-fail-on-non-empty", inside])
