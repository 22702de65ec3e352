"""The header of a message: what both nodes can read, and what the content is bound to.

The header is part of the log entry and is the context of the content encryption, so no
field of it can be changed afterwards. The receiver rebuilds it from the opened message
and compares the bytes: a header can say nothing that the message does not say.

Spec: docs/spec/exchange.md, "Header".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from gateway.core.encoding import Value, decode, decode_batch, encode
from gateway.core.message.instants import instant_ms
from gateway.core.quick import quick_value
from gateway.core.states import Precedence
from gateway.errors import MalformedError

PROTOCOL_VERSION: Final = 1
SUITE: Final = 1
"""Suite 1: Cobblestone-256 content; HPKE MLKEM1024-P384, HKDF-SHA384, AES-256-GCM box."""

MESSAGE_ID_BYTES: Final = 16
DIGEST_BYTES: Final = 48
MAX_HEADER_BYTES: Final = 4_096
MAX_NUMBER: Final = 2**53
"""Largest number in a header: every JSON reader and every database holds it exactly."""

MARKING_LEVELS: Final = (
    "NON_PROTEGE",
    "DIFFUSION_RESTREINTE",
    "SECRET",
    "TRES_SECRET",
    "UNCLASSIFIED",
    "CUI",
    "CONFIDENTIAL",
    "TOP_SECRET",
)
"""Marking levels by number (position from 0); appended to, never reordered."""

MESSAGE_ID: Final = 2
CREATED: Final = 3
EXPIRES: Final = 4
FROM_NODE: Final = 5
TO_NODE: Final = 6
FROM_AGENCY: Final = 7
TO_AGENCIES: Final = 8
TYPE: Final = 9

_TYPES: Final = (int, int, bytes, int, int, str, str, str, tuple, str, bytes, int, int, bytes, int)
_FIELDS: Final = len(_TYPES)
_VERSION_AND_SUITE: Final = (PROTOCOL_VERSION, SUITE)
_TEXT_ONLY: Final = frozenset({str})
_PRECEDENCES: Final = tuple(Precedence)
_PRECEDENCE_BY_NAME: Final = dict(Precedence.__members__)
_LEVEL_NUMBERS: Final = {level: number for number, level in enumerate(MARKING_LEVELS)}
MAX_ADDRESSEES: Final = 8


@quick_value
class Header:
    """What travels in clear with a message.

    Attributes:
        message_id: UUIDv7, 16 bytes.
        created_ms: Creation, UTC milliseconds.
        expires_ms: End of the delivery time, UTC milliseconds.
        from_node: Name of the sending node.
        to_node: Name of the receiving node.
        from_agency: Agency code of the sender.
        to_agencies: Agency codes of the addressees, in the order of the message.
        type: Type id with its major version, such as ``assist.request/1``.
        type_digest: SHA-384 of the type's schema and rules, 48 bytes.
        precedence: Order of sending.
        marking_level: Position in `MARKING_LEVELS`.
        conversation_id: UUIDv7, 16 bytes.
        attachments_bytes: Total size of the attachments that the manifest names.
    """

    message_id: bytes
    created_ms: int
    expires_ms: int
    from_node: str
    to_node: str
    from_agency: str
    to_agencies: tuple[str, ...]
    type: str
    type_digest: bytes
    precedence: Precedence
    marking_level: int
    conversation_id: bytes
    attachments_bytes: int

    def encode(self) -> bytes:
        """Return the one encoding of this header, about 250 bytes."""
        return encode(
            (
                PROTOCOL_VERSION,
                SUITE,
                self.message_id,
                self.created_ms,
                self.expires_ms,
                self.from_node,
                self.to_node,
                self.from_agency,
                self.to_agencies,
                self.type,
                self.type_digest,
                int(self.precedence),
                self.marking_level,
                self.conversation_id,
                self.attachments_bytes,
            )
        )


def decode_header(data: bytes) -> Header:
    """Return the header that ``data`` encodes.

    Raises:
        MalformedError: Not the canonical encoding of a header of this protocol version
            and suite.
    """
    return _header_from(header_fields(data))


def decode_headers(batch: Sequence[bytes]) -> list[Header | None]:
    """Return what `decode_header` returns for each of many headers; None where it raises."""
    return [None if fields is None else _header_from(fields) for fields in batch_header_fields(batch)]


def _header_from(fields: tuple[Any, ...]) -> Header:
    return Header(
        message_id=fields[2],
        created_ms=fields[3],
        expires_ms=fields[4],
        from_node=fields[5],
        to_node=fields[6],
        from_agency=fields[7],
        to_agencies=fields[8],
        type=fields[9],
        type_digest=fields[10],
        precedence=_PRECEDENCES[fields[11]],
        marking_level=fields[12],
        conversation_id=fields[13],
        attachments_bytes=fields[14],
    )


def header_fields(data: bytes) -> tuple[Any, ...]:
    """Return the fields of a header in the order of the specification, fully checked.

    For whoever reads millions of them and needs a few fields: making a `Header` of each takes
    as long as the checks. `FROM_NODE` and the like say where those are that auditors read.

    Raises:
        MalformedError: As for `decode_header`.
    """
    return _checked_fields(decode(data, max_bytes=MAX_HEADER_BYTES))


def batch_header_fields(batch: Sequence[bytes]) -> list[tuple[Any, ...] | None]:
    """Return what `header_fields` returns for each of many headers; None where it raises."""
    values = decode_batch(batch)
    found: list[tuple[Any, ...] | None] = []
    for place, data in enumerate(batch):
        try:
            if values is None or len(data) > MAX_HEADER_BYTES:
                fields = header_fields(data)
            else:
                fields = _checked_fields(values[place])
        except MalformedError:
            found.append(None)
        else:
            found.append(fields)
    return found


def _checked_fields(value: Value) -> tuple[Any, ...]:
    """Return the fields of a canonical value if it is a header; each type is compared exactly."""
    if type(value) is not tuple or len(value) != _FIELDS:
        msg = f"a header is an array of {_FIELDS} fields"
        raise MalformedError(msg)
    if value[:2] != _VERSION_AND_SUITE:
        msg = "the header is of another protocol version or suite"
        raise MalformedError(msg)
    fields = cast("tuple[Any, ...]", value)
    # The types of the first two as well, because true equals 1.
    if tuple(map(type, fields)) != _TYPES or not _is_sound(fields):
        msg = "a header field has another type, length or range than the specification gives"
        raise MalformedError(msg)
    return fields


def _is_sound(fields: tuple[Any, ...]) -> bool:
    """Return whether fields of the right types have lengths and ranges of a header."""
    # By name and one after another: auditors ask this of millions.
    (_, _, message_id, created, expires, node, to_node, sender, agencies, *rest) = fields
    name, digest, precedence, marking, conversation, attachments = rest
    return (
        len(message_id) == len(conversation) == MESSAGE_ID_BYTES
        and len(digest) == DIGEST_BYTES
        and 0 <= created <= MAX_NUMBER
        and 0 <= expires <= MAX_NUMBER
        and 0 <= attachments <= MAX_NUMBER
        and 0 <= precedence < len(_PRECEDENCES)
        and 0 <= marking < len(MARKING_LEVELS)
        and "" not in (node, to_node, sender, name)
        and 1 <= len(agencies) <= MAX_ADDRESSEES
        and "" not in agencies
        and _TEXT_ONLY.issuperset(map(type, agencies))
    )


def header_of(document: Mapping[str, Any], *, from_node: str, to_node: str, type_digest: bytes) -> Header:
    """Return the header that belongs to a message which its schema accepts.

    Args:
        document: The message as parsed JSON.
        from_node: Name of the sending node.
        to_node: Name of the receiving node.
        type_digest: SHA-384 of the type's schema and rules at the calling node, 48 bytes.
    """
    message_id, created_ms, expires_ms, agency, to, type_id, precedence, level, conversation_id, size = _said(
        document
    )
    return Header(
        message_id=message_id,
        created_ms=created_ms,
        expires_ms=expires_ms,
        from_node=from_node,
        to_node=to_node,
        from_agency=agency,
        to_agencies=to,
        type=type_id,
        type_digest=type_digest,
        precedence=precedence,
        marking_level=level,
        conversation_id=conversation_id,
        attachments_bytes=size,
    )


def is_header_of(header: Header, document: Mapping[str, Any]) -> bool:
    """Return whether all that a header says of a message is what the message says.

    Who compared nodes and digest of the type already need not make the other header first.

    Args:
        header: The header.
        document: The message as parsed JSON; its schema accepts it.
    """
    return _said(document) == (
        header.message_id,
        header.created_ms,
        header.expires_ms,
        header.from_agency,
        header.to_agencies,
        header.type,
        header.precedence,
        header.marking_level,
        header.conversation_id,
        header.attachments_bytes,
    )


_Said: TypeAlias = tuple[bytes, int, int, str, tuple[str, ...], str, Precedence, int, bytes, int]


def _said(document: Mapping[str, Any]) -> _Said:
    """Return what a message says of the fields of its header, in their order."""
    header = document["header"]
    attachments: Sequence[Mapping[str, Any]] | None = header.get("attachments")
    message_id, conversation_id = header["message_id"], header["conversation"]["id"]
    id_bytes = _id_bytes(message_id)
    return (
        id_bytes,
        instant_ms(header["created_at"]),
        instant_ms(header["expires_at"]),
        header["from"]["agency"],
        tuple([to["agency"] for to in header["to"]]),
        document["type"],
        _PRECEDENCE_BY_NAME[header["precedence"]],
        _LEVEL_NUMBERS[header["marking"]["level"]],
        # The message that opens a conversation usually gives it its id.
        id_bytes if conversation_id == message_id else _id_bytes(conversation_id),
        sum([attachment["size"] for attachment in attachments]) if attachments else 0,
    )


def _id_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
