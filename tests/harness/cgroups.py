# SPDX-License-Identifier: Apache-2.0
"""Control groups of a test node, on version 1 hierarchies and on version 2.

A node gets one group of its own in each hierarchy and sees it as the root, so that two nodes may
hold guests of the same name, and so that what a node leaves behind is found and removed.
"""

import os
import pathlib
import re
from typing import Dict, List, Tuple

from tests.harness.waiting import wait_until

MOUNT_POINT = "/sys/fs/cgroup"


def hierarchies() -> Tuple[int, Dict[str, pathlib.Path]]:
    """The version that holds the controllers, and the mount point of each hierarchy by options."""
    found: Dict[str, pathlib.Path] = {}
    unified = None
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" and where == MOUNT_POINT:
            unified = pathlib.Path(where)
        if kind == "cgroup" and where.startswith(MOUNT_POINT + "/") and "name=" not in options:
            generic = r"^(rw|ro|relatime|noatime|nosuid|nodev|noexec|xattr|clone_children)$"
            names = [o for o in options.split(",") if not re.match(generic, o)]
            found[",".join(names)] = pathlib.Path(where)
    return (2, {"": unified}) if unified else (1, found)


def create(name: str) -> List[pathlib.Path]:
    """Makes group `name` in each hierarchy; returns the groups that the node's processes join."""
    version, roots = hierarchies()
    join = []
    for root in roots.values():
        group = root / name
        group.mkdir()
        if version == 2:
            # Controllers are handed down only by groups that hold no process themselves.
            controllers = (root / "cgroup.controllers").read_text().split()
            for parent in (root, group):
                (parent / "cgroup.subtree_control").write_text(
                    " ".join(f"+{controller}" for controller in controllers)
                )
            group = group / "daemons"
            group.mkdir()
        for key in ("cpuset.cpus", "cpuset.mems"):
            if version == 1 and (group / key).exists():
                (group / key).write_text((root / key).read_text())
        join.append(group)
    return join


def remove(name: str, timeout: float = 10) -> None:
    """Removes group `name` and all below it; its processes must be ending."""
    for root in hierarchies()[1].values():
        group = root / name
        if group.is_dir():
            wait_until(lambda group=group: _remove_tree(group), timeout, f"{group} is removed")


def _remove_tree(group: pathlib.Path) -> bool:
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return not group.exists()


def list_all() -> List[str]:
    """Names of every group directly below a hierarchy's root."""
    names = set()
    for root in hierarchies()[1].values():
        names |= {entry.name for entry in root.iterdir() if entry.is_dir()}
    return sorted(names)
