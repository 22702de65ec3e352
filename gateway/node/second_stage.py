"""The second stage of admission: what only the database can say about candidates.

One transaction for everything that arrived while the last one was committing: idempotency,
the rules that look at conversations, sequence numbers, sealing where it waited for them, the
rows and the audit event.

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import orjson

from gateway.core.message.draft import assign_number
from gateway.core.message.rule import rule_number, violation
from gateway.core.message.threads import effects_of, endings_of, examine_thread, subjects_of
from gateway.core.message.violation import Violation
from gateway.core.message.warning import ValueWarning
from gateway.core.quick import quick_value
from gateway.core.states import Precedence, State
from gateway.errors import GatewayError, RejectedError
from gateway.node.audit_log import Actor, AuditLog
from gateway.node.defects import UnexaminedError, contained
from gateway.node.message_rows import new_message
from gateway.node.posts import Candidate, Principal, is_same_post
from gateway.node.preparation import Preparation
from gateway.node.refusal import RefusedError
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.ports import POST_DIGEST_BYTES, Clock, NewMessage, Transaction


class IdempotencyConflictError(RefusedError):
    """The idempotency key was used before with another body.

    If that was a message of the same id, RF-DUP is broken as well; if not, no rule is.
    """

    code = "idempotency-conflict"


class ErasedError(RejectedError):
    """The content was erased; the proofs of the exchange remain."""

    code = "content-erased"


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


Outcome = Acceptance | GatewayError


class SecondStage:
    """Decides about candidates, within a transaction of the caller."""

    def __init__(self, preparation: Preparation, *, vault: Vault, audit: AuditLog, clock: Clock) -> None:
        """Wire the stage.

        Args:
            preparation: Seals what waited for its number.
            vault: Opens what conversations are about.
            audit: Writes events.
            clock: Time of acceptance.
        """
        self._preparation = preparation
        self._vault = vault
        self._audit = audit
        self._clock = clock

    def check(self, tx: Transaction, candidate: Candidate) -> bytes:
        """Return the JSON of a message that would be accepted; nothing is written.

        Raises:
            RefusedError: It would not be.
        """
        violations = self._settle(candidate, self._memory(tx, [candidate]))
        if violations:
            raise RefusedError(violations)
        return candidate.message or orjson.dumps(candidate.document)

    def decide(self, tx: Transaction, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Decide about candidates, accept those that may be, and return the outcomes in order."""
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
            used[candidate.name] = (candidate.digest, row.message_id)
            accepted.append((position, candidate, row, message))
            outcomes.append(None)
        self._record(tx, now_ms, candidates, outcomes, accepted)
        self._insert(tx, now_ms, accepted, memory)
        for position, candidate, row, message in accepted:
            outcomes[position] = Acceptance(
                message_id=row.message_id,
                state=State.ACCEPTED,
                accepted_ms=now_ms,
                message=message,
                audit_index=indexes[candidate.principal.agency],
                warnings=candidate.warnings,
            )
        for position, message_id in repeats:
            again = candidates[position]
            outcomes[position] = self.repeated(tx, again.principal.agency, message_id, again.warnings)
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
            conversation_id = candidate.derived.header.conversation_id
            last = memory.last_seq(conversation_id, candidate.principal.agency)
            if full := assign_number(candidate.document, last):
                return full
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
        effects = effects_of(document, catalogue=candidate.catalogue, threads=memory)
        row = new_message(
            derived,
            seq=document["header"]["conversation"]["seq"],
            effects=effects,
            arrived_ms=now_ms,
            audit_index=audit_index,
            ciphertext=ciphertext,
            wrapped_key=wrapped_key,
            endings=endings_of(
                document, derived.ending, catalogue=candidate.catalogue, threads=memory, effects=effects
            ),
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
                entries += self.refusal(now_ms, candidate.principal, outcome, candidate.message_id)
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
        self._hurry(tx, accepted, memory)
        tx.facts.put_idempotent(
            [
                (agency, key, candidate.digest, row.message_id, now_ms)
                for _, candidate, row, _ in accepted
                for agency, key in (candidate.name,)
                if isinstance(key, str)
            ]
        )

    def _hurry(
        self,
        tx: Transaction,
        accepted: Sequence[tuple[int, Candidate, NewMessage, bytes]],
        memory: ThreadMemory,
    ) -> None:
        """Let nothing urgent overtake its predecessors: they become as urgent, and theirs, and so on."""
        ranks: dict[bytes, int] = {}
        for _, candidate, row, _ in accepted:
            if row.rank < Precedence.ROUTINE:
                for conversation_id in self._before(candidate, row, memory):
                    ranks[conversation_id] = min(row.rank, ranks.get(conversation_id, row.rank))
        while ranks:
            raised = tx.outbox.raise_ranks(ranks)
            ranks = {}
            for message_id, rank in raised:
                document = memory.content(message_id)
                for subject in () if document is None else subjects_of(document):
                    for conversation_id in memory.built_on(subject):
                        ranks[conversation_id] = min(rank, ranks.get(conversation_id, rank))

    def _before(self, candidate: Candidate, row: NewMessage, memory: ThreadMemory) -> set[bytes]:
        """Return the conversations that a message builds on.

        Its own, unless it opens it, and those of the message or room that it is about, with
        what was done to these before.
        """
        found = set() if row.message_id == row.conversation_id else {row.conversation_id}
        return found.union(*(memory.built_on(subject) for subject in candidate.derived.subjects))

    def repeated(
        self, tx: Transaction, agency: str, message_id: bytes, warnings: tuple[ValueWarning, ...]
    ) -> Outcome:
        """Return the answer that an accepted post got before, with where its message is now."""
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
            numbered=[(c.derived.header.conversation_id, c.principal.agency) for c in candidates],
            subjects=[subject for candidate in candidates for subject in candidate.derived.subjects],
        )
        return memory

    def refusal(
        self, now_ms: int, principal: Principal, error: GatewayError, message_id: bytes | None
    ) -> list[bytes]:
        """Return the audit event of a refusal, encoded."""
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
