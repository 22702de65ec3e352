"""Talking with the processes of a run: one JSON line asks, one answers.

The load generator and the consumer are processes of their own, so that their work shows
as theirs and not as the measurement's.
"""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

_CLONE_NEWNET = 0x40000000

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_S = 20.0


class HelperError(Exception):
    """A process of the benchmark failed; its own words are on standard error."""


class Helper:
    """A process of the benchmark, seen from the one that measures."""

    def __init__(self, module: str, *arguments: str, namespace: int | None = None) -> None:
        """Start ``scripts._bench.<module>``, in a network namespace if one is given."""
        self.name = module
        enter = None if namespace is None else partial(enter_namespace, namespace)
        self._process = subprocess.Popen(
            (sys.executable, "-m", f"scripts._bench.{module}", *arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the benchmark, which then ends its processes in order.
            start_new_session=True,
            preexec_fn=enter,  # noqa: PLW1509 - this process has no threads
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
    # Unbuffered: what is not asked for yet stays in the pipe, where `is_asked` sees it.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as pipe:
        while line := pipe.readline():
            yield orjson.loads(line)


def is_asked() -> bool:
    """Return whether another question, or the end of all, waits to be read."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def answer(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Answer a question; end if nobody is left to hear it."""
    try:
        sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The interpreter would try to flush once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def enter_namespace(namespace: int) -> None:
    """Let this thread be in a network namespace from now on.

    Args:
        namespace: Open file of it.
    """
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def inside(namespace: int | None) -> Iterator[None]:
    """Be in a network namespace as long as the context is open; None is where one is."""
    if namespace is None:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter_namespace(namespace)
        yield
    finally:
        enter_namespace(own)
        os.close(own)
