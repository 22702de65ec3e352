"""Profiles of both nodes while a load runs, where py-spy is installed.

py-spy is no dependency of the project: it is looked for on the path and beside the Python
that runs this. What it writes opens at https://www.speedscope.app; `shares` sums it up by
the functions of ours that the time was spent in, with all that they call outside of the
project: a library's time belongs to whoever called it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from scripts._bench.nodes import Nodes

STOP_S = 60.0
WAITING = frozenset({"select", "wait", "_worker", "Readers._run", "Writer._run", "EpollSelector.select"})
"""Functions that threads with nothing to do are in; py-spy does not always see that they wait."""


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
            # Without stopping the node at each sample: a few stacks are torn, and the times stay.
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


def shares(profile: Path, *, most: int = 15) -> list[tuple[str, float]]:
    """Return in which functions of ours a node spent its time, the largest share first.

    Args:
        profile: File that `Profiler` has written.
        most: How many functions.
    """
    document = orjson.loads(profile.read_bytes())
    frames = document["shared"]["frames"]
    spent: Counter[str] = Counter()
    for thread in document["profiles"]:
        for numbers, weight in zip(thread["samples"], thread["weights"], strict=True):
            stack = [frames[number] for number in numbers]
            if stack and stack[-1]["name"] not in WAITING:
                spent[_owner(stack)] += weight
    total = sum(spent.values()) or 1.0
    return [(name, weight / total) for name, weight in spent.most_common(most)]


def share_lines(folder: Path) -> list[str]:
    """Return the shares of every profile of a folder, as lines for people."""
    lines: list[str] = []
    for profile in sorted(folder.glob("*.speedscope.json")):
        lines.append(f"{profile.name.removesuffix('.speedscope.json')}: share of the time, by function")
        lines += [f"  {100 * share:5.1f} %  {name}" for name, share in shares(profile)]
    return lines


def _owner(stack: Sequence[Mapping[str, Any]]) -> str:
    """Return the innermost function of ours on a stack; the outermost frames come first."""
    for frame in reversed(stack):
        # Frames of the interpreter have no file.
        module = (frame.get("file") or "").removesuffix(".py").split("/")
        if "gateway" in module and "site-packages" not in module and "cli" not in module:
            start = len(module) - 1 - module[::-1].index("gateway")
            return f"{'.'.join(module[start:])}: {frame['name']}"
    # The event loop, TLS and HTTP, below any call of ours.
    return f"libraries: {stack[-1]['name']}"
