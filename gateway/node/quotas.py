"""Quotas: how much one agency may send, so that none of them takes the node for itself.

Two of them, each optional: messages a minute, with a minute's worth at once; and messages
that wait to be sent. The configuration has one for all, an operator sets others for single
agencies while the node runs. They are kept in the database, so they outlive a restart, and
every change is an event of the audit log.

What is beyond a quota gets 429, and of a batch only what is beyond it. How many messages
wait is asked about once a second (less often when a long backlog makes the question dear),
and what is let in meanwhile is added: an agency may go beyond that quota by what was being
decided at that moment, never for long.

Spec: docs/operating.md, "Quotas".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from gateway.core.digest import digest_of
from gateway.core.states import State
from gateway.errors import UnavailableError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.inbox import NotFoundError
from gateway.ports import Clock, Step, Store, Transaction

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
SHARE: Final = 10
"""Counting what waits takes at most this part of the time of a reader."""

BACKLOG_RETRY_S: Final = 10
SETTING: Final = "quotas"


class QuotaError(UnavailableError):
    """The agency has used its quota up. Its operator may change it."""

    code = "quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much an agency may send; None is no limit.

    Attributes:
        per_minute: Messages a minute, and at once.
        waiting: Messages of it that may wait to be sent.
    """

    per_minute: int | None = None
    waiting: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnQuota:
    """The quota of one agency, set by an operator.

    Attributes:
        quota: What holds in place of the configuration's.
        at_ms: Since when.
        reason: What the operator wrote; it is in no log.
    """

    quota: Quota
    at_ms: int
    reason: str


@dataclass(slots=True)
class _Bucket:
    """Messages that an agency may send at once; refilled with time."""

    tokens: float
    filled_s: float


class Quotas:
    """Lets messages of agencies through, as many as they may send."""

    def __init__(self, *, store: Store, audit: AuditLog, clock: Clock, default: Quota) -> None:
        """Wire it; quotas of single agencies are not known before `open`.

        Args:
            store: Keeps quotas, and knows what waits.
            audit: Writes events.
            clock: Time of a change, and the measure of a minute.
            default: Holds for every agency without one of its own.
        """
        self._store = store
        self._audit = audit
        self._clock = clock
        self._own: dict[str, OwnQuota] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._counted: Mapping[str, int] = {}
        self._let_in: Counter[str] = Counter()
        self._look_at_s = 0.0
        self.default = default

    @property
    def own(self) -> Mapping[str, OwnQuota]:
        """Return the quotas of single agencies."""
        return self._own

    async def open(self) -> None:
        """Remember what was set before the last stop."""
        self._own = read_quotas(await self._store.read(lambda tx: tx.facts.get(SETTING)))

    def quota_of(self, agency: str) -> Quota:
        """Return what holds for an agency."""
        own = self._own.get(agency)
        return self.default if own is None else own.quota

    def waiting_of(self, agency: str) -> int:
        """Return how many messages of an agency wait, as far as somebody has to know."""
        return self._counted.get(agency, 0) + self._let_in[agency]

    def take(self, agency: str, wanted: int) -> tuple[int, QuotaError | None]:
        """Return how many of so many messages an agency may post now, and why not all of them."""
        quota = self.quota_of(agency)
        granted, refusal = wanted, None
        if quota.waiting is not None and (room := quota.waiting - self.waiting_of(agency)) < granted:
            msg = "too many messages of this agency wait to be sent"
            granted, refusal = max(0, room), QuotaError(msg, retry_after_s=BACKLOG_RETRY_S)
        if quota.per_minute is not None:
            bucket = self._bucket(agency, quota.per_minute)
            if bucket.tokens < granted:
                granted = math.floor(bucket.tokens)
                wait_s = (granted + 1 - bucket.tokens) * 60 / quota.per_minute
                msg = "this agency has sent as many messages as it may in a minute"
                refusal = QuotaError(msg, retry_after_s=math.ceil(wait_s))
            bucket.tokens -= granted
        if quota.waiting is not None:
            self._let_in[agency] += granted
        return granted, refusal

    async def look(self) -> None:
        """Count what waits, if a quota asks for it and the last time is long enough ago."""
        now_s = self._clock.monotonic_s()
        if now_s < self._look_at_s or not self._counts_waiting():
            return
        # What is let in from here on may or may not be in the count: it is added to it.
        self._let_in.clear()

        def count(tx: Transaction) -> Mapping[str, int]:
            return tx.queue.waiting_by_agency() if tx.outbox.count(State.ACCEPTED) else {}

        self._counted = await self._store.read(count)
        ended_s = self._clock.monotonic_s()
        self._look_at_s = ended_s + max(LOOK_S, SHARE * (ended_s - now_s))

    async def set(self, actor: Actor, agency: str, quota: Quota, reason: str) -> None:
        """Let a quota hold for one agency from now on, in place of the configuration's."""
        await self._change(actor, agency, quota, reason)

    async def clear(self, actor: Actor, agency: str, reason: str) -> None:
        """Let the configuration's quota hold for an agency again.

        Raises:
            NotFoundError: It has none of its own.
        """
        self.verify_own(agency)
        await self._change(actor, agency, None, reason)

    def verify_own(self, agency: str) -> None:
        """Refuse to take a quota back that is not there.

        Raises:
            NotFoundError: The agency has none of its own.
        """
        if agency not in self._own:
            msg = "this agency has no quota of its own"
            raise NotFoundError(msg)

    def put(
        self, tx: Transaction, actor: Actor, agency: str, quota: Quota | None, reason: str, now_ms: int
    ) -> dict[str, OwnQuota]:
        """Store and record a change in a transaction; it counts from the `adopt` that follows on it.

        Args:
            tx: The transaction.
            actor: Who has decided.
            agency: Whose quota.
            quota: What holds in place of the configuration's, or None for that.
            reason: Why.
            now_ms: When, UTC milliseconds.
        """
        quotas = read_quotas(tx.facts.get(SETTING))
        quotas.pop(agency, None)
        own = None if quota is None else OwnQuota(quota=quota, at_ms=now_ms, reason=reason)
        if own is not None:
            quotas[agency] = own
        tx.facts.put(SETTING, _text(quotas))
        event = "quota.cleared" if own is None else "quota.set"
        details: list[int | bytes] = [digest_of(reason.encode()), agency.encode(), *_limits(own)]
        self._audit.append(tx, self._audit.event(at_ms=now_ms, actor=actor, event=event, details=details))
        return quotas

    def adopt(self, quotas: Mapping[str, OwnQuota], agency: str) -> None:
        """Let quotas count as the database holds them, after that of one agency has changed."""
        self._own = dict(quotas)
        self._buckets.pop(agency, None)
        self._look_at_s = 0.0
        quota = self.quota_of(agency)
        log.info("quota.changed", agency=agency, per_minute=quota.per_minute, waiting=quota.waiting)

    async def _change(self, actor: Actor, agency: str, quota: Quota | None, reason: str) -> None:
        """Store and record a change. What the database holds then is what counts."""
        now_ms = self._clock.now_ms()
        quotas = await self._store.write(
            Step.AUDITED, lambda tx: self.put(tx, actor, agency, quota, reason, now_ms)
        )
        self.adopt(quotas, agency)

    def _counts_waiting(self) -> bool:
        return self.default.waiting is not None or any(
            own.quota.waiting is not None for own in self._own.values()
        )

    def _bucket(self, agency: str, per_minute: int) -> _Bucket:
        """Return an agency's bucket, filled up to now."""
        now_s = self._clock.monotonic_s()
        bucket = self._buckets.setdefault(agency, _Bucket(float(per_minute), now_s))
        gained = (now_s - bucket.filled_s) * per_minute / 60
        bucket.tokens = min(float(per_minute), bucket.tokens + gained)
        bucket.filled_s = now_s
        return bucket


def _limits(own: OwnQuota | None) -> Sequence[int]:
    """Return both limits for the audit log, 0 for no limit; nothing for a quota that was taken back."""
    if own is None:
        return ()
    return [limit or 0 for limit in (own.quota.per_minute, own.quota.waiting)]


def read_quotas(text: str | None) -> dict[str, OwnQuota]:
    """Return the quotas that a database keeps under `SETTING`, by agency."""
    rows = {} if text is None else orjson.loads(text)
    return {
        agency: OwnQuota(quota=Quota(per_minute=per_minute, waiting=waiting), at_ms=at_ms, reason=reason)
        for agency, (per_minute, waiting, at_ms, reason) in rows.items()
    }


def _text(quotas: Mapping[str, OwnQuota]) -> str:
    rows = {
        agency: [own.quota.per_minute, own.quota.waiting, own.at_ms, own.reason]
        for agency, own in sorted(quotas.items())
    }
    return orjson.dumps(rows).decode()
