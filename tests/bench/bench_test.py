# SPDX-License-Identifier: Apache-2.0
"""Measures the agent against the libvirt below it, on one node (see docs/performance.md).

Each figure is a line `BENCH name=… value=… unit=… against=… aim=… verdict=met|short`. A figure that
is short of its aim passes: what fails is one that cannot be measured. The agent is a release build;
CVM_BENCH_FLAVOUR names another build tree.
"""

import os
import pathlib
import re
from typing import List

import pytest

from tests.harness import env
from tests.harness.agent import Agent
from tests.harness.node import Node

FLAVOUR = os.environ.get("CVM_BENCH_FLAVOUR", "release")
INSTANCES = 500
PAIRS = 20
# Guests wanted at once, and how often: both sides make and remove as many each time. A pair takes
# some minutes.
BURST = 50
BURST_PAIRS = int(os.environ.get("CVM_BENCH_BURSTS", "1"))

MIB = 1 << 20
IDLE_AIM_MIB = 64
INSTANCE_AIM_KIB = 64

LINE = re.compile(
    r"^BENCH name=(\S+) value=[\d.]+ unit=\S+ against=\S+ aim=[\d.]+ verdict=(?:met|short)$",
    re.MULTILINE,
)

OVERRIDES = {
    "log_level": "info",
    # The disks are empty files, however large they look to their guests.
    "limits.disk_overcommit": 100.0,
    "limits.cpu_overcommit": 100.0,
}


@pytest.fixture(name="node", scope="module")
def fixture_node():
    with Node("bench", bridge_address="192.168.0.1/16") as node:
        yield node


@pytest.fixture(name="agent", scope="module")
def fixture_agent(node):
    agent = Agent(node, OVERRIDES, flavour=FLAVOUR)
    # The harness makes networks of 253 addresses.
    configuration = agent.config.read_text()
    assert "192.168.0.0/24" in configuration
    agent.config.write_text(configuration.replace("192.168.0.0/24", "192.168.0.0/16"))
    with agent:
        agent.wait_connected()
        yield agent


@pytest.fixture(name="tiny_image", scope="module")
def fixture_tiny_image(agent):
    return agent.import_image(env.image("tiny"), "img-tiny0000")


def bench(agent: Agent, what: str, timeout: float, **options) -> List[str]:
    """Runs agent_bench in the node, shows what it prints and returns the names of its figures."""
    program = env.build_dir(FLAVOUR) / "tests/bench/agent_bench"
    words = {"socket": "/run/cvm/agent.sock", "state_dir": agent.state_dir, **options}
    command = [program, what, *[f"{name}={value}" for name, value in words.items()]]
    printed = agent.node.run(command, timeout=timeout).stdout
    print(f"\n{printed}", end="", flush=True)
    return LINE.findall(printed)


def resident_bytes(status: str) -> int:
    """From the text of a /proc/PID/status."""
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


def agent_memory(agent: Agent) -> int:
    return resident_bytes(pathlib.Path(f"/proc/{agent.process.pid}/status").read_text())


def libvirtd_memory(node: Node) -> int:
    pid = node.path("/run/libvirt/libvirtd.pid").read_text().strip()
    return resident_bytes(node.run(["cat", f"/proc/{pid}/status"]).stdout)


def print_memory(name: str, value: float, unit: str, libvirtd: float, aim: float) -> None:
    verdict = "met" if round(value, 3) <= aim else "short"
    line = (
        f"BENCH name={name} value={value:.3f} unit={unit} against=libvirtd:{libvirtd:.3f} "
        f"aim={aim:.3f} verdict={verdict}"
    )
    assert LINE.fullmatch(line), line
    print(f"\n{line}", flush=True)


def test_create_to_running(agent, tiny_image):
    scratch = agent.node.dir / "tmp"
    found = bench(agent, "create", 1800, image=tiny_image, pairs=PAIRS, scratch=scratch)
    assert found == ["create_to_running"]


def inner_pid(pid: int) -> str:
    """The number that a process of the node has within it."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(r"^NSpid:.*\s(\d+)$", status, re.MULTILINE)[1]


def test_burst(agent, tiny_image):
    options = {
        "image": tiny_image,
        "count": BURST,
        "pairs": BURST_PAIRS,
        "scratch": agent.node.dir / "tmp",
        "agent_pid": inner_pid(agent.process.pid),
    }
    found = bench(agent, "burst", 900 * BURST_PAIRS, **options)
    assert found == [
        "burst_create",
        "burst_create_p50",
        "burst_create_p95",
        "memory_per_running_instance",
    ]


def test_many_instances(agent, node, tiny_image):
    """What 500 defined guests cost: asking for all, asking for one, and the memory they take."""
    node.restart_libvirtd()
    agent.stop()
    agent.start()
    agent.wait_connected()
    idle, idle_libvirtd = agent_memory(agent), libvirtd_memory(node)
    print_memory("memory_idle", idle / MIB, "MiB", idle_libvirtd / MIB, IDLE_AIM_MIB)

    bench(agent, "populate", 1800, image=tiny_image, count=INSTANCES)
    each = [
        (now - before) / INSTANCES / 1024
        for now, before in (
            (agent_memory(agent), idle),
            (libvirtd_memory(node), idle_libvirtd),
        )
    ]
    print_memory("memory_per_instance", each[0], "KiB", each[1], INSTANCE_AIM_KIB)

    assert bench(agent, "list", 300, count=INSTANCES, pairs=PAIRS) == ["list_instances"]
    found = bench(agent, "get", 300, count=INSTANCES, pairs=PAIRS)
    assert found == ["get_instance_p50", "get_instance_p99"]
    bench(agent, "clear", 1800, count=INSTANCES)
