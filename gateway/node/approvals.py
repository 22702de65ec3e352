"""Two operators: changes of the registry and of quotas that one proposes and another approves.

Off unless the configuration asks for it. Then a holder whom the registry file names may speak
only once a second operator has agreed, and a quota is changed only then. Who is taken out of
the file is out at once, because a stolen key does not wait for an office to open; it stays
listed as unconfirmed until two operators have said that it was right.

Everything is kept in the database, and every step is an event of the audit log in the same
transaction: so there is no change without both names, and a crash leaves a proposal open or
decided, never half.

Spec: docs/spec/keys.md, "Two operators"; docs/adr/0037-two-operators.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.core.digest import digest_of
from gateway.core.entries import Role
from gateway.node.audit_log import NODE, Actor, AuditLog
from gateway.node.enrolment import (
    Enrolled,
    Enrolment,
    Withdrawn,
    enrolment_text,
    read_enrolment,
)
from gateway.node.identifiers import new_uuid7
from gateway.node.proposals import (
    Fate,
    NothingToProposeError,
    NotRequiredError,
    Proposal,
    ProposalAlteredError,
    TooManyProposalsError,
    Word,
    find_in,
    named,
    open_in,
    proposals_text,
    quota_change,
    read_proposals,
    read_quota_change,
    read_registry_change,
    registry_change,
    verify_two,
)
from gateway.node.quotas import OwnQuota, Quota, Quotas
from gateway.ports import Clock, Entropy, Step, Store, Transaction

log = structlog.get_logger(__name__)

ENROLMENT: Final = "enrolment"
PROPOSALS: Final = "proposals"
MOST_OPEN: Final = 100

Listed = Callable[[], frozenset[Enrolled]]
"""Reads whom the registry file names now."""

_QuotaChange = tuple[str, dict[str, OwnQuota]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    """What the configuration says.

    Attributes:
        required: Whether changes need two operators.
        proposal_hours: How long a proposal may be approved.
    """

    required: bool = False
    proposal_hours: int = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """How things stand, for those who look.

    Attributes:
        required: Whether changes need two operators.
        operators: How many operators of different names are in force.
        waiting: Named by the registry file, and not agreed to: nobody, until they are.
        unconfirmed: Taken out at once, and not confirmed.
        proposals: The oldest first; those that are over included.
    """

    required: bool
    operators: int
    waiting: tuple[Enrolled, ...]
    unconfirmed: tuple[Withdrawn, ...]
    proposals: tuple[Proposal, ...]

    @property
    def open(self) -> tuple[Proposal, ...]:
        """Return the proposals that somebody has to decide."""
        return tuple(item for item in self.proposals if item.fate is Fate.OPEN)


class ApprovalDesk:
    """Takes proposals, decides them, and says who is enrolled."""

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        clock: Clock,
        entropy: Entropy,
        quotas: Quotas,
        rules: ApprovalRules,
    ) -> None:
        """Wire it; nobody is enrolled before `open`.

        Args:
            store: Keeps who is enrolled, and the proposals.
            audit: Writes events.
            clock: Time of a decision.
            entropy: Randomness of ids.
            quotas: Carries out changes of quotas.
            rules: What the configuration says.
        """
        self._store = store
        self._audit = audit
        self._clock = clock
        self._entropy = entropy
        self._quotas = quotas
        self._rules = rules
        self._listed: Listed = frozenset
        self._enrolment = Enrolment(in_force=frozenset())
        # Held from a write until what it kept counts here, so that none counts in the wrong order.
        self._deciding = asyncio.Lock()
        self._is_kept = False
        self._next_end_ms: int | None = None
        self._told: frozenset[Enrolled] = frozenset()

    @property
    def required(self) -> bool:
        """Return whether changes need two operators."""
        return self._rules.required

    def admits(self, enrolled: Enrolled) -> bool:
        """Return whether one whom the registry file names may speak."""
        return not self.required or enrolled in self._enrolment.in_force

    async def open(self, listed: Listed) -> None:
        """Remember who is enrolled, before anybody can knock.

        Where changes did not need two operators before, those whom the file names now are the
        ones to begin with; the audit log says so as soon as it is open.
        """
        self._listed = listed
        kept, proposals = await self._store.read(
            lambda tx: (read_enrolment(tx.facts.get(ENROLMENT)), read_proposals(tx.facts.get(PROPOSALS)))
        )
        self._is_kept = kept is not None
        if kept is not None:
            self._enrolment = kept
        elif self.required:
            self._enrolment = Enrolment(in_force=listed())
        self._remember_ends(proposals)

    async def look(self) -> None:
        """Act on what the file or the time has changed: once a second, and before each decision."""
        if self.required != self._is_kept:
            await self._switch()
        if not self.required:
            return
        listed = self._listed()
        gone = self._enrolment.in_force - listed
        if gone:
            await self._withdraw(gone)
        waiting = listed - self._enrolment.in_force
        if waiting != self._told:
            self._told = waiting
            log.warning("registry.waiting", waiting=len(waiting))
        if self._next_end_ms is not None and self._next_end_ms <= self._clock.now_ms():
            await self._expire()

    async def approvals(self) -> Approvals:
        """Return how things stand."""
        await self.look()
        waiting = self._listed() - self._enrolment.in_force if self.required else frozenset()
        return Approvals(
            required=self.required,
            operators=self._enrolment.operators(),
            waiting=tuple(sorted(waiting)),
            unconfirmed=self._enrolment.withdrawn,
            proposals=tuple(await self._store.read(lambda tx: read_proposals(tx.facts.get(PROPOSALS)))),
        )

    async def find(self, proposal_id: bytes) -> Proposal:
        """Return a proposal.

        Raises:
            NotFoundError: There is none of this id.
        """
        return find_in((await self.approvals()).proposals, proposal_id)

    async def propose_registry(self, by: Enrolled, reason: str) -> Proposal:
        """Propose the registry as its file is now: all who wait, and all that is unconfirmed.

        Raises:
            NotRequiredError, NothingToProposeError, TooManyProposalsError: As their names say.
        """
        found = await self.approvals()
        if not found.waiting and not found.unconfirmed:
            msg = "the registry file names nobody who waits for an approval"
            raise NothingToProposeError(msg)
        confirmed = [item.enrolled for item in found.unconfirmed]
        return await self._propose(by, registry_change(found.waiting, confirmed), reason)

    async def propose_quota(self, by: Enrolled, agency: str, quota: Quota | None, reason: str) -> Proposal:
        """Propose a quota of one agency, or with None that of the configuration.

        Raises:
            NotRequiredError, TooManyProposalsError: As their names say.
            NotFoundError: It is to be taken back, and the agency has none of its own.
        """
        if quota is None:
            self._quotas.verify_own(agency)
        return await self._propose(by, quota_change(agency, quota), reason)

    async def approve(self, by: Enrolled, proposal_id: bytes, digest: bytes, reason: str) -> Proposal:
        """Carry out what another operator has proposed.

        Args:
            by: Who approves, as the registry names them.
            proposal_id: Which one.
            digest: SHA-384 of the change that the approver has seen.
            reason: Why.

        Raises:
            NotFoundError, ProposalOverError, ProposalAlteredError, SecondOperatorError: As their
                names say; nothing is changed.
        """
        await self.look()
        word = Word(by=by, at_ms=self._clock.now_ms(), reason=reason)
        listed = self._listed()

        def carry_out(tx: Transaction) -> tuple[list[Proposal], Proposal, Enrolment, _QuotaChange | None]:
            proposals = read_proposals(tx.facts.get(PROPOSALS))
            proposal = open_in(proposals, proposal_id, at_ms=word.at_ms)
            if digest != proposal.digest:
                msg = "the digest is not that of the proposal"
                raise ProposalAlteredError(msg)
            enrolment = read_enrolment(tx.facts.get(ENROLMENT)) or Enrolment(in_force=frozenset())
            proposer = proposal.proposed.by
            verify_two(proposer, by, among=enrolment.in_force & listed)
            details = [proposal.digest, *named(proposal.proposed), digest_of(reason.encode())]
            if "registry" in proposal.content:
                enrolled, confirmed = read_registry_change(proposal.content)
                if not listed.issuperset(enrolled):
                    msg = "the registry file does not name all of them any more: propose again"
                    raise ProposalAlteredError(msg)
                enrolment = enrolment.agreed(enrolled, confirmed)
                tx.facts.put(ENROLMENT, enrolment_text(enrolment))
                details.append(enrolment.digest)
            self._record(tx, by, "approval.approved", proposal_id, details, word.at_ms)
            quotas = None
            if "quota" in proposal.content:
                agency, quota = read_quota_change(proposal.content)
                why = proposal.proposed.reason
                quotas = agency, self._quotas.put(tx, _actor(by), agency, quota, why, word.at_ms)
            ended = proposal.ended(Fate.APPROVED, word)
            return _replace(tx, proposals, ended), ended, enrolment, quotas

        async with self._deciding:
            proposals, ended, self._enrolment, quotas = await self._store.write(Step.AUDITED, carry_out)
            self._remember_ends(proposals)
            if quotas is not None:
                self._quotas.adopt(quotas[1], quotas[0])
        log.info("approval.approved", proposal=ended.proposal_id.hex())
        return ended

    async def reject(self, by: Enrolled, proposal_id: bytes, reason: str) -> Proposal:
        """End a proposal without doing anything; its proposer may as well.

        Raises:
            NotFoundError, ProposalOverError: As their names say.
        """
        await self.look()
        word = Word(by=by, at_ms=self._clock.now_ms(), reason=reason)

        def end(tx: Transaction) -> tuple[list[Proposal], Proposal]:
            proposals = read_proposals(tx.facts.get(PROPOSALS))
            proposal = open_in(proposals, proposal_id, at_ms=word.at_ms)
            details = [proposal.digest, digest_of(reason.encode())]
            self._record(tx, by, "approval.rejected", proposal_id, details, word.at_ms)
            ended = proposal.ended(Fate.REJECTED, word)
            return _replace(tx, proposals, ended), ended

        async with self._deciding:
            proposals, ended = await self._store.write(Step.AUDITED, end)
            self._remember_ends(proposals)
        log.info("approval.rejected", proposal=ended.proposal_id.hex())
        return ended

    async def _propose(self, by: Enrolled, change: str, reason: str) -> Proposal:
        if not self.required:
            msg = "changes do not need two operators here"
            raise NotRequiredError(msg)
        now_ms = self._clock.now_ms()
        proposal = Proposal(
            proposal_id=new_uuid7(now_ms, self._entropy),
            change=change,
            proposed=Word(by=by, at_ms=now_ms, reason=reason),
            ends_ms=now_ms + self._rules.proposal_hours * 3_600_000,
        )

        def keep(tx: Transaction) -> list[Proposal]:
            proposals = read_proposals(tx.facts.get(PROPOSALS))
            if sum(item.fate is Fate.OPEN for item in proposals) >= MOST_OPEN:
                msg = f"{MOST_OPEN} proposals are open: decide some of them first"
                raise TooManyProposalsError(msg)
            proposals.append(proposal)
            tx.facts.put(PROPOSALS, proposals_text(proposals))
            details = [proposal.digest, digest_of(reason.encode())]
            self._record(tx, by, "approval.proposed", proposal.proposal_id, details, now_ms)
            return proposals

        async with self._deciding:
            self._remember_ends(await self._store.write(Step.AUDITED, keep))
        log.warning("approval.proposed", proposal=proposal.proposal_id.hex())
        return proposal

    async def _switch(self) -> None:
        """Keep what the configuration says now, and put it on record with who is in force."""
        now_ms = self._clock.now_ms()
        enrolment = self._enrolment if self.required else Enrolment(in_force=self._listed())
        event = "approval.required" if self.required else "approval.waived"

        def keep(tx: Transaction) -> list[Proposal]:
            tx.facts.put(ENROLMENT, enrolment_text(enrolment) if self.required else None)
            self._record(tx, None, event, None, [enrolment.digest], now_ms)
            # What was proposed under the other rule is not approved under this one.
            return self._end_all(tx, now_ms, before_ms=None)

        async with self._deciding:
            self._remember_ends(await self._store.write(Step.AUDITED, keep))
            self._enrolment, self._is_kept = enrolment, self.required
        if self.required:
            log.info("approval.required", operators=enrolment.operators())
        else:
            log.warning("approval.waived")

    async def _withdraw(self, gone: frozenset[Enrolled]) -> None:
        """Take out at once, and for good, whom the file does not name any more."""
        now_ms = self._clock.now_ms()

        def keep(tx: Transaction) -> Enrolment:
            kept = read_enrolment(tx.facts.get(ENROLMENT)) or self._enrolment
            enrolment = kept.without(gone & kept.in_force, at_ms=now_ms)
            tx.facts.put(ENROLMENT, enrolment_text(enrolment))
            self._record(tx, None, "registry.withdrawn", None, [len(gone), enrolment.digest], now_ms)
            return enrolment

        async with self._deciding:
            self._enrolment = await self._store.write(Step.AUDITED, keep)
        log.warning("registry.withdrawn", holders=len(gone), operators=self._enrolment.operators())

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        async with self._deciding:
            proposals = await self._store.write(
                Step.AUDITED, lambda tx: self._end_all(tx, now_ms, before_ms=now_ms)
            )
            self._remember_ends(proposals)
        log.warning("approval.expired")

    def _end_all(self, tx: Transaction, now_ms: int, *, before_ms: int | None) -> list[Proposal]:
        """End open proposals whose time is over by a moment, or all of them."""
        proposals = read_proposals(tx.facts.get(PROPOSALS))
        word = Word(by=None, at_ms=now_ms, reason="")
        for item in proposals:
            if item.fate is Fate.OPEN and (before_ms is None or item.ends_ms <= before_ms):
                self._record(tx, None, "approval.expired", item.proposal_id, [item.digest], now_ms)
                proposals = _replace(tx, proposals, item.ended(Fate.EXPIRED, word))
        return proposals

    def _record(
        self,
        tx: Transaction,
        by: Enrolled | None,
        event: str,
        proposal_id: bytes | None,
        details: Sequence[int | bytes],
        now_ms: int,
    ) -> None:
        entries = self._audit.event(
            at_ms=now_ms,
            actor=NODE if by is None else _actor(by),
            event=event,
            objects=[] if proposal_id is None else [proposal_id],
            details=details,
        )
        self._audit.append(tx, entries)

    def _remember_ends(self, proposals: Sequence[Proposal]) -> None:
        ends = [item.ends_ms for item in proposals if item.fate is Fate.OPEN]
        self._next_end_ms = min(ends, default=None)


def _actor(by: Enrolled) -> Actor:
    return Actor(role=Role.OPERATOR, spki=by.spki)


def _replace(tx: Transaction, proposals: Sequence[Proposal], changed: Proposal) -> list[Proposal]:
    """Keep a proposal that has changed; return all of them."""
    kept = [changed if item.proposal_id == changed.proposal_id else item for item in proposals]
    tx.facts.put(PROPOSALS, proposals_text(kept))
    return kept
