# SPDX-License-Identifier: Apache-2.0
"""One workflow met by one fault, and what must be true afterwards, whatever the fault was."""

import collections
import os
import random
import zlib
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, TypeVar

from tests.crash.workflows import Workflow
from tests.crash.world import World
from tests.harness import truth
from tests.harness.api import ApiError

T = TypeVar("T")

# Of every choice that the tests make.
SEED = os.environ.get("CVM_TEST_SEED", "20260101")
FULL = os.environ.get("CVM_TEST_DEPTH") == "full"


def chance(what: str) -> random.Random:
    """Choices that are the same in each run of the test called `what`, and can be repeated."""
    print(f"CVM_TEST_SEED={SEED} for {what}")
    return random.Random(zlib.crc32(f"{SEED} {what}".encode()))


def sample(items: Sequence[T], choose: random.Random, share: float) -> List[T]:
    """All of them in a full run, otherwise that share, in their order."""
    if FULL:
        return list(items)
    count = max(1, round(len(items) * share))
    chosen = set(choose.sample(range(len(items)), count))
    return [item for index, item in enumerate(items) if index in chosen]


class Tally:
    """How many cases of each workflow have passed, by kind of fault."""

    def __init__(self):
        self.passed: Dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self.kinds: List[str] = []

    def add(self, workflow: str, kind: str) -> None:
        if kind not in self.kinds:
            self.kinds.append(kind)
        self.passed[workflow][kind] += 1

    def table(self) -> str:
        width = max((len(name) for name in self.passed), default=0)
        lines = [" " * width + "".join(f" | {kind}" for kind in self.kinds)]
        for name, counts in self.passed.items():
            cells = [f" | {counts[kind] or '':>{len(kind)}}" for kind in self.kinds]
            lines.append(f"{name:<{width}}" + "".join(cells))
        return "\n".join(lines)


class Case:
    """One request under one fault. Steps: `submit` while the fault is there, `recover`, `judge`."""

    def __init__(self, world: World, workflow: Workflow):
        self.world = world
        self.workflow = workflow
        request_id = world.new_request_id("try")
        self.request = {**workflow.request(world, request_id), "requestId": request_id}
        self.answer: Optional[dict] = None

    def submit(self) -> bool:
        """Makes the call; False when it got no answer or was refused for the fault."""
        try:
            self.answer = self.world.api.call(self.workflow.method, self.request)
        except (ApiError, RuntimeError):
            return False
        return True

    def end(self, disturbed: bool = False, timeout: float = 240) -> str:
        """Asks again with the same id, and waits for the operation's end. Where the world was
        `disturbed`, an operation that was not taken on may be impossible by now: REFUSED."""
        try:
            operation = self.world.api.call(self.workflow.method, self.request)
        except ApiError:
            if self.answer is None and disturbed:
                return "REFUSED"
            raise
        if self.answer is not None:
            assert operation["id"] == self.answer["id"], "the answered operation was forgotten"
        self.answer = operation
        try:
            self.world.api.wait(operation, timeout)
        except ApiError:
            return "FAILED"
        return "SUCCESS"

    def judge(self, disturbed: bool = False) -> str:
        """Outcome true, nothing left over, the same answer again. `disturbed`: the guest was hurt
        from outside, so that its state follows from that too."""
        ended = self.end(disturbed)
        world, workflow = self.world, self.workflow
        if workflow.clean_up is not None:
            workflow.clean_up(world, ended)
        world.wait_true()
        if not disturbed:
            state = world.state()
            assert state in workflow.states[ended], f"{ended}, and it is {state}"
        if workflow.check is not None:
            workflow.check(world, self.request, ended)
        if disturbed:
            world.node.remove_dead_guests()
        found = world.leaks()
        assert not found, f"after {ended}: {found}"
        if ended == "REFUSED":
            return ended
        again = world.api.call(workflow.method, self.request)
        assert again["id"] == self.answer["id"], "another operation"
        assert again["state"] == ended, f"{ended} became {again['state']}"
        return ended


class Smooth(NamedTuple):
    """What a workflow passes through when nothing fails."""

    sites: List[str]
    writes: int


_smooth: Dict[str, Smooth] = {}


def prepare(world: World, workflow: Workflow) -> None:
    """The host is where the workflow begins, whatever was there."""
    world.tidy()
    workflow.prepare(world)


def smooth_run(world: World, workflow: Workflow) -> Smooth:
    """Runs the workflow once without a fault, the first time that it is asked for."""
    if workflow.name not in _smooth:
        prepare(world, workflow)
        world.faults.fail_writes(0)
        writes = 0

        def run() -> None:
            nonlocal writes
            case = Case(world, workflow)
            assert case.submit()
            case.end()
            writes = world.faults.write_faults().calls
            assert case.judge() == workflow.ends

        sites = world.faults.sites_of(run)
        ours = [site for site in sites if site.startswith(workflow.action + "/")]
        # Each step has two.
        assert len(ours) >= 2, f"too few crash sites: {sites}"
        _smooth[workflow.name] = Smooth(ours, writes)
    return _smooth[workflow.name]


class Runner:
    """Runs cases; every failure is told, not only the first."""

    def __init__(self, world: World, tally: Tally, kind: str):
        self._world = world
        self._tally = tally
        self._kind = kind
        self._failures: List[str] = []

    def run(self, workflow: Workflow, what: str, case: Callable[[Case], None]) -> bool:
        """Prepares, and runs the case; False when it failed."""
        world = self._world
        try:
            prepare(world, workflow)
            case(Case(world, workflow))
        except Exception as error:
            self._failures.append(f"{workflow.name}, {what}: {type(error).__name__}: {error}")
            print(self._failures[-1])
            recover(world)
            return False
        self._tally.add(workflow.name, self._kind)
        return True

    def finish(self) -> None:
        failures = "\n".join(self._failures)
        assert not failures, f"{len(self._failures)} cases failed:\n{failures}"


def recover(world: World) -> None:
    """Back to an agent that runs with nothing, after a case that failed."""
    world.faults.crash_at("")
    world.faults.fail_writes(0)
    world.faults.heal_qemu_img()
    world.node.start_libvirtd()
    if world.agent.process.returncode is None:
        world.agent.kill()
    world.agent.start()
    world.agent.wait_connected()
    ours = [truth.domain_of(instance) for instance in world.api.instances()]
    for domain in world.node.virsh("list", "--all", "--name").split():
        if domain not in ours:
            world.node.virsh("destroy", domain, check=False)
            world.node.virsh("undefine", domain)
    world.bring_empty()
