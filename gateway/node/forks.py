"""Forks: does what the peer signs now belong to the history that it signed before?

A fork is only two validly signed states of one log that no single tree satisfies, by roots
that this node computed itself. Then both notes are kept, the pair is frozen, and people
have to decide; nothing heals by itself. Everything else that does not fit is damage, and
refused.

What this node remembers of the peer's log is its mirror, and, beyond a mirror that was
restored from a backup, the state in the high-water file.

Spec: docs/spec/exchange.md, "Receiving" and "Recovery".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.bundle import Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import VerifiedNote
from gateway.core.entries import IncidentKind
from gateway.core.merkle import Hash, RightEdge, append, edge_at
from gateway.errors import PairFrozenError, RootMismatchError
from gateway.node.log_writer import LogHashes
from gateway.node.pair import Pair
from gateway.ports import Clock, HighWater, Incident, LogHead, Step, Store, StoredNote, Transaction

log = structlog.get_logger(__name__)

FROZEN: Final = "frozen"
"""Setting: why the pair is frozen; absent while it is not."""


GIVEN_UP: Final = "given-up"
"""First word of that setting where operators gave a generation up whose history cannot be proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A bundle whose note carries both signatures of the log."""

    bundle: Bundle
    verified: VerifiedNote
    leaves: tuple[Hash, ...]


class Forks:
    """Compares bundles with what this node holds and remembers of the peer's log.

    Attributes:
        proven: True once a fork was proven, now or in an earlier process.
    """

    def __init__(
        self, *, pair: Pair, store: Store, high_water: HighWater, clock: Clock, on_proven: Callable[[], None]
    ) -> None:
        """Wire it; ``on_proven`` is told once both notes are kept."""
        self._origin = pair.peer_origin
        self._store = store
        self._high_water = high_water
        self._clock = clock
        self._on_proven = on_proven
        self.proven = False

    def cosigned_size(self) -> int:
        """Return the size of the largest state of the peer's log that was cosigned."""
        return self._remembered()[0]

    def _remembered(self) -> tuple[int, bytes]:
        return self._high_water.read().get(self._origin, (0, b""))

    async def check_remembered(self, checked: Checked, head: LogHead, overlap: int) -> None:
        """Compare a bundle that passes the remembered state with it, after a restored backup.

        Args:
            checked: A bundle that leads from the mirror to a signed root.
            head: Where the mirror ends.
            overlap: Entries at the bundle's beginning that the mirror holds.

        Raises:
            PairFrozenError: The peer signs another history than the one that we cosigned.
        """
        size, root = self._remembered()
        if head.size < size <= checked.bundle.end:
            leaves = checked.leaves[overlap : size - checked.bundle.start]
            if append(head.edge, leaves).edge.root() != root:
                await self._freeze(checked.bundle, checked.verified.checkpoint, None)

    async def check_overlap(self, checked: Checked, overlap: int, *, size: int) -> None:
        """Tell a replay from a fork and from mere damage.

        Args:
            checked: A bundle whose note was verified.
            overlap: Entries at its beginning that the mirror holds.
            size: Size of the mirror.

        Raises:
            PairFrozenError: The signed root and the mirror's signed root cannot belong to
                one tree: a fork, which freezes the pair.
            RootMismatchError: The entries differ from the mirror's, and nothing signed says so.
        """
        origin = self._origin
        bundle, checkpoint = checked.bundle, checked.verified.checkpoint

        def compare(tx: Transaction) -> tuple[bool, RightEdge, bytes | None, StoredNote | None]:
            same = tx.logs.entries(origin, bundle.start, bundle.start + overlap) == list(
                bundle.entries[:overlap]
            )
            reader = LogHashes(tx.logs, origin)
            before = edge_at(bundle.start, reader=reader)
            ours = None
            if bundle.end <= size:
                ours = edge_at(bundle.end, reader=reader).root()
            return same, before, ours, tx.logs.newest_note(origin)

        same, before, ours, newest = await self._store.read(compare)
        signed_otherwise = ours is not None and ours != checkpoint.root
        if not same and not signed_otherwise:
            signed_otherwise = append(before, checked.leaves).edge.root() == checkpoint.root
        if signed_otherwise:
            await self._freeze(bundle, checkpoint, newest)
        if not same:
            msg = "the entries are not those that the mirror holds"
            raise RootMismatchError(msg)

    async def _freeze(self, bundle: Bundle, checkpoint: Checkpoint, ours: StoredNote | None) -> None:
        """Keep both notes and stop the pair. Only people can start it again."""
        now_ms = self._clock.now_ms()

        def keep(tx: Transaction) -> None:
            tx.facts.put_incident(
                Incident(
                    kind=IncidentKind.FORK,
                    origin=checkpoint.origin,
                    size=checkpoint.size,
                    root=checkpoint.root,
                    at_ms=now_ms,
                    note_a=bundle.note,
                    note_b=None if ours is None else ours.note,
                )
            )
            tx.facts.put(FROZEN, f"fork {now_ms}")

        await self._store.write(Step.MIRRORED, keep)
        self.proven = True
        self._on_proven()
        log.error("pair.frozen", origin=checkpoint.origin, size=checkpoint.size)
        msg = "the peer signed two histories of one log: the pair is frozen"
        raise PairFrozenError(msg)
