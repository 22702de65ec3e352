"""Posts of agencies, and what becomes of them on their way through the first stage.

A post is a message or a draft. What passes every check that needs no database is a candidate.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.core.entries import Role
from gateway.core.envelope import Header
from gateway.core.message.registry import Catalogue
from gateway.core.message.strict_json import JsonRefusedError, read_json
from gateway.core.message.threads import StoredMessage
from gateway.core.message.violation import Violation
from gateway.core.message.warning import ValueWarning
from gateway.core.quick import quick_value
from gateway.errors import GatewayError, RejectedError, forget_frames
from gateway.node.audit_log import Actor
from gateway.node.defects import UnexaminedError
from gateway.node.message_rows import Derived
from gateway.node.refusal import UnreadableError
from gateway.node.steps import given
from gateway.ports import PostName

SMALL_BYTES = 65_536
"""Bodies up to this size that came alone are validated on the loop: a hop to a thread costs as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An agency that a certificate has identified."""

    nation: str
    agency: str
    actor: Actor


@quick_value
class Submission:
    """One posted message or draft, with the caller's idempotency key if it gave one."""

    body: bytes
    key: str | None = None


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A message that passed the first stage and waits for the second.

    Attributes:
        name: What a repeat is known by.
        digest: SHA-384 of the body as it was posted, 48 bytes.
        document: The document, or what conversations look at of it if its number is not missing.
        catalogue: By which it was judged, and under which it is sent.
        derived: What follows from the document.
        message: The document as JSON bytes; None while its number is missing.
        warnings: Values of it that are in no reference list.
        sealed: Ciphertext and wrapped content key of ``message``; None if it is not sealed yet.
    """

    principal: Principal
    name: PostName
    digest: bytes
    document: dict[str, Any]
    catalogue: Catalogue
    derived: Derived
    message: bytes | None
    warnings: tuple[ValueWarning, ...]
    sealed: tuple[bytes, bytes] | None = None

    @property
    def message_id(self) -> bytes:
        """Return the id of the message, 16 bytes."""
        return self.derived.header.message_id


class Posted:
    """One post on its way through the steps; what a step finds, later ones use.

    Attributes:
        candidate: What became of it; None before it is examined, and if it failed.
        failure: What ended its way, or None.
        broken: Rules it breaks that need no other message, if that ended it; ``document`` is whole then.
    """

    __slots__ = (
        "accepted_by",
        "as_posted",
        "body",
        "broken",
        "candidate",
        "catalogue",
        "departure",
        "digest",
        "document",
        "failure",
        "given_id",
        "header",
        "key",
        "now_ms",
        "parent",
        "parent_id",
        "principal",
        "seq_missing",
        "strict",
    )

    def __init__(
        self,
        principal: Principal,
        body: bytes,
        key: str | None,
        *,
        now_ms: int,
        strict: bool,
    ) -> None:
        self.principal = principal
        self.body = body
        self.key = key
        self.now_ms = now_ms
        # With it, nothing is completed.
        self.strict = strict
        self.digest = b""
        self.document: dict[str, Any] = {}
        # The message id that it was posted with, whatever it is; None too where a crew has read it.
        self.given_id: object = None
        # Whether the document, written down, is the body again.
        self.as_posted = False
        # Of the message that a reply draft is completed from, and then this message with its content.
        self.parent_id: bytes | None = None
        self.parent: tuple[StoredMessage, dict[str, Any] | None] | None = None
        self.seq_missing = False
        # Where it departs from its schema: the first place.
        self.departure: Sequence[Violation] = ()
        self.broken: Sequence[Violation] = ()
        # Whose schemas have accepted the document as it was posted.
        self.accepted_by: Catalogue | None = None
        self.catalogue: Catalogue | None = None
        self.header: Header | None = None
        self.candidate: Candidate | None = None
        self.failure: Exception | None = None

    @property
    def is_new(self) -> bool:
        """Return whether nobody has looked at it yet."""
        return not self.digest

    @property
    def named(self) -> bytes | None:
        """Return the id of the message, 16 bytes, or None while it is not known."""
        # An id is only trusted once the schema has seen it.
        return None if self.header is None else self.header.message_id

    @property
    def name(self) -> str | bytes | None:
        """Return what a readable post is known by: its key, or else the message id that it names, or None.

        A crew that has refused it has not told the id, so it is read once more then.
        """
        text = self.given_id if self.document else id_in(_document_of(self.body)[0])
        if self.key is not None and self.key != text:
            return self.key
        try:
            return UUID(text).bytes if isinstance(text, str) else None
        except ValueError:
            return None  # a post that names no id was never accepted under it

    @property
    def is_small(self) -> bool:
        """Return whether it can be examined on the loop."""
        return len(self.body) <= SMALL_BYTES

    def result(self) -> Candidate | GatewayError:
        """Return the candidate, or the error for its agency.

        Raises:
            GatewayError: One that does not concern this post alone.
        """
        if self.failure is None:
            return given(self.candidate)
        if isinstance(self.failure, RejectedError | UnexaminedError):
            # Its frames hold every post of the call, which hold the error.
            forget_frames(self.failure)
            return self.failure
        raise self.failure


def agency_actor(spki: bytes) -> Actor:
    """Return the actor for an agency's certificate (SHA-256 of its SPKI)."""
    return Actor(role=Role.AGENCY, spki=spki)


def is_same_post(known: bytes, digest: bytes) -> bool:
    """Return whether a body of this digest is the one of which the store knows so much; nothing is none."""
    return bool(known) and digest.startswith(known)


def id_in(document: Mapping[str, Any]) -> object:
    """Return what a document gives as its message id, whatever that is; None if it gives none."""
    header = document.get("header")
    return header.get("message_id") if isinstance(header, dict) else None


def _document_of(body: bytes) -> tuple[dict[str, Any], bool]:
    """Return the document of a body, and whether it is written as a node writes it."""
    try:
        return read_json(body)
    except JsonRefusedError as error:
        raise UnreadableError((error.violation,)) from error
