# SPDX-License-Identifier: Apache-2.0
"""Logging in to a guest, as its owner would."""

import pathlib
import subprocess

from tests.harness.node import Node
from tests.harness.waiting import wait_until


class Key:
    """A fresh key pair in a folder of the node."""

    def __init__(self, node: Node, name: str = "id_ed25519"):
        self.private = node.dir / "tmp" / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]
        subprocess.run([*command, self.private], check=True, stdin=subprocess.DEVNULL)

    @property
    def public(self) -> str:
        return pathlib.Path(f"{self.private}.pub").read_text().strip()


class Ssh:
    """A guest that is reached from its node by key."""

    def __init__(self, node: Node, address: str, key: Key, user: str):
        self._node = node
        self._words = [
            *["ssh", "-F", "none", "-i", key.private, "-o", "BatchMode=yes"],
            *["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
            *["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"],
            *["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", f"{user}@{address}", "--"],
        ]

    def run(self, command: str, check: bool = True, timeout: float = 120) -> str:
        """Runs a shell command in the guest and returns what it prints."""
        done = self._node.run([*self._words, command], check=check, timeout=timeout)
        return done.stdout.strip()

    def boot_id(self) -> str:
        """Different after each boot. Empty while the guest cannot be reached."""
        # A guest under emulation needs seconds for each login: asking often starves it.
        return self.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=300)

    def wait(self, timeout: float, other_than: str = "") -> str:
        """Waits for a boot other than that one; returns its id."""

        def reached() -> str:
            found = self.boot_id()
            return found if found != other_than else ""

        return wait_until(reached, timeout, "the guest answers by ssh", interval=1)
