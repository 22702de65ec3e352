"""What the rules see of conversations: stored messages, and what others did to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from gateway.core.message.effect import Effect
from gateway.core.message.retention import Ground
from gateway.core.message.violation import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedEffect:
    """An effect on a message, and who had it when.

    Attributes:
        effect: What was done.
        message_id: The message that did it, 16 bytes.
        type: Its type id, with the version.
        from_agency: Its sender.
        to_agencies: Its addressees.
        created_ms: When it was created: the same at both nodes.
        at_ms: A time that it names, such as the end of a postponement, or None.
    """

    effect: Effect
    message_id: bytes
    type: str
    from_agency: str
    to_agencies: tuple[str, ...]
    created_ms: int
    at_ms: int | None

    def concerns(self, agency: str) -> bool:
        """Tell whether an agency sent that message, or was sent it."""
        return agency == self.from_agency or agency in self.to_agencies


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """What a node knows of a message that it sent or accepted, without opening it.

    Attributes:
        message_id: UUIDv7, 16 bytes.
        type: Type id, with the version.
        conversation_id: UUIDv7, 16 bytes.
        nation: Nation that sent it.
        from_agency: Agency that sent it.
        to_agencies: Agencies it was sent to.
        purpose: Code of ``header.purpose``.
        reply_by_ms: Deadline for an answer, milliseconds since 1970, or None.
        in_reply_to: Message that it answers or is linked to, or None.
        ground: Why its content goes, or went; None while the group that it came with is decided.
    """

    message_id: bytes
    type: str
    conversation_id: bytes
    nation: str
    from_agency: str
    to_agencies: tuple[str, ...]
    purpose: str
    reply_by_ms: int | None
    in_reply_to: bytes | None = None
    ground: Ground | None = None


class Reply(Protocol):
    """A message that names another one in ``in_reply_to``, without opening it."""

    @property
    def message_id(self) -> bytes:
        """Return its id, 16 bytes."""
        ...

    @property
    def type(self) -> str:
        """Return its type id, with the version."""
        ...

    @property
    def from_agency(self) -> str:
        """Return its sender."""
        ...


class Contents(Protocol):
    """Messages opened, and what later ones did to them."""

    def content(self, message_id: bytes) -> dict[str, Any] | None:
        """Return a message opened, or None if it was erased or is not known."""
        ...

    def effects(self, subject: bytes) -> Sequence[AppliedEffect]:
        """Return what was done to a message, or in a room, oldest first."""
        ...


class ThreadView(Contents, Protocol):
    """What a node has sent and accepted, as the rules see it.

    Messages that were refused, expired or withdrawn do not count as answers and have no
    effect, but their sequence numbers stay used.
    """

    def find(self, message_id: bytes) -> StoredMessage | None:
        """Return what is known of a message in either direction, or None."""
        ...

    def last_seq(self, conversation_id: bytes, agency: str) -> int:
        """Return the highest sequence number an agency used in a conversation, 0 for none."""
        ...

    def replies(self, message_id: bytes) -> Sequence[Reply]:
        """Return the messages that name this one in ``in_reply_to``, oldest first.

        There is no end to how many: who asks for one message looks at the newest first, if it can.
        """
        ...

    def has_void_replies(self, message_id: bytes) -> bool:
        """Return whether one of them counts no more: refused, expired or withdrawn after it was accepted."""
        ...

    def closed_by(self, message_id: bytes) -> str | None:
        """Return the nation whose message closed this one, or None while it is open."""
        ...


Side = Literal["sender", "receiver"]
"""At which node a message is examined."""

Flag = Literal["gap", "crossed"]
"""What a receiver notes about a message that it accepts."""

Broken = list[tuple[str, str]]
"""Rule and pointer of each violation found so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadVerdict:
    """What the conversation says about a message.

    Attributes:
        violations: Every rule that it breaks; empty for a message that fits.
        flags: At the receiver, ``gap`` when numbers before it are missing, and ``crossed``
            when what it answers, or its room, was closed from the other side meanwhile.
    """

    violations: tuple[Violation, ...]
    flags: frozenset[Flag]


def uuid_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID in its text form."""
    return bytes.fromhex(text.replace("-", ""))


def uuid_text(data: bytes) -> str:
    """Return the text form of the 16 bytes of a UUID."""
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def nation_of(agency: str) -> str:
    """Return the nation of an agency code, which is its first label."""
    return agency.partition(".")[0]
