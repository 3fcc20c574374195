# SPDX-License-Identifier: Apache-2.0
"""Kills at random instants of random workflows: the agent, libvirtd, a guest's QEMU, the machine.

The instants are chosen by a seed that is printed. In a full run the agent is killed 100 times.
"""

import threading
from typing import Callable, List

import pytest

from tests.crash.case import FULL, Case, Runner, chance
from tests.crash.workflows import WORKFLOWS
from tests.crash.world import INSTANCE
from tests.harness.waiting import pause, wait_until

# Seconds in which a workflow is under way; soft ones wait for their guest, which is not waited for.
LONGEST = 4.0


def kill_agent(world, _choose) -> None:
    world.agent.kill()
    world.agent.start()
    world.agent.wait_connected()


def kill_libvirtd(world, choose) -> None:
    world.node.kill_libvirtd()
    pause(choose.uniform(0, 1))
    world.node.start_libvirtd()
    # What it forgets of guests that end just then is libvirt's own affair.
    wait_until(lambda: world.state() != "UNKNOWN", 60, "libvirtd is asked again")


def kill_qemu(world, _choose) -> None:
    world.node.run(["pkill", "-9", "-f", f"guest={INSTANCE}"], check=False)


def kill_machine(world, choose) -> None:
    """Everything at once; of what SQLite has not synced all is lost, or all after some place."""
    node, agent = world.node, world.agent
    node.crash()
    wait_until(lambda: agent.process.returncode is not None, 20, "the agent is gone")
    node.start_libvirtd()
    lost = choose.choice(["drop", f"drop:{choose.randrange(1, 1 << 30)}"])
    agent.start({"CVM_SQLITE_UNSYNCED": lost})
    agent.wait_connected()


class Kills:
    """Kills of one kind, spread over the workflows."""

    def __init__(self, world, tally, kind: str, strike: Callable, disturbed: bool):
        self.world = world
        self.kind = kind
        self.strike = strike
        self.disturbed = disturbed
        self.choose = chance(kind)
        self.runner = Runner(world, tally, kind)

    def _under_fault(self, delay: float) -> Callable[[Case], None]:
        def run(case: Case) -> None:
            # It may strike before there is an answer.
            asking = threading.Thread(target=case.submit)
            asking.start()
            pause(delay)
            self.strike(self.world, self.choose)
            asking.join(120)
            assert not asking.is_alive(), "the call has no end"
            case.judge(self.disturbed)

        return run

    def run(self, workflows: List, count: int) -> None:
        for number in range(count):
            workflow = self.choose.choice(workflows)
            delay = self.choose.uniform(0, LONGEST if number % 2 else LONGEST / 4)
            what = f"{self.kind} after {delay:.3f} s"
            self.runner.run(workflow, what, self._under_fault(delay))
        self.world.bring_empty()
        self.runner.finish()


ALIVE = [workflow for workflow in WORKFLOWS if workflow.clean_up is None]
WITH_GUEST = [workflow for workflow in ALIVE if workflow.has_guest]

# Kind, what strikes, whether the guest suffers, of which workflows, how often, how often in full.
KINDS = [
    ("agent killed at random", kill_agent, False, WORKFLOWS, 6, 100),
    ("libvirtd killed", kill_libvirtd, True, ALIVE, 3, 20),
    ("QEMU killed", kill_qemu, True, WITH_GUEST, 2, 12),
    ("machine lost", kill_machine, True, ALIVE, 4, 20),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0])
def test_kills_at_random_instants(world, tally, kind):
    name, strike, disturbed, workflows, sampled, full = kind
    kills = Kills(world, tally, name, strike, disturbed)
    kills.run(workflows, full if FULL else sampled)
