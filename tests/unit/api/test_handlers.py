"""Handlers of the agency API, against a node made by hand: posting and following, and who calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from gateway.api.callers import identify_agencies
from gateway.core.message.warning import ValueWarning
from gateway.core.message.wording import Language, Wording
from gateway.core.receipt import EXCEPTION_TEXTS, ExceptionCode
from gateway.core.states import State
from gateway.node.admission import Checked, OverloadedError
from gateway.node.inbox import NotFoundError
from gateway.node.posts import Submission
from gateway.node.tracking import Tracked
from gateway.web.identity import Certificate, RoleNotAllowedError, UnknownCertificateError
from gateway.web.refusals import BodyTooLargeError, ParameterError
from tests.agency_site import Holder
from tests.unit.api.asking import CALLER, CERTIFICATE, ID_TEXT, acceptance, ask, json_of, tracked
from tests.unit.api.services import NOW_MS, FakeServices, row

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
