"""Proposals: changes that one operator wants and that wait for a second one.

A proposal never changes: what is approved is the text that was proposed, whose digest the
approver names and the audit log has had since the proposal. It is open until somebody approves
or rejects it, or its time is over.

All of this is values; `gateway.node.approvals` keeps and decides them.

Spec: docs/spec/keys.md, "Two operators".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.core.digest import digest_of
from gateway.errors import RejectedError
from gateway.node.enrolment import Enrolled, documented, read_documented
from gateway.node.inbox import NotFoundError
from gateway.node.quotas import Quota

KEPT: Final = 200
"""Proposals that are over are kept, so that auditors find the text of a digest: the newest so many."""


class NotRequiredError(RejectedError):
    """Changes do not need two operators at this node, so there is nothing to propose."""

    code = "approval-not-required"


class NothingToProposeError(RejectedError):
    """The registry file names nobody who waits, and nobody was taken out unconfirmed."""

    code = "nothing-to-propose"


class TooManyProposalsError(RejectedError):
    """So many proposals are open that somebody has to decide some first."""

    code = "too-many-proposals"


class ProposalOverError(RejectedError):
    """The proposal is approved, rejected or expired already."""

    code = "proposal-over"


class ProposalAlteredError(RejectedError):
    """What was approved is not what was proposed, or the registry file says another thing by now."""

    code = "proposal-altered"


class SecondOperatorError(RejectedError):
    """The approver is the proposer, or one of them is no operator of this node any more."""

    code = "second-operator-needed"


class Fate(StrEnum):
    """What has become of a proposal."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What one operator has said.

    Attributes:
        by: Who; nobody for the node itself.
        at_ms: When, UTC milliseconds.
        reason: Why; its digest is in the audit log, it itself is not.
    """

    by: Enrolled | None
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change that waits for a second operator, or did.

    Attributes:
        proposal_id: UUIDv7, 16 bytes.
        change: JSON in one form, exactly what is done on approval: `registry_change`, `quota_change`.
        proposed: Who wants it, and why.
        ends_ms: From then on it cannot be approved, UTC milliseconds.
        fate: What has become of it.
        decided: Who has ended it, and why.
    """

    proposal_id: bytes
    change: str
    proposed: Word
    ends_ms: int
    fate: Fate = Fate.OPEN
    decided: Word | None = None

    @property
    def digest(self) -> bytes:
        """Return the SHA-384 of the change."""
        return digest_of(self.change.encode())

    @property
    def content(self) -> dict[str, Any]:
        """Return the change as JSON."""
        document: dict[str, Any] = orjson.loads(self.change)
        return document

    def ended(self, fate: Fate, word: Word) -> Proposal:
        """Return the proposal as somebody, or its time, has ended it."""
        return replace(self, fate=fate, decided=word)


def registry_change(enrolled: Sequence[Enrolled], withdrawn: Sequence[Enrolled]) -> str:
    """Return the change that enrols some, and confirms that others were taken out."""
    document = {
        "enrol": [documented(item) for item in enrolled],
        "withdrawn": [documented(item) for item in withdrawn],
    }
    return orjson.dumps({"registry": document}).decode()


def read_registry_change(content: dict[str, Any]) -> tuple[list[Enrolled], list[Enrolled]]:
    """Return whom a change enrols, and of whom it confirms that they were taken out."""
    document = content["registry"]
    return (
        [read_documented(item) for item in document["enrol"]],
        [read_documented(item) for item in document["withdrawn"]],
    )


def quota_change(agency: str, quota: Quota | None) -> str:
    """Return the change that gives an agency a quota of its own, or takes it back with None."""
    limits = None if quota is None else {"per_minute": quota.per_minute, "waiting": quota.waiting}
    return orjson.dumps({"quota": {"agency": agency, "limits": limits}}).decode()


def read_quota_change(content: dict[str, Any]) -> tuple[str, Quota | None]:
    """Return which agency gets which quota, or None for that of the configuration."""
    document = content["quota"]
    return document["agency"], None if document["limits"] is None else Quota(**document["limits"])


def proposals_text(proposals: Sequence[Proposal]) -> str:
    """Return what a database keeps of them: all open ones, and the newest that are over."""
    over = [item for item in proposals if item.fate is not Fate.OPEN]
    dropped = {item.proposal_id for item in over[: max(0, len(over) - KEPT)]}
    kept = [_row(item) for item in proposals if item.proposal_id not in dropped]
    return orjson.dumps(kept).decode()


def read_proposals(text: str | None) -> list[Proposal]:
    """Return what a database keeps, the oldest first."""
    return [] if text is None else [_read(row) for row in orjson.loads(text)]


def named(word: Word) -> list[bytes]:
    """Return what the audit log says of the proposer: the key, and the digest of the reason."""
    return [b"" if word.by is None else word.by.spki, digest_of(word.reason.encode())]


def verify_two(proposer: Enrolled | None, approver: Enrolled, *, among: frozenset[Enrolled]) -> None:
    """Refuse unless two people, as far as names and keys can tell, are operators now."""
    if proposer is None or proposer not in among or approver not in among:
        msg = "who has proposed this, or who approves it, is no operator of this node now"
        raise SecondOperatorError(msg)
    # One person may hold two certificates, and one key may have been given two names.
    if proposer.spki == approver.spki or proposer.code == approver.code:
        msg = "a second operator has to approve what the first has proposed"
        raise SecondOperatorError(msg)


def find_in(proposals: Sequence[Proposal], proposal_id: bytes) -> Proposal:
    """Return the proposal of an id.

    Raises:
        NotFoundError: There is none.
    """
    for item in proposals:
        if item.proposal_id == proposal_id:
            return item
    msg = "there is no proposal of this id"
    raise NotFoundError(msg)


def open_in(proposals: Sequence[Proposal], proposal_id: bytes, *, at_ms: int) -> Proposal:
    """Return the proposal of an id that can still be decided at a time.

    Raises:
        NotFoundError: There is none.
        ProposalOverError: It is decided, or its time is over.
    """
    proposal = find_in(proposals, proposal_id)
    if proposal.fate is not Fate.OPEN or proposal.ends_ms <= at_ms:
        msg = "the proposal is decided already, or its time is over"
        raise ProposalOverError(msg)
    return proposal


def _row(item: Proposal) -> list[Any]:
    words = [None if word is None else _word(word) for word in (item.proposed, item.decided)]
    return [item.proposal_id.hex(), item.change, item.ends_ms, item.fate.value, *words]


def _read(row: list[Any]) -> Proposal:
    proposal_id, change, ends_ms, fate, proposed, decided = row
    return Proposal(
        proposal_id=bytes.fromhex(proposal_id),
        change=change,
        proposed=_read_word(proposed),
        ends_ms=ends_ms,
        fate=Fate(fate),
        decided=None if decided is None else _read_word(decided),
    )


def _word(word: Word) -> list[Any]:
    return [None if word.by is None else documented(word.by), word.at_ms, word.reason]


def _read_word(row: list[Any]) -> Word:
    by, at_ms, reason = row
    return Word(by=None if by is None else read_documented(by), at_ms=at_ms, reason=reason)
