# SPDX-License-Identifier: Apache-2.0
"""The first process of a test node: lays out the mounts, then reaps until its node ends.

Runs as `node_init.py enter DIR` outside, which makes the namespaces, and as `node_init.py init DIR`
inside, as process 1 of the node's PID namespace. When it ends the kernel kills all of the node's
processes. It ends when its standard input is closed, so also when the test that owns the node dies.
"""

import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_BIND = 4096
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {source} on {target}: {os.strerror(error)}")


def enter(node: pathlib.Path) -> None:
    """Joins the node's control groups and replaces itself by `init` in new namespaces."""
    for group in json.loads((node / "node.json").read_text())["cgroups"]:
        pathlib.Path(group, "cgroup.procs").write_text("0")
    flags = ["--pid", "--fork", "--kill-child", "--mount", "--net", "--uts", "--cgroup"]
    os.execvp("unshare", ["unshare", *flags, sys.executable, __file__, "init", str(node)])


def lay_out_mounts(node: pathlib.Path, settings: dict) -> None:
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc")
    # /sys shows the network namespace it was mounted in; a new one hides the control groups.
    mount("sysfs", "/sys", "sysfs")
    if settings["cgroup_version"] == 2:
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    else:
        mount("tmpfs", "/sys/fs/cgroup", "tmpfs", options="mode=755")
        for controllers in settings["cgroup_controllers"]:
            folder = f"/sys/fs/cgroup/{controllers}"
            os.mkdir(folder)
            mount("cgroup", folder, "cgroup", options=controllers)
    mount("tmpfs", "/dev/shm", "tmpfs", options="mode=1777")
    for source, target in settings["binds"]:
        mount(str(node / source), target, flags=MS_BIND)


def reap_until_closed() -> None:
    """Waits for the end of standard input, collecting the orphans of the node meanwhile."""
    # A self-pipe, so that a child's end also wakes the select.
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if 0 in ready and not os.read(0, 1):
            return
        if wake in ready:
            os.read(wake, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            pass


def init(node: pathlib.Path) -> None:
    outer_pid = os.readlink("/proc/self")  # The old /proc still counts as the outside does.
    settings = json.loads((node / "node.json").read_text())
    lay_out_mounts(node, settings)
    socket.sethostname(settings["name"])
    for command in settings["network"]:
        subprocess.run(command, check=True)
    (node / "init.pid.new").write_text(outer_pid)
    os.rename(node / "init.pid.new", node / "init.pid")
    reap_until_closed()


if __name__ == "__main__":
    {"enter": enter, "init": init}[sys.argv[1]](pathlib.Path(sys.argv[2]))
