# SPDX-License-Identifier: Apache-2.0
"""Random operations over many tiny guests, with random kills between and during them.

Operations are submitted in rounds of a few on different guests, so that they run at the same time.
After each round: what the agent says is true of the host, nothing is unfinished, and every request
id of the round gives its operation again. Choices come from a seed that is printed.
"""

import time
from typing import Dict, List, Optional

import pytest

from tests.crash.case import chance
from tests.harness import tiny, truth
from tests.harness.api import ApiError
from tests.harness.waiting import pause

KILL_SHARE = 0.08

HARD = {"mode": "STOP_MODE_HARD"}

# What may be asked of an instance in each state, beside what is refused: (method, fields).
CALLS = {
    "absent": [("CreateInstance", {"start": "START_NO"}), ("CreateInstance", {})],
    "STOPPED": [
        ("StartInstance", {}),
        ("ResizeInstance", {"vcpus": 2, "memoryMib": "160"}),
        ("ResizeInstance", {"vcpus": 1, "memoryMib": "128"}),
        ("UpdateInstance", {"updateMask": "spec.description"}),
        ("DeleteInstance", {}),
    ],
    "RUNNING": [
        ("StopInstance", HARD),
        ("RebootInstance", HARD),
        ("ResizeInstance", {"vcpus": 2, "memoryMib": "160", "forceStop": True}),
        ("UpdateInstance", {"updateMask": "spec.description"}),
        ("DeleteInstance", {"recyclePeriod": "3600s"}),
        ("DeleteInstance", {}),
    ],
    "SHUTDOWN": [("RestoreInstance", {}), ("DeleteInstance", {})],
    "LAUNCH_FAILED": [("DeleteInstance", {})],
}


class Soak:
    def __init__(self, world, guests: int, what: str):
        self.world = world
        self.api = world.api
        self.choose = chance(what)
        self.guests = [f"ins-soak{number:04}" for number in range(guests)]
        self.operations = 0
        self.kills: Dict[str, int] = {"agent": 0, "libvirtd": 0, "machine": 0}

    def round(self) -> None:
        states = {entry["id"]: entry["state"] for entry in self.api.instances()}
        free = [guest for guest in self.guests if states.get(guest, "absent") in CALLS]
        chosen = self.choose.sample(free, self.choose.randint(1, min(5, len(free))))
        asked = []
        for guest in chosen:
            request = self.request(guest, states.get(guest, "absent"))
            asked.append([*request, self.ask(*request)])
        strike: Optional[str] = None
        if self.choose.random() < KILL_SHARE * len(chosen):
            pause(self.choose.uniform(0, 2.5))
            strike = self.strike()
        ended = []
        for method, request, answer in asked:
            operation = self.ask(method, request)
            # Refused for the state: the kill before it, or a guest that went off, has changed it.
            if operation is None:
                assert answer is None, f"an answered {method} is forgotten: {request}"
                continue
            assert answer is None or answer["id"] == operation["id"], "another operation"
            ended.append((method, request, self.end(operation)))
        truth.wait_true(self.world.agent)
        for method, request, operation in ended:
            again = self.ask(method, request)
            assert (again["id"], again["state"]) == (operation["id"], operation["state"])
        self.operations += len(ended)
        if strike is None:
            failed = [entry for entry in ended if entry[2]["state"] != "SUCCESS"]
            assert not failed, f"failed without a kill: {failed}"

    def request(self, guest: str, state: str) -> tuple:
        method, fields = self.choose.choice(CALLS[state])
        request = {"instanceId": guest, "requestId": self.world.new_request_id("soak"), **fields}
        if method == "CreateInstance":
            request["spec"] = tiny.spec(self.world.image_id, memoryMib="128", nics=[{}])
        if method == "UpdateInstance":
            request["spec"] = {"description": request["requestId"]}
        return method, request

    def ask(self, method: str, request: dict) -> Optional[dict]:
        try:
            return self.api.call(f"InstanceService/{method}", request)
        except ApiError as error:
            assert error.reason != "INTERNAL", error
            return None

    def end(self, operation: dict) -> dict:
        try:
            return self.api.wait(operation, 240)
        except ApiError:
            return self.api.call("OperationService/GetOperation", {"operationId": operation["id"]})

    def strike(self) -> str:
        world = self.world
        what = self.choose.choice(sorted(self.kills))
        self.kills[what] += 1
        if what == "libvirtd":
            world.node.kill_libvirtd()
            world.node.start_libvirtd()
            world.agent.wait_connected()
            return what
        if what == "agent":
            world.agent.kill()
            world.agent.start()
        else:
            world.node.crash()
            world.agent.process.wait(20)
            world.node.start_libvirtd()
            world.agent.start({"CVM_SQLITE_UNSYNCED": "drop"})
        world.agent.wait_connected()
        return what

    def run(self, operations: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.operations < operations:
            assert time.monotonic() < deadline, f"only {self.operations} within {seconds:g} s"
            self.round()
        print(f"{self.operations} operations, kills: {self.kills}")

    def clean_up(self) -> None:
        deletions: List[dict] = []
        for instance in self.api.instances():
            request = {"instanceId": instance["id"]}
            deletions.append(self.api.call("InstanceService/DeleteInstance", request))
        for operation in deletions:
            self.api.wait(operation, 240)
        truth.wait_true(self.world.agent)
        self.world.node.remove_dead_guests()


def soak(world, guests: int, operations: int, seconds: float) -> Soak:
    world.bring_empty()
    made = Soak(world, guests, f"soak of {operations}")
    made.run(operations, seconds)
    made.clean_up()
    return made


def test_a_small_soak(world):
    assert soak(world, guests=5, operations=24, seconds=300).operations >= 24


@pytest.mark.full
def test_soak(world):
    made = soak(world, guests=20, operations=500, seconds=2400)
    assert sum(made.kills.values()) > 0, "nothing was killed"
