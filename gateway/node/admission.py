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
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import cast

from gateway.core.digest import digest_of
from gateway.core.message.reference_lists import NO_LISTS, ReferenceLists
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.warning import ValueWarning
from gateway.core.quick import quick_value
from gateway.errors import GatewayError, UnavailableError, forget_frames
from gateway.node.audit_log import AuditLog
from gateway.node.crew import Crew
from gateway.node.first_stage import FirstStage
from gateway.node.gate import Gate, RecoveringError
from gateway.node.line import Line, NoCandidateError
from gateway.node.pair import Pair
from gateway.node.posts import Candidate, Posted, Principal, Submission, is_same_post
from gateway.node.preparation import Preparation
from gateway.node.refusal import RefusedError, TypeNotAgreedError, UnreadableError
from gateway.node.second_stage import Outcome, SecondStage
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, Entropy, PostName, Step, Store, Transaction


class OverloadedError(UnavailableError):
    """More is waiting for admission than this node takes on at once."""

    code = "overloaded"


@quick_value
class Checked:
    """The answer to a message that would be accepted.

    Attributes:
        message: The completed document as JSON bytes.
        warnings: Values of it that are in no reference list.
    """

    message: bytes
    warnings: tuple[ValueWarning, ...] = ()


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
        on_deciding: Callable[[int, int], None] = lambda _rank, _messages: None,
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
            on_deciding: Told right before a group is written, with its most urgent precedence number and how
                many messages it has: a write that is queued from then on finds what was accepted, and may
                share the commit.
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
        self._second_stage = SecondStage(self._preparation, vault=vault, audit=audit, clock=clock)
        self._store = store
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
                try:
                    return [await self._line.add_new(posted[0])]
                except NoCandidateError as error:
                    forget_frames(error)
            prepared = await self._first_stage.prepare(posted)
            answered = await self._answered_before(principal, posted, prepared)
            waiting = {
                place: self._line.add(posted[place])
                for place, item in enumerate(prepared)
                if isinstance(item, Candidate)
            }
            outcomes = {place: await decided for place, decided in waiting.items()} | answered
            refused = {place: post for place, post in enumerate(posted) if place not in outcomes}
            if refused:
                await self._first_stage.ask_conversations(list(refused.values()))
                errors = {place: cast("GatewayError", post.result()) for place, post in refused.items()}
                await self._record_refusals(principal, errors.values())
                outcomes |= errors
            return [outcomes[place] for place in range(len(posted))]
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
            message = self._second_stage.check(tx, candidate)
            return Checked(message=message, warnings=candidate.warnings)

        return await self._store.read(look)

    async def _answered_before(
        self, principal: Principal, posted: Sequence[Posted], prepared: Sequence[object]
    ) -> dict[int, Outcome]:
        """Return the first answers to refused posts that repeat an accepted one, by place.

        A message that was good when it came breaks rules about its times later, or those of another
        catalogue. Whoever repeats the post because the answer was lost gets that answer all the same.
        """
        repeats: dict[int, PostName] = {}
        for place, item in enumerate(prepared):
            # What cannot be read was never accepted.
            if isinstance(item, RefusedError | TypeNotAgreedError) and not isinstance(item, UnreadableError):
                name = posted[place].name
                if name is not None:
                    repeats[place] = principal.agency, name
        if not repeats:
            return {}

        def look(tx: Transaction) -> dict[int, Outcome]:
            used = tx.facts.idempotent(set(repeats.values()))
            return {
                place: self._second_stage.repeated(tx, principal.agency, used[name][1], ())
                for place, name in repeats.items()
                if name in used and is_same_post(used[name][0], digest_of(posted[place].body))
            }

        return await self._store.read(look)

    async def _decide(self, group: list[tuple[Candidate, asyncio.Future[Outcome]]]) -> None:
        candidates = [candidate for candidate, _ in group]
        ranks = [candidate.derived.header.precedence for candidate in candidates]
        self._on_deciding(int(min(ranks)), len(ranks))
        decide = partial(self._second_stage.decide, candidates=candidates)
        try:
            outcomes = await self._store.write(Step.ACCEPTED, decide)
        except GatewayError as error:
            # Nothing of the group is known to be durable: every caller has to hear that.
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():  # the caller may have gone away; the message stays accepted
                future.set_result(outcome)

    async def _record_refusals(self, principal: Principal, errors: Iterable[GatewayError]) -> None:
        now_ms, refusal = self._clock.now_ms(), self._second_stage.refusal
        entries = [entry for error in errors for entry in refusal(now_ms, principal, error, None)]
        await self._store.write(Step.REFUSED, lambda tx: self._audit.append(tx, entries))
