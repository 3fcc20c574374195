# SPDX-License-Identifier: Apache-2.0
"""Files and their folders are synced before the record that names them is.

Read off the order of the agent's and qemu-img's own system calls: whenever the store's log is
synced, nothing else below the state folder may be unsynced. Only while no other operation is under
way: the log is shared.
"""

import os

from tests.crash.case import Case
from tests.crash.workflows import WORKFLOWS


def unsynced_at_a_commit(events, state_dir: str) -> list:
    """The paths that were unsynced when the store's log was synced, with the number of the sync."""
    dirty = set()
    found = []
    commits = 0
    for call, path, other in events:
        if os.path.basename(path).startswith("state.db"):
            if call == "sync" and path == f"{state_dir}/state.db-wal":
                commits += 1
                found += [(commits, name) for name in sorted(dirty)]
            continue
        if call == "sync":
            dirty.discard(path)
        elif call == "unlink":
            dirty.add(os.path.dirname(path))
            dirty.discard(path)
            # What is removed in the end, such as a disk whose blocks were given back before,
            # need not last.
            found = [(commit, name) for commit, name in found if name != path]
        elif call in ("create", "mkdir"):
            dirty.add(os.path.dirname(path))
            if call == "create":
                dirty.add(path)
        elif call == "rename":
            dirty.update((os.path.dirname(path), os.path.dirname(other)))
            if path in dirty:
                dirty.discard(path)
                dirty.add(other)
        else:
            assert call == "write", call
            dirty.add(path)
    assert commits >= 2, "the store was not written"
    return [f"sync {commit}: {name}" for commit, name in found]


def test_a_record_names_only_what_is_on_disk(world):
    state_dir = str(world.agent.state_dir)
    for name in ("import of an image", "create", "delete", "delete of an image"):
        workflow = next(entry for entry in WORKFLOWS if entry.name == name)
        # Without a guest: its console log is written by another.
        world.bring_stopped()
        workflow.prepare(world) if name != "delete" else world.bring_stopped()
        case = Case(world, workflow)
        if name == "create":
            case.request["start"] = "START_NO"

        def run() -> None:
            assert case.submit()
            assert case.end() == "SUCCESS"

        events = world.faults.order_of(run)
        assert any(call == "sync" for call, _, _ in events)
        assert unsynced_at_a_commit(events, state_dir) == [], name


def test_an_unsynced_file_would_be_found():
    log = "/s/state.db-wal"
    commit = [("write", log, ""), ("sync", log, "")]
    made = [("create", "/s/volumes/a", ""), ("write", "/s/volumes/a", "")]
    file = [("sync", "/s/volumes/a", "")]
    folder = [("sync", "/s/volumes", "")]
    assert unsynced_at_a_commit([*commit, *made, *file, *folder, *commit], "/s") == []
    no_file = unsynced_at_a_commit([*commit, *made, *folder, *commit], "/s")
    assert no_file == ["sync 2: /s/volumes/a"]
    no_folder = unsynced_at_a_commit([*commit, *made, *file, *commit], "/s")
    assert no_folder == ["sync 2: /s/volumes"]
    discarded = [("write", "/s/volumes/a", "")]
    removed = [("unlink", "/s/volumes/a", ""), ("sync", "/s/volumes", "")]
    assert unsynced_at_a_commit([*discarded, *commit, *removed, *commit], "/s") == []
    no_sync = unsynced_at_a_commit([*discarded, *commit, *removed[:1], *commit], "/s")
    assert no_sync == ["sync 2: /s/volumes"]
    moved = [("rename", "/s/volumes/a", "/s/images/a")]
    assert unsynced_at_a_commit([*commit, *made, *moved, *commit], "/s") == [
        "sync 2: /s/images",
        "sync 2: /s/images/a",
        "sync 2: /s/volumes",
    ]
