"""Where and of what a run was: enough to tell two history lines apart."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts._bench.helper import ROOT
from scripts._bench.measure import file_system, memory_bytes_of_machine

LIBRARIES = ("cryptography", "aiohttp", "orjson", "jsonschema-rs", "sqlalchemy")


def describe(folder: Path) -> dict[str, Any]:
    """Return the machine, the versions and the state of the source.

    Args:
        folder: On the disk that the nodes write to.
    """
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes_of_machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": file_system(folder),
        "load_average": list(os.getloadavg()),
        "libraries": {name: version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit, with a plus where files differ from it; empty outside a repository."""
    done = subprocess.run(
        ("git", "describe", "--always", "--abbrev=10", "--dirty=+"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
