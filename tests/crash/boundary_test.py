# SPDX-License-Identifier: Apache-2.0
"""The agent is killed at every step boundary of every workflow.

The places are the agent's own crash sites (agent/core/crash_points.h), learnt from a run that goes
through. A quarter of them in the default run: half of those of half the workflows.
"""

import pytest

from tests.crash.case import Case, Runner, chance, sample, smooth_run
from tests.crash.workflows import WORKFLOWS
from tests.harness.waiting import wait_until

KIND = "agent killed at a boundary"


def crash_at(world, site):
    def run(case: Case) -> None:
        world.faults.crash_at(site)
        case.submit()
        agent = world.agent
        wait_until(lambda: agent.process.returncode is not None, 60, "the agent dies")
        assert agent.process.returncode == -9
        world.faults.crash_at("")
        agent.start()
        agent.wait_connected()
        case.judge()

    return run


PICKED = sample(WORKFLOWS, chance("the workflows that are killed at boundaries"), 1 / 2)


@pytest.mark.parametrize("workflow", PICKED, ids=lambda workflow: workflow.name)
def test_killed_at_every_boundary(world, tally, workflow):
    runner = Runner(world, tally, KIND)
    sites = smooth_run(world, workflow).sites
    chosen = sample(sites, chance(f"boundaries of {workflow.name}"), 1 / 2)
    print(f"{len(chosen)} of {len(sites)} sites")
    for site in chosen:
        runner.run(workflow, site, crash_at(world, site))
    world.bring_empty()
    runner.finish()
