"""Events of the node itself: what no agency, operator or peer does, and what is noticed of files.

Whoever records one waits until it is known which generation of the audit log goes on: before
that nothing may be written to it.

Spec: docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.node.access import Door
from gateway.node.audit_log import NODE, AuditLog
from gateway.ports import Clock, Step, Store, Transaction

BACKUP: Final = "backup.made"
"""The event of a backup, and the setting that says when the newest one that is known was made."""


class OwnEvents:
    """Writes events of the node to its audit log, each durable when its call returns."""

    def __init__(self, *, store: Store, audit: AuditLog, clock: Clock) -> None:
        """Wire it; every call waits until `open`."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._opened = asyncio.Event()

    @property
    def are_open(self) -> bool:
        """Return whether the audit log takes events."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let events be written from now on."""
        self._opened.set()

    async def opened(self) -> None:
        """Return once events may be written."""
        await self._opened.wait()

    async def record(self, event: str, *, outcome: str = "ok", details: Sequence[bytes] = ()) -> None:
        """Write an event.

        Args:
            event: Its name.
            outcome: Code of how it went.
            details: Digests that belong to it.
        """
        await self.opened()
        entries = self._audit.event(
            at_ms=self._clock.now_ms(), actor=NODE, event=event, outcome=outcome, details=details
        )
        await self._store.write(Step.AUDITED, lambda tx: self._audit.append(tx, entries))

    async def record_backup(self, event: str, details: Sequence[bytes], *, made_ms: int) -> None:
        """Write an event about a backup, and remember when the newest one was made.

        Args:
            event: ``backup.made`` or ``backup.restored``.
            details: Digests that belong to it.
            made_ms: When the backup was made, UTC milliseconds. A database that was restored is of before
                its backup was on record.
        """
        await self.opened()
        now_ms = self._clock.now_ms()
        entries = self._audit.event(at_ms=now_ms, actor=NODE, event=event, details=details)

        def keep(tx: Transaction) -> None:
            self._audit.append(tx, entries)
            tx.facts.put(BACKUP, str(max(made_ms, int(tx.facts.get(BACKUP) or 0))))

        await self._store.write(Step.AUDITED, keep)

    async def record_once(self, event: str, digest: bytes, *, about: Door | None = None) -> bool:
        """Write an event about a document with its digest, unless the newest one of the kind has it.

        Args:
            event: Its name.
            digest: Of the document.
            about: The port that the document is for, if there is one for each.

        Returns:
            Whether the document is another one than before.
        """
        await self.opened()
        key = f"recorded:{event}" if about is None else f"recorded:{event}:{about.value}"
        details = (digest,) if about is None else (digest, int(about))
        now_ms = self._clock.now_ms()

        def keep(tx: Transaction) -> bool:
            if tx.facts.get(key) == digest.hex():
                return False
            tx.facts.put(key, digest.hex())
            self._audit.append(tx, self._audit.event(at_ms=now_ms, actor=NODE, event=event, details=details))
            return True

        return await self._store.write(Step.AUDITED, keep)
