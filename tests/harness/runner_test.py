# SPDX-License-Identifier: Apache-2.0
"""The runner counts what really ran, and no way of not running counts as passing."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.harness import env
from tests.harness.runner import results, steps
from tests.harness.runner.results import Case, Outcome

CMAKE = """\
cmake_minimum_required(VERSION 3.25)
project(fake CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(GTest REQUIRED)
enable_testing()
add_executable(fake_test fake.cc)
target_link_libraries(fake_test GTest::gtest GTest::gtest_main)
function(add name filter label)
  add_test(NAME ${name} COMMAND fake_test --gtest_filter=${filter})
  set_tests_properties(${name} PROPERTIES LABELS ${label})
endfunction()
add(good Good.* good)
add(good_again Good.One good)
add(bad Bad.* bad)
add(skips Skips.* skips)
add(crash Crash.* crash)
add(silent Silent.* silent)
add(disabled Disabled.* disabled)
add(hangs Hangs.* hangs)
add_test(NAME script COMMAND sh -c "exit 0")
set_tests_properties(script PROPERTIES LABELS script)
add_test(NAME leak COMMAND sh -c "$<TARGET_FILE:fake_test> --gtest_filter=Good.One; exit 1")
set_tests_properties(leak PROPERTIES LABELS leak)
"""

SOURCE = """\
#include <cstdlib>
#include <unistd.h>
#include <gtest/gtest.h>
TEST(Good, One) {}
TEST(Good, Two) { printf("BENCH name=x value=1\\n"); }
TEST(Bad, Works) {}
TEST(Bad, Fails) { EXPECT_EQ(1, 2) << "because"; }
TEST(Skips, WithReason) { GTEST_SKIP() << "needs KVM"; }
TEST(Skips, Silently) { GTEST_SKIP(); }
TEST(Crash, Early) {}
TEST(Crash, Aborts) { abort(); }
TEST(Silent, ExitsAsIfFine) { exit(0); }
TEST(Disabled, Runs) {}
TEST(Disabled, DISABLED_Not) {}
TEST(Hangs, Forever) { for (;;) pause(); }
"""


@pytest.fixture(name="tree", scope="module")
def fixture_tree(tmp_path_factory) -> pathlib.Path:
    source = tmp_path_factory.mktemp("fake")
    (source / "CMakeLists.txt").write_text(CMAKE)
    (source / "fake.cc").write_text(SOURCE)
    tree = source / "build"
    subprocess.run(["cmake", "-S", source, "-B", tree, "-G", "Ninja"], check=True)
    subprocess.run(["ninja", "-C", tree], check=True)
    return tree


@pytest.fixture(name="context")
def fixture_context(tmp_path) -> steps.Context:
    return steps.Context(results=tmp_path / "results")


def run(tree, context, label, **options):
    step = steps.Ctest("test", label, **options)
    return step.run_tree(context, "fake", tree)


def outcomes(cases):
    return sorted((case.name, case.outcome.value) for case in cases)


def test_each_case_counts_not_each_executable(tree, context):
    assert outcomes(run(tree, context, "good")) == [
        ("test: fake_test: Good.One", "passed"),
        ("test: fake_test: Good.One", "passed"),
        ("test: fake_test: Good.Two", "passed"),
    ]


def test_a_failure_is_counted_once_with_its_text(tree, context):
    cases = run(tree, context, "bad")
    assert outcomes(cases) == [
        ("test: fake_test: Bad.Fails", "failed"),
        ("test: fake_test: Bad.Works", "passed"),
    ]
    assert "because" in "".join(case.detail for case in cases)


def test_a_skip_needs_a_reason(tree, context):
    cases = {case.name.rsplit(".")[-1]: case for case in run(tree, context, "skips")}
    assert cases["WithReason"].outcome is Outcome.SKIPPED
    assert cases["WithReason"].detail == "needs KVM"
    assert cases["Silently"].outcome is Outcome.FAILED


def test_a_crash_fails(tree, context):
    cases = run(tree, context, "crash")
    assert [case.outcome for case in cases if case.name == "test: crash"] == [Outcome.FAILED]


def test_an_early_exit_fails(tree, context):
    cases = run(tree, context, "silent")
    assert any(case.outcome is Outcome.FAILED for case in cases), cases


def test_a_disabled_test_fails(tree, context):
    cases = {case.name.rsplit(".")[-1]: case.outcome for case in run(tree, context, "disabled")}
    assert cases == {"Runs": Outcome.PASSED, "DISABLED_Not": Outcome.FAILED}


def test_a_hang_fails(tree, context):
    cases = run(tree, context, "hangs", timeout=1)
    assert [case.outcome for case in cases] == [Outcome.FAILED]


def test_a_hang_of_all_is_ended(tree, context):
    cases = run(tree, context, "hangs", limit=2)
    assert cases and all(case.outcome is Outcome.FAILED for case in cases)


def test_a_script_is_one_test(tree, context):
    assert outcomes(run(tree, context, "script")) == [("test: script", "passed")]


def test_an_executable_that_fails_after_its_cases_fails(tree, context):
    cases = run(tree, context, "leak")
    assert ("test: leak", "failed") in outcomes(cases)


def test_a_label_without_tests_fails(tree, context):
    assert [case.outcome for case in run(tree, context, "nothing")] == [Outcome.FAILED]


def test_a_build_that_fails_fails(context, monkeypatch, tmp_path):
    monkeypatch.setattr(env, "build_dir", lambda flavour: tmp_path / flavour)
    monkeypatch.setitem(steps.FLAVOURS, "test", ["-DCMAKE_CXX_COMPILER=/nonexistent"])
    cases = steps.Ctest("test", "good").run(context, "fake")
    assert [case.outcome for case in cases] == [Outcome.FAILED]
    assert "/nonexistent" in cases[0].detail


def test_a_part_of_the_cases_runs_but_all_in_a_full_run(tree, context):
    step = steps.Ctest("test", "good", one_in=2)
    full = steps.Context(results=context.results, full=True)
    assert [len(step.run_tree(run, "fake", tree)) for run in (context, full)] == [2, 3]


def test_bench_lines_are_found_beneath_ctests_numbers(tree, context):
    run(tree, context, "good", verbose=True)
    assert context.bench_lines == ["BENCH name=x value=1"]


PYTEST = """\
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="needs KVM")
def test_skipped(): pass
@pytest.mark.skip
def test_skipped_silently(): pass
@pytest.mark.xfail
def test_expected(): assert False
@pytest.fixture
def leaky():
    yield
    assert not "left over"
def test_fails_at_the_end(leaky): pass
"""


def test_pytest_reports_are_read(tmp_path):
    (tmp_path / "some_test.py").write_text(PYTEST)
    report = tmp_path / "report.xml"
    config = env.ROOT / "tests/pytest.ini"
    words = [sys.executable, "-m", "pytest", "-c", config, "--rootdir", tmp_path, tmp_path]
    subprocess.run([*words, f"--junitxml={report}"], stdout=subprocess.DEVNULL)
    found = {case.name.rsplit(".")[-1]: case.outcome.value for case in results.read_report(report)}
    assert found == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_skipped_silently": "failed",
        "test_expected": "failed",
        "test_fails_at_the_end": "failed",
    }


def test_closing_line():
    cases = [Case("a", Outcome.PASSED), Case("b", Outcome.SKIPPED), Case("c", Outcome.PASSED)]
    assert results.closing_line(cases) == "2 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize("flavour", sorted(steps.FLAVOURS))
def test_a_tree_depends_on_nothing_that_it_was_used_for_before(flavour):
    """quickstart configures build/release without tests; the cached option must not stay."""
    text = (env.ROOT / "CMakeLists.txt").read_text()
    options = re.findall(r"^option\((\w+)|^set\((CVM_\w+) .* CACHE", text, re.MULTILINE)
    names = [option or cached for option, cached in options]
    assert len(names) >= 5
    given = [word.split("=")[0] for word in steps.FLAVOURS[flavour]]
    for name in [*names, "CMAKE_BUILD_TYPE"]:
        assert f"-D{name}" in given, f"{flavour} leaves {name} to the cache"
