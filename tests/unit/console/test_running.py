"""The calls of the operator port about a running node: queue, maintenance, quotas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.console.incidents import INCIDENTS, STATED_FORK
from gateway.console.officials import Official
from gateway.console.running import running_routes
from gateway.console.words import CAUSES, HEALTH
from gateway.core.entries import IncidentKind, Role
from gateway.core.message.rule import rule_number
from gateway.core.message.wording import Language
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.node.audit_log import Actor
from gateway.node.enrolment import Enrolled
from gateway.node.maintenance import Draining, Since
from gateway.node.proposals import Proposal, Word, quota_change
from gateway.node.queue import Cause, Condition, Item, Line, Listing
from gateway.node.quotas import OwnQuota, Quota
from gateway.ports import Incident, MessageRow
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import RoleNotAllowedError
from gateway.web.refusals import ParameterError
from tests.unit.api.services import row

ID = "01a20847-0135-7993-b063-b5d5cb27d3ff"
OPERATOR = Official(name="DUTY-OFFICER", role="operator", spki=b"s" * 32)
AUDITOR = Official(name="AUDITOR", role="auditor", spki=b"t" * 32)
ACTOR = Actor(role=Role.OPERATOR, spki=b"s" * 32)
RULE = "RF-DUP"


@dataclass(slots=True)
class Queue:
    """A queue that remembers what it was asked."""

    items: tuple[Item, ...] = ()
    asked: list[Any] = field(default_factory=list)
    line: Line = field(
        default_factory=lambda: Line(trouble="", frozen=False, recovering=False, peer_key=True)
    )

    async def listing(
        self, *, condition: Condition | None = None, agency: str | None = None, limit: int = 100
    ) -> Listing:
        self.asked.append((condition, agency, limit))
        return Listing(items=self.items, counts={"accepted": 4}, more=True)

    async def find(self, message_id: bytes) -> Item | None:
        self.asked.append(message_id)
        return self.items[0] if self.items else None

    async def retry(self, actor: Actor, reason: str, message_id: bytes | None = None) -> Line:
        self.asked.append((actor, reason, message_id))
        return self.line

    async def cancel(self, actor: Actor, message_id: bytes, reason: str) -> MessageRow:
        self.asked.append((actor, message_id, reason))
        return row(state=State.WITHDRAWN)


@dataclass(slots=True)
class Maintenance:
    """Maintenance that a test begins and ends."""

    since: Since | None = None

    async def start(self, actor: Actor, reason: str) -> Draining:
        assert actor == ACTOR
        self.since = Since(at_ms=0, reason=reason)
        return await self.draining()

    async def end(self, actor: Actor, reason: str) -> Draining:
        assert (actor, reason) == (ACTOR, "Done")
        self.since = None
        return await self.draining()

    async def draining(self) -> Draining:
        return Draining(since=self.since, waiting=0, on_the_way=0)


@dataclass(slots=True)
class Quotas:
    """Quotas in memory."""

    default: Quota = field(default_factory=lambda: Quota(per_minute=60))
    own: dict[str, OwnQuota] = field(default_factory=dict)

    async def set(self, actor: Actor, agency: str, quota: Quota, reason: str) -> None:
        assert actor == ACTOR
        self.own[agency] = OwnQuota(quota=quota, at_ms=0, reason=reason)

    async def clear(self, actor: Actor, agency: str, reason: str) -> None:
        assert (actor, reason) == (ACTOR, "Mended")
        del self.own[agency]


@dataclass(slots=True)
class Desk:
    """What takes proposals, where quotas need two operators."""

    required: bool = False

    async def propose_quota(self, by: Enrolled, agency: str, quota: Quota | None, reason: str) -> Proposal:
        assert by == Enrolled(role="operator", code="DUTY-OFFICER", spki=b"s" * 32)
        return Proposal(
            proposal_id=UUID(ID).bytes,
            change=quota_change(agency, quota),
            proposed=Word(by=by, at_ms=0, reason=reason),
            ends_ms=1_000,
        )


@dataclass(slots=True)
class Node:
    """A node, as far as these calls ask it."""

    queue: Queue = field(default_factory=Queue)
    maintenance: Maintenance = field(default_factory=Maintenance)
    quotas: Quotas = field(default_factory=Quotas)
    approvals: Desk = field(default_factory=Desk)
    recorded: list[Incident] = field(default_factory=list)

    async def incidents(self, *, limit: int) -> list[Incident]:
        return self.recorded[:limit]

    def own_agencies(self) -> set[str]:
        return {"FR.DGDDI.SARC", "FR.SCL"}


async def call(
    node: Node,
    name: str,
    body: Any = None,
    *,
    caller: Official = OPERATOR,
    query: str = "",
    language: Any = "en",
) -> Any:
    route = next(route for route in running_routes(node) if route.name == name)
    request: Request[Any] = Request(
        caller=caller,
        names={"id": ID},
        query=Query(query, route.query),
        headers={},
        body=b"" if body is None else orjson.dumps(body),
        language=language,
    )
    reply: Reply = await route.handler(request)
    assert reply.body is not None
    return orjson.loads(reply.body)


def item(condition: Condition, cause: str, **changes: object) -> Item:
    return Item(row=row(**changes), condition=condition, cause=cause, since_ms=0)


def test_every_code_has_words_in_both_languages() -> None:
    assert set(CAUSES) == {cause.value for cause in Cause}
    assert set(INCIDENTS) == set(IncidentKind)
    for advice in (*HEALTH.values(), *CAUSES.values(), *INCIDENTS.values()):
        assert all((advice.says.en, advice.says.fr, advice.do.en, advice.do.fr))
        assert advice.says.en != advice.says.fr


async def test_the_queue_says_cause_and_next_step_in_the_readers_words() -> None:
    node = Node(Queue((item(Condition.STUCK, "peer-away"),)))
    found = await call(node, "queue", caller=AUDITOR, language="fr")

    assert node.queue.asked == [(None, None, 100)]
    assert (found["counts"], found["more"]) == ({"accepted": 4}, True)
    (shown,) = found["items"]
    assert shown["condition"] == "stuck"
    assert shown["direction"] == "sent"
    advice = CAUSES["peer-away"]
    assert shown["cause"] == {
        "code": "peer-away",
        "text": advice.says.fr,
        "rule": None,
        "rule_text": None,
        "next_step": advice.do.fr,
    }


async def test_a_refusal_is_told_by_the_texts_of_exception_and_rule() -> None:
    refused = item(
        Condition.REFUSED,
        "rule",
        state=State.REFUSED,
        exception=int(ExceptionCode.RULE),
        rule=rule_number(RULE),
    )
    found = await call(Node(Queue((refused,))), "queue-item", caller=AUDITOR)
    cause = found["item"]["cause"]
    assert cause["code"] == "rule"
    assert cause["text"] == "The message breaks a rule at the partner node."
    assert cause["rule"] == RULE
    assert cause["rule_text"]
    assert cause["next_step"] == "Correct the message and send it as a new one."


async def test_nothing_of_the_content_is_in_an_item() -> None:
    found = await call(Node(Queue((item(Condition.STUCK, "in-turn"),))), "queue-item")
    assert set(found["item"]) == {
        "message_id",
        "condition",
        "since",
        "direction",
        "status",
        "type",
        "precedence",
        "from",
        "to",
        "conversation_id",
        "accepted_at",
        "expires_at",
        "reply_by",
        "sendings",
        "cause",
    }


async def test_a_message_with_which_nothing_is_wrong_is_no_item() -> None:
    node = Node()
    assert await call(node, "queue-item") == {"item": None}
    assert node.queue.asked == [UUID(ID).bytes]


async def test_the_queue_is_searched_by_condition_and_agency() -> None:
    node = Node()
    await call(node, "queue", query="condition=refused&agency=FR.DGDDI.SARC&limit=7")
    assert node.queue.asked == [(Condition.REFUSED, "FR.DGDDI.SARC", 7)]
    for query in ("condition=odd", "limit=0", "limit=1001", "agency=fr", "other=1"):
        with pytest.raises(ParameterError):
            await call(node, "queue", query=query)


async def test_an_operator_retries_and_cancels_with_a_reason() -> None:
    node = Node()
    node.queue.line = Line(trouble="unavailable", frozen=False, recovering=False, peer_key=True)
    found = await call(node, "queue-retry", {"reason": "Line is back"}, language="fr")
    assert found["line"]["trouble"] == "unavailable"
    assert found["line"]["text"] == "Indisponible"
    await call(node, "queue-retry-one", {"reason": "This one"})
    cancelled = await call(node, "queue-cancel", {"reason": "Mistake"})
    assert cancelled == {"message_id": ID, "status": "withdrawn"}
    one = UUID(ID).bytes
    assert node.queue.asked == [
        (ACTOR, "Line is back", None),
        (ACTOR, "This one", one),
        (ACTOR, one, "Mistake"),
    ]


async def test_maintenance_begins_and_ends_with_a_reason() -> None:
    node = Node()
    assert (await call(node, "maintenance", caller=AUDITOR))["maintenance"] is False
    started = await call(node, "maintenance-start", {"reason": "Upgrade"})
    assert started == {
        "maintenance": True,
        "since": "1970-01-01T00:00:00.000Z",
        "reason": "Upgrade",
        "waiting": 0,
        "on_the_way": 0,
        "drained": True,
    }
    ended = await call(node, "maintenance-end", {"reason": "Done"})
    assert (ended["maintenance"], ended["since"], ended["drained"]) == (False, None, False)


async def test_incidents_are_told_in_words_without_their_evidence() -> None:
    fork = Incident(
        kind=int(IncidentKind.FORK),
        origin="us.gateway.test/exchange/fr",
        size=7,
        root=b"r" * 32,
        at_ms=0,
        note_a=b"one",
        note_b=b"two",
    )
    later = Incident(kind=99, origin="us.gateway.test/exchange/fr", size=8, root=b"", at_ms=1)
    node = Node(recorded=[fork, later])
    found = await call(node, "incidents", caller=AUDITOR, language="fr")
    first, second = found["incidents"]
    assert first == {
        "at": "1970-01-01T00:00:00.000Z",
        "kind": "fork",
        "says": INCIDENTS[IncidentKind.FORK].says.fr,
        "do": INCIDENTS[IncidentKind.FORK].do.fr,
        "origin": "us.gateway.test/exchange/fr",
        "size": 7,
        "root": "72" * 32,
        "notes": 2,
    }

    assert (second["kind"], second["notes"]) == ("incident-99", 0)
    assert len((await call(node, "incidents", query="limit=1"))["incidents"]) == 1
    with pytest.raises(ParameterError):
        await call(node, "incidents", query="limit=0")


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_fork_that_the_peer_merely_states_reads_like_none_that_is_proven(language: Language) -> None:
    stated = Incident(
        kind=int(IncidentKind.FORK), origin="fr.gateway.test/exchange/us", size=7, root=b"r" * 32, at_ms=0
    )
    answer = await call(Node(recorded=[stated]), "incidents", caller=AUDITOR, language=language)
    (found,) = answer["incidents"]

    assert found["kind"] == "stated-fork"
    assert found["says"] == STATED_FORK.says.text(language)
    assert found["says"] != INCIDENTS[IncidentKind.FORK].says.text(language)
    assert found["do"] == STATED_FORK.do.text(language)
    assert found["notes"] == 0


async def test_quotas_are_set_and_taken_back_with_a_reason() -> None:
    node = Node()
    body = {"agency": "FR.DGDDI.SARC", "per_minute": 5, "waiting": None, "reason": "Loop"}
    found = await call(node, "quota-set", body)
    assert found == {
        "default": {"per_minute": 60, "waiting": None},
        "agencies": [
            {
                "agency": "FR.DGDDI.SARC",
                "per_minute": 5,
                "waiting": None,
                "since": "1970-01-01T00:00:00.000Z",
                "reason": "Loop",
            }
        ],
    }
    assert await call(node, "quotas", caller=AUDITOR) == found
    found = await call(node, "quota-clear", {"agency": "FR.DGDDI.SARC", "reason": "Mended"})
    assert found["agencies"] == []


async def test_where_two_operators_are_needed_a_quota_becomes_a_proposal() -> None:
    node = Node(approvals=Desk(required=True))
    body = {"agency": "FR.DGDDI.SARC", "per_minute": 5, "waiting": None, "reason": "Loop"}

    found = (await call(node, "quota-set", body))["proposal"]

    assert (found["id"], found["fate"], found["until"]) == (ID, "open", "1970-01-01T00:00:01.000Z")
    limits = {"per_minute": 5, "waiting": None}
    assert found["change"] == {"quota": {"agency": "FR.DGDDI.SARC", "limits": limits}}
    assert found["proposed"]["by"]["code"] == "DUTY-OFFICER"
    found = (await call(node, "quota-clear", {"agency": "FR.DGDDI.SARC", "reason": "Mended"}))["proposal"]
    assert found["change"] == {"quota": {"agency": "FR.DGDDI.SARC", "limits": None}}
    assert node.quotas.own == {}


@pytest.mark.parametrize(
    "change",
    [
        {"agency": "nobody"},
        {"agency": None},
        {"agency": ["FR.SCL"]},
        {"agency": "US.CBP.NTC"},
        {"agency": "FR.DGDDI.SRAC"},
        {"per_minute": 0},
        {"per_minute": True},
        {"per_minute": "5"},
        {"waiting": -1},
        {"waiting": 2.5},
        {"reason": ""},
        {"other": 1},
    ],
)
async def test_a_quota_that_is_not_as_documented_is_refused(change: dict[str, Any]) -> None:
    node = Node()
    body = {"agency": "FR.DGDDI.SARC", "per_minute": 5, "waiting": 5, "reason": "Loop", **change}
    with pytest.raises(ParameterError):
        await call(node, "quota-set", body)
    assert node.quotas.own == {}


async def test_a_quota_names_both_limits() -> None:
    with pytest.raises(ParameterError) as refused:
        await call(Node(), "quota-set", {"agency": "FR.DGDDI.SARC", "reason": "Loop"})
    assert [bad.name for bad in refused.value.parameters] == ["per_minute", "waiting"]


@pytest.mark.parametrize(
    "name",
    [
        "queue-retry",
        "queue-retry-one",
        "queue-cancel",
        "maintenance-start",
        "maintenance-end",
        "quota-set",
        "quota-clear",
    ],
)
async def test_auditors_change_nothing_and_nobody_changes_anything_without_a_reason(name: str) -> None:
    node = Node()
    with pytest.raises(RoleNotAllowedError):
        await call(node, name, {"reason": "Why not"}, caller=AUDITOR)
    with pytest.raises(ParameterError):
        await call(node, name, {"agency": "FR.DGDDI.SARC", "per_minute": 1, "waiting": 1})
    assert (node.queue.asked, node.maintenance.since, node.quotas.own) == ([], None, {})
