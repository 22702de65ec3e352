"""Handlers of the agency API, against a node made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.api.app import agency_routes
from gateway.api.callers import Caller, identify_agencies
from gateway.core.message.effect import Effect
from gateway.core.message.threads import AppliedEffect
from gateway.core.message.threads.deadlines import Deadline, DeadlineKind
from gateway.core.message.threads.in_force import Consent, InForce
from gateway.core.message.threads.progress import Progress, RequestState
from gateway.core.message.threads.rooms import Member, Room
from gateway.core.message.threads.use_changes import TermsInForce
from gateway.core.message.warning import ValueWarning
from gateway.core.message.wording import Language, Wording
from gateway.core.receipt import EXCEPTION_TEXTS, ExceptionCode
from gateway.core.states import State
from gateway.node.admission import Checked, OverloadedError
from gateway.node.conversations import Place, RequestView, Thread, ThreadPage
from gateway.node.inbox import Delivery, NotFoundError, Verification
from gateway.node.posts import Principal, Submission, agency_actor
from gateway.node.second_stage import Acceptance, ErasedError
from gateway.node.tracking import TimelineEvent, Tracked
from gateway.ports import CollectionRow
from gateway.web.exchange import Query, Reply, Request
from gateway.web.identity import Certificate, RoleNotAllowedError, UnknownCertificateError
from gateway.web.refusals import BodyTooLargeError, ParameterError
from tests.agency_site import Holder
from tests.unit.api.services import ID, NOW_MS, FakeServices, header, row

ID_TEXT = "01a20847-0135-7993-b063-b5d5cb27d3ff"
CERTIFICATE = Certificate(spki=b"s" * 32, expires_ms=NOW_MS, cipher="TLS_AES_256_GCM_SHA384")
CALLER = Caller(
    principal=Principal(nation="FR", agency="FR.DGDDI.SARC", actor=agency_actor(CERTIFICATE.spki)),
    certificate=CERTIFICATE,
)


async def ask(
    services: FakeServices,
    name: str,
    *,
    body: bytes = b"",
    query: str = "",
    language: Language = "en",
    when_gone: Callable[[], Awaitable[None]] | None = None,
    parts: dict[str, str] | None = None,
    **headers: str,
) -> Reply:
    """Call the handler of an operation."""
    route = next(route for route in agency_routes(services) if route.name == name)
    return await route.handler(
        Request(
            caller=CALLER,
            names=parts or {"id": ID_TEXT},
            query=Query(query, route.query),
            headers={key.replace("_", "-"): value for key, value in headers.items()},
            body=body,
            language=language,
            when_gone=when_gone or asyncio.Event().wait,  # type: ignore[arg-type]
        )
    )


def json_of(reply: Reply) -> Any:
    assert reply.body is not None
    return orjson.loads(reply.body)


def acceptance(message: bytes = b'{"type":"x"}') -> Acceptance:
    return Acceptance(message_id=ID, state=State.ACCEPTED, accepted_ms=NOW_MS, message=message, audit_index=9)


def tracked(**changes: object) -> Tracked:
    return Tracked(
        row=row(**changes),
        addressees=(CollectionRow(agency="US.CBP.NTC", collected_ms=None, log_index=None),),
        timeline=(
            TimelineEvent(event="accepted", at_ms=NOW_MS, origin="fr.gateway.test/audit", index=4),
            TimelineEvent(event="refused", at_ms=NOW_MS),
        ),
    )


# --- posting -----------------------------------------------------------------------------------------


async def test_the_message_stands_in_the_answer_byte_for_byte() -> None:
    message = '{ "type" : "é",\t"n":[1,2]}'.encode()
    services = FakeServices(outcomes=[acceptance(message)])

    reply = await ask(services, "post_message", body=b"body", idempotency_key="k")

    assert reply.status == 202
    assert reply.body is not None
    assert message in reply.body
    assert json_of(reply) == {
        "message_id": ID_TEXT,
        "status": "accepted",
        "accepted_at": "2026-11-18T11:06:40.123Z",
        "audit": {"origin": "fr.gateway.test/audit", "index": 9},
        "message": {"type": "é", "n": [1, 2]},
    }
    assert services.asked == [("submit", "FR.DGDDI.SARC", Submission(body=b"body", key="k"))]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "k" * 129, "k, k"])
async def test_a_key_of_another_form_is_refused(key: str) -> None:
    services = FakeServices()
    with pytest.raises(ParameterError):
        await ask(services, "post_message", idempotency_key=key)
    assert services.asked == []


async def test_each_line_of_a_batch_gets_a_key_of_its_own() -> None:
    services = FakeServices(outcomes=[acceptance(), NotFoundError("x")])

    reply = await ask(services, "post_batch", body=b"one\ntwo", idempotency_key="k", language="fr")

    assert services.asked == [
        ("submit", "FR.DGDDI.SARC", Submission(body=b"one", key="k:1"), Submission(body=b"two", key="k:2"))
    ]
    assert reply.body is not None
    first, second = map(orjson.loads, reply.body.splitlines())
    assert (first["status"], first["result"]["message_id"]) == (202, ID_TEXT)
    assert (second["status"], second["problem"]["title"]) == (404, "Introuvable")


async def test_an_empty_batch_is_no_message() -> None:
    services = FakeServices()
    await ask(services, "post_batch", body=b"\n")
    assert services.asked == [("submit", "FR.DGDDI.SARC", Submission(body=b"", key=None))]


async def test_a_batch_of_too_many_lines_is_refused_before_anything_is_looked_at() -> None:
    services = FakeServices()
    with pytest.raises(BodyTooLargeError):
        await ask(services, "post_batch", body=b"{}\n" * 5_001)
    assert services.asked == []


async def test_a_refusal_of_the_whole_call_is_raised() -> None:
    services = FakeServices(checked=OverloadedError("x"))
    with pytest.raises(OverloadedError):
        await ask(services, "check_message", body=b"{}")


@pytest.mark.parametrize(("query", "strict"), [("", False), ("mode=draft", False), ("mode=strict", True)])
async def test_the_mode_of_a_check_is_passed_on(query: str, strict: bool) -> None:
    services = FakeServices(checked=Checked(message=b'{"a":1}'))
    reply = await ask(services, "check_message", body=b"x", query=query)
    assert services.asked == [("check", "FR.DGDDI.SARC", b"x", strict)]
    assert json_of(reply)["message"] == {"a": 1}


WARNING = ValueWarning(
    warning="W-HS", pointer="/payload/lines/0/hs", wording=Wording(en="Look it up.", fr="Recherchez-le.")
)


@pytest.mark.parametrize(("language", "text"), [("en", "Look it up."), ("fr", "Recherchez-le.")])
async def test_warnings_stand_beside_an_acceptance_in_the_readers_words(
    language: Language, text: str
) -> None:
    expected = [{"pointer": "/payload/lines/0/hs", "warning": "W-HS", "message": text}]
    warned = replace(acceptance(), warnings=(WARNING,))
    services = FakeServices(outcomes=[warned], checked=Checked(message=b"{}", warnings=(WARNING,)))

    posted = await ask(services, "post_message", body=b"x", language=language)
    batch = await ask(services, "post_batch", body=b"x", language=language)
    checked = await ask(services, "check_message", body=b"x", language=language)

    assert json_of(posted)["warnings"] == expected
    assert json_of(batch)["result"]["warnings"] == expected
    assert json_of(checked)["warnings"] == expected
    assert (posted.language, checked.language) == (language, language)


async def test_an_answer_without_warnings_does_not_speak_of_them_and_has_no_language() -> None:
    services = FakeServices(outcomes=[acceptance()])
    for name in ("post_message", "check_message"):
        reply = await ask(services, name, body=b"x", language="fr")
        assert "warnings" not in json_of(reply)
        assert reply.language is None


# --- following ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(ExceptionCode))
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_every_exception_is_told_in_the_readers_words(code: ExceptionCode, language: Language) -> None:
    services = FakeServices(tracked=tracked(exception=int(code), state=State.REFUSED))

    found = json_of(await ask(services, "get_message", language=language))["exception"]

    text = EXCEPTION_TEXTS[code]
    assert found == {
        "code": code.label,
        "text": text.meaning(language),
        "rule": None,
        "rule_text": None,
        "next_step": text.next_step(language),
    }


async def test_a_broken_rule_is_named_and_explained() -> None:
    services = FakeServices(tracked=tracked(exception=int(ExceptionCode.RULE), rule=3))
    found = json_of(await ask(services, "get_message", language="fr"))["exception"]
    assert found["rule"]
    assert found["rule_text"]


async def test_a_rule_that_only_the_peer_knows_stays_unnamed() -> None:
    services = FakeServices(tracked=tracked(exception=int(ExceptionCode.RULE), rule=60_000))
    found = json_of(await ask(services, "get_message"))["exception"]
    assert (found["code"], found["rule"], found["rule_text"]) == ("rule", None, None)


async def test_a_step_names_the_log_that_proves_it_or_none() -> None:
    services = FakeServices(tracked=tracked())
    first, second = json_of(await ask(services, "get_message"))["timeline"]
    assert first["log"] == {"origin": "fr.gateway.test/audit", "index": 4}
    assert second["log"] is None


async def test_whoever_knows_all_events_waits_for_the_next() -> None:
    services = FakeServices(tracked=tracked())
    waiting = asyncio.ensure_future(ask(services, "get_message", query="wait=10&events=2"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    services.tracked = Tracked(row=row(), addressees=(), timeline=())
    services.moved.set()
    async with asyncio.timeout(20):
        assert json_of(await waiting)["timeline"] == []


async def test_whoever_does_not_know_all_events_waits_for_nothing() -> None:
    services = FakeServices(tracked=tracked())
    async with asyncio.timeout(20):
        await ask(services, "get_message", query="wait=10&events=1")


async def test_a_wait_ends_with_its_time_or_with_the_client() -> None:
    services = FakeServices(tracked=tracked())
    async with asyncio.timeout(20):
        await ask(services, "get_message", query="wait=0.1&events=2")

    async def gone() -> None:
        await asyncio.sleep(0.1)

    async with asyncio.timeout(20):
        await ask(services, "get_message", query="wait=10&events=2", when_gone=gone)


async def test_a_full_page_has_a_cursor_and_a_short_one_has_none() -> None:
    services = FakeServices(rows=[row(number=9), row(number=7)])
    full = json_of(await ask(services, "list_messages", query="limit=2"))
    short = json_of(await ask(services, "list_messages", query="limit=3"))
    await ask(services, "list_messages", query=f"after={full['next']}")

    assert short["next"] is None
    assert services.asked[-1] == ("listing", "FR.DGDDI.SARC", 7, 100)


# --- inbox -------------------------------------------------------------------------------------------


MESSAGE = (
    b'{"header":{"marking":{"policy":"US","level":"CUI","alternative":{"policy":"FR",'
    b'"level":"DIFFUSION_RESTREINTE"},"releasable_to":["USA","FRA"],"cui_categories":["LEI"]}}}'
)


def delivery(message: bytes | None = MESSAGE, **changes: object) -> Delivery:
    return Delivery(
        row=row(outgoing=False, **changes), header=header().encode(), collected_ms=None, message=message
    )


async def test_an_inbox_goes_on_behind_its_last_message() -> None:
    services = FakeServices(deliveries=[delivery(rank=2, number=11)])
    page = json_of(await ask(services, "read_inbox"))
    await ask(services, "read_inbox", query=f"after={page['next']}&limit=5&collected=true")

    assert services.asked == [
        ("page", "FR.DGDDI.SARC", (-1, 0), 100, 0, False),
        ("page", "FR.DGDDI.SARC", (2, 11), 5, 0, True),
    ]


async def test_an_empty_page_keeps_its_cursor() -> None:
    services = FakeServices(deliveries=[delivery(rank=2, number=11)])
    cursor = json_of(await ask(services, "read_inbox"))["next"]
    services.deliveries = []
    assert json_of(await ask(services, "read_inbox", query=f"after={cursor}"))["next"] == cursor
    assert json_of(await ask(services, "read_inbox"))["next"] is None


async def test_an_erased_message_is_null_in_a_page_and_gone_by_itself() -> None:
    services = FakeServices(
        deliveries=[delivery(None, flags="crossed gap")],
        verification=Verification(
            origin="us.gateway.test/exchange/fr",
            index=3,
            checkpoint_size=9,
            checkpoint_root=b"\x00" * 32,
            receipt_index=None,
        ),
    )
    (item,) = json_of(await ask(services, "read_inbox"))["messages"]
    assert item["message"] is None
    assert item["flags"] == ["crossed", "gap"]
    with pytest.raises(ErasedError):
        await ask(services, "read_message")


async def test_verification_facts_and_a_banner_come_with_one_message() -> None:
    services = FakeServices(
        deliveries=[delivery()],
        verification=Verification(
            origin="us.gateway.test/exchange/fr",
            index=3,
            checkpoint_size=9,
            checkpoint_root=b"\x00" * 32,
            receipt_index=5,
        ),
    )
    answer = json_of(await ask(services, "read_message"))
    assert answer["marking"] == {
        "banner": "CUI//LEI//REL TO USA, FRA",
        "equivalent": "DIFFUSION RESTREINTE",
    }
    assert answer["verification"] == {
        "log": {"origin": "us.gateway.test/exchange/fr", "index": 3},
        "checkpoint": {
            "origin": "us.gateway.test/exchange/fr",
            "size": 9,
            "root": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        },
        "receipt": {"origin": "fr.gateway.test/exchange/us", "index": 5},
        "from_node": "us.gateway.test",
        "type_sha384": "07" * 48,
    }


async def test_an_acknowledgement_and_a_withdrawal_say_when() -> None:
    services = FakeServices()
    assert json_of(await ask(services, "acknowledge_message")) == {
        "message_id": ID_TEXT,
        "collected_at": "2026-11-18T11:06:40.123Z",
    }
    assert json_of(await ask(services, "withdraw_message"))["status"] == "withdrawn"
    assert services.asked == [("acknowledge", "FR.DGDDI.SARC", ID), ("withdraw", "FR.DGDDI.SARC", ID)]


async def test_acknowledgements_in_a_batch_are_made_together_and_answered_line_by_line() -> None:
    services = FakeServices()
    other = UUID(int=7)
    lines = [
        b'{"message_id":"%b"}' % ID_TEXT.encode(),
        b'{"message_id":"%b"}' % str(other).encode(),
        b'{"message_id":"no id"}',
        b'{"message_id":"%b","more":1}' % ID_TEXT.encode(),
        b'{"message_id":',
        b"[]",
    ]

    reply = await ask(services, "acknowledge_batch", body=b"\n".join(lines) + b"\n")

    results = [orjson.loads(line) for line in (reply.body or b"").splitlines()]
    assert [item["status"] for item in results] == [200, 404, 400, 400, 400, 400]
    assert results[0]["result"] == {"message_id": ID_TEXT, "collected_at": "2026-11-18T11:06:40.123Z"}
    assert results[1]["problem"]["code"] == "not-found"
    assert [item["problem"]["code"] for item in results[2:]] == [
        "parameter-invalid",
        "parameter-invalid",
        "message-unreadable",
        "message-unreadable",
    ]
    assert services.asked == [("acknowledge_all", "FR.DGDDI.SARC", ID, other.bytes)]


async def test_a_line_of_acknowledgements_may_be_spelled_in_any_way_that_json_allows() -> None:
    services = FakeServices()
    lines = [
        b'{"message_id":"%b"}' % ID_TEXT.encode(),
        b' { "message_id" : "%b" }\r' % ID_TEXT.encode(),
        b'{"message\\u005fid":"%b"}' % ID_TEXT.encode(),
        b'{"message_id":"%b"}' % ID_TEXT.upper().encode(),
        b'{"message_id":"%b"} {}' % ID_TEXT.encode(),
    ]

    reply = await ask(services, "acknowledge_batch", body=b"\n".join(lines))

    results = [orjson.loads(line) for line in (reply.body or b"").splitlines()]
    assert [item["status"] for item in results] == [200, 200, 200, 400, 400]
    assert services.asked == [("acknowledge_all", "FR.DGDDI.SARC", ID, ID, ID)]


async def test_a_batch_of_acknowledgements_that_names_no_message_asks_nothing() -> None:
    services = FakeServices()
    reply = await ask(services, "acknowledge_batch", body=b"null\n")

    assert reply.body is not None
    assert orjson.loads(reply.body)["status"] == 400
    assert (await ask(services, "acknowledge_batch", body=b"")).body == b""
    assert services.asked == []


async def test_a_batch_of_acknowledgements_has_a_limit_of_lines() -> None:
    with pytest.raises(BodyTooLargeError):
        await ask(FakeServices(), "acknowledge_batch", body=b"{}\n" * 1_001)


# --- conversations and catalogue -------------------------------------------------------------------------


def applied(effect: Effect = Effect.CORRECTS) -> AppliedEffect:
    return AppliedEffect(
        effect=effect,
        message_id=bytes(16),
        type="gov.correction/1",
        from_agency="US.CBP.NTC",
        to_agencies=("FR.DGDDI.SARC",),
        created_ms=NOW_MS,
        at_ms=None,
    )


TERMS = TermsInForce(
    marking={"level": "CUI"}, handling={"codes": ["H1"]}, use={"evidence": "NO"}, delete_by="2027-01-01"
)
NULL_ID = "00000000-0000-0000-0000-000000000000"
CHANGE = {
    "message_id": NULL_ID,
    "type": "gov.correction/1",
    "from": "US.CBP.NTC",
    "created_at": "2026-11-18T11:06:40.123Z",
    "at": None,
}
TERMS_JSON = {
    "marking": {"level": "CUI"},
    "handling": {"codes": ["H1"]},
    "use": {"evidence": "NO"},
    "delete_by": "2027-01-01",
    "changed_by": [],
    "announced": [],
}


def thread(*numbers: int) -> Thread:
    messages = tuple(row(number=number) for number in numbers)
    progress = Progress(
        state=RequestState.OVERDUE, step=RequestState.ACKNOWLEDGED, due_ms=NOW_MS, last=applied()
    )
    return Thread(
        conversation_id=ID,
        state=RequestState.OVERDUE,
        messages=messages,
        shown=messages,
        following=numbers[-1],
        open_until_ms=NOW_MS,
        overdue=True,
        missing={"US.CBP.NTC": [3]},
        requests=(RequestView(row=messages[0], progress=progress, awaits=True),),
        deadlines=(
            Deadline(
                kind=DeadlineKind.FEEDBACK_BY,
                at_ms=NOW_MS,
                message_id=ID,
                agencies=("US.CBP.NTC",),
                owed=False,
                overdue=True,
            ),
        ),
        changes={ID: (applied(),)},
        terms={ID: TERMS},
        room=Room(
            opened_by=ID,
            operation="OP-TEST",
            members=(Member(agency="US.CBP.NTC", role="LEAD"),),
            allowed_types=("ops.sitrep/1",),
            starts_ms=NOW_MS,
            ends_ms=NOW_MS,
            ended_by=None,
        ),
    )


@pytest.mark.parametrize(
    "place", [Place(open_after=(NOW_MS, 7)), Place(open_after=(2**62, 1)), Place(open_after=None, below=4)]
)
async def test_conversations_go_on_where_the_page_before_ended(place: Place) -> None:
    services = FakeServices(thread_page=ThreadPage(threads=(thread(5, 9), thread(2, 4)), following=place))
    page = json_of(await ask(services, "list_conversations", query="limit=2"))
    await ask(services, "list_conversations", query=f"after={page['next']}&state=OPEN,OVERDUE")

    states = frozenset({RequestState.OPEN, RequestState.OVERDUE})
    assert services.asked[0] == ("listing", "FR.DGDDI.SARC", 2, None, frozenset())
    assert services.asked[1] == ("listing", "FR.DGDDI.SARC", 50, place, states)
    first = page["conversations"][0]
    assert (first["state"], first["missing"]) == ("OVERDUE", {"US.CBP.NTC": [3]})
    assert "messages" not in first


async def test_the_last_page_of_conversations_has_no_next() -> None:
    page = json_of(await ask(FakeServices(), "list_conversations"))
    assert page == {"conversations": [], "next": None}


@pytest.mark.parametrize("state", ["open", "OPEN,", ",OPEN", "OPEN,CLOSED", "OPEN OVERDUE"])
async def test_a_state_that_does_not_exist_is_refused(state: str) -> None:
    services = FakeServices()
    with pytest.raises(ParameterError):
        await ask(services, "list_conversations", query=f"state={state.replace(' ', '%20')}")
    assert services.asked == []


async def test_the_messages_of_a_conversation_go_on_where_the_page_before_ended() -> None:
    services = FakeServices(thread_page=ThreadPage(threads=(thread(5, 9),), following=None))
    page = json_of(await ask(services, "get_conversation", query="limit=2"))
    await ask(services, "get_conversation", query=f"after={page['next']}")

    assert services.asked == [
        ("thread", "FR.DGDDI.SARC", ID, 2, 0),
        ("thread", "FR.DGDDI.SARC", ID, 500, 9),
    ]


async def test_a_conversation_shows_requests_deadlines_changes_terms_and_its_room() -> None:
    services = FakeServices(thread_page=ThreadPage(threads=(thread(5, 9),), following=None))
    whole = json_of(await ask(services, "get_conversation"))

    assert whole["requests"] == [
        {
            "message_id": ID_TEXT,
            "type": row().type,
            "awaits": True,
            "state": "OVERDUE",
            "step": "ACKNOWLEDGED",
            "due": "2026-11-18T11:06:40.123Z",
            "last": CHANGE,
        }
    ]
    assert whole["deadlines"] == [
        {
            "kind": "feedback_by",
            "at": "2026-11-18T11:06:40.123Z",
            "message_id": ID_TEXT,
            "agencies": ["US.CBP.NTC"],
            "owed": False,
            "overdue": True,
        }
    ]
    assert whole["room"] == {
        "opened_by": ID_TEXT,
        "operation": "OP-TEST",
        "members": [{"agency": "US.CBP.NTC", "role": "LEAD"}],
        "allowed_types": ["ops.sitrep/1"],
        "starts_at": "2026-11-18T11:06:40.123Z",
        "ends_at": "2026-11-18T11:06:40.123Z",
        "closed_by": None,
    }
    assert [item["direction"] for item in whole["messages"]] == ["sent", "sent"]
    assert whole["messages"][0]["changes"] == [{"change": "corrected", **CHANGE}]
    assert whole["messages"][0]["terms"] == TERMS_JSON


async def test_an_inbox_says_what_is_in_force_of_a_message() -> None:
    changed = InForce(
        corrections=(applied(),),
        payload={"n": 2},
        terms=TERMS,
        retracted_by=applied(Effect.RETRACTS),
        consents=(Consent(request_id=ID, use="EVIDENCE_IN_COURT"),),
    )
    deliveries = [
        Delivery(row=row(), header=b"", collected_ms=None, message=b"{}", in_force=found)
        for found in (changed, None)
    ]
    first, second = json_of(await ask(FakeServices(deliveries=deliveries), "read_inbox"))["messages"]

    assert first["in_force"] == {
        "corrected_by": [CHANGE],
        "payload": {"n": 2},
        "terms": TERMS_JSON,
        "retracted_by": CHANGE,
        "consents": [
            {
                "asked_by": ID_TEXT,
                "use": "EVIDENCE_IN_COURT",
                "decided_by": None,
                "decision": None,
                "conditions": [],
                "valid_until": None,
            }
        ],
    }
    assert second["in_force"] is None


async def test_a_type_comes_with_one_self_contained_schema() -> None:
    services = FakeServices()
    reply = await ask(services, "get_type", parts={"name": "assist.ack", "version": "1"}, language="fr")

    assert json_of(reply)["schema"]["$id"].endswith("assist.ack/1.json")
    assert reply.language == "fr"
    with pytest.raises(NotFoundError):
        await ask(services, "get_type", parts={"name": "assist.ack", "version": "9"})


async def test_the_agreement_has_every_agency() -> None:
    services = FakeServices()
    document = json_of(await ask(services, "get_agreement"))
    assert document["agencies"]["FR.DGDDI.SARC"]["superior"] == "FR.DGDDI"
    assert set(document["marking"]["levels"]) == {"FR", "US"}


# --- who calls ---------------------------------------------------------------------------------------


class OneHolder:
    """A registry with one holder."""

    def __init__(self, role: str) -> None:
        self._role = role

    def find(self, spki: bytes) -> Holder | None:
        return Holder(code="FR.DGDDI.SARC", role=self._role) if spki == CERTIFICATE.spki else None


def test_an_agency_is_the_key_of_its_certificate() -> None:
    caller = identify_agencies(OneHolder("agency"), "FR")(CERTIFICATE)
    assert caller == CALLER


@pytest.mark.parametrize("role", ["operator", "auditor", "", "AGENCY"])
def test_another_role_is_not_let_in(role: str) -> None:
    with pytest.raises(RoleNotAllowedError):
        identify_agencies(OneHolder(role), "FR")(CERTIFICATE)


def test_nobody_is_not_let_in() -> None:
    identify = identify_agencies(OneHolder("agency"), "FR")
    other = Certificate(spki=b"o" * 32, expires_ms=NOW_MS, cipher=CERTIFICATE.cipher)
    for certificate in (None, other):
        with pytest.raises(UnknownCertificateError):
            identify(certificate)
