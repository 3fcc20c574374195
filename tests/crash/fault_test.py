# SPDX-License-Identifier: Apache-2.0
"""A full disk at writes of each workflow, and each run of qemu-img failing in turn.

A write below the state folder, of the agent or of its qemu-img, fails once with ENOSPC; in some
cases all writes from there on fail, until the fault is lifted. Here at some writes of each
workflow, with the real libvirt; agent_full_disk_matrix_test goes through all of them with a
hypervisor in memory.
"""

import pytest

from tests.crash.case import FULL, Case, Runner, chance, sample, smooth_run
from tests.crash.workflows import WORKFLOWS
from tests.harness.faults import EVER
from tests.harness.waiting import pause, wait_until

# More writes than any workflow has.
MOST = 1000


def full_disk_at(world, number: int, count: int):
    def run(case: Case) -> None:
        faults = world.faults
        faults.fail_writes(number, count)
        case.submit()
        if count == EVER:
            # Until the fault has been met, or the workflow has ended without it.
            wait_until(
                lambda: faults.write_faults().failed or not unfinished(world), 60, "a write fails"
            )
            pause(1.5)
            assert world.api.instances() is not None, "reads are served"
        else:
            wait_ended(world, case)
        met = faults.write_faults()
        faults.fail_writes(0)
        try:
            case.judge()
        except Exception as error:
            raise AssertionError(f"{met}: {error}") from error

    return run


def unfinished(world) -> list:
    answer = world.api.call("OperationService/ListOperations", {"unfinishedOnly": True})
    return answer.get("operations", [])


def wait_ended(world, case: Case) -> None:
    """Until the operation has ended, if there is one: what failed once is tried again."""
    if case.answer is not None:
        wait_until(lambda: not unfinished(world), 120, "the operation ends")


PICKED = sample(WORKFLOWS, chance("the workflows that meet a full disk"), 1 / 8)


@pytest.mark.parametrize("workflow", PICKED, ids=lambda workflow: workflow.name)
def test_full_disk_at_writes(world, tally, workflow):
    writes = smooth_run(world, workflow).writes
    assert 1 < writes < MOST, f"{writes} writes"
    once = Runner(world, tally, "one write fails")
    ever = Runner(world, tally, "disk full from a write on")
    choose = chance(f"full disk under {workflow.name}")
    numbers = range(1, writes + 1)
    print(f"{writes} writes")
    for number in choose.sample(numbers, min(writes, 5 if FULL else 2)):
        once.run(workflow, f"write {number} of {writes} fails", full_disk_at(world, number, 1))
    for number in choose.sample(numbers, min(writes, 2 if FULL else 1)):
        ever.run(workflow, f"full from write {number} on", full_disk_at(world, number, EVER))
    world.bring_empty()
    once.finish()
    ever.finish()


@pytest.mark.parametrize("how", ["fail", "kill"])
@pytest.mark.parametrize("name", ["create", "import of an image"])
def test_each_program_fails_in_turn(world, tally, name, how):
    workflow = next(entry for entry in WORKFLOWS if entry.name == name)
    runner = Runner(world, tally, "qemu-img fails")
    ended = []
    number = 0
    while not ended or ended[-1] == "FAILED":
        number += 1

        def run(case: Case) -> None:
            world.faults.fail_qemu_img(number, how)
            case.submit()
            wait_ended(world, case)
            runs = world.faults.qemu_img_runs()
            world.faults.heal_qemu_img()
            ended.append(case.judge())
            # The fault was met, unless there were not so many runs.
            assert (ended[-1] == "FAILED") == (runs >= number), (runs, number)

        if not runner.run(workflow, f"run {number} of qemu-img: {how}", run):
            break
    runner.finish()
    assert number > 2, "a workflow that runs qemu-img met no failing one"
    world.bring_empty()
