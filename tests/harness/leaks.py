# SPDX-License-Identifier: Apache-2.0
"""The leak check: what a host holds before and after a test must be the same.

`Snapshot.take` describes all that a guest or the agent could leave behind on the host it runs on,
as one readable line per thing; the difference of two snapshots names what leaked and what vanished.
`python3 -m tests.harness.leaks snapshot` prints one as JSON, to be run inside a test node.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

from tests.harness.node import loop_devices
from tests.harness.waiting import wait_until

# Folders in which every file counts. Folders of a node's own are added by the caller.
WATCHED = ("/var/lib/libvirt", "/run/libvirt", "/run/cvm", "/run/netns", "/var/lib/cvm", "/dev/shm")

# What comes and goes without being left over: the store's write-ahead log, the pid files and
# sockets of daemons that are still running, folders in which libvirt keeps nothing.
IGNORED_FILES = re.compile(
    r"/state\.(db(-wal|-shm|\.backup.*)?(-unsynced)?|reserve)$"
    r"|^/run/libvirt/(libvirt|virtlog|virtlock)[^/]*$"
    r"|^/run/libvirt/(common|interface|lxc|network|nodedev|nwfilter[^/]*|qemu|secrets|storage)"
    r"(/(driver\.pid|autostarted|dbus|passt|slirp|swtpm))?$"
    r"|^/run/libvirt/(hostdevmgr|storage|nodedev)/"
    r"|^/run/libvirt/(hostdevmgr|common/system\.token|network/nwfilter\.leases)$"
)

# The processes that matter where unrelated ones run as well.
OUR_PROCESSES = re.compile(
    r"^(qemu-|qemu-system|cvm-|dnsmasq|virtiofsd|swtpm|nbdkit|guestfs|supermin|virt-|wimlib)"
)

# Parts the answers of one virsh.
MARK = "<next>"

# Queueing that the kernel sets up by itself.
DEFAULT_QDISCS = {"noqueue", "pfifo_fast", "fq_codel", "mq", "fq"}


class Snapshot:
    """What a host holds: by kind, a multiset of lines."""

    def __init__(self, lines: Dict[str, List[str]]):
        self.lines = lines

    @staticmethod
    def take(roots: Sequence[str] = (), whole_host: bool = False) -> "Snapshot":
        """Describes the host that this process sees.

        `roots`: more folders in which every file counts. `whole_host`: the host belongs to the test
        alone, so that every process and every mount counts.
        """
        watched = [*WATCHED, *roots]
        lines: Dict[str, List[str]] = collections.defaultdict(list)
        sources = [
            domains(),
            interfaces(),
            nft_rules(),
            traffic_control(),
            loops(watched),
            mounts(watched, whole_host),
            processes(whole_host),
            files(watched),
            control_groups(),
        ]
        for source in sources:
            for kind, line in source:
                lines[kind].append(line)
        return Snapshot({kind: sorted(found) for kind, found in lines.items()})

    @staticmethod
    def from_json(text: str) -> "Snapshot":
        return Snapshot(json.loads(text))

    def to_json(self) -> str:
        return json.dumps(self.lines)

    def difference(self, after: "Snapshot") -> List[str]:
        """What `after` has more ("left over") or less ("vanished"); empty when equal."""
        found = []
        for kind in sorted({*self.lines, *after.lines}):
            old = collections.Counter(self.lines.get(kind, []))
            new = collections.Counter(after.lines.get(kind, []))
            found += [f"left over: {kind}: {line}" for line in (new - old).elements()]
            found += [f"vanished: {kind}: {line}" for line in (old - new).elements()]
        return found


Lines = Iterator[Tuple[str, str]]


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def _json(*command: str):
    return json.loads(_output(*command) or "[]")


def domains() -> Lines:
    """Domains with what libvirt keeps for each: snapshots, checkpoints, a saved state, NVRAM."""

    def virsh(*commands: str) -> List[List[str]]:
        """The lines that each command prints, asked for in one connection."""
        script = f"; echo {MARK}; ".join(commands)
        output = _output("virsh", "-q", "-c", "qemu:///system", script)
        return [[line for line in part.split("\n") if line] for part in output.split(MARK)]

    every, snapshots, checkpoints, saved, networks, pools = virsh(
        "list --all --name",
        "list --all --name --with-snapshot",
        "list --all --name --with-checkpoint",
        "list --all --name --with-managed-save",
        "net-list --all --name",
        "pool-list --all --name",
    )
    for name in every:
        yield "domain", name
        nvram = re.search(r"<nvram[^>]*>([^<]+)<", "\n".join(virsh(f"dumpxml {name}")[0]))
        if nvram and os.path.exists(nvram.group(1)):
            yield "NVRAM", f"{nvram.group(1)} of domain {name}"
    for name in snapshots:
        for snapshot in virsh(f"snapshot-list {name} --name")[0]:
            yield "snapshot", f"{snapshot} of domain {name}"
    for name in checkpoints:
        for checkpoint in virsh(f"checkpoint-list {name} --name")[0]:
            yield "checkpoint", f"{checkpoint} of domain {name}"
    for name in saved:
        yield "managed save", f"of domain {name}"
    for name in networks:
        yield "libvirt network", name
    for name in pools:
        yield "storage pool", name


def interfaces() -> Lines:
    """Network interfaces, the bridge that each is a port of, and their configured addresses."""
    for link in _json("ip", "-j", "-d", "address", "show"):
        kind = link.get("linkinfo", {}).get("info_kind", "device")
        port = f", port of {link['master']}" if "master" in link else ""
        yield "interface", f"{kind} {link['ifname']}{port}"
        for address in link.get("addr_info", []):
            if not address["local"].startswith("fe80:"):  # The kernel's own comes with a delay.
                yield "address", f"{address['local']}/{address['prefixlen']} on {link['ifname']}"


def nft_rules() -> Lines:
    for entry in _json("nft", "-j", "list", "ruleset").get("nftables", []):
        for kind, value in entry.items():
            if kind == "metainfo":
                continue
            value.pop("handle", None)
            text = json.dumps(value, sort_keys=True)
            yield "nft " + kind, re.sub(r'"(packets|bytes)": \d+', r'"\1": 0', text)


def traffic_control() -> Lines:
    devices = set()
    for qdisc in _json("tc", "-j", "qdisc", "show"):
        if qdisc["kind"] not in DEFAULT_QDISCS:
            devices.add(qdisc["dev"])
            where = qdisc.get("parent", "root")
            yield "tc qdisc", f"{qdisc['kind']} {qdisc['handle']} {where} on {qdisc['dev']}"
    for device in sorted(devices):
        # Without a word more, the filters of the root qdisc are shown.
        for parent in ([], ["ingress"], ["egress"]):
            for line in _output("tc", "filter", "show", "dev", device, *parent).split("\n"):
                if line.startswith("filter"):
                    yield "tc filter", f"{' '.join(line.split())} on {device}"


def loops(watched: Iterable[str]) -> Lines:
    """Loop devices on files of ours. They belong to the machine, not to a node."""
    for device, backing in loop_devices().items():
        if _below(backing, watched):
            yield "loop device", f"{device} on {backing}"


def mounts(watched: Iterable[str], whole_host: bool) -> Lines:
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        source, target, kind = line.split()[:3]
        if whole_host or _below(target, watched):
            yield "mount", f"{source} ({kind}) on {target}"


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def processes(whole_host: bool) -> Lines:
    """Processes but this one and its ancestors, by command line, for pids tell nothing."""
    found: Dict[int, Tuple[int, str, str]] = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(
                line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line
            )
            words = (status.parent / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields["State"].startswith("Z"):
            words = ["(ended, not waited for)"]
        command = " ".join(words).strip()
        found[int(status.parent.name)] = (int(fields["PPid"]), fields["Name"].strip(), command)
    ours = set()
    pid = os.getpid()
    while pid in found:
        ours.add(pid)
        pid = found[pid][0]
    for pid, (parent, name, command) in found.items():
        # A kernel thread has no command line and is no child of ours.
        if pid in ours or not command:
            continue
        if whole_host or OUR_PROCESSES.match(name):
            yield "process", f"{name}: {command[:160]}"


def files(watched: Iterable[str]) -> Lines:
    for root in watched:
        for folder, subfolders, names in os.walk(root):
            for name in subfolders + names:
                path = os.path.join(folder, name)
                if not IGNORED_FILES.search(path):
                    yield "file", path


def control_groups() -> Lines:
    """Control groups of guests and of ours; the topmost of each.

    A guest's counts while a process is in it. libvirt makes and removes them, and forgets to remove
    the empty one of a guest that is ended while libvirtd, just restarted, still reconnects to it
    (libvirt 9.0).
    """
    names = set()
    for folder, subfolders, _ in os.walk("/sys/fs/cgroup"):
        for name in list(subfolders):
            if re.match(r"(machine-)?(qemu|lxc)-|cvm-(?!node-)", name):
                path = os.path.join(folder, name)
                subfolders.remove(name)
                if name.startswith("cvm-") or _has_processes(path):
                    names.add(re.sub(r"^/sys/fs/cgroup/([^/]*/)?(?=machine|cvm-)", "", path))
    for name in names:
        yield "cgroup", name


def _has_processes(group: str) -> bool:
    """Whether a process is in the control group or below it; a group that is gone has none."""
    for folder, _, _ in os.walk(group):
        try:
            if pathlib.Path(folder, "cgroup.procs").read_text():
                return True
        except OSError:  # Gone by now, or a threaded group, whose processes its parent lists.
            continue
    return False


def settled_difference(
    before: Snapshot, take: Callable[[], Snapshot], timeout: float = 10
) -> List[str]:
    """The difference that is still there after the host had `timeout` seconds to settle.

    Some things go a moment after the call that removes them: a tap with its QEMU, a control group
    with its last process.
    """
    found: List[str] = []

    def settled() -> bool:
        found[:] = before.difference(take())
        return not found

    try:
        wait_until(settled, timeout, "nothing is left over", 0.25)
    except TimeoutError:
        pass
    return found


def take_in(node, roots: Sequence[str] = ()) -> Snapshot:
    """A snapshot of a test node (tests.harness.node.Node)."""
    words = [sys.executable, "-m", "tests.harness.leaks", "snapshot", "--whole-host"]
    for root in roots:
        words += ["--root", root]
    source = pathlib.Path(__file__).resolve().parents[2]
    return Snapshot.from_json(node.run(words, cwd=source).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["snapshot"])
    parser.add_argument("--root", action="append", default=[], help="folder in which files count")
    parser.add_argument("--whole-host", action="store_true", help="the host is a test's alone")
    arguments = parser.parse_args()
    print(Snapshot.take(arguments.root, arguments.whole_host).to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
