"""Admission: from what an agency posted to a message that is accepted for good.

Two stages. The first needs no database: parse strictly, complete the draft, check schema
and stateless rules, seal. The second runs in one transaction for everything that arrived
while the last transaction was committing: idempotency, the rules that look at conversations,
sequence numbers, sealing where it waited for them, the rows and the audit event. Only after
that is durable does the agency get its 202. Messages that came alone pass the first stage
together as well (`gateway.node.line`).

Every violation is reported at once, and none of them holds a value from the message.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

import orjson

from gateway.core.digest import digest_of
from gateway.core.message.reference_lists import NO_LISTS, ReferenceLists
from gateway.core.message.rule import rule_number, violation
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.threads import effects_of, end_with_target, examine_thread
from gateway.core.message.violation import Violation
from gateway.core.message.warning import ValueWarning
from gateway.core.quick import quick_value
from gateway.core.states import Precedence, State
from gateway.errors import GatewayError, RejectedError, UnavailableError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.crew import Crew
from gateway.node.defects import UnexaminedError, contained
from gateway.node.first_stage import FirstStage
from gateway.node.gate import Gate, RecoveringError
from gateway.node.line import Line, NoCandidateError
from gateway.node.message_rows import new_message
from gateway.node.pair import Pair
from gateway.node.preparation import (
    Candidate,
    Preparation,
    Principal,
    RefusedError,
    Submission,
    TypeNotAgreedError,
    UnreadableError,
    is_same_post,
    name_of,
)
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import POST_DIGEST_BYTES, Clock, Entropy, NewMessage, PostName, Step, Store, Transaction


class IdempotencyConflictError(RefusedError):
    """The idempotency key was used before with another body.

    If that was a message of the same id, RF-DUP is broken as well; if not, no rule is.
    """

    code = "idempotency-conflict"


class ErasedError(RejectedError):
    """The content was erased; the proofs of the exchange remain."""

    code = "content-erased"


class OverloadedError(UnavailableError):
    """More is waiting for admission than this node takes on at once."""

    code = "overloaded"


@quick_value
class Acceptance:
    """The answer to an accepted message.

    Attributes:
        message_id: 16 bytes.
        state: *accepted*, or where it is now for a repeated post.
        accepted_ms: UTC milliseconds.
        message: The completed document as JSON bytes.
        audit_index: Place of the event in the audit log (`gateway.core.generation`).
        warnings: Values of it that are in no reference list.
    """

    message_id: bytes
    state: State
    accepted_ms: int
    message: bytes
    audit_index: int
    warnings: tuple[ValueWarning, ...] = ()


@quick_value
class Checked:
    """The answer to a message that would be accepted.

    Attributes:
        message: The completed document as JSON bytes.
        warnings: Values of it that are in no reference list.
    """

    message: bytes
    warnings: tuple[ValueWarning, ...] = ()


Outcome = Acceptance | GatewayError


class Admission:
    """Decides about posted messages, in groups."""

    def __init__(
        self,
        *,
        pair: Pair,
        schedule: Schedule,
        store: Store,
        vault: Vault,
        audit: AuditLog,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        gate: Gate,
        crew: Crew,
        peer: Callable[[], Announced],
        lists: ReferenceLists = NO_LISTS,
        max_waiting: int = 20_000,
        on_deciding: Callable[[int], None] = lambda _rank: None,
    ) -> None:
        """Wire the pipeline.

        Args:
            pair: Names of the two nodes.
            schedule: Catalogues of this node.
            store: Where messages are kept.
            vault: Seals and opens content.
            audit: Writes events.
            clock: Time of acceptance.
            entropy: Content keys and identifiers.
            workers: Threads for batches and large bodies.
            gate: Stands before everything that shows content.
            crew: Processes for batches; it may have none.
            peer: Says what the peer has announced of its catalogue.
            lists: Reference lists; values that are not in them are warned of.
            max_waiting: Messages that may wait for a transaction; beyond it, 429.
            on_deciding: Told right before a group is written, with its most urgent precedence number: a write
                that is queued from then on finds what was accepted, and may share the commit.
        """
        self._preparation = Preparation(
            pair=pair,
            schedule=schedule,
            vault=vault,
            entropy=entropy,
            peer=peer,
            lists=lists,
        )
        self._first_stage = FirstStage(
            self._preparation,
            schedule=schedule,
            store=store,
            vault=vault,
            clock=clock,
            workers=workers,
            crew=crew,
        )
        self._pair = pair
        self._store = store
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._gate = gate
        self._max_waiting = max_waiting
        self._on_deciding = on_deciding
        self._line: Line[Outcome] = Line(self._preparation.examine_small)
        self._outstanding = 0
        self.paused = False

    @property
    def waiting(self) -> int:
        """Return how many messages are being decided right now."""
        return self._outstanding

    @property
    def lists(self) -> ReferenceLists:
        """Return the reference lists that values are looked up in."""
        return self._preparation.lists

    def use_lists(self, lists: ReferenceLists) -> None:
        """Warn by these reference lists from the next message on."""
        self._preparation.lists = lists

    async def run(self) -> None:
        """Decide groups until cancelled. One task of the node runs this."""
        while True:
            await self._decide(await self._line.next_group())

    async def submit(self, principal: Principal, submissions: Sequence[Submission]) -> list[Outcome]:
        """Decide about posts of one agency, each on its own; results are in order.

        Raises:
            OverloadedError: Too much waits already; nothing of this call was looked at.
            RecoveringError: The node's own log is being refilled, or what was erased before is
                not erased again yet.
            StoreError: The database failed; none of this call is known to be accepted.
        """
        if self.paused:
            msg = "this node is refilling its log from the peer; it accepts messages again soon"
            raise RecoveringError(msg, retry_after_s=5)
        if self._outstanding + len(submissions) > self._max_waiting:
            msg = "too many messages are waiting for admission"
            raise OverloadedError(msg)
        self._outstanding += len(submissions)
        try:
            await self._gate.passed()
            posted = self._first_stage.begin(principal, submissions)
            if len(posted) == 1 and posted[0].is_small:
                # Who gets no candidate there is refused, or needs another message: rare, and slower.
                with suppress(NoCandidateError):
                    return [await self._line.add_new(posted[0])]
            prepared = await self._first_stage.prepare(posted)
            answered = await self._answered_before(principal, submissions, prepared)
            results: list[Outcome | asyncio.Future[Outcome]] = [
                self._line.add(post) if isinstance(item, Candidate) else answered.get(place, item)
                for place, (post, item) in enumerate(zip(posted, prepared, strict=True))
            ]
            refused = [item for item in results if isinstance(item, GatewayError)]
            if refused:
                await self._record_refusals(principal, refused)
            return [await item if isinstance(item, asyncio.Future) else item for item in results]
        finally:
            self._outstanding -= len(submissions)

    async def check(self, principal: Principal, body: bytes, *, strict: bool) -> Checked:
        """Return the completed message and its warnings, if it would be accepted now.

        Args:
            principal: The caller.
            body: A message, or a draft unless ``strict``.
            strict: Complete nothing; the message has to be whole.

        Raises:
            RejectedError: What `submit` would answer.
        """
        await self._gate.passed()
        candidate = await self._first_stage.examine(principal, body, strict=strict)

        def look(tx: Transaction) -> Checked:
            memory = self._memory(tx, [candidate])
            violations = self._settle(candidate, memory)
            if violations:
                raise RefusedError(violations)
            message = candidate.message or orjson.dumps(candidate.document)
            return Checked(message=message, warnings=candidate.warnings)

        return await self._store.read(look)

    async def _answered_before(
        self, principal: Principal, submissions: Sequence[Submission], prepared: Sequence[object]
    ) -> dict[int, Outcome]:
        """Return the first answers to refused posts that repeat an accepted one, by place.

        A message that was good when it came breaks rules about its times later, or those of another
        catalogue. Whoever repeats the post because the answer was lost gets that answer all the same.
        """
        repeats: dict[int, PostName] = {}
        for place, item in enumerate(prepared):
            # What cannot be read was never accepted.
            if isinstance(item, RefusedError | TypeNotAgreedError) and not isinstance(item, UnreadableError):
                name = name_of(submissions[place])
                if name is not None:
                    repeats[place] = principal.agency, name
        if not repeats:
            return {}

        def look(tx: Transaction) -> dict[int, Outcome]:
            used = tx.facts.idempotent(set(repeats.values()))
            return {
                place: self._repeated(tx, principal.agency, used[name][1], ())
                for place, name in repeats.items()
                if name in used and is_same_post(used[name][0], digest_of(submissions[place].body))
            }

        return await self._store.read(look)

    # --- second stage --------------------------------------------------------------

    async def _decide(self, group: list[tuple[Candidate, asyncio.Future[Outcome]]]) -> None:
        candidates = [candidate for candidate, _ in group]
        ranks = [candidate.derived.header.precedence for candidate in candidates]
        self._on_deciding(int(min(ranks)))
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

    def _admit(self, tx: Transaction, candidates: Sequence[Candidate]) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        memory = self._memory(tx, candidates)
        # A post that is known by its message id was used if that message is there, which was asked already.
        used = tx.facts.idempotent(
            {c.name for c in candidates if isinstance(c.name[1], str) or memory.holds(c.name[1])}
        )
        # The acceptances of a group stand first among its events, one an agency.
        first = self._audit.next_place(tx)
        indexes: dict[str, int] = {}
        outcomes: list[Outcome | None] = []
        accepted: list[tuple[int, Candidate, NewMessage, bytes]] = []
        repeats: list[tuple[int, bytes]] = []
        for position, candidate in enumerate(candidates):
            known = used.get(candidate.name)
            if known is not None:
                if known[0] == b"":
                    outcomes.append(ErasedError("the message of this idempotency key was erased"))
                elif is_same_post(known[0], candidate.digest):
                    repeats.append((position, known[1]))
                    outcomes.append(None)
                else:
                    same = known[1] == candidate.message_id
                    broken = (violation("RF-DUP", "/header/message_id"),) if same else ()
                    outcomes.append(IdempotencyConflictError(broken))
                continue
            agency = candidate.principal.agency
            index = indexes.get(agency, first + len(indexes))
            try:
                row, message = contained(
                    candidate.message_id,
                    partial(self._decided, candidate, memory, now_ms, index),
                )
            except (RefusedError, UnexaminedError) as error:
                outcomes.append(error)
                continue
            indexes[agency] = index
            memory.add(row)
            used[candidate.name] = (candidate.digest, candidate.message_id)
            accepted.append((position, candidate, row, message))
            outcomes.append(None)
        self._record(tx, now_ms, candidates, outcomes, accepted)
        self._insert(tx, now_ms, accepted, memory)
        for position, candidate, _, message in accepted:
            outcomes[position] = Acceptance(
                message_id=candidate.message_id,
                state=State.ACCEPTED,
                accepted_ms=now_ms,
                message=message,
                audit_index=indexes[candidate.principal.agency],
                warnings=candidate.warnings,
            )
        for position, message_id in repeats:
            again = candidates[position]
            outcomes[position] = self._repeated(tx, again.principal.agency, message_id, again.warnings)
        return cast("list[Outcome]", outcomes)

    def _decided(
        self,
        candidate: Candidate,
        memory: ThreadMemory,
        now_ms: int,
        audit_index: int,
    ) -> tuple[NewMessage, bytes]:
        """Return the row and the JSON of a message that its conversation accepts.

        Raises:
            RefusedError: It does not.
        """
        violations = self._settle(candidate, memory)
        if violations:
            raise RefusedError(violations)
        return self._row(candidate, memory, now_ms, audit_index)

    def _settle(self, candidate: Candidate, memory: ThreadMemory) -> Sequence[Violation]:
        """Give the message its number if it has none, and check it against its conversation."""
        if candidate.message is None:
            header = candidate.document["header"]
            conversation_id = candidate.derived.header.conversation_id
            last = memory.last_seq(conversation_id, candidate.principal.agency)
            header["conversation"]["seq"] = last + 1
        verdict = examine_thread(
            candidate.document, catalogue=candidate.catalogue, threads=memory, side="sender"
        )
        return verdict.violations

    def _row(
        self,
        candidate: Candidate,
        memory: ThreadMemory,
        now_ms: int,
        audit_index: int,
    ) -> tuple[NewMessage, bytes]:
        document, derived = candidate.document, candidate.derived
        message = candidate.message or orjson.dumps(document)
        ciphertext, wrapped_key = candidate.sealed or self._preparation.seal(candidate, message)
        # A post that gave no key is known by its message id.
        digest = candidate.digest[:POST_DIGEST_BYTES] if isinstance(candidate.name[1], bytes) else None
        row = new_message(
            derived,
            seq=document["header"]["conversation"]["seq"],
            effects=effects_of(document, catalogue=candidate.catalogue, threads=memory),
            arrived_ms=now_ms,
            audit_index=audit_index,
            ciphertext=ciphertext,
            wrapped_key=wrapped_key,
            ending=derived.ending or end_with_target(document, memory),
            post_digest=digest,
        )
        return row, message

    def _record(
        self,
        tx: Transaction,
        now_ms: int,
        candidates: Sequence[Candidate],
        outcomes: Sequence[Outcome | None],
        accepted: Sequence[tuple[int, Candidate, NewMessage, bytes]],
    ) -> None:
        """Write the audit events of a group: acceptances by agency, then refusals."""
        entries: list[bytes] = []
        by_agency: dict[str, tuple[Actor, list[bytes]]] = {}
        for _, candidate, row, _ in accepted:
            agency = candidate.principal.agency
            by_agency.setdefault(agency, (candidate.principal.actor, []))[1].append(row.message_id)
        for actor, objects in by_agency.values():
            entries += self._audit.event(at_ms=now_ms, actor=actor, event="message.accepted", objects=objects)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            if isinstance(outcome, GatewayError):
                entries += self._refusal(now_ms, candidate.principal, outcome, candidate.message_id)
        if entries:
            self._audit.append(tx, entries)

    def _insert(
        self,
        tx: Transaction,
        now_ms: int,
        accepted: Sequence[tuple[int, Candidate, NewMessage, bytes]],
        memory: ThreadMemory,
    ) -> None:
        if not accepted:
            return
        rows = [row for _, _, row, _ in accepted]
        tx.outbox.insert(rows)
        for _, candidate, row, _ in accepted:
            # An urgent message may not overtake its own predecessors: they become as urgent.
            if row.rank < Precedence.ROUTINE:
                for conversation_id in self._before(candidate, row, memory):
                    tx.outbox.raise_rank(conversation_id, row.rank)
        tx.facts.put_idempotent(
            [
                (agency, key, candidate.digest, candidate.message_id, now_ms)
                for _, candidate, _, _ in accepted
                for agency, key in (candidate.name,)
                if isinstance(key, str)
            ]
        )

    def _before(self, candidate: Candidate, row: NewMessage, memory: ThreadMemory) -> set[bytes]:
        """Return the conversations that a message builds on.

        Its own, unless it opens it, and those of the message or room that it is about, with
        what was done to these before.
        """
        found = set() if row.message_id == row.conversation_id else {row.conversation_id}
        for subject in candidate.derived.subjects:
            ids = [subject, *(applied.message_id for applied in memory.effects(subject))]
            stored = (memory.find(message_id) for message_id in ids if message_id != row.message_id)
            found.update(message.conversation_id for message in stored if message is not None)
        return found

    def _repeated(
        self, tx: Transaction, agency: str, message_id: bytes, warnings: tuple[ValueWarning, ...]
    ) -> Outcome:
        row = tx.outbox.find(message_id, agency)
        stored = tx.threads.content(message_id)
        if row is None or stored is None:
            return ErasedError("the message of this idempotency key was erased")
        return Acceptance(
            message_id=message_id,
            state=row.state,
            accepted_ms=row.arrived_ms,
            message=orjson.dumps(self._vault.document(*stored)),
            audit_index=row.audit_index or 0,
            warnings=warnings,
        )

    def _memory(self, tx: Transaction, candidates: Sequence[Candidate]) -> ThreadMemory:
        memory = ThreadMemory(tx, open_content=self._vault.document)
        memory.fetch(
            message_ids=[candidate.message_id for candidate in candidates],
            answered=[c.derived.in_reply_to for c in candidates if c.derived.in_reply_to is not None],
            conversations=[candidate.derived.header.conversation_id for candidate in candidates],
            subjects=[subject for candidate in candidates for subject in candidate.derived.subjects],
        )
        return memory

    # --- refusals ------------------------------------------------------------------

    async def _record_refusals(self, principal: Principal, errors: Sequence[GatewayError]) -> None:
        now_ms = self._clock.now_ms()
        entries = [entry for error in errors for entry in self._refusal(now_ms, principal, error, None)]
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
