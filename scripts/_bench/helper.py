"""Talking with the processes of a run: one JSON line asks, one answers.

The load generator and the consumer are processes of their own, so that their work shows
as theirs and not as the measurement's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_S = 20.0


class HelperError(Exception):
    """A process of the benchmark failed; its own words are on standard error."""


class Helper:
    """A process of the benchmark, seen from the one that measures."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Start ``scripts._bench.<module>``."""
        self.name = module
        self._process = subprocess.Popen(
            (sys.executable, "-m", f"scripts._bench.{module}", *arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the benchmark, which then ends its processes in order.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to a question."""
        self.tell(**question)
        return self.answer()

    def tell(self, **question: Any) -> None:
        """Ask, and leave the answer for later."""
        if self._process.stdin is None:
            raise HelperError(self.name)
        try:
            self._process.stdin.write(orjson.dumps(question) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            msg = f"the {self.name} has gone"
            raise HelperError(msg) from error

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            msg = f"the {self.name} has gone"
            raise HelperError(msg)
        answer: dict[str, Any] = orjson.loads(line)
        if "error" in answer:
            msg = f"{self.name}: {answer['error']}"
            raise HelperError(msg)
        return answer

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process: it leaves when nothing more can be asked."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def questions() -> Iterable[dict[str, Any]]:
    """Yield the questions that this process is asked, until there are no more."""
    while line := sys.stdin.buffer.readline():
        yield orjson.loads(line)


def answer(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Answer a question; end if nobody is left to hear it."""
    try:
        sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The interpreter would try to flush once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
