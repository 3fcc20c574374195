# SPDX-License-Identifier: Apache-2.0
"""What can be made to go wrong for an agent while it runs: a death at a named site, a full disk at
a chosen write, a failing qemu-img. Needs a build with CVM_TEST_HOOKS and tests/crash/faults.cc."""

import mmap
import pathlib
import shutil
import struct
from typing import Callable, List, NamedTuple, Tuple

from tests.harness import env
from tests.harness.agent import Agent

# As tests/crash/fault_control.h lays it out.
CONTROL_BYTES = 512
WORDS = struct.Struct("=5Q")
EVER = (1 << 64) - 1

QEMU_IMG = """\
#!/bin/sh
# Stands before qemu-img: counts its runs, and makes one of them fail.
if [ -e "{folder}/counting" ]; then
  n=1
  until mkdir "{folder}/runs/$n" 2>/dev/null; do n=$((n + 1)); done
  if [ -e "{folder}/kill-$n" ]; then kill -9 $$; fi
  if [ -e "{folder}/fail-$n" ]; then
    echo 'qemu-img: a failure made by a test' >&2
    exit 1
  fi
fi
{exports}
exec {program} "$@"
"""


class WriteFaults(NamedTuple):
    calls: int
    failed: int
    last: str


class Faults:
    """Attaches itself to an agent that does not run yet; quiet until told otherwise."""

    def __init__(self, agent: Agent):
        self._folder = agent.node.dir / "faults"
        self._bin = self._folder / "bin"
        self._site = self._folder / "site"
        self._sites = self._folder / "sites"
        self._order = self._folder / "order"
        control = self._folder / "control"
        for folder in (self._bin, self._folder / "runs"):
            folder.mkdir(parents=True)
        self._site.touch()
        self._sites.touch()
        self._order.touch()
        control.write_bytes(bytes(CONTROL_BYTES))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), CONTROL_BYTES)
        preload = {
            "LD_PRELOAD": str(env.build_dir() / "tests/crash/libcvm_faults.so"),
            "CVM_FAULT_CONTROL": str(control),
            "CVM_FAULT_ROOT": str(agent.state_dir),
            "CVM_FAULT_TRACE": str(self._order),
        }
        assert pathlib.Path(preload["LD_PRELOAD"]).exists(), "tests/crash is not built"
        # The agent gives its programs nothing of its environment but PATH.
        exports = "\n".join(f"export {name}='{value}'" for name, value in preload.items())
        wrapper = self._bin / "qemu-img"
        program = shutil.which("qemu-img")
        text = QEMU_IMG.format(folder=self._folder, exports=exports, program=program)
        wrapper.write_text(text)
        wrapper.chmod(0o755)
        agent.environment.update(
            preload,
            PATH=f"{self._bin}:/usr/sbin:/usr/bin:/sbin:/bin",
            CVM_CRASH_AT_FILE=str(self._site),
            CVM_CRASH_TRACE=str(self._sites),
            CVM_SQLITE_UNSYNCED="keep",
        )

    # Crash sites (agent/core/crash_points.h)

    def crash_at(self, site: str) -> None:
        """The agent dies when it comes to this site; empty: nowhere."""
        new = self._site.with_suffix(".new")
        new.write_text(site)
        new.rename(self._site)

    def sites_of(self, run: Callable[[], None]) -> List[str]:
        """The crash sites that the agent passes meanwhile, each once, in order."""
        before = len(self._sites.read_text())
        run()
        return list(dict.fromkeys(self._sites.read_text()[before:].splitlines()))

    # A full disk

    def fail_writes(self, first: int, count: int = 1) -> None:
        """From now on count the calls that write below the state folder; `count` of them fail with
        ENOSPC, from number `first` (1 is the next one) on. 0: none fails."""
        trace = WORDS.unpack(self._control[: WORDS.size])[4]
        self._control[: WORDS.size] = WORDS.pack(0, first, count, 0, trace)

    def write_faults(self) -> WriteFaults:
        calls, _, _, failed, _ = WORDS.unpack(self._control[: WORDS.size])
        last = self._control[WORDS.size :].split(b"\0")[0].decode(errors="replace")
        return WriteFaults(calls, failed, last if failed else "")

    # Failing programs

    def fail_qemu_img(self, number: int, how: str = "fail") -> None:
        """Run `number` of qemu-img from now on (1 is the next) fails, or dies (`how` is kill)."""
        self.heal_qemu_img()
        (self._folder / f"{how}-{number}").touch()
        (self._folder / "counting").touch()

    def heal_qemu_img(self) -> None:
        (self._folder / "counting").unlink(missing_ok=True)
        for entry in (*self._folder.glob("fail-*"), *self._folder.glob("kill-*")):
            entry.unlink()
        for entry in (self._folder / "runs").iterdir():
            entry.rmdir()

    def qemu_img_runs(self) -> int:
        return len(list((self._folder / "runs").iterdir()))

    # The order of changes and syncs

    def order_of(self, run: Callable[[], None]) -> List[Tuple[str, str, str]]:
        """What the agent and its qemu-img change below the state folder meanwhile, and sync: call,
        path, other path."""
        before = len(self._order.read_text())
        words = list(WORDS.unpack(self._control[: WORDS.size]))
        self._control[: WORDS.size] = WORDS.pack(*words[:4], 1)
        try:
            run()
        finally:
            self._control[: WORDS.size] = WORDS.pack(*words[:4], 0)
        lines = self._order.read_text()[before:].splitlines()
        return [tuple(line.split("\t")) for line in lines]
