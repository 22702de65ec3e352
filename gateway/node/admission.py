"""Admission: from what an agency posted to a message that is accepted for good.

Two stages. The first needs no database: parse strictly, complete the draft, check schema
and stateless rules. The second runs in one transaction for everything that arrived while
the last transaction was committing: idempotency, the rules that look at conversations,
sequence numbers, sealing, the rows and the audit event. Only after that is durable does
the agency get its 202.

Every violation is reported at once, and none of them holds a value from the message.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

import orjson

from gateway.core.entries import Role
from gateway.core.envelope import header_of, time_ms
from gateway.core.message.draft import Completed, Sender, complete
from gateway.core.message.examine import examine_document
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.message.threads import StoredMessage, closes, examine_thread
from gateway.core.message.violation import Violation
from gateway.core.sealing import ContentKey
from gateway.core.states import Precedence, State
from gateway.errors import GatewayError, RejectedError, UnavailableError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.identifiers import new_uuid7
from gateway.node.pair import Pair
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, Entropy, NewMessage, Step, Store, Transaction

MAX_GROUP = 512
"""Messages decided in one transaction; more would make the first of them wait."""

SMALL_BYTES = 65_536
"""Bodies up to this size, one at a time, are validated on the loop: a hop would cost more."""


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


class NotAllowedError(RejectedError):
    """The message names a sender that the caller is not."""

    code = "wrong-sender"


class IdempotencyConflictError(RejectedError):
    """The idempotency key was used before with another body."""

    code = "idempotency-conflict"


class OverloadedError(UnavailableError):
    """More is waiting for admission than this node takes on at once."""

    code = "overloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An agency that a certificate has identified."""

    nation: str
    agency: str
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One posted message or draft, with the caller's idempotency key if it gave one."""

    body: bytes
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The answer to an accepted message.

    Attributes:
        message_id: 16 bytes.
        state: *accepted*, or where it is now for a repeated post.
        accepted_ms: UTC milliseconds.
        message: The completed document as JSON bytes.
        audit_index: Index of the event in the audit log.
    """

    message_id: bytes
    state: State
    accepted_ms: int
    message: bytes
    audit_index: int


Outcome = Acceptance | GatewayError


@dataclass(slots=True, kw_only=True)
class _Candidate:
    """A message that passed the first stage and waits for the second."""

    principal: Principal
    key: str | None
    digest: bytes
    document: dict[str, Any]
    seq_missing: bool
    message_id: bytes
    in_reply_to: bytes | None
    conversation_id: bytes


class Admission:
    """Decides about posted messages, in groups."""

    def __init__(
        self,
        *,
        pair: Pair,
        catalogue: Catalogue,
        store: Store,
        vault: Vault,
        audit: AuditLog,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        max_waiting: int = 20_000,
        on_accepted: Callable[[int], None] = lambda _rank: None,
    ) -> None:
        """Wire the pipeline.

        Args:
            pair: Names of the two nodes.
            catalogue: Types, rules and agreement.
            store: Where messages are kept.
            vault: Seals content.
            audit: Writes events.
            clock: Time of acceptance.
            entropy: Content keys and identifiers.
            workers: Threads for batches and large bodies.
            max_waiting: Messages that may wait for a transaction; beyond it, 429.
            on_accepted: Told the most urgent precedence number of each accepted group.
        """
        self._pair = pair
        self._catalogue = catalogue
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._entropy = entropy
        self._workers = workers
        self._max_waiting = max_waiting
        self._on_accepted = on_accepted
        self._waiting: list[tuple[_Candidate, asyncio.Future[Outcome]]] = []
        self._outstanding = 0
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many messages are being decided right now."""
        return self._outstanding

    async def run(self) -> None:
        """Decide groups until cancelled. One task of the node runs this."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._decide(group)

    async def submit(self, principal: Principal, submissions: Sequence[Submission]) -> list[Outcome]:
        """Decide about posts of one agency, each on its own; results are in order.

        Raises:
            OverloadedError: Too much waits already; nothing of this call was looked at.
            StoreError: The database failed; none of this call is known to be accepted.
        """
        if self._outstanding + len(submissions) > self._max_waiting:
            msg = "too many messages are waiting for admission"
            raise OverloadedError(msg)
        self._outstanding += len(submissions)
        try:
            prepared = await self._prepare(principal, submissions)
            loop = asyncio.get_running_loop()
            results: list[Outcome | asyncio.Future[Outcome]] = []
            for item in prepared:
                if isinstance(item, _Candidate):
                    future: asyncio.Future[Outcome] = loop.create_future()
                    self._waiting.append((item, future))
                    results.append(future)
                else:
                    results.append(item)
            self._wake.set()
            refused = [item for item in prepared if isinstance(item, GatewayError)]
            if refused:
                await self._record_refusals(principal, refused)
            return [await item if isinstance(item, asyncio.Future) else item for item in results]
        finally:
            self._outstanding -= len(submissions)

    async def check(self, principal: Principal, body: bytes, *, strict: bool) -> bytes:
        """Return the completed message as JSON, if it would be accepted now.

        Args:
            principal: The caller.
            body: A message, or a draft unless ``strict``.
            strict: Complete nothing; the message has to be whole.

        Raises:
            RejectedError: What `submit` would answer.
        """
        completed = await self._workers.run(self._examine, principal, body, None, strict=strict)
        candidate = await self._with_parent(principal, completed)

        def look(tx: Transaction) -> bytes:
            memory = self._memory(tx, [candidate])
            violations = self._settle(candidate, memory)
            if violations:
                raise RefusedError(violations)
            return orjson.dumps(candidate.document)

        return await self._store.read(look)

    # --- first stage ---------------------------------------------------------------

    async def _prepare(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[_Candidate | GatewayError]:
        small = len(submissions) == 1 and len(submissions[0].body) <= SMALL_BYTES
        if small:
            examined = self._examine_all(principal, submissions)
        else:
            examined = await self._workers.run(self._examine_all, principal, submissions)
        results: list[_Candidate | GatewayError] = []
        for item in examined:
            try:
                results.append(
                    item if isinstance(item, GatewayError) else await self._with_parent(principal, item)
                )
            except RejectedError as error:
                results.append(error)
        return results

    def _examine_all(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[_Candidate | _NeedsParent | GatewayError]:
        results: list[_Candidate | _NeedsParent | GatewayError] = []
        for submission in submissions:
            try:
                results.append(
                    self._examine(principal, submission.body, submission.key, strict=False)
                )
            except RejectedError as error:
                results.append(error)
        return results

    def _examine(
        self, principal: Principal, body: bytes, key: str | None, *, strict: bool
    ) -> _Candidate | _NeedsParent:
        digest = hashlib.sha384(body).digest()
        document = _parse(body)
        _check_sender(document, principal)
        parent_id = None if strict else _parent_needed(document)
        if parent_id is not None:
            return _NeedsParent(document=document, key=key, digest=digest, parent_id=parent_id)
        return self._complete(principal, document, key, digest, parent=None, strict=strict)

    async def _with_parent(
        self, principal: Principal, item: _Candidate | _NeedsParent
    ) -> _Candidate:
        """Complete a reply draft from the message that it answers."""
        if isinstance(item, _Candidate):
            return item
        parent_id = item.parent_id

        def find(tx: Transaction) -> StoredMessage | None:
            return ThreadMemory(tx, open_content=self._vault.document).find(parent_id)

        parent = await self._store.read(find)
        return self._complete(
            principal, item.document, item.key, item.digest, parent=parent, strict=False
        )

    def _complete(
        self,
        principal: Principal,
        document: dict[str, Any],
        key: str | None,
        digest: bytes,
        *,
        parent: StoredMessage | None,
        strict: bool,
    ) -> _Candidate:
        now_ms = self._clock.now_ms()
        completed = Completed(document=document, seq_missing=False)
        if not strict:
            completed = complete(
                document,
                catalogue=self._catalogue,
                sender=Sender(nation=principal.nation, agency=principal.agency, unit=None),
                peer_nation=self._pair.peer_nation,
                now_ms=now_ms,
                new_id=lambda: new_uuid7(now_ms, self._entropy),
                parent=parent,
            )
        violations = examine_document(completed.document, catalogue=self._catalogue, now_ms=now_ms)
        if violations:
            raise RefusedError(violations)
        header = completed.document["header"]
        conversation = header["conversation"]
        reply = conversation.get("in_reply_to")
        return _Candidate(
            principal=principal,
            key=key,
            digest=digest,
            document=completed.document,
            seq_missing=completed.seq_missing,
            message_id=UUID(header["message_id"]).bytes,
            in_reply_to=None if reply is None else UUID(reply).bytes,
            conversation_id=UUID(conversation["id"]).bytes,
        )

    # --- second stage --------------------------------------------------------------

    async def _decide(self, group: list[tuple[_Candidate, asyncio.Future[Outcome]]]) -> None:
        candidates = [candidate for candidate, _ in group]
        try:
            outcomes = await self._store.write(Step.ACCEPTED, lambda tx: self._admit(tx, candidates))
        except GatewayError as error:
            # Nothing of the group is known to be durable: every caller has to hear that.
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():  # the caller may have gone away; the message stays accepted
                future.set_result(outcome)
        ranks = [
            Precedence[candidate.document["header"]["precedence"]]
            for candidate, outcome in zip(candidates, outcomes, strict=True)
            if isinstance(outcome, Acceptance)
        ]
        if ranks:
            self._on_accepted(int(min(ranks)))

    def _admit(self, tx: Transaction, candidates: Sequence[_Candidate]) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        used = tx.facts.idempotent({_key_of(candidate) for candidate in candidates})
        memory = self._memory(tx, candidates)
        keys = self._entropy.bytes(32 * len(candidates))
        outcomes: list[Outcome | None] = []
        accepted: list[tuple[int, _Candidate, NewMessage, bytes]] = []
        repeats: list[tuple[int, bytes]] = []
        for position, candidate in enumerate(candidates):
            known = used.get(_key_of(candidate))
            if known is not None:
                if known[0] == candidate.digest:
                    repeats.append((position, known[1]))
                    outcomes.append(None)
                else:
                    msg = "the idempotency key was used before with another body"
                    outcomes.append(IdempotencyConflictError(msg))
                continue
            violations = self._settle(candidate, memory)
            if violations:
                outcomes.append(RefusedError(violations))
                continue
            content_key = ContentKey(keys[32 * position : 32 * position + 32])
            row, message = self._row(candidate, memory, content_key, now_ms)
            memory.add(row, candidate.document)
            used[_key_of(candidate)] = (candidate.digest, candidate.message_id)
            accepted.append((position, candidate, row, message))
            outcomes.append(None)
        indexes = self._record(tx, now_ms, candidates, outcomes, accepted)
        self._insert(tx, now_ms, accepted, indexes)
        for position, candidate, _, message in accepted:
            outcomes[position] = Acceptance(
                message_id=candidate.message_id,
                state=State.ACCEPTED,
                accepted_ms=now_ms,
                message=message,
                audit_index=indexes[candidate.principal.agency],
            )
        for position, message_id in repeats:
            outcomes[position] = self._repeated(tx, candidates[position].principal, message_id)
        return cast("list[Outcome]", outcomes)

    def _settle(self, candidate: _Candidate, memory: ThreadMemory) -> Sequence[Violation]:
        """Give the message its number if it has none, and check it against its conversation."""
        if candidate.seq_missing:
            header = candidate.document["header"]
            last = memory.last_seq(candidate.conversation_id, candidate.principal.agency)
            header["conversation"]["seq"] = last + 1
        verdict = examine_thread(
            candidate.document, catalogue=self._catalogue, threads=memory, side="sender"
        )
        return verdict.violations

    def _row(
        self, candidate: _Candidate, memory: ThreadMemory, content_key: ContentKey, now_ms: int
    ) -> tuple[NewMessage, bytes]:
        document = candidate.document
        header = header_of(
            document,
            from_node=self._pair.node,
            to_node=self._pair.peer_node,
            type_digest=self._catalogue.type(document["type"]).digest,
        )
        header_bytes = header.encode()
        message = orjson.dumps(document)
        ciphertext, wrapped_key = self._vault.seal(
            message, content_key=content_key, header=header_bytes, message_id=header.message_id
        )
        reply_by = document["header"].get("reply_by")
        row = NewMessage(
            outgoing=True,
            state=State.ACCEPTED,
            message_id=header.message_id,
            header=header_bytes,
            type=header.type,
            from_agency=header.from_agency,
            to_agencies=header.to_agencies,
            conversation_id=header.conversation_id,
            seq=document["header"]["conversation"]["seq"],
            in_reply_to=candidate.in_reply_to,
            purpose=document["header"]["purpose"]["code"],
            reply_by_ms=None if reply_by is None else time_ms(reply_by),
            closes=candidate.in_reply_to is not None
            and closes(document, catalogue=self._catalogue, threads=memory),
            rank=int(header.precedence),
            created_ms=header.created_ms,
            expires_ms=header.expires_ms,
            arrived_ms=now_ms,
            log_index=None,
            audit_index=None,
            flags="",
            ciphertext=ciphertext,
            wrapped_key=wrapped_key,
        )
        return row, message

    def _record(
        self,
        tx: Transaction,
        now_ms: int,
        candidates: Sequence[_Candidate],
        outcomes: Sequence[Outcome | None],
        accepted: Sequence[tuple[int, _Candidate, NewMessage, bytes]],
    ) -> dict[str, int]:
        """Write the audit events of a group; return the index of each agency's acceptance."""
        entries: list[bytes] = []
        offsets: dict[str, int] = {}
        by_agency: dict[str, tuple[Actor, list[bytes]]] = {}
        for _, candidate, row, _ in accepted:
            agency = candidate.principal.agency
            by_agency.setdefault(agency, (candidate.principal.actor, []))[1].append(row.message_id)
        for agency, (actor, objects) in by_agency.items():
            offsets[agency] = len(entries)
            entries += self._audit.event(
                at_ms=now_ms, actor=actor, event="message.accepted", objects=objects
            )
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            if isinstance(outcome, GatewayError):
                entries += self._refusal(now_ms, candidate.principal, outcome, candidate.message_id)
        if not entries:
            return {}
        first = self._audit.append(tx, entries)
        return {agency: first + offset for agency, offset in offsets.items()}

    def _insert(
        self,
        tx: Transaction,
        now_ms: int,
        accepted: Sequence[tuple[int, _Candidate, NewMessage, bytes]],
        indexes: dict[str, int],
    ) -> None:
        if not accepted:
            return
        rows = [replace(row, audit_index=indexes[row.from_agency]) for _, _, row, _ in accepted]
        tx.outbox.insert(rows)
        for row in rows:
            # An urgent message may not overtake its own predecessors: they become as urgent.
            if row.seq > 1 and row.rank < Precedence.ROUTINE:
                tx.outbox.raise_rank(row.conversation_id, row.from_agency, row.rank)
        tx.facts.put_idempotent(
            [
                (*_key_of(candidate), candidate.digest, candidate.message_id, now_ms)
                for _, candidate, _, _ in accepted
            ]
        )

    def _repeated(self, tx: Transaction, principal: Principal, message_id: bytes) -> Outcome:
        row = tx.outbox.find(message_id, principal.agency)
        stored = tx.threads.content(message_id)
        if row is None or stored is None:
            msg = "the message of this idempotency key was erased"
            return IdempotencyConflictError(msg)
        return Acceptance(
            message_id=message_id,
            state=row.state,
            accepted_ms=row.arrived_ms,
            message=orjson.dumps(self._vault.document(*stored)),
            audit_index=row.audit_index or 0,
        )

    def _memory(self, tx: Transaction, candidates: Sequence[_Candidate]) -> ThreadMemory:
        memory = ThreadMemory(tx, open_content=self._vault.document)
        memory.fetch(
            message_ids=[candidate.message_id for candidate in candidates],
            answered=[c.in_reply_to for c in candidates if c.in_reply_to is not None],
            conversations=[candidate.conversation_id for candidate in candidates],
        )
        return memory

    # --- refusals ------------------------------------------------------------------

    async def _record_refusals(self, principal: Principal, errors: Sequence[GatewayError]) -> None:
        now_ms = self._clock.now_ms()
        entries = [
            entry for error in errors for entry in self._refusal(now_ms, principal, error, None)
        ]
        await self._store.write(Step.REFUSED, lambda tx: self._audit.append(tx, entries))

    def _refusal(
        self, now_ms: int, principal: Principal, error: GatewayError, message_id: bytes | None
    ) -> list[bytes]:
        numbers: Sequence[int] = ()
        if isinstance(error, RefusedError):
            numbers = sorted({rule_number(violation.rule) for violation in error.violations})
        return self._audit.event(
            at_ms=now_ms,
            actor=principal.actor,
            event="message.refused",
            outcome=error.code,
            objects=() if message_id is None else (message_id,),
            details=numbers[:100],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _NeedsParent:
    """A reply draft that is completed from the message it answers."""

    document: dict[str, Any]
    key: str | None
    digest: bytes
    parent_id: bytes


def agency_actor(spki: bytes) -> Actor:
    """Return the actor for an agency's certificate (SHA-256 of its SPKI)."""
    return Actor(role=Role.AGENCY, spki=spki)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return parse_json(body)
    except JsonRefusedError as error:
        raise UnreadableError((error.violation,)) from error


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


def _key_of(candidate: _Candidate) -> tuple[str, str]:
    """Return (agency, idempotency key); the default key is the message id."""
    return candidate.principal.agency, candidate.key or str(UUID(bytes=candidate.message_id))
