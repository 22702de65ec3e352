"""Profiles of both nodes while a load runs, where py-spy is installed.

py-spy is no dependency of the project: it is looked for on the path and beside the Python
that runs this. What it writes opens at https://www.speedscope.app, or is text for grep.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts._bench.nodes import Nodes

STOP_S = 60.0


class ProfileError(Exception):
    """A profile was asked for, and there is nothing to make it with."""


def find_py_spy() -> str:
    """Return the path of py-spy.

    Raises:
        ProfileError: It is not installed.
    """
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found is None:
        msg = "--profile needs py-spy: .venv/bin/pip install py-spy"
        raise ProfileError(msg)
    return found


class Profiler:
    """Records both nodes as long as its context is open; does nothing without a folder."""

    def __init__(self, folder: Path | None, nodes: Nodes, name: str) -> None:
        """Say where to.

        Args:
            folder: Where profiles go, or None for none.
            nodes: The nodes, running.
            name: Of the load.
        """
        self._folder = folder
        self._nodes = nodes
        self._name = name
        self._recorders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Begin to record."""
        if self._folder is None:
            return self
        self._folder.mkdir(parents=True, exist_ok=True)
        for nation, node in self._nodes.by_nation.items():
            target = self._folder / f"{self._name}-{nation.lower()}.speedscope.json"
            # Threads that wait are left out; time in C code counts for the line that called it.
            command = (find_py_spy(), "record", "--rate", "200", "--threads", "--nonblocking")
            output = ("--format", "speedscope", "--output", str(target), "--pid", str(node.pid))
            self._recorders.append(
                subprocess.Popen((*command, *output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop recording and write the profiles."""
        for recorder in self._recorders:
            recorder.send_signal(signal.SIGINT)
        for recorder in self._recorders:
            recorder.wait(STOP_S)
        self._recorders.clear()
