"""Maintenance: a node that takes nothing new on, and says when what it had is away.

While it lasts, agencies' posts get 503 with Retry-After; what was accepted before is sent,
the peer's messages are taken in, agencies read and acknowledge. *Drained* means that no
message of this nation waits or is on its way to the peer: the node can be stopped, moved or
upgraded without anybody waiting for it.

It outlives a restart, and ends by an operator's word only. The audit log has both, with the
digest of the reason; the reason itself is kept where operators read it.

Spec: docs/operating.md, "Maintenance".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from gateway.core.digest import digest_of
from gateway.core.states import State
from gateway.errors import RejectedError, StoreError, UnavailableError
from gateway.node.audit_log import Actor, AuditLog
from gateway.ports import Clock, Step, Store, Transaction

log = structlog.get_logger(__name__)

RETRY_S: Final = 60
SETTING: Final = "maintenance"


class MaintenanceError(UnavailableError):
    """The node is under maintenance and takes nothing new on."""

    code = "maintenance"


class NotInMaintenanceError(RejectedError):
    """There is no maintenance that could end."""

    code = "not-in-maintenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """A maintenance that has begun.

    Attributes:
        at_ms: When, UTC milliseconds.
        reason: What the operator wrote; it is in no log.
    """

    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """How far a node is.

    Attributes:
        since: The maintenance, or None if there is none.
        waiting: Messages that are not sent yet, those that are being decided included.
        on_the_way: Sent messages of which the peer has not confirmed that it holds them.
    """

    since: Since | None
    waiting: int
    on_the_way: int

    @property
    def is_drained(self) -> bool:
        """Return whether the node is under maintenance and nothing of it is left to send."""
        return self.since is not None and self.waiting == self.on_the_way == 0


class Maintenance:
    """Begins and ends it, and remembers it across restarts."""

    def __init__(self, *, store: Store, audit: AuditLog, clock: Clock, admitting: Callable[[], int]) -> None:
        """Wire it; nothing is known before `open`.

        Args:
            store: Remembers it across restarts.
            audit: Writes events.
            clock: Time of a decision.
            admitting: Says how many messages are being decided right now.
        """
        self._store = store
        self._audit = audit
        self._clock = clock
        self._admitting = admitting
        self._was_drained = False
        self.since: Since | None = None

    async def open(self) -> None:
        """Remember what was in force at the last stop."""
        text = await self._store.read(lambda tx: tx.facts.get(SETTING))
        if text is not None:
            at_ms, reason = orjson.loads(text)
            self.since = Since(at_ms=at_ms, reason=reason)
            log.warning("maintenance.started", since_ms=at_ms)

    def verify_over(self) -> None:
        """Refuse a new message while it lasts.

        Raises:
            MaintenanceError: It does.
        """
        if self.since is not None:
            msg = "this node is under maintenance"
            raise MaintenanceError(msg, retry_after_s=RETRY_S)

    async def start(self, actor: Actor, reason: str) -> Draining:
        """Take nothing new on from now on; a repeat changes nothing."""
        now_ms = self._clock.now_ms()

        def begin(tx: Transaction) -> None:
            if tx.facts.get(SETTING) is None:
                tx.facts.put(SETTING, orjson.dumps([now_ms, reason]).decode())
                self._record(tx, actor, "maintenance.started", reason, now_ms)

        if self.since is None:
            # From here on posts are refused, so that none slips in behind the event.
            self.since = Since(at_ms=now_ms, reason=reason)
            try:
                await self._store.write(Step.AUDITED, begin)
            except StoreError:
                self.since = None
                raise
            log.warning("maintenance.started", since_ms=now_ms)
        return await self.draining()

    async def end(self, actor: Actor, reason: str) -> Draining:
        """Take new messages on again.

        Raises:
            NotInMaintenanceError: There is no maintenance.
        """
        now_ms = self._clock.now_ms()

        def finish(tx: Transaction) -> None:
            if tx.facts.get(SETTING) is None:
                msg = "there is no maintenance that could end"
                raise NotInMaintenanceError(msg)
            tx.facts.put(SETTING, None)
            self._record(tx, actor, "maintenance.ended", reason, now_ms)

        await self._store.write(Step.AUDITED, finish)
        self.since = None
        self._was_drained = False
        log.info("maintenance.ended")
        return await self.draining()

    async def draining(self) -> Draining:
        """Return how far the node is; the first time that it is drained is an event."""

        def count(tx: Transaction) -> tuple[int, int]:
            return tx.outbox.count(State.ACCEPTED), tx.outbox.count(State.SENT)

        # In this order: what is decided meanwhile is then counted twice rather than never.
        since, admitting = self.since, self._admitting()
        accepted, on_the_way = await self._store.read(count)
        found = Draining(since=since, waiting=accepted + admitting, on_the_way=on_the_way)
        if found.is_drained and not self._was_drained:
            log.info("maintenance.drained")
        self._was_drained = found.is_drained
        return found

    def _record(self, tx: Transaction, actor: Actor, event: str, reason: str, now_ms: int) -> None:
        details = (digest_of(reason.encode()),)
        self._audit.append(tx, self._audit.event(at_ms=now_ms, actor=actor, event=event, details=details))
