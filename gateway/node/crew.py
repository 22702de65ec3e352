"""The crew: processes beside the node that examine and open messages for it.

An interpreter runs on one processor. What a node does for a message is, for the half of it,
checks that need neither database nor log; on a machine with processors to spare these are done
by processes of their own, and the node keeps what has to be done in one place: the log, the
database, the ports. With none, which is the default, a thread of the node does the same.

A member gets work and gives results through its standard input and output, which only the node
holds: whoever kills the node ends its crew as well. A member that dies takes the work that it
had in hand with it: the callers are told to come again, nothing of it was accepted, and another
one takes its place. While there is none, the node does the work itself.

Spec: docs/operating.md, "More than two processors".
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import structlog

from gateway.core.message.reference_lists import ReferenceList, ReferenceLists
from gateway.core.message.schedule import Announced
from gateway.errors import UnavailableError
from gateway.node.steps import given
from gateway.ports import Clock

log = structlog.get_logger(__name__)

PIECE: Final = 128
PIECE_BYTES: Final = 1 << 20
"""Messages, and bytes of them, in one piece of work."""

A = TypeVar("A")
H = TypeVar("H")
R = TypeVar("R")
T = TypeVar("T")

LEAST: Final = 16
"""Messages below which a thread is quicker: to and fro costs half a millisecond."""

START_S: Final = 60.0
"""Longest time that a member takes to read the catalogue."""

WORK_S: Final = 60.0
"""Longest time for one piece of work, which is some 10 ms of an idle processor."""

PAUSE_S: Final = 2.0
"""Wait before another member takes the place of one that was lost."""

END_S: Final = 5.0
"""What a member that was told to end may still take."""

LENGTH: Final = struct.Struct(">I")
"""Stands before each frame, in both directions."""

_BUFFER: Final = 1 << 20

Seen = tuple[ReferenceLists, Announced]
"""What the node goes by that changes while it runs: reference lists, and what the peer has announced."""

View = tuple[Mapping[str, ReferenceList], Announced]
"""The same for a member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewConfig:
    """What a node may have beside it.

    Attributes:
        size: Processes; 0 for none.
        command: Starts one.
        log_level: Least level of what they say in the operator's log.
    """

    size: int = 0
    command: tuple[str, ...] = ()
    log_level: str = "info"


class CrewLostError(UnavailableError):
    """The process that worked on this ended; nothing of it was accepted."""

    code = "crew-lost"


class Crew:
    """Processes with an owner: `run`."""

    def __init__(
        self,
        config: CrewConfig,
        *,
        outfit: object,
        seen: Callable[[], Seen],
        clock: Clock,
    ) -> None:
        """Start nothing yet.

        Args:
            config: How many, and how one is started.
            outfit: The first thing that each gets; it is pickled.
            seen: Says what the node goes by now.
            clock: For the pause before another one takes the place of a lost one.
        """
        self._size = config.size
        self._command = config.command
        self._outfit = outfit
        self._seen = seen
        self._clock = clock
        self._now: Seen | None = None
        self._view = b""
        self._present: set[_Member] = set()
        self._idle: list[_Member] = []
        self._waiting: deque[asyncio.Future[_Member]] = deque()
        self._working: set[asyncio.Task[Any]] = set()

    def takes(self, messages: int) -> bool:
        """Return whether it is there, and so many messages are worth the way."""
        return messages >= LEAST and bool(self._present)

    async def run(self) -> None:
        """Keep the crew complete until cancelled. One task of the node runs this."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._size):
                tasks.create_task(self._keep(), name="crew")

    async def do(self, task: Callable[[H, A], R], argument: A) -> R:
        """Have a member do one piece of work and return the result.

        A caller that goes away leaves the member at it: its answer has to be read all the same.

        Args:
            task: A function of a module, given what the member works with and the argument.
            argument: What it works on; argument and result are pickled.

        Raises:
            CrewLostError: The member was lost over it, or all were before it began.
            GatewayError: Whatever the task raised.
        """
        if not self._present:
            raise _lost()
        frame = pickle.dumps((task, argument), pickle.HIGHEST_PROTOCOL)
        member = await self._take()
        working = asyncio.create_task(self._work(member, frame))
        self._working.add(working)
        working.add_done_callback(self._worked)
        done, result = await asyncio.shield(working)
        if not done:
            raise cast("Exception", result)
        return cast("R", result)

    # --- members ---------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep one place of the crew taken."""
        while True:
            with suppress(CrewLostError):
                member = await _Member.start(self._command, self._outfit)
                self._present.add(member)
                log.info("crew.joined", pid=member.pid, present=len(self._present))
                self._give_back(member)
                try:
                    await member.ended()
                finally:
                    self._lose(member)
                    await member.end()
            log.warning("crew.lost", present=len(self._present))
            await self._clock.sleep(PAUSE_S)

    async def _take(self) -> _Member:
        if self._idle:
            # The one that worked last: the catalogue lies in the caches of its processor.
            return self._idle.pop()
        waiter: asyncio.Future[_Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Given in the same turn of the loop: the next one gets it.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _give_back(self, member: _Member) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(member)
                return
        self._idle.append(member)

    def _lose(self, member: _Member) -> None:
        """Count on a member no more; if it was the last one, those who wait for it are told."""
        self._present.discard(member)
        if member in self._idle:
            self._idle.remove(member)
        while self._waiting and not self._present:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(_lost())

    async def _work(self, member: _Member, frame: bytes) -> tuple[bool, object]:
        view = self._current_view()
        try:
            answer = await member.ask(frame, view)
        except BaseException:
            self._lose(member)
            raise
        if member in self._present:  # not lost just after it has answered
            self._give_back(member)
        return answer

    def _worked(self, working: asyncio.Task[Any]) -> None:
        self._working.discard(working)
        if not working.cancelled():
            working.exception()  # the caller hears of it, unless it went away

    def _current_view(self) -> bytes:
        """Return what the node goes by now, pickled once for each change."""
        lists, announced = now = self._seen()
        if self._now is None or lists is not self._now[0] or announced is not self._now[1]:
            view: View = dict(lists), Announced(entries=announced.entries)
            self._now, self._view = now, pickle.dumps(view, pickle.HIGHEST_PROTOCOL)
        return self._view


def pieces(items: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield items in pieces of work, in order; ``size`` tells the bytes of one."""
    piece: list[T] = []
    held = 0
    for item in items:
        if piece and (len(piece) >= PIECE or held + size(item) > PIECE_BYTES):
            yield piece
            piece, held = [], 0
        piece.append(item)
        held += size(item)
    if piece:
        yield piece


class _Member:
    """One process, which does one piece of work at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stdin, self._stdout = given(process.stdin), given(process.stdout)
        self._view = b""

    @classmethod
    async def start(cls, command: Sequence[str], outfit: object) -> _Member:
        """Start a process and return once it is ready.

        Raises:
            CrewLostError: It does not start, or ends over its outfit.
        """
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_BUFFER)
        except OSError as error:
            raise _lost() from error
        member = cls(process)
        try:
            await member._exchange(pickle.dumps(outfit, pickle.HIGHEST_PROTOCOL), START_S)
        except BaseException:
            await member.end()
            raise
        return member

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    async def ask(self, frame: bytes, view: bytes) -> tuple[bool, object]:
        """Have a task done; return whether it was, and its result or the error.

        Args:
            frame: The pickled task.
            view: What the node goes by; sent before it if it has changed.

        Raises:
            CrewLostError: The process ended over it, or does not answer.
        """
        try:
            if view is not self._view:
                await self._exchange(view, WORK_S)
                self._view = view
            return cast("tuple[bool, object]", await self._exchange(frame, WORK_S))
        except BaseException:
            # An answer that is still to come would be taken for that of the next question.
            self._kill()
            raise

    async def ended(self) -> None:
        """Return once the process is no more."""
        await self._process.wait()

    async def end(self) -> None:
        """Let the process end, or make it."""
        self._stdin.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._process.wait()
        finally:
            self._kill()
        with suppress(ConnectionError):
            await self._stdin.wait_closed()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _exchange(self, frame: bytes, within_s: float) -> object:
        stdin, stdout = self._stdin, self._stdout
        try:
            async with asyncio.timeout(within_s):
                if stdin.is_closing():
                    # A pipe that the member has left; the loop calls writing to it a mistake of the program.
                    raise _lost()
                stdin.write(LENGTH.pack(len(frame)))
                stdin.write(frame)
                await stdin.drain()
                (length,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
                data = await stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            raise _lost() from error
        return pickle.loads(data)  # noqa: S301 - written by a process of this node, through its own pipe


def _lost() -> CrewLostError:
    return CrewLostError("the process that examined this was lost; nothing of it was accepted")
