"""One line a log entry, for a person who follows a log.

Entries hold identifiers, codes and numbers only, so a line shows nothing that the log does
not show. Texts in entries come from the other node: they are printed as ASCII, so that
none of them can play with a terminal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    Role,
    VoidEntry,
    decode_entry,
)
from gateway.core.envelope import decode_header
from gateway.core.receipt import ExceptionCode
from gateway.errors import MalformedError

MALFORMED: Final = "malformed"
_SHOWN_OBJECTS: Final = 4


def describe_entry(data: bytes) -> tuple[str, str]:
    """Return the kind of an entry and what it says, in one line of ASCII.

    An entry that is not one of this protocol is described as that.
    """
    try:
        entry = decode_entry(data)
        kind = entry.kind.name.lower().replace("_", "-")
        return kind, _safe(_describe(entry))
    except MalformedError as error:
        return MALFORMED, f"{len(data)} bytes: {error}"


def _describe(entry: Entry) -> str:
    match entry:
        case MessageEntry():
            return _message(entry)
        case ReceiptEntry():
            refused = ", ".join(f"{item.index} {_code(item.code)}" for item in entry.exceptions)
            end = entry.start + entry.count - 1
            return f"{entry.origin} {entry.start}-{end} received{f' but {refused}' if refused else ''}"
        case CollectedEntry():
            items = ", ".join(f"{item.index} by {item.agency}" for item in entry.collections)
            return f"{entry.origin} {items}"
        case KemKeyEntry():
            return f"key {entry.key_id.hex()} from {_time(entry.not_before_ms)}"
        case KeyStatementEntry():
            return f"{len(entry.statement)} bytes"
        case AnchorEntry():
            return f"{entry.origin} size {entry.size} root {entry.root.hex()[:16]}"
        case AgreementEntry():
            return f"{len(entry.types)} types from {_time(entry.effective_ms)}"
        case IncidentEntry():
            return f"{_incident(entry.incident)} {entry.origin} size {entry.size}"
        case EventEntry():
            return _event(entry)
        case VoidEntry():
            numbers = ", ".join(str(number) for number in entry.numbers)
            return f"conversation {UUID(bytes=entry.conversation_id)} {entry.agency} numbers {numbers}"


def _message(entry: MessageEntry) -> str:
    header = decode_header(entry.header)
    to = ",".join(header.to_agencies)
    return (
        f"{UUID(bytes=header.message_id)} {header.type} {header.from_agency} to {to} "
        f"{header.precedence.name} {entry.ciphertext_bytes} bytes"
    )


def _event(entry: EventEntry) -> str:
    roles = {int(role): role.name.lower() for role in Role}
    actor = f" {entry.actor.hex()[:16]}" if entry.actor else ""
    objects = " ".join(str(UUID(bytes=item)) for item in entry.objects[:_SHOWN_OBJECTS])
    more = len(entry.objects) - _SHOWN_OBJECTS
    return (
        f"{_time(entry.at_ms)} {entry.event} {entry.outcome} by {roles.get(entry.role, entry.role)}{actor}"
        f"{f' {objects}' if objects else ''}{f' and {more} more' if more > 0 else ''}"
    )


def _code(code: int) -> str:
    return ExceptionCode(code).label if code in {int(item) for item in ExceptionCode} else f"code {code}"


def _incident(kind: int) -> str:
    known = {int(item): item.name.lower().replace("_", "-") for item in IncidentKind}
    return known.get(kind, f"incident {kind}")


def _time(milliseconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(milliseconds // 1_000, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return f"millisecond {milliseconds}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1_000:03d}Z"


def _safe(text: str) -> str:
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
