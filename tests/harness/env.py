# SPDX-License-Identifier: Apache-2.0
"""Where things are: the source tree, the caches, the built programs, the test images."""

import functools
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cache_dir() -> pathlib.Path:
    """What survives between runs: ccache, images, npm tools. Always safe to delete."""
    return pathlib.Path(os.environ.get("CVM_CACHE", "/var/cache/cvm-tests"))


def build_dir(flavour: str = "test") -> pathlib.Path:
    """A build tree. CVM_BUILD_DIR names another one for the flavour `test`."""
    if flavour == "test" and "CVM_BUILD_DIR" in os.environ:
        return pathlib.Path(os.environ["CVM_BUILD_DIR"])
    return ROOT / "build" / flavour


@functools.lru_cache(maxsize=None)
def program(name: str, flavour: str = "test") -> pathlib.Path:
    """A built program, wherever its folder in the build tree is."""
    tree = build_dir(flavour)
    for folder in ("bin", ".", "agent", "cli", "controller"):
        candidate = tree / folder / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(f"{name} is not built in {tree}; run tests/run or ninja -C {tree}")


@functools.lru_cache(maxsize=None)
def image(name: str) -> pathlib.Path:
    """A test image (`debian12`, `tiny`), made on first use by tests/images/NAME.sh."""
    given = os.environ.get(f"CVM_TEST_{name.upper()}_IMAGE")
    if given:
        return pathlib.Path(given)
    script = ROOT / "tests" / "images" / f"{name}.sh"
    made = subprocess.run([script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    lines = made.stdout.decode().split("\n")
    path = pathlib.Path([line for line in lines if line.strip()][-1])
    if not path.is_file():
        raise FileNotFoundError(f"{script} says that its image is {path}, which is not there")
    return path
