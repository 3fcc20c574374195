# SPDX-License-Identifier: Apache-2.0
"""A hypervisor host for tests, made of namespaces on the machine that runs the tests.

A node has its own network, mounts, processes, host name and control groups; its own libvirt
configuration, state and logs; its own virtlogd and libvirtd; and a bridge with an address for
guests. Nothing of it reaches the machine around it, and several may run at once.

Its processes see /run, /etc/libvirt, /var/lib/libvirt, /var/cache/libvirt and /var/log/libvirt as
folders below `Node.dir`; every other path is the machine's. The whole ends with its owner.
"""

import atexit
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Dict, List, Optional, Sequence

from tests.harness import cgroups, env
from tests.harness.waiting import wait_until

PREFIX = "cvm-node-"

# What is in /run before anything runs.
RUN_FOLDERS = ("run/libvirt", "run/lock", "run/cvm")

# Debian ships a qemu.conf without a single active line.
QEMU_CONF_DISTRIBUTION = ""

QEMU_CONF_ROOT = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
"""

LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""

# Joins the node's control groups, changes the folder and becomes the command.
JOIN = """\
for procs in {procs}; do echo 0 >"$procs" || exit 125; done
cd "$1" || exit 125
shift
exec "$@"
"""


class NodeProcess:
    """A process in a node, known by its pid outside; `wait` and `returncode` as in Popen."""

    def __init__(self, popen: subprocess.Popen):
        self.popen = popen
        children = pathlib.Path(f"/proc/{popen.pid}/task/{popen.pid}/children")

        def child_pid() -> List[str]:
            try:
                return children.read_text().split()
            except FileNotFoundError:
                return []

        # nsenter waits for the one child that it makes inside; that child is what was asked for.
        wait_until(
            lambda: child_pid() or popen.poll() is not None, 10, "the node's process starts", 0.002
        )
        pids = child_pid()
        self.pid: Optional[int] = int(pids[0]) if pids else None

    @property
    def returncode(self) -> Optional[int]:
        return self.popen.poll()

    def send_signal(self, number: int) -> None:
        """Does nothing when the process has ended."""
        if self.pid is not None and self.popen.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def wait(self, timeout: float) -> int:
        return self.popen.wait(timeout)


class Node:
    """One host. Use as a context manager, or call `start` and `stop`."""

    def __init__(
        self,
        name: str = "node",
        *,
        distribution_qemu: bool = False,
        bridge: str = "cvmbr0",
        bridge_address: str = "192.168.222.1/24",
    ):
        """`distribution_qemu`: QEMU as Debian runs it (user libvirt-qemu, dynamic ownership)
        instead of as root."""
        self.name = name
        self.distribution_qemu = distribution_qemu
        self.bridge = bridge
        self.bridge_address = bridge_address
        self.dir = pathlib.Path()  # Set by start().
        self._group = ""
        self._init: Optional[subprocess.Popen] = None
        self._init_pid = 0
        self._processes: List[NodeProcess] = []

    def __enter__(self) -> "Node":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # Life

    def start(self) -> None:
        sweep_stale()
        base = os.environ.get("CVM_TEST_TMP", tempfile.gettempdir())
        self._group = f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        self.dir = pathlib.Path(base, self._group)
        atexit.register(self.stop)
        try:
            self._lay_out()
            self._start_init()
            self.start_libvirtd()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every process of the node and removes all that it made. May be called again."""
        atexit.unregister(self.stop)
        if self._init is not None:
            self._keep_capabilities()
            self._init.stdin.close()
            try:
                self._init.wait(20)
            except subprocess.TimeoutExpired:
                self._init.kill()  # unshare takes its child with it.
                self._init.wait(20)
            self._init = None
            for process in self._processes:
                process.wait(20)
            self._processes.clear()
        if self._group:
            remove_remains(self.dir, self._group)
            self._group = ""

    def _lay_out(self) -> None:
        self.dir.mkdir(mode=0o755)
        for folder in ("etc", "run", "lib", "log", "cache", "tmp", *RUN_FOLDERS):
            (self.dir / folder).mkdir()
        for folder in ("images", "boot"):
            (self.dir / "lib" / folder).mkdir(mode=0o711)
        uuid = pathlib.Path("/proc/sys/kernel/random/uuid").read_text().strip()
        (self.dir / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=uuid))
        qemu_conf = QEMU_CONF_DISTRIBUTION if self.distribution_qemu else QEMU_CONF_ROOT
        (self.dir / "etc/qemu.conf").write_text(qemu_conf)
        kept = self._kept_capabilities()
        if kept.is_dir():
            shutil.copytree(kept, self.dir / "cache/qemu/capabilities")
        version, roots = cgroups.hierarchies()
        link = ["ip", "link"]
        settings = {
            "name": self.name,
            "cgroups": [str(group) for group in cgroups.create(self._group)],
            "cgroup_version": version,
            "cgroup_controllers": sorted(roots),
            "binds": [
                ("etc", "/etc/libvirt"),
                ("lib", "/var/lib/libvirt"),
                ("cache", "/var/cache/libvirt"),
                ("log", "/var/log/libvirt"),
                ("run", "/run"),
            ],
            "network": [
                [*link, "set", "lo", "up"],
                [*link, "add", self.bridge, "type", "bridge", "stp_state", "0"],
                ["ip", "address", "add", self.bridge_address, "dev", self.bridge],
                [*link, "set", self.bridge, "up"],
            ],
        }
        (self.dir / "node.json").write_text(json.dumps(settings))

    def _start_init(self) -> None:
        log = (self.dir / "init.log").open("wb")
        script = pathlib.Path(__file__).with_name("node_init.py")
        self._init = subprocess.Popen(
            [sys.executable, script, "enter", self.dir],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        pid_file = self.dir / "init.pid"

        def alive() -> None:
            if self._init.poll() is not None:
                raise RuntimeError(f"the node did not start: {(self.dir / 'init.log').read_text()}")

        wait_until(pid_file.exists, 20, "the node's namespaces are ready", 0.02, alive)
        self._init_pid = int(pid_file.read_text())

    # Commands

    def _command(self, command: Sequence, cwd: Optional[os.PathLike]) -> List[str]:
        two = cgroups.hierarchies()[0] == 2
        procs = "/sys/fs/cgroup/daemons/cgroup.procs" if two else "/sys/fs/cgroup/*/cgroup.procs"
        return [
            *["nsenter", "-t", str(self._init_pid), "-m", "-u", "-n", "-p", "-C", "--"],
            *["/bin/sh", "-c", JOIN.format(procs=procs), "sh", str(cwd or os.getcwd())],
            *[str(word) for word in command],
        ]

    def run(
        self,
        command: Sequence,
        *,
        check: bool = True,
        timeout: float = 120,
        cwd: Optional[os.PathLike] = None,
        **options,
    ) -> subprocess.CompletedProcess:
        """Runs a command in the node and returns its output as text.

        With `check`, a failure raises with what the command printed.
        """
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("text", True)
        done = subprocess.run(self._command(command, cwd), timeout=timeout, **options)
        if check and done.returncode != 0:
            words = " ".join(str(word) for word in command)
            raise RuntimeError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def popen(self, command: Sequence, cwd: Optional[os.PathLike] = None, **options) -> NodeProcess:
        """Starts a command in the node; it ends with the node at the latest."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = NodeProcess(subprocess.Popen(self._command(command, cwd), **options))
        self._processes = [p for p in self._processes if p.returncode is None] + [process]
        return process

    def path(self, inside: str) -> pathlib.Path:
        """Where a path of the node is for the test."""
        settings = json.loads((self.dir / "node.json").read_text())
        for source, target in settings["binds"]:
            if inside == target or inside.startswith(target + "/"):
                return self.dir / source / inside[len(target) :].lstrip("/")
        return pathlib.Path(inside)

    # libvirt

    def start_libvirtd(self) -> None:
        for daemon in ("virtlogd", "libvirtd"):
            if not self._daemon_runs(daemon):
                pid_file = f"/run/libvirt/{daemon}.pid"
                self.run([f"/usr/sbin/{daemon}", "-d", "-p", pid_file])

    def kill_libvirtd(self, number: int = signal.SIGKILL) -> None:
        """Ends libvirtd (guests go on) and returns once it is gone."""
        pid = (self.dir / "run/libvirt/libvirtd.pid").read_text().strip()
        self.run(["kill", f"-{int(number)}", pid])
        wait_until(lambda: not self._daemon_runs("libvirtd"), 30, "libvirtd ends")

    def restart_libvirtd(self) -> None:
        self.kill_libvirtd()
        self.start_libvirtd()

    def crash(self) -> None:
        """What a power failure does: every process ends at once, and /run is empty afterwards.

        Files on disk stay; libvirtd is not started again.
        """
        # As process 1 is spared, the namespaces stay; the caller itself is spared as well.
        self.run(["kill", "-9", "-1"], check=False)
        wait_until(lambda: not self._others(), 20, "every process of the node has ended", 0.02)
        for folder in (self.dir / "run", pathlib.Path(f"/proc/{self._init_pid}/root/dev/shm")):
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        for folder in RUN_FOLDERS:
            (self.dir / folder).mkdir()
        self.remove_dead_guests()

    def _others(self) -> List[str]:
        listing = self.run(["ps", "-eo", "pid=,stat=,comm="]).stdout.splitlines()
        processes = [line.split(None, 2) for line in listing]
        return [p[2] for p in processes if p[0] != "1" and p[1][0] != "Z" and p[2] != "ps"]

    def remove_dead_guests(self) -> None:
        """Removes what libvirt itself leaves of a guest that ended while libvirtd was away."""
        names = set(self.run(["pgrep", "-a", "qemu"], check=False).stdout.split())
        for folders in ("domain-*", "channel/target/domain-*"):
            for folder in (self.dir / "lib/qemu").glob(folders):
                if not any(folder.name in name for name in names):
                    shutil.rmtree(folder)
        groups = ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*.libvirt-qemu*"]
        self.run([*groups, "-exec", "rmdir", "{}", "+"], check=False)

    def _daemon_runs(self, daemon: str) -> bool:
        try:
            pid = (self.dir / f"run/libvirt/{daemon}.pid").read_text().strip()
        except FileNotFoundError:
            return False
        comm = self.run(["cat", f"/proc/{pid}/comm"], check=False).stdout.strip()
        return comm == daemon

    def virsh(self, *arguments: str, check: bool = True) -> str:
        done = self.run(["virsh", "-q", "-c", "qemu:///system", *arguments], check=check)
        return done.stdout.strip()

    # QEMU's capabilities take seconds to probe. libvirtd trusts a kept copy only for the same
    # binaries, kernel and user.

    def _kept_capabilities(self) -> pathlib.Path:
        user = "distribution" if self.distribution_qemu else "root"
        return env.cache_dir() / "libvirt-capabilities" / user

    def _keep_capabilities(self) -> None:
        probed = self.dir / "cache/qemu/capabilities"
        kept = self._kept_capabilities()
        if probed.is_dir() and any(probed.iterdir()):
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = pathlib.Path(tempfile.mkdtemp(dir=kept.parent))
            shutil.copytree(probed, new, dirs_exist_ok=True)
            shutil.rmtree(kept, ignore_errors=True)
            try:
                new.rename(kept)
            except OSError:  # Another node was quicker.
                shutil.rmtree(new)


def remove_remains(folder: pathlib.Path, group: str) -> None:
    """Removes what an ended node left on the machine."""
    for loop, backing in loop_devices().items():
        if backing.startswith(f"{folder}/"):
            subprocess.run(["losetup", "-d", loop], check=True)
    cgroups.remove(group)
    shutil.rmtree(folder, ignore_errors=True)


def loop_devices() -> Dict[str, str]:
    """The file behind each loop device in use."""
    found = {}
    for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found[f"/dev/{backing.parts[3]}"] = backing.read_text().strip()
        except OSError:  # Detached meanwhile.
            pass
    return found


def sweep_stale() -> None:
    """Removes the remains of nodes whose owner was killed; their processes ended with it."""
    base = pathlib.Path(os.environ.get("CVM_TEST_TMP", tempfile.gettempdir()))
    names = {entry.name for entry in base.glob(f"{PREFIX}*")}
    names |= {name for name in cgroups.list_all() if name.startswith(PREFIX)}
    for name in names:
        owner = name[len(PREFIX) :].split("-")[0]
        if owner.isdigit() and not pathlib.Path(f"/proc/{owner}").exists():
            remove_remains(base / name, name)
