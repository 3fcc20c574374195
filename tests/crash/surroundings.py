# SPDX-License-Identifier: Apache-2.0
"""What workflows of the crash tests need on the host beside the one instance and the one image."""

import subprocess
import uuid
from typing import List, Tuple

from tests.harness import hand_made
from tests.harness.agent import Agent

# A data disk of the instance, which can be kept when the instance is deleted.
VOLUME = "disk-crash001"
# A domain that somebody else made, and its UUID.
HAND_MADE = "made-by-hand"
HAND_MADE_UUID = str(uuid.UUID(int=0xC4A54, version=4))
# Nobody's disk.
ORPHAN = "disk-orphan01.qcow2"


class Surroundings:
    """Makes these things and removes them; `lines` says which of them are there."""

    def __init__(self, agent: Agent):
        self._api = agent.api
        self._node = agent.node
        self._volumes = agent.state_dir / "volumes"

    # A volume

    def has_volume(self) -> bool:
        volumes = self._api.call("VolumeService/ListVolumes").get("volumes", [])
        return VOLUME in [entry["id"] for entry in volumes]

    # Somebody's domain

    def has_domain(self, name: str = HAND_MADE) -> bool:
        return name in self._node.virsh("list", "--all", "--name").split()

    def add_domain(self, name: str = HAND_MADE, identity: str = HAND_MADE_UUID) -> None:
        if self.has_domain(name):
            return
        disk = self._node.dir / "tmp/hand-made.qcow2"
        command = ["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        hand_made.define(self._node, name, identity, disk)

    def remove_domain(self, name: str = HAND_MADE) -> None:
        if self.has_domain(name):
            self._node.virsh("undefine", name)

    # Nobody's disk

    def add_orphan(self) -> None:
        (self._volumes / ORPHAN).write_bytes(b"orphan")

    def has_orphan(self) -> bool:
        return (self._volumes / ORPHAN).exists()

    def remove_orphan(self) -> None:
        (self._volumes / ORPHAN).unlink(missing_ok=True)

    # Maintenance

    def maintenance(self) -> dict:
        return self._api.call("HostService/GetHost").get("maintenance", {})

    # All of it

    def tidy(self) -> None:
        """Nothing of it is there, and the host takes guests. The instance is nothing adopted."""
        if self.maintenance().get("on"):
            self._api.do("HostService/SetMaintenance", {"on": False})
        if self.has_volume():
            self._api.do("VolumeService/DeleteVolume", {"volumeId": VOLUME})
        self.remove_domain()
        self.remove_orphan()

    def lines(self) -> List[Tuple[str, str]]:
        """What a look at the host (leaks.Snapshot) shows of it."""
        found = []
        if self.has_volume():
            found.append(("file", f"{self._volumes}/{VOLUME}.qcow2"))
        if self.has_domain():
            found.append(("domain", HAND_MADE))
        return found
