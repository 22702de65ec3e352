"""Operators resume and override with a reason; auditors look; both notes of a fork are shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from gateway.console.officials import Official
from gateway.console.pair import pair_routes
from gateway.core.entries import IncidentKind, Role
from gateway.core.merkle import Hash
from gateway.node.audit_log import Actor
from gateway.node.health import Phase
from gateway.node.resumption import PairState
from gateway.ports import Incident, Standing
from gateway.web.exchange import Query, Request
from gateway.web.identity import RoleNotAllowedError
from gateway.web.refusals import ParameterError

OPERATOR = Official(name="DUTY", role="operator", spki=b"o" * 32)
AUDITOR = Official(name="AUDIT", role="auditor", spki=b"a" * 32)
FORK = Incident(
    kind=IncidentKind.FORK,
    origin="us.gateway.test/exchange/fr",
    size=9,
    root=Hash(b"\x07" * 32),
    at_ms=1_000,
    note_a=b"first\n",
    note_b=b"second\n",
)
FROZEN = PairState(
    generation=1,
    frozen="fork 1000",
    signed_off=0,
    peer=Standing(resumes=2, frozen=True),
    leaps=False,
    forks=(FORK,),
)


@dataclass
class Pair:
    """A node whose pair is frozen."""

    phase: Phase = Phase.FROZEN
    told: PairState = FROZEN
    asked: list[tuple[str, Actor, str]] = field(default_factory=list)

    @property
    def resumption(self) -> Pair:
        return self

    @property
    def recovery(self) -> Pair:
        return self

    async def state(self) -> PairState:
        return self.told

    async def sign_off(self, actor: Actor, reason: str) -> PairState:
        self.asked.append(("resume", actor, reason))
        return replace(self.told, signed_off=2)

    async def override(self, actor: Actor, reason: str) -> None:
        self.asked.append(("override", actor, reason))


async def call(node: Pair, name: str, body: Any = None, *, caller: Official = OPERATOR) -> Any:
    route = next(route for route in pair_routes(node) if route.name == name)
    request: Request[Official] = Request(
        caller=caller,
        names={},
        query=Query("", frozenset()),
        headers={},
        body=b"" if body is None else orjson.dumps(body),
        language="en",
    )
    reply = await route.handler(request)
    assert isinstance(reply.body, bytes)
    return orjson.loads(reply.body)


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
async def test_operators_and_auditors_see_how_the_pair_stands_and_both_notes(role: Official) -> None:
    assert await call(Pair(), "pair", caller=role) == {
        "phase": "frozen",
        "generation": 1,
        "frozen": "fork 1000",
        "signed_off": 0,
        "peer": {"generation": 1, "signed_off": 2, "frozen": True, "leaps": False},
        "forks": [
            {
                "origin": "us.gateway.test/exchange/fr",
                "size": 9,
                "root": "07" * 32,
                "at": "1970-01-01T00:00:01.000Z",
                "notes": ["first\n", "second\n"],
            }
        ],
    }


async def test_a_peer_that_does_not_answer_is_said_to() -> None:
    assert (await call(Pair(told=replace(FROZEN, peer=None)), "pair"))["peer"] is None


@pytest.mark.parametrize(("name", "word"), [("pair-resume", "resume"), ("pair-override", "override")])
async def test_an_operator_decides_with_a_reason(name: str, word: str) -> None:
    node = Pair()
    await call(node, name, {"reason": "Case 7"})
    assert node.asked == [(word, Actor(role=Role.OPERATOR, spki=OPERATOR.spki), "Case 7")]


@pytest.mark.parametrize("name", ["pair-resume", "pair-override"])
async def test_an_auditor_decides_nothing(name: str) -> None:
    node = Pair()
    with pytest.raises(RoleNotAllowedError):
        await call(node, name, {"reason": "Case 7"}, caller=AUDITOR)
    assert node.asked == []


@pytest.mark.parametrize("name", ["pair-resume", "pair-override"])
@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "x", "other": 1}])
async def test_a_decision_without_a_reason_is_none(name: str, body: Any) -> None:
    node = Pair()
    with pytest.raises(ParameterError):
        await call(node, name, body)
    assert node.asked == []
