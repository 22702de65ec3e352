"""Which of this node's keys signs what: it follows from the key statements in its own log.

The keys of a statement are valid for checkpoints of sizes above its entry's index, so the
checkpoint that a statement's bundle closes with is the first one under the new keys, and a
bundle below it that has to be signed once more is signed under the old ones. The cosigner
key changes when the peer is known to hold the statement, by whatever it answers: before that it
could not verify. From the next bundle on there is no way back, which is what auditors judge
cosignatures by; so that the peer was heard to hold the statement is remembered.

A successor (`gateway.core.generation`) states keys of its own, never older ones than the log
before it did: a key that was replaced must not come back by opening another generation.

Spec: docs/spec/keys.md, "Rotation"; docs/spec/log.md, "Entries".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.entries import KeyStatementEntry, Kind, decode_entry
from gateway.core.generation import first_of, generation_of
from gateway.core.signature import HybridSigner
from gateway.ports import Keyring, Transaction

_HELD: Final = "held:"
"""Fact, before the origin: up to where the peer was heard to hold a log when keys last changed by that."""

MAX_STATEMENTS: Final = 1_000
"""Newest statements of a log that are read; six a year are usual."""


class SigningKeys:
    """The keys of one exchange log, by size. Kept by the sequencer."""

    def __init__(self, *, origin: str, keyring: Keyring) -> None:
        """Begin with a log that states nothing yet."""
        self._origin = origin
        self._keyring = keyring
        self._stated: Sequence[tuple[int, bytes]] = ()
        # What the peer holds of the generations before this one states last.
        self._before: bytes | None = None
        self._held = 0
        # The statement whose cosigner is in use.
        self._in_use: bytes | None = None

    def load(self, tx: Transaction) -> None:
        """Read what the log states, and how far the peer is known to hold it."""
        self._stated = statements_in(tx, self._origin)
        self._before = _held_before(tx, self._origin)
        self.peer_holds(_held(tx, self._origin))

    def signer(self, size: int) -> HybridSigner:
        """Return the key that signs the log's checkpoint of a size."""
        return self._keyring.log_signer(self._origin, self._at(size))

    def peer_holds(self, size: int) -> None:
        """Note that the peer mirrors the log up to ``size``: its keys up to there may be used."""
        self._held = max(self._held, size)
        self._in_use = self._cosigner_statement(self._held)
        self._keyring.use_cosigner_of(self._in_use)

    def changes_with(self, size: int) -> bool:
        """Return whether another cosigner comes into use once the peer holds the log up to ``size``."""
        return self._in_use is not None and self._cosigner_statement(max(self._held, size)) != self._in_use

    def remember(self, tx: Transaction, size: int) -> None:
        """Keep over a restart that the peer holds the log up to ``size``, whatever it has cosigned."""
        tx.facts.put(f"{_HELD}{self._origin}", str(size))

    def _cosigner_statement(self, held: int) -> bytes:
        """Return the statement that names the cosigner, as far as the peer holds the log."""
        found = statement_at(self._stated, held) or self._before
        return self._at(0) if found is None else found

    def _at(self, size: int) -> bytes:
        """Return the statement in force at a size; before any of the log, the first one."""
        found = statement_at(self._stated, size)
        if found is not None:
            return found
        return self._stated[0][1] if self._stated else self._keyring.statement


def statements_in(tx: Transaction, origin: str) -> list[tuple[int, bytes]]:
    """Return the key statements of a log with their indexes, in order."""
    found: list[tuple[int, bytes]] = []
    for index, data in tx.logs.placed_controls(origin, Kind.KEY_STATEMENT, limit=MAX_STATEMENTS):
        entry = decode_entry(data)
        if isinstance(entry, KeyStatementEntry):
            found.append((index, entry.statement))
    return found


def statements_before(tx: Transaction, origin: str) -> list[bytes]:
    """Return the key statements of the generations of a log before the one that is named, in order."""
    return [
        statement for before in _generations_before(tx, origin) for _, statement in statements_in(tx, before)
    ]


def newest_statement(tx: Transaction, origin: str) -> bytes | None:
    """Return the newest key statement of a log, or None if it holds none."""
    found = tx.logs.newest_control(origin, Kind.KEY_STATEMENT)
    entry = None if found is None else decode_entry(found[1])
    return entry.statement if isinstance(entry, KeyStatementEntry) else None


def statement_at(stated: Sequence[tuple[int, bytes]], size: int) -> bytes | None:
    """Return the statement whose keys are valid for checkpoints of a size, or None."""
    for index, statement in reversed(stated):
        if index < size:
            return statement
    return None


def _generations_before(tx: Transaction, origin: str) -> list[str]:
    """Return the origins of the stored generations of a log before ``origin``, the oldest first."""
    first = first_of(origin)
    own = generation_of(first, origin) or 1
    found = {generation_of(first, head.origin): head.origin for head in tx.logs.heads()} if own > 1 else {}
    return [
        name for number, name in sorted((n, o) for n, o in found.items() if n is not None) if number < own
    ]


def _held_before(tx: Transaction, origin: str) -> bytes | None:
    """Return the newest statement that the peer holds of the generations before, or None."""
    for before in reversed(_generations_before(tx, origin)):
        held = _held(tx, before)
        if held:
            return statement_at(statements_in(tx, before), held)
    return None


def _held(tx: Transaction, origin: str) -> int:
    """Return up to where the peer is known to hold a log: it cosigned it, or was heard to hold it."""
    cosigned = tx.logs.newest_note(origin, cosigned=True)
    heard = int(tx.facts.get(f"{_HELD}{origin}") or 0)
    return max(heard, 0 if cosigned is None else cosigned.size)
