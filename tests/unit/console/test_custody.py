"""The calls of the operator port about content."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.console.custody import custody_routes
from gateway.console.officials import Official
from gateway.core.entries import Role
from gateway.core.message.retention import Ground
from gateway.core.states import State
from gateway.node.audit_log import Actor
from gateway.node.custody import Kept
from gateway.ports import Erasure, Hold
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import RoleNotAllowedError
from gateway.web.refusals import ParameterError
from tests.unit.api.services import row

ID = "01a20847-0135-7993-b063-b5d5cb27d3ff"
OPERATOR = Official(name="DUTY-OFFICER", role="operator", spki=b"s" * 32)
AUDITOR = Official(name="AUDITOR", role="auditor", spki=b"t" * 32)


@dataclass(slots=True)
class Custody:
    """A custody that remembers what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    erasure: Erasure | None = None

    def _kept(self) -> Kept:
        if self.erasure is None:
            return Kept(row=row(), erasure=None)
        return Kept(
            row=replace(row(), state=State.ERASED, was=State.RECEIVED, ground=Ground.ORDER),
            erasure=self.erasure,
        )

    async def find(self, message_id: bytes) -> Kept:
        self.asked.append(("find", message_id))
        return self._kept()

    async def erase(self, actor: Actor, message_id: bytes, reason: str) -> Kept:
        self.asked.append(("erase", actor, message_id, reason))
        self.erasure = Erasure(at_ms=1_000, audit_index=7, log_index=None)
        return self._kept()

    async def hold(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> int:
        self.asked.append(("hold", actor, subject, reason, conversation))
        return 3

    async def lift(self, actor: Actor, subject: bytes, reason: str, *, conversation: bool) -> None:
        self.asked.append(("lift", actor, subject, reason, conversation))

    async def holds(self) -> list[Hold]:
        return [
            Hold(subject=UUID(ID).bytes, conversation=True, at_ms=0, reason="Trial"),
            Hold(subject=UUID(ID).bytes, conversation=False, at_ms=1, reason="Trial"),
        ]


async def call(custody: Custody, name: str, body: Any = None, caller: Official = OPERATOR) -> Any:
    route = next(route for route in custody_routes(custody) if route.name == name)
    request: Request[Any] = Request(
        caller=caller,
        names={"id": ID},
        query=Query("", frozenset()),
        headers={},
        body=b"" if body is None else orjson.dumps(body),
        language="en",
    )
    reply: Reply = await route.handler(request)
    assert reply.body is not None
    return orjson.loads(reply.body)


async def test_an_operator_erases_with_a_reason_and_is_told_where_it_is_on_record() -> None:
    custody = Custody()
    answer = await call(custody, "erase", {"reason": "Order 12"})
    actor = Actor(role=Role.OPERATOR, spki=OPERATOR.spki)
    assert custody.asked == [("erase", actor, UUID(ID).bytes, "Order 12")]
    assert answer["status"] == "erased"
    assert answer["ground"] == "order"
    assert answer["erased"] == {
        "at": "1970-01-01T00:00:01.000Z",
        "was": "received",
        "audit_log": "audit",
        "audit_index": 7,
        "log_index": None,
    }


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
async def test_operators_and_auditors_may_look(role: Official) -> None:
    kept = await call(Custody(), "kept", caller=role)
    assert (kept["erased"], kept["held"]) == (None, False)
    holds = (await call(Custody(), "holds", caller=role))["holds"]
    assert holds == [
        {"conversation_id": ID, "since": "1970-01-01T00:00:00.000Z", "reason": "Trial"},
        {"message_id": ID, "since": "1970-01-01T00:00:00.001Z", "reason": "Trial"},
    ]


@pytest.mark.parametrize("name", ["erase", "hold", "lift"])
async def test_an_auditor_changes_nothing(name: str) -> None:
    custody = Custody()
    with pytest.raises(RoleNotAllowedError):
        await call(custody, name, {"reason": "Why", "message_id": ID}, caller=AUDITOR)
    assert custody.asked == []


@pytest.mark.parametrize("subject", ["message_id", "conversation_id"])
async def test_a_hold_names_a_message_or_a_conversation(subject: str) -> None:
    custody = Custody()
    assert await call(custody, "hold", {"reason": "Trial", subject: ID}) == {subject: ID, "kept": 3}
    assert await call(custody, "lift", {"reason": "Over", subject: ID}) == {subject: ID, "lifted": True}
    assert [(asked[0], asked[4]) for asked in custody.asked] == [
        ("hold", subject == "conversation_id"),
        ("lift", subject == "conversation_id"),
    ]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"message_id": ID}, ["reason"]),
        ({"reason": "", "message_id": ID}, ["reason"]),
        ({"reason": "x" * 501, "message_id": ID}, ["reason"]),
        ({"reason": "a\nb", "message_id": ID}, ["reason"]),
        ({"reason": 7, "message_id": ID}, ["reason"]),
        ({"reason": "Why"}, ["message_id"]),
        ({"reason": "Why", "message_id": ID, "conversation_id": ID}, ["message_id"]),
        ({"reason": "Why", "message_id": ID.upper()}, ["message_id"]),
        ({"reason": "Why", "message_id": 7}, ["message_id"]),
        ({"reason": "Why", "message_id": ID, "more": 1}, [""]),
        ({"more": 1}, ["reason", "message_id", ""]),
        ([], [""]),
    ],
)
async def test_a_decision_that_is_not_as_documented_is_refused_with_every_field(
    body: Any, names: list[str]
) -> None:
    custody = Custody()
    with pytest.raises(ParameterError) as caught:
        await call(custody, "hold", body)
    assert [bad.name for bad in caught.value.parameters] == names
    assert custody.asked == []


async def test_an_order_of_erasure_takes_a_reason_and_nothing_else() -> None:
    with pytest.raises(ParameterError):
        await call(Custody(), "erase", {"reason": "Why", "message_id": ID})
