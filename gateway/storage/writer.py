"""The one thread that writes, and its group commit.

The thread takes the closures that wait, runs them one after another in one transaction,
commits once, and answers all of them. While it commits, the next group gathers: alone, a
write costs one commit; under load, a commit is shared by as many as arrived meanwhile. A write
that nobody waits for may linger: it shares the commit of the next one that does not.

Each closure but the first of a transaction runs behind a savepoint. The first needs none:
if it fails, the whole transaction is rolled back and begun anew, which undoes the same.

When the commit fails, or the driver reports anything that leaves doubt (a full disk, an
I/O error, a lost connection), nobody knows what is on disk: the writer answers `StoreError`
to the group and to everyone after it, and tries nothing again. The next start reads the
truth.

Spec: docs/storage.md, "Transactions".
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.errors import StoreError
from gateway.ports import Step
from gateway.storage.jobs import Job, deliver
from gateway.storage.session import Session
from gateway.storage.transaction import SqlTransaction

MAX_GROUP: Final = 256
"""Closures in one transaction."""

MAX_GROUP_S: Final = 0.010
"""Seconds after which no further closure joins a transaction: whoever is in it waits for it."""


class Writer:
    """Runs jobs in groups until it is stopped."""

    def __init__(
        self, session: Session, *, max_group: int = MAX_GROUP, max_group_s: float = MAX_GROUP_S
    ) -> None:
        """Start the thread; the session is its own from now on."""
        self._session = session
        self._transaction = SqlTransaction(session)
        self._max_group = max_group
        self._max_group_s = max_group_s
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Set once, by the thread; read by callers before they queue.
        self.failure: StoreError | None = None
        self._stopping = False
        self.commits = 0
        self.writes: Counter[Step] = Counter()
        self.largest_group = 0
        self.commit_s = 0.0
        # A daemon: a process that is told to die leaves what a power cut would leave.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue a job. Jobs run in the order of the calls."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Finish what is queued, then close the session. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def waiting(self) -> int:
        """Return how many jobs wait, roughly."""
        return self._jobs.qsize()

    def _run(self) -> None:
        try:
            while jobs := self._begun():
                if self.failure is None:
                    self._group(jobs)
                else:
                    self._refuse(jobs)
        finally:
            self._session.close()

    def _begun(self) -> list[Job]:
        """Wait for what begins the next group, in the order of the calls; nothing is the end.

        Those that linger come first: they were queued first.
        """
        jobs: list[Job] = []
        until_s = math.inf
        while not self._stopping and len(jobs) < self._max_group:
            try:
                job = self._jobs.get(timeout=max(until_s - time.monotonic(), 0.0) if jobs else None)
            except queue.Empty:
                break
            if job is None:
                self._stopping = True
                break
            jobs.append(job)
            if job.linger_s <= 0 or self.failure is not None:
                break
            until_s = min(until_s, time.monotonic() + job.linger_s)
        return jobs

    def _group(self, jobs: list[Job]) -> None:
        """Run one transaction and answer everyone in it."""
        try:
            self._run_jobs(jobs)
        except BaseException as error:  # noqa: BLE001 - whatever it was, the outcome is unknown
            failure = self._session.broken or error
            if not isinstance(failure, StoreError):
                failure = StoreError(f"a write ended in {type(error).__name__}: its outcome is unknown")
                failure.__cause__ = error
            self.failure = failure
            self._refuse(jobs)
        else:
            deliver(jobs)

    def _run_jobs(self, jobs: list[Job]) -> None:
        """Run these jobs and those that wait, as far as they fit, and commit."""
        self._session.begin()
        deadline = time.monotonic() + self._max_group_s
        done = 0
        for job in jobs:  # which grows on the way
            done += self._run_job(job, first=done == 0)
            if job is not jobs[-1] or len(jobs) >= self._max_group or time.monotonic() >= deadline:
                continue
            following = self._next()
            if following is not None:
                jobs.append(following)
        self._finish(jobs, done)

    def _run_job(self, job: Job, *, first: bool) -> bool:
        """Run a closure; return whether it succeeded. What a failed one did is undone."""
        session = self._session
        if not first:
            session.mark()
        try:
            job.value = job.work(self._transaction)
        except Exception as error:
            if session.broken is not None or not job.is_awaited:
                raise
            job.error = error
            if first:
                session.rollback()
                session.begin()
            else:
                session.back()
            return False
        if session.broken is not None:
            # The closure swallowed an error that leaves doubt.
            raise session.broken
        return True

    def _next(self) -> Job | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        self._stopping = job is None
        return job

    def _finish(self, jobs: list[Job], done: int) -> None:
        if done == 0:
            self._session.rollback()
            return
        began = time.perf_counter()
        self._session.commit()
        self.commit_s += time.perf_counter() - began
        self.commits += 1
        self.largest_group = max(self.largest_group, len(jobs))
        for job in jobs:
            if job.error is None and job.step is not None:
                self.writes[job.step] += 1

    def _refuse(self, jobs: list[Job]) -> None:
        for job in jobs:
            # One error object each: a traceback belongs to one caller.
            job.error = refusal(self.failure)
        deliver(jobs)


def refusal(failure: StoreError | None) -> StoreError:
    """Return the error for a caller of a store that has failed."""
    error = StoreError(
        "the store has failed and accepts no writes until the node is started again"
        + (f": {failure}" if failure is not None else "")
    )
    error.__cause__ = failure
    return error


class Readers:
    """A few threads that read, each on its own connection."""

    def __init__(self, open_session: Callable[[], Session], *, count: int) -> None:
        """Open the connections and start the threads.

        Raises:
            StoreError: A connection could not be opened.
        """
        self._open_session = open_session
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        sessions: list[Session] = []
        try:
            sessions = [open_session() for _ in range(count)]
        finally:
            if len(sessions) < count:
                for session in sessions:
                    session.close()
        self._threads = [
            threading.Thread(target=self._run, args=(session,), name=f"store-reader-{number}", daemon=True)
            for number, session in enumerate(sessions)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Queue a job for whichever thread is free."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Finish what is queued, then close the connections. Blocks."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, session: Session) -> None:
        transaction = SqlTransaction(session)
        while (job := self._jobs.get()) is not None:
            try:
                if session.broken is not None:
                    # Reading again harms nothing: the server may be back.
                    fresh = self._open_session()
                    session.close()
                    session, transaction = fresh, SqlTransaction(fresh)
                job.value = _read(session, transaction, job)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                job.error = error
            deliver([job])
        session.close()


def _read(session: Session, transaction: SqlTransaction, job: Job) -> object:
    # The snapshot is taken by the first statement, so it holds every commit until here.
    session.begin_read()
    try:
        return job.work(transaction)
    finally:
        if session.broken is None:
            session.end_read()
