"""The first stage of admission: what can be said about a post without the database.

Parse strictly, check the sender, complete the draft, check schema and stateless rules, seal:
work on bytes alone, wherever it is done (`gateway.node.first_stage`). Only a reply draft that
leaves out what follows from the answered message has to be given that one first.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.core.digest import digest_of
from gateway.core.envelope import header_of
from gateway.core.message.draft import Completed, Sender, complete, verify_size
from gateway.core.message.examine import broken_rules, departures, is_accepted
from gateway.core.message.reference_lists import ReferenceLists
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.schema_check import MAX_VALUES
from gateway.core.message.strict_json import (
    JsonRefusedError,
    begin_json,
    finish_json,
    has_more_values,
)
from gateway.core.message.threads import StoredMessage, outline_of
from gateway.core.message.violation import Violation
from gateway.core.message.warning import warnings_of
from gateway.core.message.wording import Wording
from gateway.core.sealing import CONTENT_KEY_BYTES, ContentKey
from gateway.node.identifiers import new_uuid7
from gateway.node.message_rows import derive
from gateway.node.pair import Pair
from gateway.node.posts import Candidate, Posted, id_in
from gateway.node.refusal import (
    MAX_TOLD,
    NotAllowedError,
    RefusedError,
    TypeNotAgreedError,
    UnreadableError,
)
from gateway.node.steps import given, run_steps
from gateway.node.vault import Vault
from gateway.ports import Entropy

_TYPE_BYTES: Final = 48
"""Beginning of a body that holds the type, if that comes first."""

_WHOLE: Final = frozenset(
    {"message_id", "created_at", "from", "conversation", "marking", "handling", "data_protection"}
)
"""Header fields that a draft would leave to the node."""

_NO_PARENT: Final = Wording(
    en="A draft is completed only from a message that your agency, or one below it, sent, got or was asked "
    "to answer, and from the opening of a room of which it is a member; this id names none. Check the id; if "
    "you may link to a message of others, write out to, purpose and, but for seq, conversation.",
    fr="Un projet n'est complété que d'après un message que votre service, ou un service qui en relève, a "
    "envoyé ou reçu, ou auquel il a été chargé de répondre, et d'après l'ouverture d'une salle dont il est "
    "membre ; cet identifiant n'en désigne aucun. Vérifiez-le ; si vous pouvez vous rattacher au message "
    "d'un autre service, écrivez vous-même to, purpose et, sauf seq, conversation.",
)
"""Says the same of a message that is not there and of one of others: neither is known from the answer."""


class Preparation:
    """Turns posts into candidates, or into the errors that their agency gets."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        vault: Vault,
        entropy: Entropy,
        peer: Callable[[], Announced],
        lists: ReferenceLists,
    ) -> None:
        """Wire the stage; ``peer`` says what the peer has announced of its catalogue."""
        self._peer = peer
        # Replaced as a whole while the node runs: each message is held against one edition.
        self.lists = lists
        self._pair = pair
        self._schedule = schedule
        self._vault = vault
        self._entropy = entropy
        self._steps = (self._check_schema, self._check_rules, self._check_agreed, self._make_candidate)
        # Sealed here rather than in the transaction, for which every message of the node waits. What
        # the conversation refuses then was sealed in vain, which is rare. Small messages that came alone
        # are sealed in the transaction: the cipher lets go of the interpreter lock, and the loop would
        # wait to get it back.
        self._steps_to_send = (*self._steps, self._seal)

    def examine_small(self, posted: Sequence[Posted]) -> None:
        """Examine small posts that came alone, without sealing them; see `examine`."""
        self.examine(posted, sealing=False)

    def examine(self, posted: Sequence[Posted], *, sealing: bool) -> None:
        """Take posts as far as they come without the database; with ``sealing``, seal them as well.

        Of what departs from its schema the first place is found, which `tell` adds to.
        Those that need another message first stay without candidate and without failure.
        """
        # Those of a type one after the other, as far as their first bytes show it: its schema
        # and rules stay in the processor's cache, which halves what validation costs.
        ordered = sorted(posted, key=lambda item: item.body[:_TYPE_BYTES])
        run_steps(ordered, (_digest, _parse, self._finish_parsing, _check_sender, _find_parent))
        whole = [item for item in ordered if item.failure is None and item.parent_id is None]
        run_steps(whole, self._steps_to_send if sealing else self._steps)

    def complete_from(
        self,
        item: Posted,
        parent: StoredMessage | None,
        content: dict[str, Any] | None,
        *,
        now_ms: int,
        sealing: bool,
    ) -> None:
        """Take a reply draft further, whose parent is known now.

        Args:
            item: The draft.
            parent: The message that it answers, or None if there is none.
            content: What that one says, unless it was erased.
            now_ms: Clock of this node, UTC milliseconds.
            sealing: Whether to seal it as well.
        """
        if parent is None:
            pointer = "/header/conversation/in_reply_to"
            item.failure = RefusedError((Violation(rule="RF-OPEN", pointer=pointer, wording=_NO_PARENT),))
            return
        item.parent = (parent, content)
        item.now_ms = now_ms
        run_steps([item], self._steps_to_send if sealing else self._steps)

    def tell(self, posted: Sequence[Posted], *, sealing: bool) -> None:
        """Say of the refused posts of one call what else is wrong with them, until it was told enough.

        Args:
            posted: All posts of the call, in its order.
            sealing: As in `examine`.
        """
        left = MAX_TOLD
        for item in posted:
            error = item.failure
            if not isinstance(error, RefusedError) or isinstance(error, UnreadableError):
                continue
            if left <= 0:
                item.failure, item.broken = error.first(), ()
                continue
            if not item.document:
                # A member of the crew examined it.
                item.failure = None
                self.examine([item], sealing=sealing)
            if item.departure:
                item.failure = None
                run_steps([item], (_refuse_departures,))
            if isinstance(item.failure, RefusedError):
                left -= len(item.failure.violations)

    # --- the steps of one post, each raising what its agency is answered -----------------

    def _finish_parsing(self, item: Posted) -> None:
        """Refuse what is no strict JSON, which what its schema accepts is known to be."""
        catalogue = self._schedule.at(item.now_ms)
        if item.as_posted and _is_whole(item.document) and is_accepted(item.document, catalogue=catalogue):
            item.accepted_by = catalogue
            return
        try:
            finish_json(item.body, item.document, is_canonical=item.as_posted)
        except JsonRefusedError as error:
            raise UnreadableError((error.violation,)) from error

    def _check_schema(self, item: Posted) -> None:
        item.catalogue = self._schedule.at(item.now_ms)
        if item.accepted_by is item.catalogue:
            return
        # A whole message that passes needs nothing: completing costs half a validation.
        if item.strict or _is_whole(item.document):
            item.departure = departures(item.document, catalogue=item.catalogue, most=1)
            # What its schema accepts is no draft: its agency hears of every rule that it breaks, as
            # from the check without a node, also where the node could have filled something in.
            if item.strict or not item.departure:
                return
        self._complete(item)

    def _complete(self, item: Posted) -> None:
        """Fill in what a draft leaves to the node."""
        parent, content = item.parent or (None, None)
        now_ms, principal, catalogue = item.now_ms, item.principal, given(item.catalogue)
        completed = complete(
            item.document,
            catalogue=catalogue,
            sender=Sender(nation=principal.nation, agency=principal.agency, unit=None),
            peer_nation=self._pair.peer_nation,
            now_ms=now_ms,
            new_id=lambda: new_uuid7(now_ms, self._entropy),
            parent=parent,
            parent_content=content,
        )
        item.document, item.seq_missing = completed.document, completed.seq_missing
        item.as_posted = False
        if not item.is_small:
            # What is filled in is far less than a small body leaves free.
            _verify_size(completed)
        item.departure = departures(item.document, catalogue=catalogue, most=1)

    def _check_rules(self, item: Posted) -> None:
        violations = item.departure or broken_rules(
            item.document, catalogue=given(item.catalogue), now_ms=item.now_ms
        )
        if violations:
            item.broken = () if item.departure else violations
            raise RefusedError(violations, "call" if item.departure else None)

    def _check_agreed(self, item: Posted) -> None:
        """Refuse a type that the peer holds in another version, or not at all."""
        type_id: str = item.document["type"]
        digest = given(item.catalogue).type(type_id).digest
        if not self._peer().names(type_id, digest, (item.now_ms,)):
            raise TypeNotAgreedError(type_id)
        item.header = header_of(
            item.document, from_node=self._pair.node, to_node=self._pair.peer_node, type_digest=digest
        )

    def _make_candidate(self, item: Posted) -> None:
        document, catalogue, header = item.document, given(item.catalogue), given(item.header)
        message: bytes | None = None
        if not item.seq_missing:
            message = item.body if item.as_posted else orjson.dumps(document)
            item.document = outline_of(document)
        own = item.key is None or item.key == document["header"]["message_id"]
        item.candidate = Candidate(
            principal=item.principal,
            name=(item.principal.agency, header.message_id if own else given(item.key)),
            digest=item.digest,
            document=item.document,
            catalogue=catalogue,
            derived=derive(document, catalogue=catalogue, header=header, header_bytes=header.encode()),
            message=message,
            warnings=warnings_of(document, catalogue.type(header.type), self.lists),
        )

    def _seal(self, item: Posted) -> None:
        """Encrypt the message under a key of its own, unless its number is missing."""
        candidate = given(item.candidate)
        if candidate.message is not None:
            candidate.sealed = self.seal(candidate, candidate.message)

    def seal(self, candidate: Candidate, message: bytes) -> tuple[bytes, bytes]:
        """Return the ciphertext of a message and its content key, wrapped for storage."""
        return self._vault.seal(
            message,
            content_key=ContentKey(self._entropy.bytes(CONTENT_KEY_BYTES)),
            header=candidate.derived.header_bytes,
            message_id=candidate.message_id,
        )


def _digest(item: Posted) -> None:
    item.digest = digest_of(item.body)


def _parse(item: Posted) -> None:
    try:
        item.document, item.as_posted = begin_json(item.body)
    except JsonRefusedError as error:
        raise UnreadableError((error.violation,)) from error
    item.given_id = id_in(item.document)


def _verify_size(completed: Completed) -> None:
    try:
        verify_size(completed)
    except JsonRefusedError as error:
        raise UnreadableError((error.violation,)) from error


def _is_whole(document: dict[str, Any]) -> bool:
    """Return whether a document looks like a message rather than a draft."""
    header = document.get("header")
    if not isinstance(header, dict) or not header.keys() >= _WHOLE:
        return False
    conversation = header["conversation"]
    return isinstance(conversation, dict) and "seq" in conversation


def _check_sender(item: Posted) -> None:
    """Refuse a message that names another agency than the certificate's as sender."""
    agency = item.principal.agency
    header = item.document.get("header")
    sender = header.get("from") if isinstance(header, dict) else None
    if isinstance(sender, dict) and sender.get("agency", agency) != agency:
        msg = "header.from.agency is not the agency of the certificate"
        raise NotAllowedError(msg)


def _refuse_departures(item: Posted) -> None:
    """Name all departures from the schema, of which one is known."""
    found = departures(item.document, catalogue=given(item.catalogue))
    # In a document that long not all values are looked at.
    raise RefusedError(found, "message" if has_more_values(item.document, MAX_VALUES) else None)


def _find_parent(item: Posted) -> None:
    if not item.strict:
        item.parent_id = _parent_needed(item.document)


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
