# SPDX-License-Identifier: Apache-2.0
"""Tools that come from npm, kept in the cache."""

import functools
import pathlib
import subprocess
import tempfile

from tests.harness import env

BUF_VERSION = "1.75.0"


@functools.lru_cache(maxsize=None)
def buf() -> pathlib.Path:
    """The buf program: lints protos, and calls gRPC services by reflection."""
    home = env.cache_dir() / "npm" / f"buf-{BUF_VERSION}"
    # The npm package is a starter; the program itself is a dependency of it.
    program = home / "node_modules/@bufbuild/buf-linux-x64/bin/buf"
    if not program.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(
                [*command, "--prefix", scratch, f"@bufbuild/buf@{BUF_VERSION}"],
                check=True,
                stdin=subprocess.DEVNULL,
            )
            made = pathlib.Path(scratch)
            made.chmod(0o755)
            if not home.exists():
                made.rename(home)
                made.mkdir()  # The context manager removes it.
    return program
