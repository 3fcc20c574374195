# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline: tests never just sleep."""

import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    timeout: float,
    what: str,
    interval: float = 0.1,
    alive: Optional[Callable[[], None]] = None,
) -> T:
    """Polls `condition` until it is true and returns its value.

    Raises TimeoutError naming `what` after `timeout` seconds. `alive` is called on each round and
    raises when waiting further is pointless (the process that should answer has ended).
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if alive is not None:
            alive()
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(interval)


def pause(seconds: float) -> None:
    """Lets time pass, for what a test does at an instant that it has chosen by chance."""
    time.sleep(seconds)
