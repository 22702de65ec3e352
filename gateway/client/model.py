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
class ValueWarning:
    """A value of a message that is well formed and in no reference list of the node.

    Attributes:
        warning: Id of its kind, such as ``W-LOCODE``.
        pointer: JSON Pointer of the value.
        message: What to do, in the client's language.
    """

    warning: str
    pointer: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A message that the node would accept now.

    Attributes:
        message: The completed document.
        warnings: Values of it that are in no reference list.
    """

    message: Json
    warnings: tuple[ValueWarning, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that the node has accepted.

    Attributes:
        message_id: Its id.
        status: ``accepted``; for a repeated post, where it is now.
        accepted_at: When.
        audit: Where the node's audit log has it.
        message: The completed document.
        warnings: Values of it that are in no reference list.
    """

    message_id: str
    status: str
    accepted_at: datetime
    audit: LogPlace
    message: Json
    warnings: tuple[ValueWarning, ...] = ()


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
        in_force: What became of it: corrected payload, terms, retraction, consents; None if
            nothing did.
        message: The message as it was sent; None once erased.
        verification: What the node verified; None in listings.
    """

    summary: Summary
    received_at: datetime
    collected_at: datetime | None
    flags: tuple[str, ...]
    in_force: Json | None
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
class Change:
    """What a later message did.

    Attributes:
        change: ``corrected``, ``retracted``, ``use-changed``, ``consent-asked``; empty where
            the place says it.
        message_id: That message.
        type: Its type with its version.
        sender: Its sender.
        created_at: Its creation.
        at: A time that goes with it, or None.
    """

    change: str
    message_id: str
    type: str
    sender: str
    created_at: datetime
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStatus:
    """A message that awaits an answer, or got one, and where it stands.

    Attributes:
        message_id: Its id.
        type: Type with its version.
        awaits: Whether its sender waits for an answer.
        state: OPEN, ACKNOWLEDGED, WAITING_INFO, PARTLY_ANSWERED, POSTPONED, ANSWERED, REFUSED,
            CANCELLED or OVERDUE.
        step: The same without OVERDUE.
        due: Deadline of the answer; None if it is closed or the clock stands.
        last: What led to this step, or None.
    """

    message_id: str
    type: str
    awaits: bool
    state: str
    step: str
    due: datetime | None
    last: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A time that somebody has to keep.

    Attributes:
        kind: ``reply_by``, ``expected_by``, ``next_part_by``, ``more_by``, ``postponed_until``,
            ``follow_up_by``, ``certificate_by``, ``feedback_by``, ``delete_by``, ``room_ends_at``.
        at: When.
        message_id: The message that it concerns.
        agencies: Who has to keep it; empty if both nodes do it by themselves.
        owed: False for what is asked for and not owed.
        overdue: Whether it is over.
    """

    kind: str
    at: datetime
    message_id: str
    agencies: tuple[str, ...]
    owed: bool
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """An operation room.

    Attributes:
        opened_by: The message that opened it.
        operation: Code name of the operation.
        members: Role by agency code.
        allowed_types: Types that may be used in it.
        starts_at: Begin.
        ends_at: End.
        closed_by: What closed it, or None.
    """

    opened_by: str
    operation: str
    members: dict[str, str]
    allowed_types: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    closed_by: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation.

    Attributes:
        conversation_id: Its id.
        state: That of its most pressing request, or FOR_INFORMATION.
        overdue: Whether a deadline is over.
        open_until: Earliest open deadline, or None.
        missing: Numbers that never arrived, by agency.
        type: Type of its first message.
        opened_by: Agency that opened it.
        opened_at: When.
        last_message_at: When its newest message came.
        count: Number of messages.
        requests: What awaits an answer in it, or got one, oldest first.
        deadlines: The earliest first; of erasures, those of the messages. Empty in listings.
        room: The operation room that it is, or None; None in listings.
        messages: Oldest first; empty in listings.
        changes: What later messages did to a message, by its id; empty in listings.
        terms: Terms as they are now of messages whose terms were changed, by id.
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
    requests: tuple[RequestStatus, ...]
    deadlines: tuple[Deadline, ...]
    room: Room | None
    messages: tuple[Summary, ...]
    changes: dict[str, tuple[Change, ...]]
    terms: dict[str, Json]


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
