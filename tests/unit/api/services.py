"""A node as the agency port sees it, made by hand: it answers what a test puts in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.catalogue import read_catalogue
from gateway.core.entries import AgreementEntry
from gateway.core.envelope import Header
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Announced, Schedule, digests_of
from gateway.core.message.threads.progress import RequestState
from gateway.core.states import Precedence, State
from gateway.errors import GatewayError
from gateway.node.admission import Checked
from gateway.node.agreements import AgreementState, agreement_state
from gateway.node.conversations import Place, Thread, ThreadPage
from gateway.node.inbox import Delivery, NotFoundError, Verification
from gateway.node.pair import Pair
from gateway.node.posts import Principal, Submission
from gateway.node.second_stage import Acceptance
from gateway.node.tracking import Tracked
from gateway.ports import MessageRow

PAIR = Pair(nation="FR", node="fr.gateway.test", peer_nation="US", peer_node="us.gateway.test")
ID = bytes.fromhex("01a2084701357993b063b5d5cb27d3ff")
NOW_MS = 1_795_000_000_123


def header() -> Header:
    """Return the header of the row below."""
    return Header(
        message_id=ID,
        created_ms=NOW_MS,
        expires_ms=NOW_MS + 86_400_000,
        from_node="us.gateway.test",
        to_node="fr.gateway.test",
        from_agency="US.CBP.NTC",
        to_agencies=("FR.DGDDI.SARC",),
        type="assist.ack/1",
        type_digest=b"\x07" * 48,
        precedence=Precedence.FLASH,
        marking_level=5,
        conversation_id=ID,
        attachments_bytes=0,
    )


def row(**changes: object) -> MessageRow:
    """Return a stored message."""
    fields: dict[str, object] = {
        "number": 7,
        "outgoing": True,
        "state": State.ACCEPTED,
        "message_id": ID,
        "type": "assist.ack/1",
        "from_agency": "US.CBP.NTC",
        "to_agencies": ("FR.DGDDI.SARC",),
        "conversation_id": ID,
        "seq": 2,
        "in_reply_to": None,
        "purpose": "CARGO_TARGETING",
        "reply_by_ms": None,
        "closes": False,
        "rank": 0,
        "created_ms": NOW_MS,
        "expires_ms": NOW_MS + 86_400_000,
        "arrived_ms": NOW_MS + 5,
        "log_index": 3,
        "audit_index": 4,
        "sendings": 1,
        "sent_ms": None,
        "delivered_ms": None,
        "decided_ms": None,
        "receipt_index": None,
        "exception": None,
        "rule": None,
        "flags": "",
    }
    return MessageRow(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass(slots=True)
class FakeServices:
    """Everything an agency can ask for; each call keeps what it was asked."""

    outcomes: list[Acceptance | GatewayError] = field(default_factory=list)
    checked: Checked | GatewayError = field(default_factory=lambda: Checked(message=b"{}"))
    deliveries: list[Delivery] = field(default_factory=list)
    verification: Verification | None = None
    tracked: Tracked | None = None
    thread_page: ThreadPage = field(default_factory=lambda: ThreadPage(threads=(), following=None))
    rows: list[MessageRow] = field(default_factory=list)
    asked: list[tuple[object, ...]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    pair: Pair = PAIR

    @property
    def catalogue(self) -> Catalogue:
        return read_catalogue()

    def agreement(self) -> AgreementState:
        schedule = Schedule(catalogue=self.catalogue)
        types = tuple(digests_of(self.catalogue).items())
        announced = Announced(entries=(AgreementEntry(types=types, effective_ms=1),))
        return agreement_state(schedule, announced, now_ms=2)

    @property
    def admission(self) -> FakeServices:
        return self

    @property
    def evidence(self) -> FakeServices:
        return self

    async def prove(self, principal: Principal, message_id: bytes, *, disclose: bool) -> bytes:
        self.asked.append(("prove", principal.agency, message_id, disclose))
        return b"archive"

    @property
    def inbox(self) -> FakeServices:
        return self

    @property
    def tracking(self) -> FakeServices:
        return self

    @property
    def conversations(self) -> FakeConversations:
        return FakeConversations(self)

    async def submit(
        self, principal: Principal, submissions: Sequence[Submission]
    ) -> list[Acceptance | GatewayError]:
        self.asked.append(("submit", principal.agency, *submissions))
        return self.outcomes

    async def check(self, principal: Principal, body: bytes, *, strict: bool) -> Checked:
        self.asked.append(("check", principal.agency, body, strict))
        if isinstance(self.checked, GatewayError):
            raise self.checked
        return self.checked

    async def page(
        self, principal: Principal, *, after: tuple[int, int], limit: int, wait_s: float, collected: bool
    ) -> list[Delivery]:
        self.asked.append(("page", principal.agency, after, limit, wait_s, collected))
        if wait_s and not self.deliveries:
            await asyncio.sleep(wait_s)
        return self.deliveries

    async def read(self, principal: Principal, message_id: bytes) -> tuple[Delivery, Verification]:
        self.asked.append(("read", principal.agency, message_id))
        if self.verification is None:
            msg = "no such message"
            raise NotFoundError(msg)
        return self.deliveries[0], self.verification

    async def acknowledge(self, principal: Principal, message_id: bytes) -> int:
        self.asked.append(("acknowledge", principal.agency, message_id))
        return NOW_MS

    async def acknowledge_all(self, principal: Principal, message_ids: Sequence[bytes]) -> list[int | None]:
        self.asked.append(("acknowledge_all", principal.agency, *message_ids))
        return [NOW_MS if message_id == ID else None for message_id in message_ids]

    async def until_moved(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.moved.wait()
        except TimeoutError:
            return

    async def status(self, principal: Principal, message_id: bytes) -> Tracked:
        self.asked.append(("status", principal.agency, message_id))
        if self.tracked is None:
            msg = "no such message"
            raise NotFoundError(msg)
        return self.tracked

    async def listing(self, principal: Principal, *, after: int, limit: int) -> list[MessageRow]:
        self.asked.append(("listing", principal.agency, after, limit))
        return self.rows

    async def withdraw(self, principal: Principal, message_id: bytes) -> int:
        self.asked.append(("withdraw", principal.agency, message_id))
        return NOW_MS


@dataclass(slots=True)
class FakeConversations:
    """What an agency can ask about conversations."""

    services: FakeServices

    async def listing(
        self, principal: Principal, *, limit: int, after: Place | None, states: frozenset[RequestState]
    ) -> ThreadPage:
        self.services.asked.append(("listing", principal.agency, limit, after, states))
        return self.services.thread_page

    async def read(self, principal: Principal, conversation_id: bytes, *, limit: int, after: int) -> Thread:
        self.services.asked.append(("thread", principal.agency, conversation_id, limit, after))
        return self.services.thread_page.threads[0]
