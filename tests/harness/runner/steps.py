# SPDX-License-Identifier: Apache-2.0
"""The steps that suites are made of: build a tree, run its ctest tests, run pytest."""

import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from typing import Dict, List, Optional, Sequence, Tuple

from tests.harness import env
from tests.harness.runner.results import Case, Outcome, read_report

CLANG = ["-DCMAKE_C_COMPILER=clang-16", "-DCMAKE_CXX_COMPILER=clang++-16"]

# Debug information enough for a stack with lines; more costs a third of the compile time.
LEAN = ["-DCMAKE_CXX_FLAGS_DEBUG=-O1 -gline-tables-only"]


def _options(*, grpc: bool, hooks: bool, bench_only: bool = False, sanitize: str = "") -> List[str]:
    """Every option of CMakeLists.txt, so that none is left from another use of the tree."""
    switches = {
        "CVM_WITH_GRPC": grpc,
        "CVM_TEST_HOOKS": hooks,
        "CVM_BUILD_TESTS": True,
        "CVM_BENCH_ONLY": bench_only,
    }
    return [
        *[f"-D{name}={'ON' if value else 'OFF'}" for name, value in switches.items()],
        f"-DCVM_SANITIZE={sanitize}",
    ]


def _sanitized(sanitizers: str) -> List[str]:
    # Without gRPC: it is not instrumented.
    options = _options(grpc=False, hooks=True, sanitize=sanitizers)
    return [*CLANG, "-DCMAKE_BUILD_TYPE=Debug", *LEAN, *options]


# How each build tree is configured.
FLAVOURS = {
    # Of the tests, only the benchmarks measure a release build.
    "release": [
        "-DCMAKE_BUILD_TYPE=Release",
        *_options(grpc=True, hooks=False, bench_only=True),
    ],
    "test": [
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1",
        *_options(grpc=True, hooks=True),
    ],
    "asan": _sanitized("address,undefined"),
    "tsan": _sanitized("thread"),
}

SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:"
    f"suppressions={env.ROOT / 'tests/harness/tsan.supp'}",
    "LSAN_OPTIONS": f"suppressions={env.ROOT / 'tests/harness/lsan.supp'}:print_suppressions=0",
}


@dataclasses.dataclass
class Context:
    """What the steps of one run share."""

    results: pathlib.Path
    full: bool = False
    filter: Optional[str] = None
    built: Dict[str, bool] = dataclasses.field(default_factory=dict)
    bench_lines: List[str] = dataclasses.field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"== {text}", flush=True)


def run_logged(
    command: Sequence, log: pathlib.Path, *, show: bool, limit: float, environment: Dict[str, str]
) -> Tuple[int, str]:
    """Runs a command, its output going to `log` and, with `show`, to ours. Returns code and output.

    After `limit` seconds the command and its children are ended; that counts as a failure.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + limit
    with log.open("w+b") as sink:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=env.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        shown = 0
        try:
            while True:
                try:
                    process.wait(0.2)
                except subprocess.TimeoutExpired:
                    pass
                if show:
                    shown = _copy_from(log, shown)
                if process.returncode is not None:
                    break
                if time.monotonic() > deadline:
                    _end_group(process)
                    sink.write(f"\nended after {limit:g} s\n".encode())
        finally:
            if process.returncode is None:
                _end_group(process)
    return process.returncode, log.read_text(errors="replace")


def _copy_from(log: pathlib.Path, offset: int) -> int:
    with log.open("rb") as source:
        source.seek(offset)
        data = source.read()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    return offset + len(data)


def _end_group(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(text: str, lines: int = 60) -> str:
    return "\n".join(text.rstrip().split("\n")[-lines:])


@dataclasses.dataclass(frozen=True)
class Build:
    """Configures and builds a tree, once in a run. Yields a case only when it fails."""

    flavour: str
    targets: Tuple[str, ...] = ()

    def run(self, context: Context, suite: str) -> List[Case]:
        key = " ".join([self.flavour, *self.targets])
        if self.flavour in context.built or key in context.built:
            good = context.built.get(key, context.built.get(self.flavour, False))
            return [] if good else [Case(f"build {key}", Outcome.FAILED, "failed before")]
        context.say(f"{suite}: building {key}")
        tree = env.build_dir(self.flavour)
        log = context.results / f"build-{self.flavour}.log"
        # Another clone in another folder finds what this one compiled.
        environment = {
            "CCACHE_DIR": str(env.cache_dir() / "ccache"),
            "CCACHE_BASEDIR": str(env.ROOT),
            "CCACHE_NOHASHDIR": "1",
        }
        configure = ["cmake", "-S", env.ROOT, "-B", tree, "-G", "Ninja", *FLAVOURS[self.flavour]]
        started = time.monotonic()
        for command in (configure, ["ninja", "-C", tree, *self.targets]):
            code, output = run_logged(
                command, log, show=False, limit=3600, environment=environment
            )
            if code != 0:
                context.built[key] = False
                return [Case(f"build {key}", Outcome.FAILED, tail(output))]
        context.built[key] = True
        context.say(f"{suite}: built {key} in {time.monotonic() - started:.0f} s")
        return []


@dataclasses.dataclass(frozen=True)
class Ctest:
    """The ctest tests of one label in one tree, each GoogleTest case counted by itself."""

    flavour: str
    label: str
    in_node: bool = False
    jobs: int = 1
    # Show all output, for the lines of benchmarks.
    verbose: bool = False
    timeout: int = 900
    limit: int = 3600
    # Of the GoogleTest cases, one in so many, but all in `tests/run all`.
    one_in: int = 1

    def run(self, context: Context, suite: str) -> List[Case]:
        failed = Build(self.flavour).run(context, suite)
        if failed:
            return failed
        tree = env.build_dir(self.flavour)
        context.say(f"{suite}: ctest -L {self.label} in {tree}")
        return self.run_tree(context, suite, tree)

    def run_tree(self, context: Context, suite: str, tree: pathlib.Path) -> List[Case]:
        select = ["ctest", "--test-dir", str(tree), "-L", f"^{self.label}$"]
        if context.filter:
            select += ["-R", context.filter]
        listing = subprocess.run(
            [*select, "--show-only=json-v1"], stdout=subprocess.PIPE, check=True
        )
        tests = json.loads(listing.stdout)["tests"]
        if not tests and context.filter:
            return []
        if not tests:
            return [Case(f"{self.label} in {tree}", Outcome.FAILED, "no such test is registered")]
        reports = context.results / f"{suite}-{self.flavour}-{self.label}"
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir(parents=True)
        overview = reports / "ctest.junit"
        command = [*select, "-j", str(self.jobs), "--timeout", str(self.timeout)]
        command += ["--output-junit", str(overview), "--no-tests=error"]
        command += ["--verbose" if self.verbose else "--output-on-failure"]
        if self.flavour in ("asan", "tsan"):
            # The sanitizers' shadow memory and wide address space randomization do not go together.
            command = ["setarch", "--addr-no-randomize", *command]
        if self.in_node:
            command = [str(env.ROOT / "tests/harness/in_node"), "--", *command]
        environment = {"GTEST_OUTPUT": f"xml:{reports}/", "GTEST_COLOR": "no"}
        environment["CVM_TEST_DEPTH"] = "full" if context.full else "sample"
        if self.one_in > 1 and not context.full:
            environment.update(GTEST_TOTAL_SHARDS=str(self.one_in), GTEST_SHARD_INDEX="0")
        if self.flavour in ("asan", "tsan"):
            environment.update(SANITIZER_ENVIRONMENT)
        code, output = run_logged(
            command, reports / "output.log", show=True, limit=self.limit, environment=environment
        )
        context.bench_lines += bench_lines(output)
        cases = self._collect(tests, tree, reports, overview)
        if code != 0 and all(case.outcome is not Outcome.FAILED for case in cases):
            name = f"{self.flavour}: ctest -L {self.label}"
            cases.append(Case(name, Outcome.FAILED, tail(output)))
        return cases

    def _collect(
        self, tests: List[dict], tree: pathlib.Path, reports: pathlib.Path, overview: pathlib.Path
    ) -> List[Case]:
        """Joins the cases that the executables wrote down with what ctest saw of each of them."""
        if not overview.exists():
            return [Case(f"ctest -L {self.label}", Outcome.FAILED, "ctest wrote no report")]
        seen = {
            element.get("name"): element
            for element in ElementTree.parse(overview).getroot().iter("testcase")
        }
        by_program = collections.defaultdict(list)
        for test in tests:
            by_program[_program(test.get("command", []), tree)].append(test["name"])
        cases = []
        for program, names in by_program.items():
            files = [
                file
                for file in sorted(reports.glob(f"{program}*.xml"))
                if re.fullmatch(rf"{re.escape(program)}(_\d+)?\.xml", file.name)
            ]
            found = [
                case for file in files for case in read_report(file, f"{self.flavour}: {program}: ")
            ]
            start = len(cases)
            cases += found
            explained = any(case.outcome is Outcome.FAILED for case in found)
            for name in names:
                element = seen.get(name)
                status = element.get("status") if element is not None else "missing"
                label = f"{self.flavour}: {name}"
                printed = "" if element is None else tail(element.findtext("system-out") or "")
                if status != "run" and not (status == "fail" and explained):
                    # It crashed, ran out of time, left something over, or was never started.
                    cases.append(Case(label, Outcome.FAILED, f"ctest: {status}\n{printed}"))
                elif status == "run" and not files and not program.endswith("_test"):
                    cases.append(Case(label, Outcome.PASSED))  # A script: one test.
            explained = any(case.outcome is Outcome.FAILED for case in cases[start:])
            if program.endswith("_test") and len(files) < len(names) and not explained:
                text = f"{len(names)} runs of it left {len(files)} reports"
                cases.append(Case(f"{self.flavour}: {program}", Outcome.FAILED, text))
        return cases


def _program(command: List[str], tree: pathlib.Path) -> str:
    """The file name of the tested program: the first word of the command in the build tree."""
    for word in command:
        if word.startswith(f"{tree}/") and os.path.isfile(word):
            return os.path.basename(word)
    return os.path.basename(command[0]) if command else "(no command)"


def bench_lines(output: str) -> List[str]:
    """The figures in a benchmark's output; ctest puts the test's number in front of each line."""
    return re.findall(r"^(?:\d+: )?(BENCH .*)$", output, re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Pytest:
    """The Python tests beneath some folders."""

    folders: Tuple[str, ...]
    builds: Tuple[str, ...] = ("test",)
    # Show what tests print, for the lines of benchmarks.
    verbose: bool = False
    limit: int = 3600

    def run(self, context: Context, suite: str) -> List[Case]:
        failed = [case for flavour in self.builds for case in Build(flavour).run(context, suite)]
        if failed:
            return failed
        present = [f for f in self.folders if list((env.ROOT / f).rglob("*_test.py"))]
        if not present:
            return [Case(suite, Outcome.FAILED, f"no test in {', '.join(self.folders)}")]
        context.say(f"{suite}: pytest {' '.join(present)}")
        report = context.results / f"{suite}-pytest.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "-v"]
        command += [f"--junitxml={report}", *present]
        if context.filter:
            command += ["-k", context.filter]
        if self.verbose:
            command += ["-s"]
        environment = {"CVM_TEST_DEPTH": "full" if context.full else "sample"}
        code, output = run_logged(
            command,
            context.results / f"{suite}-pytest.log",
            show=True,
            limit=self.limit,
            environment=environment,
        )
        context.bench_lines += bench_lines(output)
        if context.filter and code == 5:  # pytest: the filter took all tests.
            return []
        cases = read_report(report) if report.exists() else []
        if code != 0 and all(case.outcome is not Outcome.FAILED for case in cases):
            cases.append(Case(f"{suite}: pytest", Outcome.FAILED, tail(output)))
        return cases
