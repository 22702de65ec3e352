"""The store of a node: `gateway.ports.Store` on SQLite or PostgreSQL.

Spec: docs/storage.md.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.errors import StoreError
from gateway.ports import Step, StoreStats, Transaction
from gateway.storage.engine import Database
from gateway.storage.jobs import Job
from gateway.storage.schema import check_schema, migrate, take_lease
from gateway.storage.session import Session
from gateway.storage.writer import MAX_GROUP, MAX_GROUP_S, Readers, Writer, refusal

T = TypeVar("T")

MAX_WAITING: Final = 4_096
"""Writes that may wait for the writer; further callers wait for a place."""


class SqlStore:
    """Keeps everything of a node in one database."""

    def __init__(
        self, database: Database, writer: Writer | None, readers: Readers, *, is_newer: bool = False
    ) -> None:
        """Take over what `open` made; use that."""
        self.is_newer: Final = is_newer
        """Whether a newer program made the database, so that this one can only read it."""
        self._database = database
        self._writer = writer
        self._readers = readers
        self._places = asyncio.Semaphore(MAX_WAITING)
        self._closed = False
        # Nothing is put behind the end that the writer is told.
        self._putting = threading.Lock()
        self._scrubbing = threading.Lock()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        read_only: bool = False,
        readers: int = 2,
        wait_s: float = 0.0,
        max_group: int = MAX_GROUP,
        max_group_s: float = MAX_GROUP_S,
    ) -> SqlStore:
        """Open a database; make or migrate its tables, unless it is opened to read only.

        Args:
            url: ``sqlite:///path`` (three slashes and a relative path, four and an absolute
                one) or ``postgresql://user@host/name``.
            read_only: For export and verification beside a running node: nothing is
                locked, created or changed, and `write` is refused.
            readers: Threads that read.
            wait_s: Seconds to wait for another process to let go of the database.
            max_group: Closures in one transaction.
            max_group_s: Seconds after which no further closure joins a transaction.

        Raises:
            StoreError: Another process writes to it, it is of a newer version, or it
                cannot be opened. The text says what to do.
        """
        database = Database.at(url, read_only=read_only)
        if read_only:
            newer = check_schema(database)
            return cls(database, None, _readers(database, readers), is_newer=newer)
        database.acquire(wait_s=wait_s)
        try:
            migrate(database)
            session = Session(database, writable=True)
            try:
                take_lease(session)
                pool = _readers(database, readers)
            except BaseException:
                session.close()
                raise
        except BaseException:
            database.release()
            raise
        return cls(database, Writer(session, max_group=max_group, max_group_s=max_group_s), pool)

    async def write(self, step: Step, work: Callable[[Transaction], T], *, linger_s: float = 0.0) -> T:
        """Run ``work`` in a transaction and return its result once that is durable.

        A write that was handed in is run, even if its caller stops waiting.

        Raises:
            StoreError: The commit failed or its outcome is unknown; the store refuses all
                further writes.
        """
        async with self._places:
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._put(Job(step=step, work=work, answer=answer, linger_s=linger_s))
            return await answer

    def write_now(self, step: Step, work: Callable[[Transaction], T]) -> T:
        """Do what `write` does, in a thread that is no loop's: it blocks.

        Raises:
            StoreError: As for `write`.
        """
        done = threading.Event()
        job = Job(step=step, work=work, done=done)
        self._put(job)
        done.wait()
        if job.error is not None:
            raise job.error
        result: T = job.value
        return result

    def write_soon(self, step: Step, work: Callable[[Transaction], object], *, linger_s: float) -> None:
        """Hand in what nobody waits for, from any thread: every later write finds it done.

        If ``work`` raises, the store fails: nobody else would hear of it.

        Raises:
            StoreError: The store has failed before, or is closed.
        """
        self._put(Job(step=step, work=work, linger_s=linger_s))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` on a snapshot that holds at least every write that has returned."""
        self._check_open()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._readers.put(Job(step=None, work=work, answer=answer))
        return await answer

    async def scrub(self) -> bool:
        """Let nothing of what was deleted be readable in the files of the database.

        Returns:
            False if it could not be done right now, because somebody reads; ask again.
        """
        self._check_open()
        return await asyncio.to_thread(self._scrub)

    async def close(self) -> None:
        """Finish what is queued, close every connection, let another process in."""
        if not self._closed:
            with self._putting:
                self._closed = True
            await asyncio.to_thread(self._stop)

    def stats(self) -> StoreStats:
        """Return what the writer has done so far."""
        writer = self._writer
        return StoreStats(
            commits=writer.commits if writer else 0,
            writes=MappingProxyType(dict(writer.writes) if writer else {}),
            largest_group=writer.largest_group if writer else 0,
            commit_s=writer.commit_s if writer else 0.0,
            waiting=writer.waiting() if writer else 0,
            failed=writer is not None and writer.failure is not None,
        )

    def _put(self, job: Job) -> None:
        writer = self._writer
        if writer is None:
            msg = "the store is open to read only"
            raise StoreError(msg)
        with self._putting:
            self._check_open()
            if writer.failure is not None:
                raise refusal(writer.failure)
            writer.put(job)

    def _check_open(self) -> None:
        if self._closed:
            msg = "the store is closed"
            raise StoreError(msg)

    def _scrub(self) -> bool:
        with self._scrubbing:
            return not self._closed and self._database.scrub()

    def _stop(self) -> None:
        # A caller may have given up while its scrubbing goes on, with a connection of its own:
        # that one has to be gone before anybody else may have the files.
        with self._scrubbing:
            self._readers.stop()
        # The writer closes last: SQLite then folds its log into the database.
        if self._writer is not None:
            self._writer.stop()
            self._database.release()


def _readers(database: Database, count: int) -> Readers:
    return Readers(lambda: Session(database, writable=False), count=count)
