# SPDX-License-Identifier: Apache-2.0
"""What each suite runs."""

from tests.harness.runner.steps import Build, Ctest, Pytest

BINARIES = ("cvm-agentd", "cvmctl")

SUITES = {
    "lint": [Pytest(("tests/lint",))],
    "unit": [
        Ctest("test", "unit", jobs=2),
        Ctest("asan", "unit", jobs=2),
        Ctest("tsan", "unit", jobs=2),
    ],
    "contract": [
        Ctest("test", "contract", in_node=True),
        Ctest("asan", "contract", in_node=True, one_in=3),
    ],
    "integration": [
        Build("release", (*BINARIES, "cvm_man")),
        Pytest(("tests/harness", "tests/integration")),
    ],
    "e2e": [Pytest(("tests/e2e",))],
    # A full run takes the better part of an hour.
    "crash": [Pytest(("tests/crash",), limit=7200)],
    "bench": [
        Build("release", (*BINARIES, "agent_bench")),
        Pytest(("tests/bench",), builds=(), verbose=True),
    ],
}

# Suites that are to come, with what they will hold.
TO_COME = {
    "migration": "live migration between two nodes",
    "fleet": "the controller with many agents",
    "fuzz": "fuzzers of everything that parses foreign data",
    "nightly": "real CentOS and Windows images, long runs",
}

# What `.ci/run` runs; the order puts quick answers first.
DEFAULT = ["lint", "unit", "contract", "integration", "crash", "e2e"]

ALL = [*DEFAULT, "migration", "fleet", "fuzz", "bench", "nightly"]
