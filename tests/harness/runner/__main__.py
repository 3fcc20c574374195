# SPDX-License-Identifier: Apache-2.0
"""tests/run: builds and runs the project's test suites and counts their tests.

Ends with `N passed, N failed, N skipped` and the exit code 0 only if tests ran and none failed.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Dict, List, Tuple

from tests.harness import env
from tests.harness.runner import results, suites
from tests.harness.runner.results import Case, Outcome
from tests.harness.runner.steps import Context


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    known = [*suites.ALL, "all"]
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="SUITE",
        help=f"one or more of {', '.join(known)}; none: {', '.join(suites.DEFAULT)}",
    )
    parser.add_argument("--list", action="store_true", help="name the suites and stop")
    parser.add_argument("--fail-fast", action="store_true", help="stop after a suite that fails")
    parser.add_argument(
        "--filter",
        metavar="PATTERN",
        help="only ctest tests whose name matches, and pytest tests by the same as -k",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.suites if name not in known]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def print_versions() -> None:
    tools = ["cmake", "g++", "clang++-16", "qemu-system-x86_64", "libvirtd"]
    for words in (*[[tool, "--version"] for tool in tools], ["uname", "-srm"]):
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.splitlines()[0])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{words[0]}: {error}")
    accelerator = "KVM" if os.access("/dev/kvm", os.W_OK) else "no KVM"
    print(f"{os.cpu_count()} processors, {accelerator}", flush=True)


def run_suite(name: str, context: Context) -> List[Case]:
    cases: List[Case] = []
    for step in suites.SUITES[name]:
        found = step.run(context, name)
        for case in found:
            if case.outcome is Outcome.FAILED:
                print(f"FAILED {name}: {case.name}\n{case.detail}\n", flush=True)
        cases += found
    if not cases and not context.filter:
        cases.append(Case(name, Outcome.FAILED, "the suite ran no test"))
    return cases


def report(by_suite: Dict[str, Tuple[List[Case], float]], context: Context) -> int:
    every = [case for cases, _ in by_suite.values() for case in cases]
    print()
    for case in every:
        if case.outcome is Outcome.SKIPPED:
            print(f"SKIPPED {case.name}: {case.detail}")
    for case in every:
        if case.outcome is Outcome.FAILED:
            print(f"FAILED  {case.name}: {case.detail.strip().splitlines()[:1] or ''}")
    for line in context.bench_lines:
        print(line)
    print(f"\n{'suite':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, (cases, seconds) in by_suite.items():
        passed, failed, skipped = (results.count(cases, outcome) for outcome in Outcome)
        print(f"{name:<12}{passed:>8}{failed:>8}{skipped:>9}{seconds:>9.0f}")
    print()
    print(results.closing_line(every), flush=True)
    ran = results.count(every, Outcome.PASSED)
    return 0 if results.count(every, Outcome.FAILED) == 0 and ran > 0 else 1


def main() -> int:
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join([*suites.ALL, "all"]))
        return 0
    full = "all" in arguments.suites
    wanted = suites.ALL if full else (arguments.suites or suites.DEFAULT)
    wanted = list(dict.fromkeys(wanted))  # Each once, in the order given.
    print_versions()
    folder = pathlib.Path(env.ROOT, "build", "results")
    shutil.rmtree(folder, ignore_errors=True)
    context = Context(results=folder, full=full, filter=arguments.filter)
    by_suite: Dict[str, Tuple[List[Case], float]] = {}
    for name in wanted:
        if name in suites.TO_COME:
            print(f"{name}: to come ({suites.TO_COME[name]}); nothing is counted", flush=True)
            continue
        started = time.monotonic()
        cases = run_suite(name, context)
        by_suite[name] = (cases, time.monotonic() - started)
        if arguments.fail_fast and results.count(cases, Outcome.FAILED):
            break
    if not by_suite:
        print(results.closing_line([]))
        return 0
    return report(by_suite, context)


if __name__ == "__main__":
    sys.exit(main())
