# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: a node, an agent in it, images, and the leak check at the end.

A module that needs a node of another kind defines its own `node` and `agent`.
"""

import os

import pytest

from tests.harness import env, leaks
from tests.harness.agent import Agent
from tests.harness.node import Node


@pytest.fixture(name="node", scope="session")
def fixture_node():
    """A host with libvirt and a bridge, for the whole run."""
    with Node() as node:
        yield node


@pytest.fixture(name="agent", scope="session")
def fixture_agent(node):
    """The agent on it, connected to libvirt."""
    with Agent(node) as agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="api")
def fixture_api(agent):
    return agent.api


@pytest.fixture(name="tiny_image", scope="session")
def fixture_tiny_image(agent):
    """A guest that is ready in seconds and says so: TINY-READY."""
    return agent.import_image(env.image("tiny"), "img-tiny0000")


@pytest.fixture(autouse=True)
def fixture_no_leaks(request):
    """Every test that uses a node leaves it as it was."""
    if "node" not in request.fixturenames:
        yield
        return
    node = request.getfixturevalue("node")
    roots = [str(node.dir / "state"), str(node.dir / "import")]
    before = leaks.take_in(node, roots)
    yield
    found = leaks.settled_difference(before, lambda: leaks.take_in(node, roots))
    assert not found, "the test left the node changed:\n  " + "\n  ".join(found)


@pytest.fixture(autouse=True)
def fixture_next_test_is_no_victim(fixture_no_leaks, request):
    """After a test: libvirtd and the agent run, and a failed test's instances are deleted."""
    yield
    if "agent" not in request.fixturenames:
        return
    agent = request.getfixturevalue("agent")
    agent.node.start_libvirtd()
    if agent.process.returncode is not None:
        agent.start()
    agent.wait_connected()
    agent.api.delete_all_instances()


def pytest_collection_modifyitems(config, items):
    """Tests marked `full` belong to `tests/run all`: elsewhere they are not part of the run."""
    if os.environ.get("CVM_TEST_DEPTH") == "full":
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows the end of the node's logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    node = getattr(item, "funcargs", {}).get("node")
    if report.failed and isinstance(node, Node):
        for log in sorted({*node.dir.glob("*.log"), *node.dir.glob("log/**/*.log")}):
            text = log.read_text(errors="replace")
            if text:
                report.sections.append((str(log.relative_to(node.dir)), text[-8000:]))
