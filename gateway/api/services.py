"""What the agency port needs of a node, as Protocols; `gateway.node.runtime.Node` has it all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.message.registry import Catalogue
from gateway.core.message.threads.progress import RequestState
from gateway.errors import GatewayError
from gateway.node.admission import Checked
from gateway.node.agreements import AgreementState
from gateway.node.conversations import Place, Thread, ThreadPage
from gateway.node.inbox import Delivery, Verification
from gateway.node.pair import Pair
from gateway.node.posts import Principal, Submission
from gateway.node.second_stage import Acceptance
from gateway.node.tracking import Tracked
from gateway.ports import MessageRow


class AdmissionCalls(Protocol):
    """Posting; see `gateway.node.admission.Admission`."""

    async def submit(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[Acceptance | GatewayError]:
        """Decide about posts, each on its own."""
        ...

    async def check(self, principal: Principal, body: bytes, *, strict: bool) -> Checked:
        """Return the completed message and its warnings, if it would be accepted now."""
        ...


class InboxCalls(Protocol):
    """Reading and acknowledging; see `gateway.node.inbox.Inbox`."""

    async def page(
        self,
        principal: Principal,
        *,
        after: tuple[int, int],
        limit: int,
        wait_s: float,
        collected: bool,
    ) -> list[Delivery]:
        """Return messages in order of precedence, then arrival."""
        ...

    async def read(self, principal: Principal, message_id: bytes) -> tuple[Delivery, Verification]:
        """Return one message with what this node verified."""
        ...

    async def acknowledge(self, principal: Principal, message_id: bytes) -> int:
        """Record that the agency has the message; return when."""
        ...

    async def acknowledge_all(self, principal: Principal, message_ids: Sequence[bytes]) -> list[int | None]:
        """Record that the agency has these messages; return when each, None where not its own."""
        ...


class TrackingCalls(Protocol):
    """States of own messages; see `gateway.node.tracking.Tracking`."""

    async def until_moved(self, seconds: float) -> None:
        """Wait until some message moves on, or until the time is over."""
        ...

    async def status(self, principal: Principal, message_id: bytes) -> Tracked:
        """Return an own message with its timeline."""
        ...

    async def listing(self, principal: Principal, *, after: int, limit: int) -> list[MessageRow]:
        """Return own messages, newest first."""
        ...

    async def withdraw(self, principal: Principal, message_id: bytes) -> int:
        """Take an accepted message back before it is sent; return when."""
        ...


class ConversationCalls(Protocol):
    """Conversations; see `gateway.node.conversations.Conversations`."""

    async def listing(
        self,
        principal: Principal,
        *,
        limit: int,
        after: Place | None,
        states: frozenset[RequestState],
    ) -> ThreadPage:
        """Return conversations of an agency: open ones by their deadline, then the others."""
        ...

    async def read(self, principal: Principal, conversation_id: bytes, *, limit: int, after: int) -> Thread:
        """Return one conversation with a page of its messages."""
        ...


class EvidenceCalls(Protocol):
    """Proving; see `gateway.node.evidence.EvidenceRoom`."""

    async def prove(self, principal: Principal, message_id: bytes, *, disclose: bool) -> bytes:
        """Return the file of evidence of a message that this agency sent or received."""
        ...


class Services(Protocol):
    """The node, as far as agencies reach into it."""

    @property
    def pair(self) -> Pair:
        """Return the names of the two nodes."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """Return message types and agreement."""
        ...

    def agreement(self) -> AgreementState:
        """Return how the catalogues of the two nodes compare."""
        ...

    @property
    def admission(self) -> AdmissionCalls:
        """Return what decides about posts."""
        ...

    @property
    def inbox(self) -> InboxCalls:
        """Return what reads and acknowledges."""
        ...

    @property
    def evidence(self) -> EvidenceCalls:
        """Return what gathers evidence."""
        ...

    @property
    def tracking(self) -> TrackingCalls:
        """Return what answers about states."""
        ...

    @property
    def conversations(self) -> ConversationCalls:
        """Return what answers about conversations."""
        ...
