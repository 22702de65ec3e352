"""The agency API over mutual TLS, with two real nodes behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.client import Accepted, AsyncClient, IdentityError, NotReachableError, ProblemError
from gateway.core.message.instants import time_text
from gateway.ports import Step
from tests.agency_site import AgencySite, open_site
from tests.world import make_draft

SARC, DNRED, NTC, HSI = "FR.DGDDI.SARC", "FR.DGDDI.DNRED", "US.CBP.NTC", "US.ICE.HSI"
UNKNOWN = "01a20847-0135-7993-b063-b5d5cb27d3ff"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AgencySite]:
    async with open_site(tmp_path) as opened:
        yield opened


@dataclass(slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["type"] == "urn:entente:problem:" + self.json["code"]
        assert self.json["status"] == self.status
        return str(self.json["code"])

    @property
    def rules(self) -> set[str]:
        return {item["rule"] for item in self.json["errors"]}


async def call(
    site: AgencySite,
    method: str,
    path: str,
    *,
    agency: str = SARC,
    body: bytes | None = None,
    media_type: str = "application/json",
    **headers: str,
) -> Answer:
    """Make one call as an agency."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        fields["Content-Type"] = media_type
    context = site.authorities[agency[:2]].client(site.leaves[agency])
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(
            method,
            site.url(agency[:2]) + path,
            data=None if body is None else BytesIO(body),
            headers=fields,
        ) as response,
    ):
        return Answer(status=response.status, headers=dict(response.headers), body=await response.read())


def draft(site: AgencySite, **header: Any) -> dict[str, Any]:
    return site.world.draft("FR", **header)


async def post(site: AgencySite, document: dict[str, Any], agency: str = SARC, **headers: str) -> Answer:
    body = orjson.dumps(document)
    return await call(site, "POST", "/v1/messages", agency=agency, body=body, **headers)


async def until_status(client: AsyncClient, message_id: str, status: str) -> None:
    async with asyncio.timeout(20):
        async for tracked in client.watch(message_id):
            if tracked.status == status:
                return
    pytest.fail(f"the message never was {status}")


# --- the way of a message ------------------------------------------------------------------------


async def test_a_draft_becomes_a_message_and_reaches_its_addressee(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        accepted = await sarc.send(draft(site))
        assert accepted.status == "accepted"
        assert accepted.message["header"]["message_id"] == accepted.message_id
        assert accepted.audit.origin == "fr.gateway.test/audit"

        async for received in ntc.inbox(wait_s=20):
            assert received.message == accepted.message
            full = await ntc.read(received.message_id)
            assert full.verification is not None
            assert full.verification.log.origin == "fr.gateway.test/exchange/us"
            assert full.verification.checkpoint_size > full.verification.log.index
            first = await ntc.ack(received.message_id)
            assert await ntc.ack(received.message_id) == first
            break
        await until_status(sarc, accepted.message_id, "collected")

        tracked = await sarc.status(accepted.message_id)
        assert [event.event for event in tracked.timeline] == [
            "accepted",
            "sent",
            "delivered",
            "received",
            "collected",
        ]
        assert all(event.log is not None for event in tracked.timeline)
        assert tracked.timeline[-1].agency == NTC
        assert tracked.exception is None
        assert (await ntc.inbox_page()).messages == ()
        assert len((await ntc.inbox_page(collected=True)).messages) == 1


async def test_the_answer_to_a_post_says_what_was_completed_and_where_it_is(site: AgencySite) -> None:
    answer = await post(site, draft(site))

    assert answer.status == 202
    assert set(answer.json) == {"message_id", "status", "accepted_at", "audit", "message"}
    assert answer.headers["Location"] == f"/v1/messages/{answer.json['message_id']}"
    assert answer.json["message"]["header"]["from"]["agency"] == SARC
    assert (await call(site, "GET", answer.headers["Location"])).status == 200


async def test_a_batch_answers_line_by_line_and_each_line_stands_alone(site: AgencySite) -> None:
    good, bad = orjson.dumps(draft(site)), b'{"type":"no.such/1"}'
    body = b"\n".join([good, bad, b"{", good]) + b"\n"

    answer = await call(
        site, "POST", "/v1/messages:batch", body=body, media_type="application/x-ndjson", Accept_Language="fr"
    )

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in answer.body.splitlines()]
    assert [line["status"] for line in lines] == [202, 422, 400, 202]
    assert lines[0]["result"]["status"] == "accepted"
    assert lines[0]["result"]["message_id"] != lines[3]["result"]["message_id"]
    assert lines[1]["problem"]["title"] == "Message refusé"
    assert lines[2]["problem"]["code"] == "message-unreadable"


async def test_a_repeated_batch_repeats_nothing(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        drafts = [draft(site), draft(site)]
        first = await sarc.send_batch(drafts, key="batch-1")
        again = await sarc.send_batch(drafts, key="batch-1")

        ids = [item.message_id for item in first if not isinstance(item, ProblemError)]
        assert len(set(ids)) == 2
        assert [item.message_id for item in again if not isinstance(item, ProblemError)] == ids
        assert len([item async for item in sarc.sent()]) == 2


async def test_a_batch_has_a_limit_of_lines(site: AgencySite) -> None:
    answer = await call(
        site, "POST", "/v1/messages:batch", body=b"{}\n" * 5_001, media_type="application/x-ndjson"
    )

    assert answer.code == "body-too-large"


async def test_checking_keeps_nothing(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        completed = await sarc.check(draft(site))
        assert completed.message["header"]["conversation"]["seq"] == 1
        with pytest.raises(ProblemError) as raised:
            await sarc.check(draft(site), strict=True)
        assert raised.value.problem == "message-refused"
        assert await sarc.check(completed.message, strict=True) == completed
        assert [item async for item in sarc.sent()] == []


async def test_a_place_in_no_list_is_accepted_and_its_sender_warned(site: AgencySite) -> None:
    document = draft(site)
    document["payload"]["place"] = {"unlocode": "FRQ99"}
    async with site.client(SARC) as sarc:
        checked = await sarc.check(document)
        accepted = await sarc.send(document)
        (in_batch,) = await sarc.send_batch([document])
        plain = await sarc.send(draft(site))

    assert isinstance(in_batch, Accepted)
    for warnings in (checked.warnings, accepted.warnings, in_batch.warnings):
        assert [(item.warning, item.pointer) for item in warnings] == [
            ("W-LOCODE", "/payload/place/unlocode")
        ]
        assert "FRQ99" not in warnings[0].message
    assert plain.warnings == ()


async def test_the_same_key_and_body_get_the_same_answer_and_another_body_a_conflict(
    site: AgencySite,
) -> None:
    document = draft(site)
    first = await post(site, document, Idempotency_Key="k-1")
    again = await post(site, document, Idempotency_Key='"k-1"')
    other = await post(site, draft(site, precedence="FLASH"), Idempotency_Key="k-1")

    assert again.status == 202
    assert again.json["message_id"] == first.json["message_id"]
    assert other.status == 409
    assert other.code == "idempotency-conflict"


async def test_without_a_key_the_message_id_is_the_key(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        whole = (await sarc.check(draft(site))).message
        first = await sarc.send(whole)
        again = await sarc.send(whole)
        assert again.message_id == first.message_id
        assert again.audit == first.audit

        whole["header"]["precedence"] = "FLASH"
        with pytest.raises(ProblemError) as raised:
            await sarc.send(whole)
        assert (raised.value.status, raised.value.problem) == (409, "idempotency-conflict")
        assert [(item.rule, item.pointer) for item in raised.value.errors] == [
            ("RF-DUP", "/header/message_id")
        ]


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "clé"])
async def test_a_key_of_another_form_is_refused(site: AgencySite, key: str) -> None:
    answer = await post(site, draft(site), Idempotency_Key=key)

    assert answer.status == 400
    assert answer.code == "parameter-invalid"


async def test_an_accepted_message_can_be_withdrawn_and_a_sent_one_cannot(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        sent = await sarc.send(draft(site))
        await until_status(sarc, sent.message_id, "received")
        with pytest.raises(ProblemError) as raised:
            await sarc.withdraw(sent.message_id)
        assert (raised.value.status, raised.value.problem) == (409, "already-sent")

        await site.world.cut_off("FR")
        withdrawn = (await sarc.send(draft(site))).message_id
        await sarc.withdraw(withdrawn)
        assert (await sarc.status(withdrawn)).status == "withdrawn"


async def test_a_page_goes_on_where_the_one_before_ended(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        results = await sarc.send_batch([draft(site) for _ in range(5)])
        ids = [item.message_id for item in results if not isinstance(item, ProblemError)]

        assert [item.message_id async for item in sarc.sent(limit=2)] == ids[::-1]
        for message_id in ids:
            await until_status(sarc, message_id, "received")
        first = await ntc.inbox_page(limit=3)
        second = await ntc.inbox_page(limit=3, after=first.following)
        assert [item.message_id for item in (*first.messages, *second.messages)] == ids
        assert (await ntc.inbox_page(after=second.following)).messages == ()


async def test_an_inbox_yields_each_message_once_though_nothing_is_acknowledged(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        results = await sarc.send_batch([draft(site) for _ in range(5)])
        ids = {item.message_id for item in results if not isinstance(item, ProblemError)}
        for message_id in ids:
            await until_status(sarc, message_id, "received")

        seen = [item.message_id async for item in ntc.inbox(limit=2, follow=False)]
        assert sorted(seen) == sorted(ids)


async def test_a_conversation_shows_both_sides_and_what_is_open(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        accepted = await sarc.send(draft(site))
        await until_status(sarc, accepted.message_id, "received")
        reply = {
            "type": "assist.ack/1",
            "header": {
                "language": "en",
                "precedence": "IMMEDIATE",
                "conversation": {"in_reply_to": accepted.message_id},
            },
            "payload": {
                "status": "ACCEPTED",
                "handled_by": NTC,
                "expected_by": time_text(site.world.clock.now_ms() + 3_600_000),
            },
        }
        answer = await ntc.send(reply)
        await until_status(ntc, answer.message_id, "received")

        (listed,) = [item async for item in sarc.conversations()]
        assert listed.count == 2
        whole = await sarc.conversation(listed.conversation_id)
        assert [item.type for item in whole.messages] == ["alert.urgent/1", "assist.ack/1"]
        assert whole.messages[1].in_reply_to == accepted.message_id
        assert (await ntc.conversation(listed.conversation_id)).count == 2
        assert await sarc.conversation(listed.conversation_id, limit=1) == whole

    path = f"/v1/conversations/{listed.conversation_id}?limit=1"
    page = orjson.loads((await call(site, "GET", path, agency=SARC)).body)
    assert (page["count"], len(page["messages"])) == (2, 1)
    cursor = page["next"]
    rest = orjson.loads((await call(site, "GET", f"{path}&after={cursor}", agency=SARC)).body)
    assert [item["type"] for item in rest["messages"]] == ["assist.ack/1"]
    assert rest["next"] is None
    for wrong in (
        f"/v1/conversations?after={cursor}",
        f"/v1/messages?after={cursor}",
        f"{path}&after=bWFkZXVw",
    ):
        assert (await call(site, "GET", wrong, agency=SARC)).status == 400


# --- who is asked, and who asks ----------------------------------------------------------------------


async def test_another_agency_sees_nothing_and_learns_nothing(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        accepted = await sarc.send(draft(site))
        await until_status(sarc, accepted.message_id, "received")
        conversation = accepted.message["header"]["conversation"]["id"]
        await ntc.read(accepted.message_id)

    for agency, method, path in (
        (DNRED, "GET", f"/v1/messages/{accepted.message_id}"),
        (DNRED, "POST", f"/v1/messages/{accepted.message_id}:withdraw"),
        (DNRED, "GET", f"/v1/conversations/{conversation}"),
        (HSI, "GET", f"/v1/inbox/{accepted.message_id}"),
        (HSI, "POST", f"/v1/inbox/{accepted.message_id}:ack"),
        (SARC, "GET", f"/v1/inbox/{accepted.message_id}"),
    ):
        theirs = await call(site, method, path, agency=agency)
        nobodys = await call(
            site,
            method,
            path.replace(accepted.message_id, UNKNOWN).replace(conversation, UNKNOWN),
            agency=agency,
        )
        assert theirs.status == 404
        assert theirs.body == nobodys.body
    assert (await call(site, "GET", "/v1/inbox", agency=HSI)).json["messages"] == []
    assert (await call(site, "GET", "/v1/messages", agency=DNRED)).json["messages"] == []


async def test_a_message_in_another_agencys_name_is_refused(site: AgencySite) -> None:
    document = draft(site)
    document["header"]["from"] = {"nation": "FR", "agency": DNRED}

    answer = await post(site, document)

    assert answer.status == 403
    assert answer.code == "wrong-sender"


async def test_a_certificate_that_nobody_registered_gets_403_everywhere(site: AgencySite) -> None:
    async with site.raw("FR", "nobody") as client:
        for path in (client.whoami(), client.types(), client.inbox_page()):
            with pytest.raises(ProblemError) as raised:
                await path
            assert (raised.value.status, raised.value.problem) == (403, "certificate-unknown")


async def test_an_operator_is_no_agency(site: AgencySite) -> None:
    async with site.raw("FR", "operator") as client:
        with pytest.raises(ProblemError) as raised:
            await client.whoami()
        assert (raised.value.status, raised.value.problem) == (403, "role-not-allowed")


@pytest.mark.parametrize("leaf", [None, "expired", NTC])
async def test_other_certificates_get_no_further_than_the_handshake(
    site: AgencySite, leaf: str | None
) -> None:
    async with site.raw("FR", leaf) as client:
        with pytest.raises((NotReachableError, IdentityError)):
            await client.whoami()
    assert site.ports["FR"].app.statistics.requests == {}
    assert site.ports["FR"].app.statistics.handshakes_failed >= 1


async def test_a_change_of_the_registry_counts_at_once(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        assert (await sarc.whoami()).agency == SARC
        holder = site.registries["FR"].by_spki.pop(site.leaves[SARC].spki)
        with pytest.raises(ProblemError) as raised:
            await sarc.whoami()
        assert raised.value.status == 403
        site.registries["FR"].by_spki[site.leaves[SARC].spki] = holder
        assert (await sarc.whoami()).agency == SARC


async def test_who_am_i_says_what_may_be_sent_to_whom(site: AgencySite) -> None:
    async with site.client(SARC, language="fr") as sarc:
        who = await sarc.whoami()

    assert (who.nation, who.agency, who.node, who.peer_node) == (
        "FR",
        SARC,
        "fr.gateway.test",
        "us.gateway.test",
    )
    assert who.spki_sha256 == site.leaves[SARC].spki.hex()
    referral = next(item for item in who.may_send if item.type == "target.cargo_referral/1")
    assert referral.addressees == (NTC,)
    assert referral.title == "Signalement de ciblage fret"


async def test_the_catalogue_is_served_as_json_schema(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        types = await sarc.types()
        assert [item.id for item in types] == list(site.world.catalogue.types)
        one = await sarc.type("assist.request/1")
        assert one.schema is not None
        assert one.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        agreement = await sarc.agreement()
        assert agreement["digest"] == site.world.catalogue.digest.hex()
        with pytest.raises(ProblemError) as raised:
            await sarc.type("no.such/1")
        assert raised.value.status == 404


# --- what bad input gets -------------------------------------------------------------------------------


BAD_JSON = {
    "nothing": b"",
    "no object": b"[]",
    "not JSON": b"{'a': 1}",
    "duplicate keys": b'{"type":"a","type":"b"}',
    "duplicate keys by escape": b'{"type":"a","\\u0074ype":"b"}',
    "NaN": b'{"type":NaN}',
    "infinity": b'{"type":1e999}',
    "2^53": b'{"type":9007199254740992}',
    "a fraction": b'{"type":1.5}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"type":"a"}'.encode("utf-16"),
    "a lone surrogate": b'{"type":"\\ud800"}',
    "broken UTF-8": b'{"type":"\xff"}',
    "65 levels": b'{"a":' * 65 + b"1" + b"}" * 65,
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 arrays inside": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "two documents": b"{}{}",
    "a comment": b"{/* */}",
    "60,000 nodes": b'{"a":[' + b"1," * 60_000 + b"1]}",
}


@pytest.mark.parametrize("body", list(BAD_JSON.values()), ids=list(BAD_JSON))
async def test_what_is_no_strict_json_is_unreadable(site: AgencySite, body: bytes) -> None:
    answer = await call(site, "POST", "/v1/messages", body=body)

    assert answer.status == 400
    assert answer.code == "message-unreadable"
    assert answer.rules == {"JSON"}
    assert (await call(site, "GET", "/v1/messages")).json["messages"] == []


async def test_a_message_has_a_largest_size(site: AgencySite) -> None:
    document = draft(site)
    size = len(orjson.dumps(document))
    longest = orjson.dumps(document)[:-1] + b" " * (1_048_576 - size) + b"}"
    assert len(longest) == 1_048_576

    assert (await call(site, "POST", "/v1/messages", body=longest)).status == 202
    answer = await call(site, "POST", "/v1/messages", body=longest + b" ")
    assert answer.status == 413
    line = await call(
        site, "POST", "/v1/messages:batch", body=longest + b" \n", media_type="application/x-ndjson"
    )
    assert orjson.loads(line.body)["problem"]["code"] == "message-too-large"


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ('APPLICATION/JSON; charset="UTF-8"', 202),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-16", 415),
        ("application/x-ndjson", 415),
    ],
)
async def test_the_media_type_is_json_and_nothing_else(
    site: AgencySite, media_type: str, status: int
) -> None:
    body = orjson.dumps(draft(site))

    assert (await call(site, "POST", "/v1/messages", body=body, media_type=media_type)).status == status


async def test_every_violation_comes_at_once_with_rule_and_place_and_no_value(site: AgencySite) -> None:
    document = draft(site)
    document["payload"]["headline"] = ""
    document["payload"]["kind"] = "SECRET-VALUE-1"
    document["header"]["precedence"] = "SECRET-VALUE-2"
    del document["payload"]["narrative"]

    answer = await post(site, document)
    french = await post(site, document, Accept_Language="fr")

    assert answer.status == 422
    assert answer.code == "message-refused"
    places = {item["pointer"] for item in answer.json["errors"]}
    assert {"/payload/headline", "/payload/kind", "/header/precedence", "/payload"} <= places
    assert b"SECRET-VALUE" not in answer.body
    assert french.headers["Content-Language"] == "fr"
    assert [item["pointer"] for item in french.json["errors"]] == [
        item["pointer"] for item in answer.json["errors"]
    ]
    assert french.json["errors"] != answer.json["errors"]


async def test_an_expired_message_is_refused(site: AgencySite) -> None:
    async with site.client(SARC) as sarc:
        whole = (await sarc.check(draft(site))).message
    now_ms = site.world.clock.now_ms()
    whole["header"]["expires_at"] = time_text(now_ms - 1_000)

    answer = await post(site, whole)

    assert answer.status == 422
    assert any("expires_at" in item["pointer"] for item in answer.json["errors"])


async def test_a_reply_to_nobody_is_refused(site: AgencySite) -> None:
    document = make_draft("FR", site.world.clock.now_ms())
    document["type"] = "assist.ack/1"
    document["header"]["conversation"] = {"id": UNKNOWN, "in_reply_to": UNKNOWN, "pattern": "REQUEST"}
    document["header"].pop("reply_by")
    document["header"].pop("evaluation")
    document["payload"] = {
        "status": "ACCEPTED",
        "handled_by": SARC,
        "expected_by": time_text(site.world.clock.now_ms() + 3_600_000),
    }

    answer = await post(site, document)

    assert answer.status == 422
    assert any(rule.startswith("RF-") for rule in answer.rules)


async def test_an_unknown_type_is_refused_by_name_of_the_known_ones(site: AgencySite) -> None:
    answer = await post(site, {"type": "no.such_type/1", "header": {}, "payload": {}})

    assert answer.status == 422
    assert b"no.such_type" not in answer.body
    assert b"assist.request/1" in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/v1/inbox?limit=0",
        "/v1/inbox?limit=1001",
        "/v1/inbox?wait=61",
        "/v1/inbox?wait=-1",
        "/v1/inbox?wait=nan",
        "/v1/inbox?after=x",
        "/v1/inbox?after=bQAAAAAAAAAC",
        "/v1/inbox?after=" + "A" * 40,
        "/v1/inbox?collected=yes",
        "/v1/inbox?page=2",
        "/v1/messages?after=aQEAAAAAAAAAAQ",
        "/v1/messages?limit=ten",
        "/v1/conversations?limit=201",
        "/v1/conversations?after=bQAAAAAAAAAC",
        f"/v1/messages/{UNKNOWN}?wait=1&events=-1",
    ],
)
async def test_parameters_that_are_not_as_documented_are_refused(site: AgencySite, path: str) -> None:
    answer = await call(site, "GET", path)

    assert answer.status == 400
    assert answer.code == "parameter-invalid"
    assert answer.rules == {"PARAMETER"}


async def test_all_bad_parameters_are_named_at_once(site: AgencySite) -> None:
    answer = await call(site, "GET", "/v1/inbox?limit=0&wait=99&after=x", Accept_Language="fr")

    assert len(answer.json["errors"]) == 3


async def test_a_node_whose_store_has_failed_says_so_before_any_202(site: AgencySite) -> None:
    site.world.break_write("FR", Step.ACCEPTED, persisted=False)

    answer = await post(site, draft(site))

    assert answer.status == 503
    assert answer.code in {"store-failed", "unavailable"}
    assert int(answer.headers["Retry-After"]) >= 1


# --- waiting ---------------------------------------------------------------------------------------------


async def test_an_empty_inbox_waits_and_answers_when_something_arrives(site: AgencySite) -> None:
    async with site.client(SARC) as sarc, site.client(NTC) as ntc:
        waiting = asyncio.ensure_future(ntc.inbox_page(wait_s=20))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        accepted = await sarc.send(draft(site))
        async with asyncio.timeout(10):
            page = await waiting
        assert [item.message_id for item in page.messages] == [accepted.message_id]


async def test_an_empty_inbox_answers_when_the_time_is_over(site: AgencySite) -> None:
    async with site.client(NTC) as ntc:
        async with asyncio.timeout(20):
            page = await ntc.inbox_page(wait_s=0.2)
        assert page.messages == ()
        assert page.following is None


async def test_whoever_waits_is_answered_when_the_port_closes(tmp_path: Path) -> None:
    async with open_site(tmp_path) as opened:
        client = opened.client(NTC)
        waiting = asyncio.ensure_future(client.inbox_page(wait_s=50))
        await asyncio.sleep(0.3)
    async with asyncio.timeout(20):
        assert (await waiting).messages == ()
    await client.close()


# --- the description ---------------------------------------------------------------------------------------


async def test_the_description_comes_in_both_languages(site: AgencySite) -> None:
    english = await call(site, "GET", "/openapi.json")
    french = await call(site, "GET", "/openapi.json", Accept_Language="fr")

    assert english.json["openapi"] == "3.1.0"
    assert english.json["paths"].keys() == french.json["paths"].keys()
    assert english.json["info"]["description"] != french.json["info"]["description"]


async def test_the_handbook_is_there_for_people_in_their_language(site: AgencySite) -> None:
    page = await call(site, "GET", "/docs/", Accept_Language="fr-FR,fr;q=0.9,en;q=0.5")

    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<html lang="fr">' in page.body.decode()
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    style = await call(site, "GET", "/docs/handbook.css")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert (await call(site, "GET", "/docs/fr/no.such-1.html")).code == "not-found"


def test_a_client_without_event_loop_makes_the_same_calls(tmp_path: Path) -> None:
    asyncio.run(_sync_calls(tmp_path))


async def _sync_calls(folder: Path) -> None:
    async with open_site(folder) as opened:
        await asyncio.to_thread(_use_sync_client, opened)


def _use_sync_client(site: AgencySite) -> None:
    with site.sync_client(SARC) as sarc, site.sync_client(NTC) as ntc:
        accepted = sarc.send(make_draft("FR", site.world.clock.now_ms()))
        for received in ntc.inbox(wait_s=10):
            ntc.ack(received.message_id)
            break
        states = [tracked.status for tracked in sarc.watch(accepted.message_id)]
        assert states[-1] == "collected"
        assert sarc.whoami().agency == SARC
        assert [item.message_id for item in sarc.sent()] == [accepted.message_id]
        (result,) = sarc.send_batch([{"type": "no.such/1"}])
        assert isinstance(result, ProblemError)
        with pytest.raises(ProblemError):
            sarc.read(UNKNOWN)
