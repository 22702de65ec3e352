"""The bundle of repositories that a closure works with."""

from __future__ import annotations

from gateway.storage.facts import SqlFacts
from gateway.storage.inbox import SqlInbox
from gateway.storage.logs import SqlLogs
from gateway.storage.outbox import SqlOutbox
from gateway.storage.queue import SqlQueue
from gateway.storage.removal import SqlRemoval
from gateway.storage.session import Session
from gateway.storage.threads import SqlThreads


class SqlTransaction:
    """Implements `gateway.ports.Transaction` on a session."""

    def __init__(self, session: Session) -> None:
        """Make the repositories; they hold no state of their own."""
        self._logs = SqlLogs(session)
        self._outbox = SqlOutbox(session)
        self._inbox = SqlInbox(session)
        self._threads = SqlThreads(session)
        self._removal = SqlRemoval(session)
        self._facts = SqlFacts(session)
        self._queue = SqlQueue(session)

    @property
    def logs(self) -> SqlLogs:
        """Return the logs and mirrors."""
        return self._logs

    @property
    def outbox(self) -> SqlOutbox:
        """Return outgoing messages."""
        return self._outbox

    @property
    def inbox(self) -> SqlInbox:
        """Return incoming messages."""
        return self._inbox

    @property
    def threads(self) -> SqlThreads:
        """Return conversations."""
        return self._threads

    @property
    def removal(self) -> SqlRemoval:
        """Return the ends of content."""
        return self._removal

    @property
    def facts(self) -> SqlFacts:
        """Return small things."""
        return self._facts

    @property
    def queue(self) -> SqlQueue:
        """Return what waits and what went wrong."""
        return self._queue
