"""Two operators: what one proposes counts once another has approved it, and never before."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.digest import digest_of
from gateway.core.entries import EventEntry, Role, decode_entry
from gateway.errors import StoreError
from gateway.node.approvals import MOST_OPEN, ApprovalDesk, ApprovalRules
from gateway.node.audit_log import AuditLog
from gateway.node.enrolment import Enrolled
from gateway.node.inbox import NotFoundError
from gateway.node.pair import Pair
from gateway.node.proposals import (
    KEPT,
    Fate,
    NothingToProposeError,
    NotRequiredError,
    ProposalAlteredError,
    ProposalOverError,
    SecondOperatorError,
    TooManyProposalsError,
)
from gateway.node.quotas import Quota, Quotas
from gateway.ports import Step, Transaction
from gateway.storage.store import SqlStore
from gateway.system import SystemEntropy
from tests.world import WorldClock

HOUR_S = 3_600
FIRST = Enrolled(role="operator", code="FIRST", spki=b"1" * 32)
SECOND = Enrolled(role="operator", code="SECOND", spki=b"2" * 32)
THIRD = Enrolled(role="operator", code="THIRD", spki=b"3" * 32)
OLD = Enrolled(role="agency", code="FR.OLD", spki=b"o" * 32)
NEW = Enrolled(role="agency", code="FR.NEW", spki=b"n" * 32)


class Place:
    """A database, a registry file as a set, and desks that open on both like a restarted node."""

    def __init__(self, store: SqlStore, pair: Pair, clock: WorldClock) -> None:
        self.store = store
        self.clock = clock
        self.audit = AuditLog(pair)
        self.quotas = Quotas(store=store, audit=self.audit, clock=clock, default=Quota())
        self.file = {FIRST, SECOND, OLD}

    async def desk(self, *, required: bool = True) -> ApprovalDesk:
        desk = ApprovalDesk(
            store=self.store,
            audit=self.audit,
            clock=self.clock,
            entropy=SystemEntropy(),
            quotas=self.quotas,
            rules=ApprovalRules(required=required, proposal_hours=72),
        )
        await desk.open(lambda: frozenset(self.file))
        await desk.look()
        return desk

    async def events(self) -> list[EventEntry]:
        def load(tx: Transaction) -> list[bytes]:
            head = tx.logs.head(self.audit.origin)
            return [] if head is None else tx.logs.entries(self.audit.origin, 0, head.size)

        found = [decode_entry(entry) for entry in await self.store.read(load)]
        return [entry for entry in found if isinstance(entry, EventEntry)]


@pytest.fixture
async def place(store: SqlStore, pair: Pair, clock: WorldClock) -> Place:
    place = Place(store, pair, clock)
    await store.write(Step.SETUP, lambda tx: place.audit.open(tx, b"statement"))
    return place


async def test_without_the_switch_the_file_alone_counts(place: Place) -> None:
    desk = await place.desk(required=False)

    assert desk.admits(NEW)
    with pytest.raises(NotRequiredError):
        await desk.propose_quota(FIRST, "FR.OLD", Quota(), "Why")
    with pytest.raises(NothingToProposeError):
        await desk.propose_registry(FIRST, "Why")


async def test_those_whom_the_file_names_when_the_switch_is_turned_are_the_ones_to_begin_with(
    place: Place,
) -> None:
    desk = await place.desk()

    assert all(desk.admits(item) for item in (FIRST, SECOND, OLD))
    assert not desk.admits(NEW)
    (event,) = await place.events()
    assert (event.event, event.role) == ("approval.required", Role.NODE)


async def test_one_who_is_added_to_the_file_may_speak_once_a_second_operator_agrees(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    await desk.look()
    assert not desk.admits(NEW)

    proposal = await desk.propose_registry(FIRST, "New agency")
    assert not desk.admits(NEW)
    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Called them")

    assert desk.admits(NEW)
    assert (await desk.find(proposal.proposal_id)).fate is Fate.APPROVED
    proposed, approved = (await place.events())[1:]
    assert (proposed.event, proposed.actor) == ("approval.proposed", FIRST.spki)
    assert (approved.event, approved.actor) == ("approval.approved", SECOND.spki)
    assert proposed.objects == approved.objects == (proposal.proposal_id,)
    assert proposed.details == (proposal.digest, digest_of(b"New agency"))
    # Both keys, both reasons and what was agreed to, in the entry of the change itself.
    assert approved.details[:4] == (
        proposal.digest,
        FIRST.spki,
        digest_of(b"New agency"),
        digest_of(b"Called them"),
    )


@pytest.mark.parametrize(
    "approver",
    [
        FIRST,
        # The same person with another certificate, and the same key under another name.
        Enrolled(role="operator", code="FIRST", spki=b"9" * 32),
        Enrolled(role="operator", code="OTHER", spki=FIRST.spki),
        # One whom the file names and nobody has agreed to: a key of one's own is no second person.
        THIRD,
    ],
)
async def test_whoever_is_not_a_second_operator_cannot_approve(place: Place, approver: Enrolled) -> None:
    desk = await place.desk()
    place.file |= {NEW, THIRD}
    proposal = await desk.propose_registry(FIRST, "New agency")

    with pytest.raises(SecondOperatorError):
        await desk.approve(approver, proposal.proposal_id, proposal.digest, "Me again")

    assert not desk.admits(NEW)
    assert [event.event for event in await place.events()][-1] == "approval.proposed"


async def test_two_certificates_of_one_operator_are_one_operator(place: Place) -> None:
    twin = Enrolled(role="operator", code="FIRST", spki=b"9" * 32)
    place.file.add(twin)
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    with pytest.raises(SecondOperatorError):
        await desk.approve(twin, proposal.proposal_id, proposal.digest, "Me again")


async def test_what_an_operator_has_proposed_falls_with_that_operators_key(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")
    place.file.discard(FIRST)

    with pytest.raises(SecondOperatorError):
        await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    assert not desk.admits(NEW)


async def test_a_file_that_was_altered_after_the_proposal_is_not_approved_with_it(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")
    other = Enrolled(role="agency", code="FR.NEW", spki=b"x" * 32)
    place.file = (place.file - {NEW}) | {other}

    with pytest.raises(ProposalAlteredError):
        await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    assert not desk.admits(other)

    # Somebody who is added meanwhile is no part of it either.
    place.file |= {NEW}
    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    assert desk.admits(NEW)
    assert not desk.admits(other)


async def test_an_approver_approves_what_was_shown_and_nothing_else(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    with pytest.raises(ProposalAlteredError):
        await desk.approve(SECOND, proposal.proposal_id, digest_of(b"another"), "Fine")
    assert not desk.admits(NEW)


async def test_another_role_of_a_known_key_waits_as_well(place: Place) -> None:
    desk = await place.desk()
    promoted = Enrolled(role="operator", code="FR.OLD", spki=OLD.spki)
    place.file = {FIRST, SECOND, promoted}
    await desk.look()
    assert not desk.admits(OLD)
    assert not desk.admits(promoted)

    proposal = await desk.propose_registry(FIRST, "Promoted")
    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    assert desk.admits(promoted)
    assert not desk.admits(OLD)


async def test_who_is_taken_out_is_out_at_once_and_stays_out(place: Place) -> None:
    desk = await place.desk()
    place.file.discard(OLD)
    await desk.look()
    assert not desk.admits(OLD)
    event = (await place.events())[-1]
    assert (event.event, event.details[0]) == ("registry.withdrawn", 1)

    # Whoever writes the file alone cannot take it back, not even beside a restart.
    place.file.add(OLD)
    desk = await place.desk()
    assert not desk.admits(OLD)
    found = await desk.approvals()
    assert [item.enrolled for item in found.unconfirmed] == [OLD]
    assert found.waiting == (OLD,)


async def test_two_operators_confirm_a_withdrawal_afterwards(place: Place) -> None:
    desk = await place.desk()
    place.file.discard(OLD)
    proposal = await desk.propose_registry(FIRST, "Laptop stolen")
    with pytest.raises(SecondOperatorError):
        await desk.approve(FIRST, proposal.proposal_id, proposal.digest, "Really")

    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Saw the report")

    found = await desk.approvals()
    assert (found.waiting, found.unconfirmed, found.open) == ((), (), ())
    assert not desk.admits(OLD)


async def test_a_proposal_that_nobody_approves_in_time_is_over(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")
    place.clock.advance(72 * HOUR_S)

    with pytest.raises(ProposalOverError):
        await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Late")

    assert (await desk.find(proposal.proposal_id)).fate is Fate.EXPIRED
    assert [event.event for event in await place.events()][-1] == "approval.expired"
    assert not desk.admits(NEW)


async def test_a_rejected_proposal_is_over_and_its_proposer_may_take_it_back(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    refused, taken_back = [await desk.propose_registry(FIRST, "New agency") for _ in range(2)]
    await desk.reject(SECOND, refused.proposal_id, "Not ours")
    await desk.reject(FIRST, taken_back.proposal_id, "A mistake")

    for proposal in (refused, taken_back):
        with pytest.raises(ProposalOverError):
            await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "After all")
    rejections = [event for event in await place.events() if event.event == "approval.rejected"]
    assert [event.actor for event in rejections] == [SECOND.spki, FIRST.spki]


async def test_of_two_decisions_at_once_one_counts(place: Place) -> None:
    place.file.add(THIRD)
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    results = await asyncio.gather(
        desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine"),
        desk.approve(THIRD, proposal.proposal_id, proposal.digest, "Fine"),
        desk.reject(THIRD, proposal.proposal_id, "No"),
        return_exceptions=True,
    )

    assert sorted(type(item).__name__ for item in results) == [
        "Proposal",
        "ProposalOverError",
        "ProposalOverError",
    ]
    names = [event.event for event in await place.events()]
    assert names.count("approval.approved") + names.count("approval.rejected") == 1


async def test_a_quota_is_changed_by_the_approval_and_in_its_transaction(place: Place) -> None:
    desk = await place.desk()
    quota = Quota(per_minute=5, waiting=None)
    proposal = await desk.propose_quota(FIRST, "FR.OLD", quota, "They loop")
    assert place.quotas.own == {}

    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Saw it")

    assert place.quotas.quota_of("FR.OLD") == quota
    assert [event.event for event in await place.events()][-2:] == ["approval.approved", "quota.set"]
    proposal = await desk.propose_quota(SECOND, "FR.OLD", None, "Mended")
    await desk.approve(FIRST, proposal.proposal_id, proposal.digest, "Saw it")
    assert place.quotas.own == {}
    with pytest.raises(NotFoundError):
        await desk.propose_quota(FIRST, "FR.OLD", None, "Again")


async def test_turning_the_switch_is_on_record_and_ends_what_was_proposed(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    desk = await place.desk(required=False)
    assert desk.admits(NEW)
    assert [event.event for event in await place.events()][-2:] == ["approval.waived", "approval.expired"]

    # Turned on again, it begins with whom the file names then.
    desk = await place.desk()
    assert desk.admits(NEW)
    with pytest.raises(ProposalOverError):
        await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")


async def test_a_node_that_starts_again_remembers_what_was_proposed_and_who_is_in_force(
    place: Place,
) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    # As after a kill: nothing but the database is left.
    desk = await place.desk()
    assert not desk.admits(NEW)
    assert (await desk.find(proposal.proposal_id)) == proposal
    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    desk = await place.desk()
    assert desk.admits(NEW)


async def test_an_approval_that_is_not_written_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposal = await desk.propose_registry(FIRST, "New agency")

    def fail(*_: object, **__: object) -> int:
        msg = "no room"
        raise StoreError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(place.audit, "append", fail)
        with pytest.raises(StoreError):
            await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")

    assert not desk.admits(NEW)
    assert (await desk.find(proposal.proposal_id)).fate is Fate.OPEN
    await desk.approve(SECOND, proposal.proposal_id, proposal.digest, "Fine")
    assert desk.admits(NEW)


async def test_there_is_a_bound_to_open_proposals_and_to_those_that_are_kept(place: Place) -> None:
    desk = await place.desk()
    place.file.add(NEW)
    proposals = [await desk.propose_registry(FIRST, "New agency") for _ in range(MOST_OPEN)]
    with pytest.raises(TooManyProposalsError):
        await desk.propose_registry(FIRST, "One more")

    for _ in range(3):
        for proposal in proposals:
            await desk.reject(SECOND, proposal.proposal_id, "No")
        proposals = [await desk.propose_registry(FIRST, "New agency") for _ in range(MOST_OPEN)]
    assert len((await desk.approvals()).proposals) == KEPT + MOST_OPEN


async def test_an_unknown_proposal_is_not_found(place: Place) -> None:
    desk = await place.desk()

    with pytest.raises(NotFoundError):
        await desk.reject(FIRST, b"?" * 16, "Why")
