# SPDX-License-Identifier: Apache-2.0
"""Which files there are to check, and which of them changed."""

import functools
import os
import pathlib
import subprocess
from typing import List, Optional, Set

from tests.harness import env


def _git(*arguments: str) -> List[str]:
    done = subprocess.run(
        ["git", "-C", env.ROOT, *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    return [entry for entry in done.stdout.split("\0") if entry]


@functools.lru_cache(maxsize=None)
def files() -> List[pathlib.Path]:
    """Every file of the project, relative to its root; also new ones that git does not know yet."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [pathlib.Path(name) for name in sorted(set(listed)) if (env.ROOT / name).is_file()]


def with_suffix(*suffixes: str) -> List[pathlib.Path]:
    return [file for file in files() if file.suffix in suffixes]


def shell_scripts() -> List[pathlib.Path]:
    shells = ("sh", "bash")
    return [file for file in files() if file.suffix == ".sh" or _interpreter(file) in shells]


def python_files() -> List[pathlib.Path]:
    return [file for file in files() if file.suffix == ".py" or _interpreter(file) == "python3"]


def _interpreter(file: pathlib.Path) -> str:
    with (env.ROOT / file).open("rb") as source:
        first = source.readline(200).decode(errors="replace")
    return os.path.basename(first[2:].split()[-1]) if first.startswith("#!") else ""


def _base() -> Optional[str]:
    """The commit to compare with: what the main branch has, else the previous commit, else none."""

    def commit(name: str) -> Optional[str]:
        done = subprocess.run(
            ["git", "-C", env.ROOT, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout.strip() or None

    if "CVM_LINT_BASE" in os.environ:
        return os.environ["CVM_LINT_BASE"]
    head = commit("HEAD")
    if head and commit("origin/main"):
        merge_base = _git("merge-base", "HEAD", "origin/main")[0].strip()
        if merge_base != head:
            return merge_base
    return commit("HEAD~1")


def changed() -> Set[pathlib.Path]:
    """Files that differ from the base, committed or not; every file when there is no base."""
    base = _base()
    if base is None:
        return set(files())
    names = _git("diff", "-z", "--name-only", "--diff-filter=d", base)
    names += _git("ls-files", "-z", "--others", "--exclude-standard")
    return {pathlib.Path(name) for name in names}
