"""The deadline of one request after the other, with one timer for all of them.

A busy connection answers within milliseconds and has half a minute for it: a timer of its own
for each request would be set and taken back in vain a thousand times a second, and those taken
back pile up in the loop. Here a timer runs on when its request is done; when it rings it looks
at what is in work by then, and is set anew for that.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """Cancels what a task does inside of the context when its time is over. For one task at a time.

    Enter it with ``with deadline.of(seconds)``; what is over by then ends in a `TimeoutError`, as with
    `asyncio.timeout`.

    Attributes:
        expired: Whether the time of the newest context was over before it ended.
    """

    __slots__ = ("_at_s", "_loop", "_rings_at_s", "_task", "_timer", "expired")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without a timer."""
        self._loop = loop
        self._timer: asyncio.Handle | None = None
        self._task: asyncio.Task[object] | None = None
        self._at_s = 0.0
        self._rings_at_s = 0.0
        self.expired = False

    def of(self, seconds: float) -> Deadline:
        """Return the context for something that may take so long from now on."""
        self._at_s = self._loop.time() + seconds
        return self

    def close(self) -> None:
        """Stop the timer: nothing comes after this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        """Begin; the running task is the one that is cancelled."""
        self._task = asyncio.current_task(self._loop)
        self.expired = False
        if self._timer is None:
            self._wind()
        elif self._rings_at_s > self._at_s:
            # It was set for something that had more time.
            self._timer.cancel()
            self._wind()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; turn the cancellation that was ours into a timeout.

        Raises:
            TimeoutError: The time was over.
        """
        task, self._task = self._task, None
        if not self.expired or task is None:
            return
        # Somebody else may have cancelled the task as well, and that one goes on.
        if task.uncancel() == 0 and isinstance(value, asyncio.CancelledError):
            raise TimeoutError from value

    def _wind(self) -> None:
        # Kept here, because the loop of a node gives a handle that cannot tell for what is less than half a
        # millisecond away.
        self._rings_at_s = self._at_s
        self._timer = self._loop.call_at(self._at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._at_s > self._loop.time():
            self._wind()
            return
        self.expired = True
        self._task.cancel()
