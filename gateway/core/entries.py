"""What the logs store: the ten kinds of entry and their one encoding each.

An entry is a MessagePack array whose first field is its kind. No entry ever holds a
payload, ciphertext, key box, plaintext digest, personal data or text copied from input.
Kinds 1 to 8 and 10 stand in exchange logs, which the peer mirrors; kind 9 stands in the
private audit log, where kinds 5, 6 and 8 are found too.

Spec: docs/spec/log.md, "Entries".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, ClassVar, Final

from gateway.core.encoding import Value, decode, decode_batch, encode
from gateway.core.quick import quick_value
from gateway.errors import MalformedError

MAX_ENTRY_BYTES: Final = 16_384
MAX_STATEMENT_BYTES: Final = 61_440
"""An entry of kind 5 holds a whole signed note."""

KEM_KEY_ID_BYTES: Final = 8
BUNDLE_ID_BYTES: Final = 16
ID_BYTES: Final = 16
DIGEST_BYTES: Final = 48
ROOT_BYTES: Final = 32
KEM_PUBLIC_BYTES: Final = 1_665
MAX_INDEX: Final = 2**53
MAX_TEXT: Final = 255

MAX_EXCEPTIONS: Final = 1_024
"""As many as a bundle has entries: one receipt can always answer one bundle."""

MAX_COLLECTIONS: Final = 250
"""Lists that are longer are split over several entries, so that each stays below the limit."""

_AGENCY: Final = re.compile(r"[A-Z0-9]+([.-][A-Z0-9]+)*")
_MOST_AGENCY: Final = 64


class Kind(IntEnum):
    """First field of an entry."""

    MESSAGE = 1
    RECEIPT = 2
    COLLECTED = 3
    KEM_KEY = 4
    KEY_STATEMENT = 5
    ANCHOR = 6
    AGREEMENT = 7
    INCIDENT = 8
    EVENT = 9
    VOID = 10


class IncidentKind(IntEnum):
    """What an incident entry reports; the numbers are in the log."""

    FORK = 1
    RECOVERY = 2
    PEER_ROLLBACK = 3
    KEY_WITHDRAWN = 4
    ERASED = 5
    MALFORMED_ENTRY = 6
    CLOCK = 7
    RECEIPT_CONFLICT = 8
    DAMAGED = 9


class Role(IntEnum):
    """Who did what an event records."""

    NODE = 0
    AGENCY = 1
    OPERATOR = 2
    AUDITOR = 3
    PEER = 4
    UNKNOWN = 5
    """Somebody whom the registry does not list, or not in a role that may do this."""


@quick_value
class MessageEntry:
    """A message: its header and the digests that bind box and ciphertext to it.

    Attributes:
        header: Encoded header (`gateway.core.envelope`).
        kem_key_id: Key of the receiver that the box is sealed for, 8 bytes.
        bundle_id: Random, 16 bytes; names the key box.
        slot: Position of the content key in the box, from 0.
        box_digest: SHA-384 of the key box, 48 bytes.
        ciphertext_digest: SHA-384 of the ciphertext, 48 bytes.
        ciphertext_bytes: Length of the ciphertext.
    """

    kind: ClassVar = Kind.MESSAGE
    header: bytes
    kem_key_id: bytes
    bundle_id: bytes
    slot: int
    box_digest: bytes
    ciphertext_digest: bytes
    ciphertext_bytes: int

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (
            self.header,
            self.kem_key_id,
            self.bundle_id,
            self.slot,
            self.box_digest,
            self.ciphertext_digest,
            self.ciphertext_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptException:
    """One message of a receipt's range that was not received.

    Attributes:
        index: Index of the message entry in the sender's log.
        code: Number of `gateway.core.receipt.ExceptionCode`.
        rule: Number of the broken rule, or None.
    """

    index: int
    code: int
    rule: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEntry:
    """The receiver's answer to a range of the sender's log.

    Every message entry of the range without an exception is received.

    Attributes:
        origin: The sender's exchange log.
        start: First index of the range.
        count: Entries in the range, of whatever kind.
        root: Root of the sender's log at ``start + count``, 32 bytes.
        decided_ms: When the receiver decided, UTC milliseconds.
        exceptions: In ascending order of index.
    """

    kind: ClassVar = Kind.RECEIPT
    origin: str
    start: int
    count: int
    root: bytes
    decided_ms: int
    exceptions: tuple[ReceiptException, ...]

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (
            self.origin,
            self.start,
            self.count,
            self.root,
            self.decided_ms,
            tuple((item.index, int(item.code), item.rule) for item in self.exceptions),
        )


@quick_value
class Collection:
    """One addressee has acknowledged one message."""

    index: int
    agency: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedEntry:
    """Addressees have acknowledged messages of the sender's log."""

    kind: ClassVar = Kind.COLLECTED
    origin: str
    collections: tuple[Collection, ...]

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (
            self.origin,
            tuple((item.index, item.agency, item.at_ms) for item in self.collections),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KemKeyEntry:
    """A key that content keys can be sealed for from now on.

    Attributes:
        key_id: First 8 bytes of the SHA-384 of the public key.
        suite: Suite number of `gateway.core.envelope`.
        public_key: 1,665 bytes.
        not_before_ms: Start of use, UTC milliseconds.
        not_after_ms: After this the private key may be gone, UTC milliseconds.
    """

    kind: ClassVar = Kind.KEM_KEY
    key_id: bytes
    suite: int
    public_key: bytes
    not_before_ms: int
    not_after_ms: int

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (self.key_id, self.suite, self.public_key, self.not_before_ms, self.not_after_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatementEntry:
    """The signed statement of the national root. It closes its bundle."""

    kind: ClassVar = Kind.KEY_STATEMENT
    statement: bytes

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (self.statement,)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorEntry:
    """Size and root of another log, seen by the node that writes this one."""

    kind: ClassVar = Kind.ANCHOR
    origin: str
    size: int
    root: bytes

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (self.origin, self.size, self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementEntry:
    """The message types that this node holds, each with the digest of schema and rules.

    Attributes:
        types: (type id, SHA-384 of 48 bytes), in ascending order of type id.
        effective_ms: From when on, UTC milliseconds.
    """

    kind: ClassVar = Kind.AGREEMENT
    types: tuple[tuple[str, bytes], ...]
    effective_ms: int

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (self.types, self.effective_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEntry:
    """Something that both nations' auditors must be able to see later."""

    kind: ClassVar = Kind.INCIDENT
    incident: int
    origin: str
    size: int
    root: bytes

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (int(self.incident), self.origin, self.size, self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEntry:
    """Something that happened at this node; private to its nation.

    Attributes:
        at_ms: UTC milliseconds.
        role: Who acted.
        actor: SHA-256 of the actor's SPKI, or empty for the node itself.
        event: Fixed name, such as ``message.accepted``.
        objects: Identifiers of what it is about, 16 bytes each.
        outcome: Stable code; ``ok`` or the code of an error.
        details: Small numbers and digests that the event's documentation names.
    """

    kind: ClassVar = Kind.EVENT
    at_ms: int
    role: int
    actor: bytes
    event: str
    objects: tuple[bytes, ...]
    outcome: str
    details: tuple[int | bytes, ...] = ()

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (
            self.at_ms,
            int(self.role),
            self.actor,
            self.event,
            self.objects,
            self.outcome,
            self.details,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidEntry:
    """Sequence numbers that will never be used: their messages were withdrawn or expired.

    Attributes:
        conversation_id: UUIDv7, 16 bytes.
        agency: The sending agency whose numbers these are.
        numbers: Sequence numbers, ascending.
    """

    kind: ClassVar = Kind.VOID
    conversation_id: bytes
    agency: str
    numbers: tuple[int, ...]

    def fields(self) -> tuple[Value, ...]:
        """Return the fields in the order of the specification."""
        return (self.conversation_id, self.agency, self.numbers)


Entry = (
    MessageEntry
    | ReceiptEntry
    | CollectedEntry
    | KemKeyEntry
    | KeyStatementEntry
    | AnchorEntry
    | AgreementEntry
    | IncidentEntry
    | EventEntry
    | VoidEntry
)


def encode_entry(entry: Entry) -> bytes:
    """Return the one encoding of an entry.

    Raises:
        ValueError: The entry is larger than a log may hold; the caller has to split it.
    """
    data = encode((int(entry.kind), *entry.fields()))
    if len(data) > _limit(entry.kind):
        msg = f"an entry of kind {int(entry.kind)} may hold {_limit(entry.kind)} bytes"
        raise ValueError(msg)
    return data


def decode_entry(data: bytes) -> Entry:
    """Return the entry that ``data`` encodes.

    Raises:
        MalformedError: Unknown kind, wrong fields, too large, or not canonical.
    """
    return _read_entry(decode(data, max_bytes=MAX_STATEMENT_BYTES), len(data))


def decode_entries(batch: Sequence[bytes]) -> list[Entry | None]:
    """Return what `decode_entry` returns for each of many entries; None where it raises.

    For whoever reads millions of them.
    """
    values = decode_batch(batch)
    found: list[Entry | None] = []
    for place, data in enumerate(batch):
        try:
            entry = decode_entry(data) if values is None else _read_entry(values[place], len(data))
        except MalformedError:
            entry = None
        found.append(entry)
    return found


def _read_entry(value: Value, size: int) -> Entry:
    """Return the entry that a canonical value of ``size`` bytes is.

    Every reader compares the exact type of each field, so nothing that only looks like a value
    of the protocol gets through (`gateway.core.encoding.decode_batch`).
    """
    if type(value) is not tuple or not value or type(value[0]) is not int:
        msg = "an entry is an array that begins with its kind"
        raise MalformedError(msg)
    reader = _READERS.get(value[0])
    if reader is None:
        msg = "an entry of unknown kind"
        raise MalformedError(msg)
    if size > _limit(value[0]):
        msg = "an entry is larger than its kind allows"
        raise MalformedError(msg)
    try:
        entry: Entry = reader(*value[1:])
    except (TypeError, ValueError) as error:
        # A reader unpacks by position: too many or too few fields, or fields of another
        # shape, end here as well.
        msg = "the fields of an entry do not fit its kind"
        raise MalformedError(msg) from error
    return entry


def kind_of(data: bytes) -> int:
    """Return the kind of an entry without decoding it, or 0 if there is none.

    An entry is a short array (first byte 0x90 to 0x9f) and its kind a small number (second
    byte below 0x80); everything else is not an entry of this protocol.
    """
    if len(data) > 1 and data[0] >> 4 == 0x9 and data[1] < 0x80:
        return data[1]
    return 0


def is_agency(text: str) -> bool:
    """Return whether a text has the form of an agency code, such as ``FR.DGDDI.SARC``."""
    return len(text) <= _MOST_AGENCY and _AGENCY.fullmatch(text) is not None


def _limit(kind: int) -> int:
    return MAX_STATEMENT_BYTES if kind == Kind.KEY_STATEMENT else MAX_ENTRY_BYTES


def _int(value: Any, *, most: int = MAX_INDEX) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return value


def _bytes(value: Any, *lengths: int) -> bytes:
    if type(value) is not bytes or (lengths and len(value) not in lengths):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if type(value) is not str or not 1 <= len(value) <= MAX_TEXT:
        raise ValueError
    return value


def _list(value: Any, *, most: int) -> tuple[Any, ...]:
    if type(value) is not tuple or len(value) > most:
        raise ValueError
    return value


def _fields(value: Any, count: int) -> tuple[Any, ...]:
    """Return the fields of an array within an entry; bytes and text unpack as well, and are none."""
    if type(value) is not tuple or len(value) != count:
        raise ValueError
    return value


def _message(
    header: Any, key_id: Any, bundle_id: Any, slot: Any, box: Any, digest: Any, length: Any, /
) -> MessageEntry:
    # In one step, and not field by field as below: nearly all entries of a log are messages.
    if (
        type(header) is not bytes
        or not type(key_id) is type(bundle_id) is type(box) is type(digest) is bytes
        or not type(slot) is type(length) is int
        or len(key_id) != KEM_KEY_ID_BYTES
        or len(bundle_id) != BUNDLE_ID_BYTES
        or not len(box) == len(digest) == DIGEST_BYTES
        or not 0 <= slot <= MAX_INDEX
        or not 0 <= length <= MAX_INDEX
    ):
        raise ValueError
    return MessageEntry(
        header=header,
        kem_key_id=key_id,
        bundle_id=bundle_id,
        slot=slot,
        box_digest=box,
        ciphertext_digest=digest,
        ciphertext_bytes=length,
    )


def _receipt(
    origin: Any, start: Any, count: Any, root: Any, decided: Any, exceptions: Any, /
) -> ReceiptEntry:
    first, entries = _int(start), _int(count)
    items = tuple(_exception(*_fields(item, 3)) for item in _list(exceptions, most=MAX_EXCEPTIONS))
    indexes = [item.index for item in items]
    ascending = all(a < b for a, b in pairwise(indexes))
    inside = not indexes or first <= indexes[0] <= indexes[-1] < first + entries
    if entries == 0 or not ascending or not inside:
        raise ValueError
    return ReceiptEntry(
        origin=_text(origin),
        start=first,
        count=entries,
        root=_bytes(root, ROOT_BYTES),
        decided_ms=_int(decided),
        exceptions=items,
    )


def _exception(index: Any, code: Any, rule: Any, /) -> ReceiptException:
    return ReceiptException(index=_int(index), code=_int(code), rule=None if rule is None else _int(rule))


def _collected(origin: Any, collections: Any, /) -> CollectedEntry:
    items = tuple([_collection(item) for item in _list(collections, most=MAX_COLLECTIONS)])
    if not items:
        raise ValueError
    return CollectedEntry(origin=_text(origin), collections=items)


def _collection(item: Any) -> Collection:
    # In one step, as for messages: each message is collected once at least.
    index, agency, at = _fields(item, 3)
    if (
        type(index) is not int
        or type(at) is not int
        or type(agency) is not str
        or not 0 <= index <= MAX_INDEX
        or not 0 <= at <= MAX_INDEX
        or not 1 <= len(agency) <= MAX_TEXT
    ):
        raise ValueError
    return Collection(index=index, agency=agency, at_ms=at)


def _kem_key(key_id: Any, suite: Any, public: Any, not_before: Any, not_after: Any, /) -> KemKeyEntry:
    return KemKeyEntry(
        key_id=_bytes(key_id, KEM_KEY_ID_BYTES),
        suite=_int(suite),
        public_key=_bytes(public, KEM_PUBLIC_BYTES),
        not_before_ms=_int(not_before),
        not_after_ms=_int(not_after),
    )


def _statement(statement: Any, /) -> KeyStatementEntry:
    return KeyStatementEntry(statement=_bytes(statement))


def _anchor(origin: Any, size: Any, root: Any, /) -> AnchorEntry:
    return AnchorEntry(origin=_text(origin), size=_int(size), root=_bytes(root, ROOT_BYTES))


def _agreement(types: Any, effective: Any, /) -> AgreementEntry:
    pairs = tuple(
        (_text(name), _bytes(digest, DIGEST_BYTES))
        for name, digest in (_fields(item, 2) for item in _list(types, most=200))
    )
    names = [name for name, _ in pairs]
    if names != sorted(set(names)):
        raise ValueError
    return AgreementEntry(types=pairs, effective_ms=_int(effective))


def _incident(kind: Any, origin: Any, size: Any, root: Any, /) -> IncidentEntry:
    return IncidentEntry(
        incident=_int(kind), origin=_text(origin), size=_int(size), root=_bytes(root, ROOT_BYTES)
    )


def _event(
    at: Any, role: Any, actor: Any, event: Any, objects: Any, outcome: Any, details: Any, /
) -> EventEntry:
    return EventEntry(
        at_ms=_int(at),
        role=_int(role),
        actor=_bytes(actor, 0, 32),
        event=_text(event),
        objects=tuple(_bytes(item, ID_BYTES) for item in _list(objects, most=500)),
        outcome=_text(outcome),
        details=tuple(
            _bytes(item) if type(item) is bytes else _int(item) for item in _list(details, most=100)
        ),
    )


def _void(conversation: Any, agency: Any, numbers: Any, /) -> VoidEntry:
    items = tuple(_int(number) for number in _list(numbers, most=1_000))
    if not items or list(items) != sorted(set(items)):
        raise ValueError
    return VoidEntry(conversation_id=_bytes(conversation, ID_BYTES), agency=_text(agency), numbers=items)


_READERS: Final[dict[int, Any]] = {
    Kind.MESSAGE: _message,
    Kind.RECEIPT: _receipt,
    Kind.COLLECTED: _collected,
    Kind.KEM_KEY: _kem_key,
    Kind.KEY_STATEMENT: _statement,
    Kind.ANCHOR: _anchor,
    Kind.AGREEMENT: _agreement,
    Kind.INCIDENT: _incident,
    Kind.EVENT: _event,
    Kind.VOID: _void,
}
