"""Reception: the last word on a message, with the database's knowledge of what came before."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from gateway.core.entries import ReceiptException
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.threads import outline_of
from gateway.core.receipt import SEND_AGAIN, ExceptionCode
from gateway.core.states import State
from gateway.node.opening import Opened, Opener, Refused
from gateway.node.pair import Pair
from gateway.node.reception import Reception
from gateway.node.vault import Vault
from gateway.ports import NewMessage, Step, Transaction
from gateway.storage.store import SqlStore
from tests.messages import INVESTIGATORS, correction, intelligence, refusal, request
from tests.unit.node.sealing import bundle, message
from tests.world import WorldClock, WorldKeyring

NOW_MS = 5_000


class Bench:
    def __init__(
        self,
        pair: Pair,
        store: SqlStore,
        catalogue: Catalogue,
        keyring: WorldKeyring,
        clock: WorldClock,
    ) -> None:
        self.store, self.catalogue, self.now_ms = store, catalogue, clock.now_ms()
        self.vault = Vault(keyring.storage_key)
        self.reception = Reception(vault=self.vault, origin="fr.gateway.test/exchange/us")
        self.opener = Opener(
            pair=pair,
            schedule=Schedule(catalogue=catalogue),
            kem_private=keyring.kem_private,
            vault=self.vault,
        )
        self.public_key = keyring.create_kem_key(self.now_ms)[1]

    def opened(self, *, index: int = 3, **changes: Any) -> Opened:
        made = bundle(
            [message(self.catalogue, self.now_ms, **changes)], public_key=self.public_key, start=index
        )
        (found,) = self.opener.open(made, skip=0, now_ms=self.now_ms, announced=Announced()).messages
        assert isinstance(found, Opened), found
        return found

    async def receive(self, *messages: Opened | Refused) -> tuple[list[NewMessage], list[ReceiptException]]:
        def receive(tx: Transaction) -> tuple[list[NewMessage], list[ReceiptException]]:
            rows, exceptions = self.reception.receive(tx, messages, NOW_MS)
            tx.inbox.insert(rows)
            return rows, exceptions

        return await self.store.write(Step.MIRRORED, receive)


@pytest.fixture
async def bench(
    pair: Pair, store: SqlStore, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock
) -> Bench:
    return Bench(pair, store, catalogue, keyring, clock)


def refused(code: ExceptionCode, *, index: int = 9, message_id: bytes | None = b"\x01" * 16) -> Refused:
    return Refused(index=index, message_id=message_id, code=code, rule=None)


async def test_a_received_message_is_stored_as_it_was_opened_under_our_own_key(bench: Bench) -> None:
    opened = bench.opened(index=7)

    (row,), exceptions = await bench.receive(opened)

    assert exceptions == []
    assert (row.outgoing, row.state, row.arrived_ms, row.log_index) == (False, State.RECEIVED, NOW_MS, 7)
    assert (row.message_id, row.header) == (opened.message_id, opened.derived.header_bytes)
    assert (row.seq, row.rank, row.flags, row.in_reply_to) == (
        1,
        int(opened.derived.header.precedence),
        "",
        None,
    )
    document = bench.vault.document(row.header, row.ciphertext, row.wrapped_key)
    assert outline_of(document) == opened.document
    assert document.keys() == {"type", "header", "payload"}


async def test_an_id_that_was_received_before_is_a_duplicate(bench: Bench) -> None:
    opened = bench.opened()
    await bench.receive(opened)

    rows, (exception,) = await bench.receive(opened)

    assert rows == []
    assert (exception.index, exception.code) == (3, ExceptionCode.DUPLICATE)


async def test_an_id_twice_in_one_bundle_is_received_once(bench: Bench) -> None:
    opened = bench.opened()

    rows, (exception,) = await bench.receive(opened, opened)

    assert len(rows) == 1
    assert exception.code == ExceptionCode.DUPLICATE


@pytest.mark.parametrize(
    "code", sorted(set(ExceptionCode) - SEND_AGAIN - {ExceptionCode.DUPLICATE}), ids=lambda code: code.label
)
async def test_what_was_refused_stays_refused_when_it_comes_again(bench: Bench, code: ExceptionCode) -> None:
    opened = bench.opened()
    _, (first,) = await bench.receive(refused(code, message_id=opened.message_id))

    rows, (second,) = await bench.receive(opened)

    assert rows == []
    assert (first.code, second.code) == (code, ExceptionCode.DUPLICATE)


@pytest.mark.parametrize("code", sorted(SEND_AGAIN), ids=lambda code: code.label)
async def test_what_is_to_be_sent_again_is_received_when_it_comes_again(
    bench: Bench, code: ExceptionCode
) -> None:
    opened = bench.opened()
    await bench.receive(refused(code, message_id=opened.message_id))

    rows, exceptions = await bench.receive(opened)

    assert [row.message_id for row in rows] == [opened.message_id]
    assert exceptions == []


async def test_a_message_without_a_readable_id_is_refused_and_not_remembered(bench: Bench) -> None:
    nameless = refused(ExceptionCode.UNKNOWN_SUITE, message_id=None)

    for _ in range(2):
        _, (exception,) = await bench.receive(nameless)
        assert exception.code == ExceptionCode.UNKNOWN_SUITE


async def test_exceptions_are_in_the_order_of_the_log_and_keep_their_rule(bench: Bench) -> None:
    first = Refused(index=3, message_id=b"\x01" * 16, code=ExceptionCode.RULE, rule=7)
    last = refused(ExceptionCode.KEM_KEY_GONE, index=5, message_id=b"\x02" * 16)

    rows, exceptions = await bench.receive(first, bench.opened(index=4), last)

    assert [row.log_index for row in rows] == [4]
    assert [(item.index, item.code, item.rule) for item in exceptions] == [
        (3, ExceptionCode.RULE, 7),
        (5, ExceptionCode.KEM_KEY_GONE, None),
    ]


UNKNOWN = "0190f3c2-7a00-7c11-8f00-000000000001"


async def test_an_answer_to_what_this_node_does_not_hold_breaks_a_rule(bench: Bench) -> None:
    draft = refusal("US", UUID(UNKNOWN).bytes)
    draft["header"] |= {
        "to": [{"agency": INVESTIGATORS["FR"]}],
        "purpose": {"code": "REVENUE_PROTECTION", "areas": ["CUSTOMS_FRAUD"]},
        "conversation": {"id": UNKNOWN, "pattern": "REQUEST", "in_reply_to": UNKNOWN, "seq": 1},
    }

    rows, (exception,) = await bench.receive(bench.opened(draft=draft, agency=INVESTIGATORS["US"]))

    assert rows == []
    assert (exception.code, exception.rule) == (ExceptionCode.RULE, rule_number("RF-OPEN"))


async def test_messages_of_one_bundle_see_those_before_them(bench: Bench) -> None:
    # Both of one American agency: the second number continues the first.
    asked = bench.opened(index=3, draft=request("US", bench.now_ms), agency=INVESTIGATORS["US"])

    def second(document: dict[str, Any]) -> None:
        document["header"]["conversation"]["seq"] = 2
        document["header"]["conversation"]["id"] = asked.document["header"]["conversation"]["id"]

    def skipping(document: dict[str, Any]) -> None:
        second(document)
        document["header"]["conversation"]["seq"] = 4

    draft = intelligence("US")
    following = bench.opened(index=4, draft=draft, agency=INVESTIGATORS["US"], change=second)
    last = bench.opened(index=5, draft=draft, agency=INVESTIGATORS["US"], change=skipping)

    rows, exceptions = await bench.receive(asked, following, last)

    assert exceptions == []
    assert [row.flags for row in rows] == ["", "", "gap"]


@pytest.mark.parametrize(("old", "rule"), [("A synthetic summary.", None), ("Another one.", "CX-PATCH")])
async def test_a_message_is_held_against_the_content_of_one_in_the_same_bundle(
    bench: Bench, old: str, rule: str | None
) -> None:
    agency = INVESTIGATORS["US"]
    told = bench.opened(index=3, draft=intelligence("US"), agency=agency)
    draft = correction("US", told.message_id, "/payload/summary", old, "A better one.")
    corrected = bench.opened(index=4, draft=draft, agency=agency)

    rows, exceptions = await bench.receive(told, corrected)

    assert len(rows) == (2 if rule is None else 1)
    assert [item.rule for item in exceptions] == ([] if rule is None else [rule_number(rule)])
