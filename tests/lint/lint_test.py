# SPDX-License-Identifier: Apache-2.0
"""Checks of the sources themselves; each is one test."""

import os
import pathlib
import re
import shutil
import subprocess
from typing import Iterable, List

import pytest

from tests.harness import env, tools
from tests.lint import sources, tidy

MAX_LINES = 600


def run(command: Iterable) -> subprocess.CompletedProcess:
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=env.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def expect_clean(command: Iterable) -> None:
    done = run(command)
    assert done.returncode == 0, f"\n{done.stdout}"


def expect_none(findings: List[str]) -> None:
    assert not findings, "\n" + "\n".join(findings)


def text_of(file: pathlib.Path) -> str:
    return (env.ROOT / file).read_text()


def test_clang_format():
    cxx = sources.with_suffix(".h", ".cc")
    assert cxx
    expect_clean(["clang-format-16", "--dry-run", "-Werror", *cxx])


def test_clang_tidy():
    """What changed; everything in a full run."""
    full = os.environ.get("CVM_TEST_DEPTH") == "full"
    wanted = set(sources.files()) if full else sources.changed()
    expect_none(tidy.check(wanted))


def test_shellcheck():
    scripts = sources.shell_scripts()
    assert scripts
    expect_clean(["shellcheck", "--external-sources", *scripts])


def test_pyflakes():
    expect_clean(["/usr/bin/python3", "-m", "pyflakes", *sources.python_files()])


def test_python_line_length():
    expect_none(
        [
            f"{file}:{number}: longer than 100 columns"
            for file in sources.python_files()
            for number, line in enumerate(text_of(file).split("\n"), 1)
            if len(line) > 100
        ]
    )


def test_buf_lint():
    expect_clean([tools.buf(), "lint", "proto"])


def test_buf_format():
    expect_clean([tools.buf(), "format", "--diff", "--exit-code", "proto"])


def test_every_cxx_test_asserts():
    """At least in each file: one that cannot fail proves nothing."""
    findings = []
    for file in sources.with_suffix(".cc"):
        if file.parts[0] != "tests" or not file.name.endswith("_test.cc"):
            continue
        text = text_of(file)
        if not re.search(r"\b(EXPECT|ASSERT)_\w+\(|\bFAIL\(\)|\bADD_FAILURE\(\)", text):
            findings.append(f"{file}: no assertion")
        if not re.search(r"^(TYPED_)?TEST(_F|_P)?\(", text, re.MULTILINE):
            findings.append(f"{file}: no test")
    expect_none(findings)


def test_every_cxx_test_is_built():
    """A test that no CMakeLists.txt names never runs."""
    findings = []
    for file in sources.with_suffix(".cc"):
        if not file.name.endswith("_test.cc"):
            continue
        folder = file.parent
        while folder.parts and not (env.ROOT / folder / "CMakeLists.txt").exists():
            folder = folder.parent
        if str(file.relative_to(folder)) not in text_of(folder / "CMakeLists.txt"):
            findings.append(f"{file} is not named in {folder}/CMakeLists.txt")
    expect_none(findings)


def test_the_specification_names_tests_that_exist():
    """`Suite.Case` of C++ and `file.py::test` of Python; a star stands for anything."""
    text = text_of(pathlib.Path("docs/SPECIFICATION.md")).split("\n## ", 1)[1]
    cxx = "\n".join(text_of(file) for file in sources.with_suffix(".cc", ".h"))
    python = {file.name: text_of(file) for file in sources.python_files()}
    cases = re.findall(r"`([A-Z]\w*\*?)\.([\w*]+)`", text)
    files = re.findall(r"`(\w+\.py)(?:::(\w+))?[^`]*`", text)
    assert cases and files
    findings = []
    for suite, case in cases:
        names = rf"{suite},\s*{case}".replace("*", r"\w*")
        if not re.search(rf"\bTEST(_F|_P)?\(\s*{names}\)", cxx):
            findings.append(f"{suite}.{case}")
    for file, case in files:
        if f"def {case}(" not in python.get(file, "") if case else file not in python:
            findings.append(f"{file}::{case}")
    expect_none(findings)


@pytest.mark.parametrize("folder", ["agent/core", "controller/core"])
def test_core_sees_interfaces_only(folder):
    forbidden = re.compile(r"^#include\s+[<\"](libvirt|grpc|google/rpc/.*grpc|.*\.grpc\.pb\.h)")
    expect_none(
        [
            f"{file}:{number}: {line}"
            for file in sources.with_suffix(".h", ".cc")
            if str(file).startswith(folder + "/")
            for number, line in enumerate(text_of(file).split("\n"), 1)
            if forbidden.match(line)
        ]
    )


# Which folders may include which; see the table in the architecture document.
MAY_INCLUDE = {
    "common": {"common", "proto"},
    "cloudinit": {"cloudinit", "common", "proto"},
    "drivers": {"drivers", "common", "cloudinit", "proto"},
    "agent": {"agent", "drivers", "cloudinit", "common", "proto"},
    "controller": {"controller", "common", "proto"},
    "cli": {"cli", "common", "proto"},
}


def test_folders_include_only_what_lies_below_them():
    findings = []
    for file in sources.with_suffix(".h", ".cc"):
        allowed = MAY_INCLUDE.get(file.parts[0])
        if allowed is None:
            continue
        for included in re.findall(r'^#include "([a-z]+)/', text_of(file), re.MULTILINE):
            if included in MAY_INCLUDE and included not in allowed:
                findings.append(f"{file} includes {included}/")
    expect_none(findings)


def test_license_headers():
    kinds = {".h", ".cc", ".proto", ".py", ".sh", ".cmake", ".awk"}
    wanted = [f for f in sources.files() if f.suffix in kinds or f.name == "CMakeLists.txt"]
    wanted += sources.shell_scripts() + sources.python_files()
    wanted = [file for file in wanted if file.parts[:2] != ("tests", "testdata")]
    expect_none(
        [
            f"{file}: no SPDX-License-Identifier in its first lines"
            for file in sorted(set(wanted))
            if "SPDX-License-Identifier: Apache-2.0" not in text_of(file)[:300]
        ]
    )


def test_no_file_is_too_long():
    kinds = {".h", ".cc", ".proto", ".py", ".sh"}
    code = [f for f in sources.files() if f.suffix in kinds and "testdata" not in f.parts]
    expect_none(
        [
            f"{file}: {count} lines, at most {MAX_LINES}"
            for file in code
            if (count := text_of(file).count("\n")) > MAX_LINES
        ]
    )


def test_no_test_sleeps_on_a_wall_clock():
    """Tests wait for a condition with a deadline. The helpers that do the waiting are excepted."""
    sleeping = re.compile(r"\b(sleep_for|usleep|nanosleep|time\.sleep)\s*\(")
    helpers = {
        pathlib.Path("tests/harness/waiting.py"),
        pathlib.Path("tests/contract/libvirt_harness.cc"),
        pathlib.Path("tests/unit/cli/process.cc"),
    }
    expect_none(
        [
            f"{file}:{number}: {line.strip()}"
            for file in sources.with_suffix(".cc", ".py")
            if file.parts[0] == "tests" and file not in helpers and file != _this_file()
            for number, line in enumerate(text_of(file).split("\n"), 1)
            if sleeping.search(line)
        ]
    )


def _this_file() -> pathlib.Path:
    return pathlib.Path(__file__).resolve().relative_to(env.ROOT)


def test_the_tools_are_there():
    """A tool that is missing must not make a check pass."""
    for tool in ("clang-format-16", tidy.TIDY, tidy.COMPILER, "shellcheck", "git"):
        assert shutil.which(tool), f"{tool} is not installed"
