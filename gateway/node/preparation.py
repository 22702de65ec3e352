"""The first stage of admission: what can be said about a post without the database.

Parse strictly, check the sender, complete the draft, check schema and stateless rules.
Only a reply draft that leaves out what follows from the answered message needs a look
into the store, for that one message.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.core.digest import digest_of
from gateway.core.entries import Role
from gateway.core.envelope import header_of
from gateway.core.message.draft import Completed, Sender, complete
from gateway.core.message.examine import departs_from_schema, examine_document
from gateway.core.message.reference_lists import ReferenceLists
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import violation
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.message.threads import StoredMessage
from gateway.core.message.violation import Violation
from gateway.core.message.warning import ValueWarning, warnings_of
from gateway.core.quick import quick_value
from gateway.errors import GatewayError, RejectedError
from gateway.node.audit_log import Actor
from gateway.node.defects import UnexaminedError, contained
from gateway.node.identifiers import new_uuid7
from gateway.node.message_rows import Derived, derive
from gateway.node.pair import Pair
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, Entropy, Store, Transaction

_TYPE_BYTES: Final = 48
"""Beginning of a body that holds the type, if that comes first."""

SMALL_BYTES = 65_536
"""Bodies up to this size, one at a time, are validated on the loop: a hop would cost more."""

_WHOLE: Final = frozenset(
    {"message_id", "created_at", "from", "conversation", "marking", "handling", "data_protection"}
)
"""Header fields that a draft would leave to the node."""


class RefusedError(RejectedError):
    """The message does not satisfy JSON, schema, rules or agreement.

    Attributes:
        violations: Every one of them.
    """

    code = "message-refused"

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Keep the violations for whoever puts them into words."""
        super().__init__(f"{len(violations)} violations")
        self.violations = tuple(violations)


class UnreadableError(RefusedError):
    """The body is not strict JSON, so nothing else was checked."""

    code = "message-unreadable"


class TypeNotAgreedError(RejectedError):
    """The two nodes do not hold the same version of this type: their operators have to act.

    Attributes:
        type: Type id, one of this node's catalogue.
    """

    code = "type-not-agreed"

    def __init__(self, type_id: str) -> None:
        """Keep the type for whoever puts it into words."""
        super().__init__("the two nodes do not hold the same version of this message type")
        self.type = type_id


class NotAllowedError(RejectedError):
    """The message names a sender that the caller is not."""

    code = "wrong-sender"


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
        key: (agency, idempotency key); the default key is the message id.
        digest: SHA-384 of the body as it was posted, 48 bytes.
        catalogue: By which it was judged, and under which it is sent.
        derived: What follows from the document.
        message: The document as JSON bytes; None while its number is missing.
        warnings: Values of it that are in no reference list.
    """

    principal: Principal
    key: tuple[str, str]
    digest: bytes
    document: dict[str, Any]
    catalogue: Catalogue
    derived: Derived
    message: bytes | None
    warnings: tuple[ValueWarning, ...]

    @property
    def message_id(self) -> bytes:
        """Return the id of the message, 16 bytes."""
        return self.derived.header.message_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _NeedsParent:
    """A reply draft that is completed from the message it answers."""

    document: dict[str, Any]
    key: str | None
    digest: bytes
    parent_id: bytes


class Preparation:
    """Turns posts into candidates, or into the errors that their agency gets."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        peer: Callable[[], Announced],
        lists: ReferenceLists,
    ) -> None:
        """Wire the stage; ``peer`` says what the peer has announced of its catalogue."""
        self._peer = peer
        # Replaced as a whole while the node runs: each message is held against one edition.
        self.lists = lists
        self._pair = pair
        self._schedule = schedule
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._workers = workers

    async def prepare(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[Candidate | GatewayError]:
        """Return a candidate or an error for each post, in order."""
        small = len(submissions) == 1 and len(submissions[0].body) <= SMALL_BYTES
        if small:
            examined = self._examine_all(principal, submissions)
        else:
            examined = await self._workers.compute(self._examine_all, principal, submissions)
        results: list[Candidate | GatewayError] = []
        for item in examined:
            try:
                results.append(
                    item if isinstance(item, GatewayError) else await self._with_parent(principal, item)
                )
            except (RejectedError, UnexaminedError) as error:
                results.append(error)
        return results

    def _examine_all(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[Candidate | _NeedsParent | GatewayError]:
        results: dict[int, Candidate | _NeedsParent | GatewayError] = {}
        # Those of a type one after the other, as far as their first bytes show it: its schema
        # and rules stay in the processor's cache, which halves what validation costs.
        for place in sorted(range(len(submissions)), key=lambda place: submissions[place].body[:_TYPE_BYTES]):
            body, key = submissions[place].body, submissions[place].key
            try:
                results[place] = contained(None, partial(self._examine, principal, body, key, strict=False))
            except (RejectedError, UnexaminedError) as error:
                results[place] = error
        return [results[place] for place in range(len(submissions))]

    def _examine(
        self, principal: Principal, body: bytes, key: str | None, *, strict: bool
    ) -> Candidate | _NeedsParent:
        digest = digest_of(body)
        document = _parse(body)
        _check_sender(document, principal)
        parent_id = None if strict else _parent_needed(document)
        if parent_id is not None:
            return _NeedsParent(document=document, key=key, digest=digest, parent_id=parent_id)
        return self._complete(principal, document, key, digest, parent=None, strict=strict)

    async def examine(self, principal: Principal, body: bytes, *, strict: bool) -> Candidate:
        """Return the candidate that a body gives; with ``strict``, complete nothing.

        Raises:
            RejectedError: What an agency would be answered.
        """
        examined = await self._workers.compute(self._examine, principal, body, None, strict=strict)
        return await self._with_parent(principal, examined)

    async def _with_parent(self, principal: Principal, item: Candidate | _NeedsParent) -> Candidate:
        """Complete a reply draft from the message that it answers."""
        if isinstance(item, Candidate):
            return item
        parent_id = item.parent_id

        def find(tx: Transaction) -> tuple[StoredMessage | None, dict[str, Any] | None]:
            memory = ThreadMemory(tx, open_content=self._vault.document)
            return memory.find(parent_id), memory.content(parent_id)

        parent, content = await self._store.read(find)
        if parent is None:
            raise RefusedError((violation("RF-OPEN", "/header/conversation/in_reply_to"),))
        found = (parent, content)
        return contained(
            None,
            lambda: self._complete(
                principal, item.document, item.key, item.digest, parent=found, strict=False
            ),
        )

    def _complete(
        self,
        principal: Principal,
        document: dict[str, Any],
        key: str | None,
        digest: bytes,
        *,
        parent: tuple[StoredMessage, dict[str, Any] | None] | None,
        strict: bool,
    ) -> Candidate:
        now_ms = self._clock.now_ms()
        catalogue = self._schedule.at(now_ms)
        completed = Completed(document=document, seq_missing=False)
        violations: Sequence[Violation] = ()
        whole = strict or _is_whole(document)
        if whole:
            # A whole message that passes needs nothing: completing costs half a validation.
            violations = examine_document(document, catalogue=catalogue, now_ms=now_ms)
        # What its schema accepts is no draft: its agency hears of every rule that it breaks, as
        # from the check without a node, also where the node could have filled something in.
        if not strict and (not whole or departs_from_schema(violations)):
            completed = complete(
                document,
                catalogue=catalogue,
                sender=Sender(nation=principal.nation, agency=principal.agency, unit=None),
                peer_nation=self._pair.peer_nation,
                now_ms=now_ms,
                new_id=lambda: new_uuid7(now_ms, self._entropy),
                parent=None if parent is None else parent[0],
                parent_content=None if parent is None else parent[1],
            )
            violations = examine_document(completed.document, catalogue=catalogue, now_ms=now_ms)
        if violations:
            raise RefusedError(violations)
        type_id = completed.document["type"]
        if not self._peer().names(type_id, catalogue.type(type_id).digest, (now_ms,)):
            raise TypeNotAgreedError(type_id)
        header = header_of(
            completed.document,
            from_node=self._pair.node,
            to_node=self._pair.peer_node,
            type_digest=catalogue.type(type_id).digest,
        )
        return Candidate(
            principal=principal,
            key=(principal.agency, key or completed.document["header"]["message_id"]),
            digest=digest,
            document=completed.document,
            catalogue=catalogue,
            derived=derive(
                completed.document, catalogue=catalogue, header=header, header_bytes=header.encode()
            ),
            message=None if completed.seq_missing else orjson.dumps(completed.document),
            warnings=warnings_of(completed.document, catalogue.type(type_id), self.lists),
        )


def agency_actor(spki: bytes) -> Actor:
    """Return the actor for an agency's certificate (SHA-256 of its SPKI)."""
    return Actor(role=Role.AGENCY, spki=spki)


def message_id_of(body: bytes) -> str | None:
    """Return the message id that a readable body names, which is its key unless it has another; or None."""
    header = _parse(body).get("header")
    message_id = header.get("message_id") if isinstance(header, dict) else None
    return message_id if isinstance(message_id, str) else None


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return parse_json(body)
    except JsonRefusedError as error:
        raise UnreadableError((error.violation,)) from error


def _is_whole(document: dict[str, Any]) -> bool:
    """Return whether a document looks like a message rather than a draft."""
    header = document.get("header")
    if not isinstance(header, dict) or not header.keys() >= _WHOLE:
        return False
    conversation = header["conversation"]
    return isinstance(conversation, dict) and "seq" in conversation


def _check_sender(document: dict[str, Any], principal: Principal) -> None:
    """Refuse a message that names another agency than the certificate's as sender."""
    header = document.get("header")
    sender = header.get("from") if isinstance(header, dict) else None
    if isinstance(sender, dict) and sender.get("agency", principal.agency) != principal.agency:
        msg = "header.from.agency is not the agency of the certificate"
        raise NotAllowedError(msg)


def _parent_needed(document: dict[str, Any]) -> bytes | None:
    """Return the id of the answered message if a draft leaves out what follows from it."""
    header = document.get("header")
    if not isinstance(header, dict):
        return None
    conversation = header.get("conversation")
    if not isinstance(conversation, dict) or "in_reply_to" not in conversation:
        return None
    if {"id", "pattern"} <= conversation.keys() and {"to", "purpose"} <= header.keys():
        return None
    try:
        return UUID(conversation["in_reply_to"]).bytes
    except (ValueError, AttributeError, TypeError):
        return None  # the schema says what is wrong with it
