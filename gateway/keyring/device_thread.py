"""One thread for all calls of one device library, with a deadline for each call.

A PKCS#11 module keeps its state (sessions, who is logged in) for the process, is told nothing
of threads, and blocks for as long as its device likes. So each module has one thread in this
process, whoever calls, and a caller waits only so long. A call that is late goes on in its
thread, because nothing can end it; until it has ended every other call is refused at once, so
that a hanging device holds up one signature and not all.

The thread is a daemon: a device that hangs does not keep the process from ending.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class DeviceLateError(Exception):
    """A call has not ended in time, or an earlier one still has not."""


class ForkedError(Exception):
    """The process was forked: the library and its sessions belong to the parent."""


class DeviceThread:
    """Makes calls one after the other in a thread of its own. Calls may come from any thread."""

    def __init__(self, name: str) -> None:
        """Start the thread.

        Args:
            name: Name of the thread.
        """
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._late: Future[Any] | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """Return what ``work`` returns, or raise what it raises.

        Args:
            work: What to do; it is done in the thread, or not at all.
            timeout_s: Longest wait, with that for calls before this one.

        Raises:
            DeviceLateError: It has not ended in time. If it had begun, it may still end.
            ForkedError: This process is a fork of the one that made this object.
        """
        if os.getpid() != self._pid:
            raise ForkedError
        late = self._late
        if late is not None and not late.done():
            raise DeviceLateError
        future: Future[T] = Future()
        self._work.put((future, work))
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                raise  # an error of the work itself
            if not future.cancel():
                self._late = future
            raise DeviceLateError from error

    def _run(self) -> None:
        while True:
            future, work = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)


_THREADS: dict[str, DeviceThread] = {}
_LOCK = threading.Lock()


def thread_of(module: str) -> DeviceThread:
    """Return the thread in which every call of a module is made in this process."""
    with _LOCK:
        found = _THREADS.get(module)
        if found is None:
            found = _THREADS[module] = DeviceThread("token")
        return found
