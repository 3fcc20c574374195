# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over a compilation database, remembering what was found clean."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
from typing import Dict, List, Optional, Set

from tests.harness import env

TIDY = "clang-tidy-16"
COMPILER = "clang++-16"
OUR_FOLDERS = "agent|cli|cloudinit|common|controller|drivers|tests"


def check(sources: Set[pathlib.Path]) -> List[str]:
    """Findings in the given sources (relative paths), and in our headers that they include.

    A changed header is checked through the source file of the same name, or through one that
    includes it.
    """
    entries = _entries()
    wanted = {file for file in sources if file in entries}
    for header in (file for file in sources if file.suffix == ".h"):
        source = _checked_through(header, entries)
        if source:
            wanted.add(source)
    jobs = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        findings = pool.map(lambda file: _check_one(file, entries[file]), sorted(wanted))
        return [finding for finding in findings if finding]


def _entries() -> Dict[pathlib.Path, dict]:
    database = env.build_dir() / "compile_commands.json"
    entries = {}
    for entry in json.loads(database.read_text()):
        file = pathlib.Path(entry["directory"], entry["file"])
        # Generated files are not ours.
        if file.is_relative_to(env.ROOT) and not file.is_relative_to(env.build_dir()):
            entries[file.relative_to(env.ROOT)] = entry
    return entries


def _checked_through(
    header: pathlib.Path, entries: Dict[pathlib.Path, dict]
) -> Optional[pathlib.Path]:
    if header.with_suffix(".cc") in entries:
        return header.with_suffix(".cc")
    include = f'#include "{header}"'
    for source in sorted(entries):
        if include in (env.ROOT / source).read_text():
            return source
    return None


def _check_one(file: pathlib.Path, entry: dict) -> str:
    try:
        stamp = env.cache_dir() / "tidy" / _fingerprint(entry)
    except subprocess.CalledProcessError as error:
        return f"{file}: its headers cannot be listed\n{error.stderr}"
    if stamp.exists():
        stamp.touch()
        return ""
    words = [TIDY, "--quiet", "-p", env.build_dir(), env.ROOT / file]
    words += [f"--header-filter=^{re.escape(str(env.ROOT))}/({OUR_FOLDERS})/"]
    words += ["--extra-arg=-Wno-unknown-warning-option"]
    done = subprocess.run(
        ["nice", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        return f"{file}:\n{done.stdout}\n{done.stderr}"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    return ""


def _fingerprint(entry: dict) -> str:
    """Of all that the findings depend on: the command, the configuration, every file read.

    The same in every clone, wherever it lies.
    """
    command = shlex.split(entry["command"])
    # A compiler cache may stand in front of the compiler.
    first = next(i for i, word in enumerate(command) if word.startswith("-"))
    arguments = command[first:]
    output = arguments.index("-o")
    del arguments[output : output + 2]
    listing = subprocess.run(
        [COMPILER, "-M", "-Wno-everything", *arguments],
        cwd=entry["directory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=True,
        text=True,
    )
    words = [word.replace(str(env.ROOT), "ROOT") for word in [TIDY, *arguments]]
    digest = hashlib.sha256("\0".join(words).encode())
    digest.update((env.ROOT / ".clang-tidy").read_bytes())
    for name in listing.stdout.replace("\\\n", " ").split()[1:]:
        path = pathlib.Path(entry["directory"], name)
        if path.is_relative_to(env.ROOT):
            digest.update(path.read_bytes())
        else:
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime}".encode())
    return digest.hexdigest()
