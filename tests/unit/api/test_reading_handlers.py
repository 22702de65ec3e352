"""Handlers of the agency API, against a node made by hand: inbox, conversations, catalogue."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from gateway.core.message.effect import Effect
from gateway.core.message.threads import AppliedEffect
from gateway.core.message.threads.deadlines import Deadline, DeadlineKind
from gateway.core.message.threads.in_force import Consent, InForce
from gateway.core.message.threads.progress import Progress, RequestState
from gateway.core.message.threads.rooms import Member, Room
from gateway.core.message.threads.use_changes import TermsInForce
from gateway.node.conversations import Place, RequestView, Thread, ThreadPage
from gateway.node.inbox import Delivery, NotFoundError, Verification
from gateway.node.second_stage import ErasedError
from gateway.web.refusals import BodyTooLargeError, ParameterError
from tests.unit.api.asking import ID_TEXT, ask, json_of
from tests.unit.api.services import ID, NOW_MS, FakeServices, header, row

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


# --- conversations and catalogue ---------------------------------------------------------------------


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
    "erased": [],
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
    with pytest.raises(ParameterError) as refused:
        await ask(services, "list_conversations", query=f"state={state.replace(' ', '%20')}")
    (bad,) = refused.value.parameters
    # Who mistypes a state is told which there are.
    assert all(known in text for known in RequestState for text in (bad.expected.en, bad.expected.fr))
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
        consents=(Consent(request_id=ID, use="EVIDENCE_IN_COURT", retracted_by=applied(Effect.RETRACTS)),),
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
                "retracted_by": CHANGE,
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
