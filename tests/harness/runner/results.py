# SPDX-License-Identifier: Apache-2.0
"""Counting single tests from the reports of GoogleTest and pytest."""

import dataclasses
import enum
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from typing import Iterable, List


class Outcome(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True)
class Case:
    """One test: its full name, how it ended, and why if it did not pass."""

    name: str
    outcome: Outcome
    detail: str = ""


def read_report(path: pathlib.Path, prefix: str = "") -> List[Case]:
    """The tests of a JUnit file as GoogleTest or pytest write it.

    A test that was skipped without a reason, disabled or expected to fail counts as failed: a test
    either runs or says why it cannot.
    """
    cases = []
    for element in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{prefix}{element.get('classname', '')}.{element.get('name', '')}"
        cases.append(_read_case(element, name))
    return cases


def _read_case(element: ElementTree.Element, name: str) -> Case:
    failures = [*element.findall("failure"), *element.findall("error")]
    if failures:
        text = "\n".join(_text(failure) for failure in failures)
        return Case(name, Outcome.FAILED, text)
    skipped = element.find("skipped")
    if skipped is not None:
        if skipped.get("type") == "pytest.xfail":
            return Case(name, Outcome.FAILED, "is marked as expected to fail")
        reason = _skip_reason(skipped)
        if not reason:
            return Case(name, Outcome.FAILED, "was skipped without a reason")
        return Case(name, Outcome.SKIPPED, reason)
    if element.get("status") == "notrun":
        return Case(name, Outcome.FAILED, "is disabled")
    return Case(name, Outcome.PASSED)


def _text(failure: ElementTree.Element) -> str:
    return failure.text or failure.get("message") or ""


def _skip_reason(skipped: ElementTree.Element) -> str:
    """The words given for a skip. GoogleTest puts the place in front, on a line of its own."""
    message = skipped.get("message", "")
    message = re.sub(r"^\S+:\d+\n", "", message + "\n").strip()
    return "" if message in ("Skipped", "unconditional skip") else message


def count(cases: Iterable[Case], outcome: Outcome) -> int:
    return sum(1 for case in cases if case.outcome is outcome)


def closing_line(cases: List[Case]) -> str:
    passed, failed, skipped = (count(cases, outcome) for outcome in Outcome)
    return f"{passed} passed, {failed} failed, {skipped} skipped"
