# SPDX-License-Identifier: Apache-2.0
"""The one instance and the one image that the crash tests work on, and what they may leave."""

import itertools
import re
import shutil
import subprocess
from typing import Dict, List, Optional, Sequence

from tests.crash.surroundings import HAND_MADE, VOLUME, Surroundings
from tests.harness import leaks, tiny, truth
from tests.harness.agent import Agent
from tests.harness.api import ApiError
from tests.harness.faults import Faults
from tests.harness.waiting import wait_until

INSTANCE = "ins-crash001"
IMAGE = "img-crash001"
SOURCE = "crash.qcow2"
NEW_DISKS = ({"id": VOLUME, "sizeBytes": str(tiny.GIB)},)
# Of "crash".
PASSWORD_HASH = (
    "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"
    "jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
)

# libvirt counts the starts of domains.
COUNTED = re.compile(r"(domain-|qemu-|qemu\\x2d)\d+(-|\\x2d)")

# A reinstall makes the next one.
DRIVE = re.compile(r"/config-drive-\d+\.iso$")

# Its first start makes it.
LOG = re.compile(r"/console\.log(\.\d+)?$")


def absent(error: ApiError) -> bool:
    return error.reason in ("INSTANCE_NOT_FOUND", "IMAGE_NOT_FOUND")


class World:
    """Brings the host into the state that a workflow begins with, and says what is there."""

    def __init__(self, agent: Agent, faults: Faults, image_id: str):
        self.agent = agent
        self.api = agent.api
        self.node = agent.node
        self.faults = faults
        self.image_id = image_id
        self.around = Surroundings(agent)
        self._ids = itertools.count(1)
        self._shapes: Dict[str, leaks.Snapshot] = {}
        self._make_source()

    def _make_source(self) -> None:
        made = self.node.dir / "tmp" / SOURCE
        command = ["qemu-img", "create", "-q", "-f", "qcow2", made, "1M"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        shutil.move(made, self.agent.import_dir / SOURCE)

    def new_request_id(self, what: str) -> str:
        return f"{what}-{next(self._ids)}"

    # What is there

    def instance(self) -> Optional[dict]:
        try:
            return self.api.instance(INSTANCE)
        except ApiError as error:
            if not absent(error):
                raise
            return None

    def state(self) -> str:
        found = self.instance()
        return found["state"] if found else "absent"

    def settled_state(self) -> str:
        """The state once libvirt has been asked after a restart."""
        return wait_until(
            lambda: (state := self.state()) != "UNKNOWN" and state, 60, "the state is known"
        )

    def image_state(self) -> str:
        try:
            return self.api.call("ImageService/GetImage", {"imageId": IMAGE})["state"]
        except ApiError as error:
            if not absent(error):
                raise
            return "absent"

    def size(self) -> tuple:
        """vCPUs as the record and as the domain's definition have them."""
        xml = self.node.virsh("dumpxml", "--inactive", INSTANCE)
        defined = re.search(r"<vcpu[^>]* current='(\d+)'|<vcpu[^>]*>(\d+)<", xml)
        return self.instance()["spec"]["vcpus"], int(defined[1] or defined[2])

    def wait_true(self) -> None:
        """Until what the agent says is true of the host."""
        truth.wait_true(self.agent, foreign=[HAND_MADE])

    # Getting there, without a fault

    def creation(self, data_disks: Sequence[dict] = NEW_DISKS) -> dict:
        spec = tiny.spec(
            self.image_id,
            memoryMib="128",
            maxVcpus=2,
            systemDisk={"id": "disk-crash000", "sizeBytes": str(tiny.GIB)},
            dataDisks=data_disks,
            nics=[{}],
        )
        return {"instanceId": INSTANCE, "spec": spec}

    def do(self, method: str, **request) -> None:
        self.api.do(f"InstanceService/{method}", {"instanceId": INSTANCE, **request})

    def tidy(self) -> None:
        """Nothing is on the host that workflows have beside the instance and the image."""
        if (self.instance() or {}).get("adopted"):
            self.bring_absent()
        self.around.tidy()

    def bring_empty(self) -> None:
        """Nothing at all."""
        self.tidy()
        self.bring_absent()
        self.bring_image(False)

    def bring_absent(self) -> None:
        if self.state() != "absent":
            self.do("DeleteInstance")

    def bring_stopped(self) -> None:
        state = self.settled_state()
        if state == "LAUNCH_FAILED":
            self.bring_absent()
            state = "absent"
        if state == "absent":
            self.do("CreateInstance", **self.creation(), start="START_NO")
        elif state == "SHUTDOWN":
            self.do("RestoreInstance")
        elif state == "RESCUE":
            self.do("ExitRescue")
        if self.state() != "STOPPED":
            self.do("StopInstance", mode="STOP_MODE_HARD")
        if self.size()[0] != 1:
            self.do("ResizeInstance", vcpus=1, memoryMib="128")

    def bring_running(self) -> None:
        if self.settled_state() == "RUNNING" and self.size()[0] == 1:
            return
        self.bring_stopped()
        self.do("StartInstance")

    def bring_ready(self) -> None:
        """Running, and so far that the guest listens to its power button."""
        self.bring_stopped()
        printed = len(self.agent.console(INSTANCE))
        self.do("StartInstance")
        self.agent.wait_console(INSTANCE, "TINY-READY", tiny.READY_TIMEOUT, after=printed)

    def bring_recycled(self) -> None:
        if self.settled_state() != "SHUTDOWN":
            self.bring_running()
            self.do("DeleteInstance", recyclePeriod="3600s")

    def bring_rescue(self) -> None:
        if self.settled_state() != "RESCUE":
            self.bring_running()
            self.do("EnterRescue", login={"passwordHash": PASSWORD_HASH}, forceStop=True)

    def bring_volume(self) -> None:
        """No instance, and the data disk that it had is kept."""
        if not self.around.has_volume():
            self.bring_stopped()
            self.do("DeleteInstance", keepDiskIds=[VOLUME])
        self.bring_absent()

    def bring_image(self, wanted: bool) -> None:
        if wanted == (self.image_state() == "READY"):
            return
        if wanted:
            self.api.do("ImageService/ImportImage", self.import_request())
        else:
            self.api.do("ImageService/DeleteImage", {"imageId": IMAGE})

    def import_request(self) -> dict:
        return {
            "imageId": IMAGE,
            "name": "crash",
            "sourceFile": SOURCE,
            "format": "DISK_FORMAT_QCOW2",
        }

    # Leaks: in the same state the host must always hold the same

    def learn_shapes(self) -> None:
        """Takes in what the host holds in each state in which no fault has happened."""
        self.bring_empty()
        for name, bring in (
            ("absent", self.bring_absent),
            ("STOPPED", self.bring_stopped),
            ("RUNNING", self.bring_running),
            ("RESCUE", self.bring_rescue),
        ):
            bring()
            self.wait_true()
            self._shapes[name] = self._take()

    def _take(self) -> leaks.Snapshot:
        roots = [str(self.agent.state_dir), str(self.agent.import_dir)]
        taken = leaks.take_in(self.node, roots)
        names = self._chosen_names()

        def plain(line: str) -> str:
            for chosen, meaning in names.items():
                line = line.replace(chosen, meaning)
            return DRIVE.sub("/config-drive-N.iso", COUNTED.sub(r"\1N\2", line))

        lines = {
            kind: sorted(plain(line) for line in found if not LOG.search(line))
            for kind, found in taken.lines.items()
        }
        return leaks.Snapshot(lines)

    def _chosen_names(self) -> Dict[str, str]:
        """The ids that the agent chooses anew each time, and what they stand for."""
        instance = self.instance() or {}
        names = {}
        if "systemDisk" in instance.get("spec", {}):
            names[instance["spec"]["systemDisk"]["id"]] = "the system disk"
        if "disk" in instance.get("rescue", {}):
            names[instance["rescue"]["disk"]["id"]] = "the rescue disk"
        return names

    def leaks(self) -> List[str]:
        """What the host holds more or less than in this state without a fault."""
        instance = self.instance() or {"state": "absent"}
        state = instance["state"]
        shape = {"SHUTDOWN": "STOPPED", "LAUNCH_FAILED": "absent"}.get(state, state)
        if instance.get("adopted"):
            # All that there is of it is the domain that was there before.
            shape = "absent"
        assert shape in self._shapes, f"{INSTANCE} is {state}"
        expected = leaks.Snapshot({k: list(v) for k, v in self._shapes[shape].lines.items()})
        if self.image_state() == "READY":
            file = self.agent.state_dir / "images" / f"{IMAGE}.qcow2"
            expected.lines["file"].append(str(file))
        for kind, line in self.around.lines():
            expected.lines.setdefault(kind, []).append(line)
        return leaks.settled_difference(expected, self._take)


