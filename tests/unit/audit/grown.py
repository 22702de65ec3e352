"""Logs of any length, as two busy nodes write them: what audits of large logs are measured with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from gateway.audit.stack import TileStack
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import (
    MAX_COLLECTIONS,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    MessageEntry,
    ReceiptEntry,
    encode_entry,
)
from gateway.core.merkle import Hash, hash_leaf
from gateway.core.tiles import TILE_WIDTH
from tests.unit.audit.making import (
    AGENCY,
    FR,
    FR_US,
    TIME_S,
    US,
    US_FR,
    accepted,
    header,
    message,
    opening,
    signer,
)

BUNDLE = 512
"""Messages of a bundle, as under load."""

_ACCEPTED_AT_ONCE = 100
_FROM_AMERICA = 1 << 40
_GOLDEN = 0x9E3779B97F4A7C15F39CC0605CEDC835
_MINUTES_MS = 120_000


@dataclass(slots=True)
class GrownLog:
    """A log that grows entry by entry. Satisfies `gateway.audit.export.LogSource` once it is signed."""

    origin: str
    stored: list[bytes] = field(default_factory=list)
    _stack: TileStack = field(default_factory=TileStack)
    _note: bytes = b""

    @property
    def size(self) -> int:
        """Return the number of entries so far."""
        return len(self.stored)

    def extend(self, entries: Sequence[Entry]) -> None:
        """Append entries."""
        added = [encode_entry(entry) for entry in entries]
        for start, end in _pieces(self.size, len(added)):
            self._stack.push([hash_leaf(data) for data in added[start:end]])
        self.stored += added

    def root(self) -> Hash:
        """Return the root of all entries so far, 32 bytes."""
        return self._stack.edge().root()

    def anchored(self) -> AnchorEntry:
        """Return the anchor of the log as it is now."""
        return AnchorEntry(origin=self.origin, size=self.size, root=self.root())

    def sign(self, cosigner: str) -> None:
        """Sign the log as it is, and let a node cosign it."""
        checkpoint = Checkpoint(origin=self.origin, size=self.size, root=self.root())
        note = sign_checkpoint(checkpoint, signer=signer(self.origin), time_s=TIME_S)
        self._note = cosign(note, cosigner=signer(cosigner), time_s=TIME_S + 1)

    def note(self) -> bytes:
        return self._note

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        return self.stored[start:end]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """A bundle of one node: its messages, and where they stand in its exchange log."""

    ids: list[int]
    first: int
    end: int


class _Writer:
    """One node: its exchange log and its audit log."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.exchange = GrownLog(FR_US if node == FR else US_FR)
        self.audit = GrownLog(f"{node}/audit")
        self.exchange.extend(opening(node))
        self.audit.extend(opening(node)[:1])
        self._answered = self.exchange.size
        self._number = _FROM_AMERICA if node == US else 0

    def post(self, bundle: int) -> _Bundle:
        """Accept and send the messages of one bundle."""
        numbers = range(self._number, self._number + BUNDLE)
        self._number = numbers.stop
        ids = [_id_of(number) for number in numbers]
        for at in range(0, BUNDLE, _ACCEPTED_AT_ONCE):
            self.audit.extend([accepted(*ids[at : at + _ACCEPTED_AT_ONCE])])
        first = self.exchange.size
        # The ids of both nodes' bundles differ, as random ones do.
        bundle_id = 2 * bundle + (self.node == US)
        self.exchange.extend(
            [
                message_now(self.node, number, bundle=bundle_id, slot=slot)
                for slot, number in enumerate(numbers)
            ]
        )
        return _Bundle(ids=ids, first=first, end=self.exchange.size)

    def receive(self, sent: _Bundle, peer: _Writer) -> None:
        """Answer the newest bundle of the peer, and let its agency collect it."""
        start, self._answered = self._answered, peer.exchange.size
        answer = ReceiptEntry(
            origin=peer.exchange.origin,
            start=start,
            count=self._answered - start,
            root=peer.exchange.root(),
            decided_ms=TIME_S * 1_000,
            exceptions=(),
        )
        collections = [
            Collection(index=index, agency=AGENCY[self.node], at_ms=TIME_S * 1_000)
            for index in range(sent.first, sent.end)
        ]
        self.audit.extend([peer.exchange.anchored(), accepted(*sent.ids[:500], name="message.collected")])
        self.audit.extend([accepted(*sent.ids[500:], name="message.collected")])
        parts = range(0, BUNDLE, MAX_COLLECTIONS)
        told = [tuple(collections[at : at + MAX_COLLECTIONS]) for at in parts]
        self.exchange.extend(
            [answer, *(CollectedEntry(origin=peer.exchange.origin, collections=part) for part in told)]
        )
        self.audit.extend([self.exchange.anchored()])


def grown_logs(bundles: int) -> list[GrownLog]:
    """Return the exchange logs of two nodes and their audit logs: FR, US, FR, US.

    Each node has sent so many bundles of 512 messages, which were all received and collected.
    """
    french, american = _Writer(FR), _Writer(US)
    for number in range(bundles):
        sent = french.post(number), american.post(number)
        american.receive(sent[0], french)
        french.receive(sent[1], american)
    logs = [french.exchange, american.exchange, french.audit, american.audit]
    for log, cosigner in zip(logs, (US, FR, US, FR), strict=True):
        log.sign(cosigner)
    return logs


def _id_of(number: int) -> int:
    """Return the id of a message, another one for each number, as far from its neighbours' as random ones."""
    return number * _GOLDEN % (1 << 128)


def message_now(node: str, number: int, *, bundle: int, slot: int) -> MessageEntry:
    """Return the entry of a message: made within two minutes, and not expired then, of however many."""
    made = message(node, number, bundle=bundle, slot=slot)
    name = _id_of(number).to_bytes(16, "big")
    of_now = replace(header(node, number % _MINUTES_MS), message_id=name, conversation_id=name)
    return replace(made, header=of_now.encode())


def _pieces(size: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of parts of so many new entries, none of them beyond the end of a tile."""
    start = 0
    while start < count:
        end = min(count, start + TILE_WIDTH - (size + start) % TILE_WIDTH)
        yield start, end
        start = end
