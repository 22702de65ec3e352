"""Who came to a port and was let in, and who was turned away, for the audit log.

Somebody outside decides how often either happens, so neither may decide how much is written. A
certificate that was let in is an event, and not again before it has been silent for an hour.
Refusals are counted by port and cause: the first one is written within a second, those that
follow as one event a minute with their number. Causes come from a fixed list, so a flood of
whatever kind costs at most one event a minute for each of few dozen pairs.

A login is written before the first answer: if it cannot be written, there is none. Refusals
are written behind the answer that refuses: a log that cannot be written opens no door.

Spec: docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gateway.core.entries import Role
from gateway.errors import GatewayError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.inbox import NotFoundError
from gateway.ports import Clock, Step, Store

SILENCE_S: Final = 3_600.0
"""A certificate that was not seen for so long logs in anew."""

WINDOW_S: Final = 60.0
"""Refusals of one port and cause within it share one event, but for the first."""

MAX_NAMED: Final = 8
"""Certificates that one event of several refusals names."""

TICK_S: Final = 1.0

CAUSES: Final = frozenset(
    {
        # What the handshake of TLS finds; the certificate is not known then.
        "certificate-absent",
        "certificate-untrusted",
        "revocation-list-ended",
        "tls-refused",
        # What the handshake or the port finds.
        "certificate-expired",
        "certificate-revoked",
        "certificate-unknown",
        "peer-identity",
        "role-not-allowed",
        "too-many-connections",
        "too-many-requests",
        # A signature of the peer that does not verify, under a connection that does.
        "signature-invalid",
        # A message or conversation that is not there, or not this agency's: both look the same.
        "not-found",
    }
)
"""Outcomes of ``access.denied``. Whatever else closes a door is ``other``."""

OTHER: Final = "other"


class Door(IntEnum):
    """A port of the node, as events number it."""

    AGENCY = 1
    OPERATOR = 2
    PEER = 3


def cause_of(error: GatewayError) -> str | None:
    """Return the cause if an error denies access, or None.

    What admission refuses has an event of its own (``message.refused``); a path or a file of a
    log that does not exist is a mistake and no attempt.
    """
    if error.code == "not-found":
        return error.code if isinstance(error, NotFoundError) else None
    return error.code if error.code in CAUSES else None


@dataclass(slots=True, kw_only=True)
class _Window:
    """Refusals of one port and cause that are not written yet.

    Attributes:
        began_s: When the first of them was.
        due_s: When they are written.
        count: How many.
        spkis: Whose, as far as they showed a certificate; a few of them.
        unnamed: Whether some were of nobody, or of more certificates than are named.
        roles: Who they were, as far as the registry knows.
    """

    began_s: float
    due_s: float
    count: int = 0
    spkis: list[bytes] = field(default_factory=list)
    unnamed: bool = False
    roles: set[Role] = field(default_factory=set)

    def add(self, spki: bytes, role: Role) -> None:
        self.count += 1
        self.roles.add(role)
        if spki in self.spkis:
            return
        if spki and len(self.spkis) < MAX_NAMED:
            self.spkis.append(spki)
        else:
            self.unnamed = True


class AccessBook:
    """Keeps the book of all ports of a node. One task of the node owns `run`."""

    def __init__(self, *, store: Store, audit: AuditLog, clock: Clock) -> None:
        """Wire it; nothing is written before `run`, because no log is open yet."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._windows: dict[tuple[Door, str], _Window] = {}
        self._seen_s: dict[tuple[Door, bytes], float] = {}
        self._logins: dict[tuple[Door, bytes], asyncio.Future[None]] = {}
        self._early: list[bytes] = []
        self._is_open = False

    async def login(self, door: Door, role: Role, spki: bytes) -> None:
        """Put a certificate on record that is let in, unless it was here just now.

        Returns once that is durable, for every request that the certificate makes meanwhile: none of
        them is answered before it is, nor if it cannot be written.
        """
        key = (door, spki)
        writing = self._logins.get(key)
        if writing is None:
            now_s = self._clock.monotonic_s()
            seen_s = self._seen_s.get(key)
            if seen_s is not None and now_s - seen_s < SILENCE_S:
                self._seen_s[key] = now_s
                return
            entries = self._audit.event(
                at_ms=self._clock.now_ms(),
                actor=Actor(role=role, spki=spki),
                event="access.granted",
                details=(int(door),),
            )
            writing = self._logins[key] = asyncio.ensure_future(self._write_login(key, entries))
            # If all callers have gone away, nobody is left to be told of a failure.
            writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        # To its end, even if the caller goes away: a login half on record is none.
        await asyncio.shield(writing)

    async def _write_login(self, key: tuple[Door, bytes], entries: Sequence[bytes]) -> None:
        try:
            await self.write(entries)
            self._seen_s[key] = self._clock.monotonic_s()
        finally:
            del self._logins[key]

    async def write(self, entries: Sequence[bytes]) -> None:
        """Put an event on record; at once if the log is open, or as soon as it is.

        The peer and the operators are answered before any log may go on: what they ask then is how
        this node recovers.
        """
        if self._is_open:
            await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))
        else:
            self._early.extend(entries)

    def denied(self, door: Door, cause: str, *, spki: bytes = b"", role: Role = Role.UNKNOWN) -> None:
        """Count somebody who was turned away; written by `run`."""
        key = (door, cause if cause in CAUSES else OTHER)
        window = self._windows.get(key)
        if window is None:
            now_s = self._clock.monotonic_s()
            window = self._windows[key] = _Window(began_s=now_s, due_s=now_s)
        window.add(spki, role)

    async def run(self) -> None:
        """Write what is due, once a second, until cancelled."""
        self._is_open = True
        while True:
            await self.round()
            await self._clock.sleep(TICK_S)

    async def round(self, *, closing: bool = False) -> None:
        """Write what is due; all that there is if ``closing``."""
        now_s = self._clock.monotonic_s()
        entries, self._early = self._early, []
        for key, window in list(self._windows.items()):
            if window.due_s > now_s and not closing:
                continue
            if window.count:
                entries += self._refusals(*key, window, now_s)
                self._windows[key] = _Window(began_s=now_s, due_s=now_s + WINDOW_S)
            else:
                del self._windows[key]
        for seen, at_s in list(self._seen_s.items()):
            if now_s - at_s >= SILENCE_S:
                del self._seen_s[seen]
        if entries:
            await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))

    def _refusals(self, door: Door, cause: str, window: _Window, now_s: float) -> Sequence[bytes]:
        alone = len(window.spkis) == 1 and not window.unnamed
        role = next(iter(window.roles)) if len(window.roles) == 1 else Role.UNKNOWN
        named = () if alone else tuple(window.spkis)
        return self._audit.event(
            at_ms=self._clock.now_ms(),
            actor=Actor(role=role, spki=window.spkis[0] if alone else b""),
            event="access.denied",
            outcome=cause,
            details=(int(door), window.count, int(now_s - window.began_s), *named),
        )


class Doorkeeping:
    """The book as one port writes it; satisfies `gateway.web.app.Access`."""

    def __init__(self, book: AccessBook, door: Door, role_of: Callable[[object], Role]) -> None:
        """Write into ``book``.

        Args:
            book: The node's.
            door: Which port this is.
            role_of: Returns the role of a caller whom the port has identified.
        """
        self._book = book
        self._door = door
        self._role_of = role_of

    async def let_in(self, caller: object, spki: bytes) -> None:
        """Put a caller on record who has not been here for a while, before anything is answered."""
        await self._book.login(self._door, self._role_of(caller), spki)

    def turn_away(self, error: GatewayError, caller: object | None, spki: bytes) -> None:
        """Count a caller who was refused, if the error denies access."""
        cause = cause_of(error)
        if cause is not None:
            role = Role.UNKNOWN if caller is None else self._role_of(caller)
            self._book.denied(self._door, cause, spki=spki, role=role)

    def shut(self, cause: str) -> None:
        """Count somebody who did not get as far as a request."""
        self._book.denied(self._door, cause)
