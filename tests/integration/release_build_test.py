# SPDX-License-Identifier: Apache-2.0
"""What is shipped has none of the means of the tests."""

import pytest

from tests.harness import env

HOOKS = (
    b"CVM_CRASH_AT",
    b"CVM_CRASH_AT_FILE",
    b"CVM_CRASH_TRACE",
    b"CVM_SQLITE_UNSYNCED",
    b"cvm-unsynced",
)


@pytest.mark.parametrize("hook", HOOKS)
def test_no_crash_hook_in_a_release_build(hook):
    assert hook in env.program("cvm-agentd", "test").read_bytes(), "the test would find nothing"
    assert hook not in env.program("cvm-agentd", "release").read_bytes()
