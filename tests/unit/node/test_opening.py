"""Opening a bundle: each failure concerns one message, and has its code."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.core.bundle import Bundle
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    KemKeyEntry,
    MessageEntry,
    decode_entry,
    encode_entry,
)
from gateway.core.envelope import SUITE, Header
from gateway.core.message.registry import Catalogue
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import Announced, Schedule
from gateway.core.message.strict_json import MAX_BODY_BYTES
from gateway.core.message.threads import outline_of
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey
from gateway.errors import MalformedError, RejectedError
from gateway.node import opening
from gateway.node.opening import Contents, Opened, Opener, Refused
from gateway.node.pair import Pair
from gateway.node.vault import Vault
from tests.unit.node.sealing import Message, bundle, message
from tests.world import WorldClock, WorldKeyring

ANCHOR = encode_entry(AnchorEntry(origin="us.gateway.test/audit", size=1, root=bytes(32)))


def announced(type_id: str, digest: bytes) -> Announced:
    return Announced(entries=(AgreementEntry(types=((type_id, digest),), effective_ms=1),))


class Bench:
    """An opener, a key for it, and messages to open."""

    def __init__(self, pair: Pair, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock) -> None:
        self.catalogue = catalogue
        self.keyring = keyring
        self.now_ms = clock.now_ms()
        self.key_id, self.public_key = keyring.create_kem_key(self.now_ms)
        schedule = Schedule(catalogue=catalogue)
        self.vault = Vault(keyring.storage_key)
        self.opener = Opener(pair=pair, schedule=schedule, kem_private=keyring.kem_private, vault=self.vault)
        self.announced = Announced()

    def message(self, **changes: Any) -> Message:
        return message(self.catalogue, self.now_ms, **changes)

    def bundle(self, *messages: Message, **changes: Any) -> Bundle:
        return bundle(messages, public_key=self.public_key, **changes)

    def open(self, made: Bundle, *, skip: int = 0, later_ms: int = 0) -> Contents:
        return self.opener.open(made, skip=skip, now_ms=self.now_ms + later_ms, announced=self.announced)

    def codes(self, made: Bundle, **more: int) -> list[ExceptionCode | None]:
        return [item.code if isinstance(item, Refused) else None for item in self.open(made, **more).messages]


@pytest.fixture
def bench(pair: Pair, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock) -> Bench:
    return Bench(pair, catalogue, keyring, clock)


def with_entry(made: Bundle, position: int, change: Callable[[MessageEntry], MessageEntry]) -> Bundle:
    entry = decode_entry(made.entries[position])
    assert isinstance(entry, MessageEntry)
    entries = [*made.entries]
    entries[position] = encode_entry(change(entry))
    return replace(made, entries=tuple(entries))


def test_messages_open_in_their_order_with_all_that_reception_needs(bench: Bench) -> None:
    sent = [bench.message() for _ in range(3)]
    made = bench.bundle(*sent, start=7)

    contents = bench.open(made)

    assert [item.index for item in contents.messages] == [7, 8, 9]
    for item, expected in zip(contents.messages, sent, strict=True):
        assert isinstance(item, Opened)
        assert (item.derived.header, item.document) == (expected.header, outline_of(expected.document))
        assert item.ciphertext == expected.ciphertext
        key = bench.vault.unwrap(item.wrapped_key, message_id=item.message_id)
        assert key == expected.content_key
    assert contents.kem_key_ids == (bench.key_id,)
    assert (contents.others, contents.malformed) == ((), ())


def test_entries_that_are_no_messages_are_decoded_and_those_that_are_nothing_are_counted(
    bench: Bench,
) -> None:
    made = bench.bundle(bench.message(), extra=[ANCHOR, b"nothing", b"\x92\x63\x00"])

    contents = bench.open(made)

    assert [index for index, _ in contents.others] == [4]
    assert contents.malformed == (5, 6)
    assert len(contents.messages) == 1


def test_what_the_mirror_holds_already_is_skipped_with_its_ciphertext(bench: Bench) -> None:
    sent = [bench.message() for _ in range(3)]
    made = bench.bundle(*sent, extra=[ANCHOR, b"nothing"])

    contents = bench.open(made, skip=2)
    last = bench.open(made, skip=4)

    assert [item.index for item in contents.messages] == [5]
    assert isinstance(contents.messages[0], Opened)
    assert contents.messages[0].derived.header == sent[2].header
    assert (last.messages, last.others, last.malformed) == ((), (), (7,))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_ciphertexts_as_messages_are_required(bench: Bench, count: int) -> None:
    made = bench.bundle(bench.message(), bench.message())
    carried = (*made.ciphertexts, made.ciphertexts[0])[:count]

    with pytest.raises(MalformedError):
        bench.open(replace(made, ciphertexts=carried))


# --- one message each ------------------------------------------------------------------------


def test_a_header_of_another_version_is_of_an_unknown_suite_and_names_no_message(bench: Bench) -> None:
    made = with_entry(bench.bundle(bench.message()), 0, lambda entry: replace(entry, header=b"\x90"))

    (refused,) = bench.open(made).messages

    assert isinstance(refused, Refused)
    assert (refused.code, refused.message_id) == (ExceptionCode.UNKNOWN_SUITE, None)


HEADERS: dict[str, tuple[Callable[[Header], Header], ExceptionCode]] = {
    "from another node": (
        lambda header: replace(header, from_node="xx.gateway.test"),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "to another node": (
        lambda header: replace(header, to_node="xx.gateway.test"),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "to an agency of another nation too": (
        lambda header: replace(header, to_agencies=(*header.to_agencies, "US.CBP.NTC")),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "to an agency whose nation only begins like ours": (
        lambda header: replace(header, to_agencies=("FRX.DGDDI.SARC",)),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "expired": (lambda header: replace(header, expires_ms=1), ExceptionCode.EXPIRED),
    "of an unknown type": (
        lambda header: replace(header, type="alert.urgent/2"),
        ExceptionCode.TYPE_NOT_AGREED,
    ),
    "of another schema": (
        lambda header: replace(header, type_digest=bytes(48)),
        ExceptionCode.TYPE_NOT_AGREED,
    ),
    "of another agency": (
        lambda header: replace(header, from_agency="US.ICE.HSI"),
        ExceptionCode.HEADER_MISMATCH,
    ),
    "of another precedence": (
        lambda header: replace(header, marking_level=header.marking_level + 1),
        ExceptionCode.HEADER_MISMATCH,
    ),
    "created at another time": (
        lambda header: replace(header, created_ms=header.created_ms - 1),
        ExceptionCode.HEADER_MISMATCH,
    ),
    "of another conversation": (
        lambda header: replace(header, conversation_id=bytes(16)),
        ExceptionCode.HEADER_MISMATCH,
    ),
}


@pytest.mark.parametrize("case", HEADERS, ids=str)
def test_a_header_that_does_not_fit_concerns_its_message_alone(bench: Bench, case: str) -> None:
    change, code = HEADERS[case]
    made = bench.bundle(bench.message(), bench.message(header=change), bench.message())

    assert bench.codes(made) == [None, code, None]


def test_a_message_expires_after_its_last_millisecond(bench: Bench) -> None:
    sent = bench.message()
    left_ms = sent.header.expires_ms - bench.now_ms
    made = bench.bundle(sent)

    assert bench.codes(made, later_ms=left_ms) == [None]
    assert bench.codes(made, later_ms=left_ms + 1) == [ExceptionCode.EXPIRED]


def test_a_type_flows_only_while_both_sides_announce_the_same_digest(bench: Bench) -> None:
    sent = bench.message()
    made = bench.bundle(sent)
    bench.announced = announced(sent.header.type, sent.header.type_digest)
    assert bench.codes(made) == [None]

    bench.announced = announced(sent.header.type, bytes(48))
    assert bench.codes(made) == [ExceptionCode.TYPE_NOT_AGREED]


def test_a_broken_rule_is_named_by_its_number(bench: Bench) -> None:
    def late(document: dict[str, Any]) -> None:
        document["header"]["precedence"] = "ROUTINE"  # alerts are FLASH or IMMEDIATE

    (refused,) = bench.open(bench.bundle(bench.message(change=late))).messages

    assert isinstance(refused, Refused)
    assert refused.code is ExceptionCode.RULE
    assert refused.rule == rule_number("CX-ALERT")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type": 1}', b"\xff\xfe{}", b'{"a":1,"a":1}'])
def test_content_that_is_no_message_is_refused_as_json_or_by_its_schema(bench: Bench, body: bytes) -> None:
    (refused,) = bench.open(bench.bundle(bench.message(body=body))).messages

    assert isinstance(refused, Refused)
    assert refused.code in {ExceptionCode.JSON, ExceptionCode.SCHEMA}


@pytest.mark.parametrize("number", ["1.0", "1e0", "1E0", "1.5", "-0.0", "9007199254740993"])
def test_a_number_that_strict_json_refuses_is_refused_as_json_in_a_message_that_is_good_otherwise(
    bench: Bench, number: str
) -> None:
    body = orjson.dumps(bench.message().document).replace(b'"seq":1', b'"seq":' + number.encode())
    assert number.encode() in body

    (refused,) = bench.open(bench.bundle(bench.message(body=body))).messages

    assert isinstance(refused, Refused)
    assert refused.code is ExceptionCode.JSON
    assert refused.rule == rule_number("JSON")


# --- ciphertexts and boxes ---------------------------------------------------------------------


def test_an_erased_ciphertext_concerns_its_message_alone(bench: Bench) -> None:
    made = bench.bundle(bench.message(), bench.message())
    carried = (None, made.ciphertexts[1])

    assert bench.codes(replace(made, ciphertexts=carried)) == [ExceptionCode.ERASED, None]


@pytest.mark.parametrize("change", ["longer", "shorter", "altered", "exchanged"])
def test_another_ciphertext_than_the_entry_names_is_a_mismatch(bench: Bench, change: str) -> None:
    made = bench.bundle(bench.message(), bench.message())
    first, second = made.ciphertexts
    assert first is not None
    carried = {
        "longer": first + b"\x00",
        "shorter": first[:-1],
        "altered": first[:-1] + bytes([first[-1] ^ 1]),
        "exchanged": second,
    }[change]

    damaged = replace(made, ciphertexts=(carried, second))
    assert bench.codes(damaged) == [ExceptionCode.DIGEST_MISMATCH, None]


def test_a_length_that_the_entry_does_not_name_is_a_mismatch(bench: Bench) -> None:
    made = bench.bundle(bench.message())

    damaged = with_entry(made, 0, lambda entry: replace(entry, ciphertext_bytes=entry.ciphertext_bytes + 1))
    assert bench.codes(damaged) == [ExceptionCode.DIGEST_MISMATCH]


def test_without_any_box_the_content_is_lost_and_beside_other_boxes_it_is_a_mismatch(bench: Bench) -> None:
    made = bench.bundle(bench.message())

    assert bench.codes(replace(made, boxes=())) == [ExceptionCode.CONTENT_LOST]
    assert bench.codes(replace(made, boxes=(b"another box",))) == [ExceptionCode.DIGEST_MISMATCH]


def test_a_key_that_was_destroyed_is_gone(bench: Bench) -> None:
    made = bench.bundle(bench.message())
    bench.keyring.destroy_kem_key(bench.key_id)

    assert bench.codes(made) == [ExceptionCode.KEM_KEY_GONE]


def test_another_bundle_id_or_number_of_keys_does_not_open_the_box(bench: Bench) -> None:
    made = bench.bundle(bench.message(), bench.message())

    other_id = with_entry(made, 0, lambda entry: replace(entry, bundle_id=bytes(16)))
    assert bench.codes(other_id) == [ExceptionCode.BOX_INVALID, None]
    more_slots = with_entry(made, 1, lambda entry: replace(entry, slot=2))
    assert bench.codes(more_slots) == [ExceptionCode.BOX_INVALID] * 2
    fewer = replace(made, entries=made.entries[:1], ciphertexts=made.ciphertexts[:1])
    assert bench.codes(fewer) == [ExceptionCode.BOX_INVALID]


@pytest.mark.parametrize("slot", [2, 1_023, 1_024, 2**53])
def test_a_slot_beyond_the_box_opens_nothing_and_costs_nothing(bench: Bench, slot: int) -> None:
    made = bench.bundle(bench.message(), bench.message())

    damaged = with_entry(made, 1, lambda entry: replace(entry, slot=slot))
    assert bench.codes(damaged) == [ExceptionCode.BOX_INVALID] * 2


def test_exchanged_slots_open_neither_message(bench: Bench) -> None:
    made = bench.bundle(bench.message(), bench.message(), slots=(1, 0))

    assert bench.codes(made) == [ExceptionCode.CONTENT_INVALID] * 2


def test_a_content_that_is_longer_than_a_message_may_be_concerns_its_message_alone(bench: Bench) -> None:
    body = b'{"payload": "' + b"x" * MAX_BODY_BYTES + b'"}'

    assert bench.codes(bench.bundle(bench.message(), bench.message(body=body))) == [
        None,
        ExceptionCode.CONTENT_INVALID,
    ]


def test_an_error_that_no_check_raises_on_purpose_concerns_its_message_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that would refuse the bundle if it left the opener: the peer would send it again for ever.
    outcomes: list[Exception | None] = [None, RejectedError("not on purpose")]

    def rules(*_: Any, **__: Any) -> tuple[()]:
        error = outcomes.pop()
        if error is not None:
            raise error
        return ()

    monkeypatch.setattr(opening, "broken_rules", rules)

    codes = bench.codes(bench.bundle(bench.message(), bench.message()))

    assert codes == [ExceptionCode.UNEXAMINED, None]


def test_a_wrong_content_key_concerns_its_message_alone(bench: Bench) -> None:
    sent = [bench.message(), replace(bench.message(), content_key=ContentKey(os.urandom(32)))]

    assert bench.codes(bench.bundle(*sent)) == [None, ExceptionCode.CONTENT_INVALID]


# --- keys that the peer announces ------------------------------------------------------------


def test_a_kem_key_counts_only_if_one_can_seal_for_it(bench: Bench, peer_keyring: WorldKeyring) -> None:
    key_id, public_key = peer_keyring.create_kem_key(bench.now_ms)
    good = KemKeyEntry(key_id=key_id, suite=SUITE, public_key=public_key, not_before_ms=1, not_after_ms=2)
    bad = [
        replace(good, key_id=bytes(8)),
        replace(good, suite=SUITE + 1),
        replace(good, public_key=bytes(1_665)),
    ]
    made = bench.bundle(bench.message(), extra=[encode_entry(entry) for entry in (good, *bad)])

    contents = bench.open(made)

    assert [entry for _, entry in contents.others] == [good]
    assert contents.malformed == (5, 6, 7)
