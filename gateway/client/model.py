"""What the agency API answers, as values.

Times are aware UTC datetimes, ids are lower-case UUID texts, messages are plain JSON
objects. Fields that a newer node adds are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Json = dict[str, Any]

FINAL_STATUSES: Final = frozenset({"collected", "refused", "expired", "withdrawn", "erased"})
"""Nothing follows these but erasure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """Where a log proves something.

    Attributes:
        origin: The log.
        index: Index of the entry.
    """

    origin: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that the node has accepted.

    Attributes:
        message_id: Its id.
        status: ``accepted``; for a repeated post, where it is now.
        accepted_at: When.
        audit: Where the node's audit log has it.
        message: The completed document.
    """

    message_id: str
    status: str
    accepted_at: datetime
    audit: LogPlace
    message: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a listing says of a message.

    Attributes:
        message_id: Its id.
        type: Type with its version.
        precedence: FLASH, IMMEDIATE, PRIORITY or ROUTINE.
        sender: Agency code.
        addressees: Agency codes.
        conversation_id: Its conversation.
        seq: Number of the sender in the conversation.
        in_reply_to: Id of the message it answers, or None.
        created_at: Creation.
        expires_at: End of its delivery time.
        reply_by: Deadline for an answer, or None.
        status: State, where the listing has one; else empty.
    """

    message_id: str
    type: str
    precedence: str
    sender: str
    addressees: tuple[str, ...]
    conversation_id: str
    seq: int
    in_reply_to: str | None
    created_at: datetime
    expires_at: datetime
    reply_by: datetime | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One step of a message.

    Attributes:
        event: State label.
        time: When.
        log: Where it is proven, or None.
        agency: Addressee, for ``collected``.
    """

    event: str
    time: datetime
    log: LogPlace | None
    agency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageException:
    """Why the other node did not take a message.

    Attributes:
        code: Stable code.
        text: What it means.
        rule: Id of the broken rule, or None.
        rule_text: What the rule demands, or None.
        next_step: What to do.
    """

    code: str
    text: str
    rule: str | None
    rule_text: str | None
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """An own message and its way.

    Attributes:
        summary: What listings say of it; has a status.
        timeline: Steps so far.
        collected_by: By addressee, when it acknowledged, or None.
        exception: Why it was refused, or None.
    """

    summary: Summary
    timeline: tuple[TimelineEvent, ...]
    collected_by: dict[str, datetime | None]
    exception: MessageException | None

    @property
    def status(self) -> str:
        """Return the state of the message."""
        return self.summary.status

    @property
    def is_final(self) -> bool:
        """Return whether nothing follows any more."""
        return self.status in FINAL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the node verified of a received message.

    Attributes:
        log: Place of its entry in the sender's log.
        checkpoint_size: Size of the newest signed checkpoint that covers it.
        checkpoint_root: Base64 of that checkpoint's root.
        receipt: Place of the receipt in this node's log, or None while it is not logged.
        from_node: The sending node.
        type_sha384: Digest of its type, hexadecimal.
    """

    log: LogPlace
    checkpoint_size: int
    checkpoint_root: str
    receipt: LogPlace | None
    from_node: str
    type_sha384: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message in the inbox.

    Attributes:
        summary: What listings say of it.
        received_at: When this node had it.
        collected_at: When this agency acknowledged it, or None.
        flags: Such as ``crossed`` and ``gap``.
        message: The message; None once erased.
        verification: What the node verified; None in listings.
    """

    summary: Summary
    received_at: datetime
    collected_at: datetime | None
    flags: tuple[str, ...]
    message: Json | None
    verification: Verification | None

    @property
    def message_id(self) -> str:
        """Return the id of the message."""
        return self.summary.message_id


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """A page of the inbox.

    Attributes:
        messages: By precedence, then arrival.
        following: Cursor behind the last one, or None.
    """

    messages: tuple[Received, ...]
    following: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation.

    Attributes:
        conversation_id: Its id.
        state: OPEN, ACKNOWLEDGED, PARTLY_ANSWERED, ANSWERED, REFUSED, CANCELLED, OVERDUE or
            FOR_INFORMATION.
        overdue: Whether a deadline is over.
        open_until: Earliest open deadline, or None.
        missing: Numbers that never arrived, by agency.
        type: Type of its first message.
        opened_by: Agency that opened it.
        opened_at: When.
        last_message_at: When its newest message came.
        count: Number of messages.
        messages: Oldest first; empty in listings.
    """

    conversation_id: str
    state: str
    overdue: bool
    open_until: datetime | None
    missing: dict[str, tuple[int, ...]]
    type: str
    opened_by: str
    opened_at: datetime
    last_message_at: datetime
    count: int
    messages: tuple[Summary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageType:
    """A message type.

    Attributes:
        id: Type with its version.
        title: What people call it.
        description: What it is for.
        sha384: Digest of schema and rules, hexadecimal.
        terms: Who may send it to whom, and what is owed in return.
        schema: Its JSON Schema; None in listings.
    """

    id: str
    title: str
    description: str
    sha384: str
    terms: Json
    schema: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaySend:
    """A type that the caller may send.

    Attributes:
        type: Type with its version.
        title: What people call it.
        addressees: Agency codes it may go to.
        opens: Whether it can open a conversation.
    """

    type: str
    title: str
    addressees: tuple[str, ...]
    opens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoAmI:
    """Who the caller is.

    Attributes:
        nation: Its nation.
        agency: Its agency code.
        name: What people call it, or None.
        node: Name of its node.
        peer_node: Name of the other node.
        spki_sha256: Digest of its certificate's key, hexadecimal.
        certificate_expires_at: End of the certificate.
        may_send: Types it may send.
    """

    nation: str
    agency: str
    name: str | None
    node: str
    peer_node: str
    spki_sha256: str
    certificate_expires_at: datetime
    may_send: tuple[MaySend, ...]
