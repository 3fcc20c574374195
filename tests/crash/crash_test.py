# SPDX-License-Identifier: Apache-2.0
"""The agent is killed at every step boundary; after its restart the outcome is true and clean.

The places are the agent's own crash sites (agent/core/crash_points.h), learnt from a first run that
only records them. A sample of them unless CVM_TEST_DEPTH is `full`.
"""

import os
import random
import time

import pytest

from tests.harness import leaks, tiny
from tests.harness.api import ApiError
from tests.harness.waiting import wait_until

INSTANCE = "ins-crash001"
SAMPLE = 5

ROGUE = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type>hvm</type></os></domain>
"""


def creation(image_id: str, request_id: str) -> dict:
    data = [{"sizeBytes": str(tiny.GIB)}]
    spec = tiny.spec(image_id, dataDisks=data, nics=[{}])
    return {"requestId": request_id, "instanceId": INSTANCE, "spec": spec}


def restart(agent, environment=None):
    agent.stop()
    agent.start(environment)
    agent.wait_connected()


def record_sites(agent, run) -> list:
    """The crash sites that `run` passes, in order."""
    trace = agent.node.dir / "tmp/crash-trace"
    restart(agent, {"CVM_CRASH_TRACE": str(trace)})
    run()
    restart(agent)
    sites = list(dict.fromkeys(trace.read_text().splitlines()))
    trace.unlink()
    return sites


def chosen(sites: list) -> list:
    if os.environ.get("CVM_TEST_DEPTH") == "full" or len(sites) <= SAMPLE:
        return sites
    seed = os.environ.get("CVM_TEST_SEED", time.strftime("%Y-%m-%d"))
    print(f"a sample of {SAMPLE} of {len(sites)} crash sites; CVM_TEST_SEED={seed}")
    wanted = set(random.Random(seed).sample(sites, SAMPLE))
    return [site for site in sites if site in wanted]


def crash_at(agent, site: str, method: str, request: dict) -> None:
    """Makes the call with the agent told to die at `site`, and waits for its death."""
    restart(agent, {"CVM_CRASH_AT": site})
    try:
        agent.api.call(method, request)
    except (ApiError, RuntimeError):
        pass  # It may die before it can answer.
    wait_until(lambda: agent.process.returncode is not None, 60, f"the agent dies at {site}")
    assert agent.process.returncode == -9
    agent.start()
    agent.wait_connected()


def outcome(agent, method: str, request: dict) -> str:
    """How the operation of a call that may or may not have been answered ended."""
    # The same request id: the same operation, if it was ever written down.
    operation = agent.api.call(method, request)
    try:
        agent.api.wait(operation)
    except ApiError:
        return "FAILED"
    return "SUCCESS"


def domain_state(node) -> str:
    if INSTANCE not in node.virsh("list", "--all", "--name").split():
        return "absent"
    return node.virsh("domstate", INSTANCE)


def volumes(agent) -> list:
    return [path.name for path in (agent.state_dir / "volumes").glob("*")]


def check_each(agent, sites, check) -> None:
    """Runs `check` for each site; every failure is told, not only the first."""
    node = agent.node
    roots = [str(agent.state_dir)]
    failures = []
    before = leaks.take_in(node, roots)
    for site in chosen(sites):
        try:
            check(site)
            found = leaks.settled_difference(before, lambda: leaks.take_in(node, roots))
            assert not found, found
        except Exception as error:
            failures.append(f"{site}: {type(error).__name__}: {error}")
            if agent.process.returncode is not None:
                agent.start()
            agent.wait_connected()
            agent.api.delete_all_instances()
            before = leaks.take_in(node, roots)
    assert not failures, "\n" + "\n".join(failures)


def sites_of(sites, action: str) -> list:
    found = [site for site in sites if site.startswith(action + "/")]
    assert len(found) >= 4, f"too few crash sites of {action}: {sites}"
    return found


@pytest.fixture(name="sites", scope="module")
def fixture_sites(agent, tiny_image):
    """The crash sites of a create and a delete that go well."""

    def run():
        agent.api.do("InstanceService/CreateInstance", creation(tiny_image, "trace-create"))
        tiny.delete(agent, INSTANCE)

    return record_sites(agent, run)


def test_create(node, agent, tiny_image, sites):
    def check(site):
        request = creation(tiny_image, f"create {site}")
        crash_at(agent, site, "InstanceService/CreateInstance", request)
        ended = outcome(agent, "InstanceService/CreateInstance", request)
        state = agent.api.instance(INSTANCE)["state"]
        if ended == "SUCCESS":
            assert (state, domain_state(node)) == ("RUNNING", "running")
            assert len(volumes(agent)) == 2
        else:
            assert (state, domain_state(node)) == ("LAUNCH_FAILED", "absent")
            assert volumes(agent) == []
        tiny.delete(agent, INSTANCE)

    check_each(agent, sites_of(sites, "CREATE_INSTANCE"), check)


def test_delete(node, agent, tiny_image, sites):
    def check(site):
        agent.api.do("InstanceService/CreateInstance", creation(tiny_image, f"before {site}"))
        request = {"requestId": f"delete {site}", "instanceId": INSTANCE}
        crash_at(agent, site, "InstanceService/DeleteInstance", request)
        assert outcome(agent, "InstanceService/DeleteInstance", request) == "SUCCESS"
        with pytest.raises(ApiError) as refused:
            agent.api.instance(INSTANCE)
        assert refused.value.reason == "INSTANCE_NOT_FOUND"
        assert domain_state(node) == "absent"
        assert volumes(agent) == []

    check_each(agent, sites_of(sites, "DELETE_INSTANCE"), check)


def test_undo(node, agent, tiny_image):
    """A create that fails on its way is undone, also when the agent dies while undoing it."""
    xml = node.dir / "tmp/rogue.xml"
    xml.write_text(ROGUE.format(name=INSTANCE))
    node.virsh("define", xml)  # Somebody else's domain has the name: ours cannot be defined.

    def fail():
        with pytest.raises(ApiError):
            request = creation(tiny_image, "trace-undo")
            agent.api.do("InstanceService/CreateInstance", request)
        tiny.delete(agent, INSTANCE)

    def check(site):
        request = creation(tiny_image, f"undo {site}")
        crash_at(agent, site, "InstanceService/CreateInstance", request)
        assert outcome(agent, "InstanceService/CreateInstance", request) == "FAILED"
        assert agent.api.instance(INSTANCE)["state"] == "LAUNCH_FAILED"
        assert domain_state(node) == "shut off", "the other's domain is left alone"
        assert volumes(agent) == []
        tiny.delete(agent, INSTANCE)

    sites = [site for site in record_sites(agent, fail) if "undo" in site]
    assert sites, "the failed create was not undone"
    check_each(agent, sites, check)
    assert domain_state(node) == "shut off"
    node.virsh("undefine", INSTANCE)
