# SPDX-License-Identifier: Apache-2.0
"""What the crash tests share: an agent that can be made to fail, and the table of what passed."""

import pytest

from tests.crash.case import Tally
from tests.crash.world import World
from tests.harness import env
from tests.harness.agent import Agent
from tests.harness.faults import Faults

OVERRIDES = {
    # The disks are empty files.
    "limits.disk_overcommit": 100.0,
    "limits.memory_reserve_mib": 256,
    "limits.cpu_overcommit": 64.0,
    "limits.reinstall_min_disk_gib": 1,
    # These guests are new enough for QEMU's emulator.
    "operations.emulated_vcpu_growth": True,
    # The tiny guest rescues itself.
    "rescue.image_id": "img-tiny0000",
}

TALLY = Tally()


@pytest.fixture(name="agent", scope="session")
def fixture_agent(node):
    agent = Agent(node, OVERRIDES)
    agent.faults = Faults(agent)
    with agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="world", scope="session")
def fixture_world(agent):
    image = agent.import_image(env.image("tiny"), "img-tiny0000")
    world = World(agent, agent.faults, image)
    world.learn_shapes()
    world.bring_absent()
    return world


@pytest.fixture(name="tally", scope="session")
def fixture_tally():
    return TALLY


def pytest_terminal_summary(terminalreporter):
    if TALLY.passed:
        terminalreporter.section("cases that passed: workflow, and kind of fault")
        terminalreporter.write_line(TALLY.table())
