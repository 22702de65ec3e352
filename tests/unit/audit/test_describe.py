"""Each kind of entry becomes one line of ASCII, whatever the other node put into it."""

from __future__ import annotations

import pytest

from gateway.audit.describe import describe_entry
from gateway.core.entries import (
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    IncidentEntry,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    encode_entry,
)
from tests.unit.audit.making import FR, KEM_KEY, event, message, opening

ROOT = bytes(31) + b"\x01"
ENTRIES: list[tuple[Entry, str, str]] = [
    (message(FR, 1), "message", "00000000-0000-0000-0000-000000000001 intel.spontaneous/1 FR.DGDDI.SARC"),
    (
        ReceiptEntry(
            origin="us.gateway.test/exchange/fr",
            start=3,
            count=5,
            root=ROOT,
            decided_ms=0,
            exceptions=(
                ReceiptException(index=4, code=12, rule=7),
                ReceiptException(index=5, code=99, rule=None),
            ),
        ),
        "receipt",
        "us.gateway.test/exchange/fr 3-7 received but 4 rule, 5 code 99",
    ),
    (
        CollectedEntry(origin="x", collections=(Collection(index=9, agency="FR.A", at_ms=0),)),
        "collected",
        "x 9 by FR.A",
    ),
    (opening(FR)[0], "key-statement", "bytes"),
    (opening(FR)[1], "kem-key", f"key {KEM_KEY.key_id.hex()} from 2026-"),
    (opening(FR)[2], "agreement", "1 types from 2026-"),
    (AnchorEntry(origin="a/b", size=7, root=ROOT), "anchor", "a/b size 7 root 0000"),
    (IncidentEntry(incident=1, origin="a/b", size=7, root=ROOT), "incident", "fork a/b size 7"),
    (IncidentEntry(incident=77, origin="a/b", size=7, root=ROOT), "incident", "incident 77 a/b"),
    (event(1), "event", "message.accepted ok by agency 0000000000000000 00000000-"),
    (
        EventEntry(at_ms=2**53, role=9, actor=b"", event="x", objects=(bytes(16),) * 7, outcome="no"),
        "event",
        f"millisecond {2**53} x no by 9 ",
    ),
    (VoidEntry(conversation_id=bytes(16), agency="FR.A", numbers=(1, 2)), "void", "FR.A numbers 1, 2"),
]


@pytest.mark.parametrize(("entry", "kind", "text"), ENTRIES)
def test_an_entry_is_told_in_one_line(entry: Entry, kind: str, text: str) -> None:
    found, line = describe_entry(encode_entry(entry))
    assert found == kind
    assert text in line
    assert line.isascii()
    assert line.isprintable()


def test_many_objects_are_cut_short() -> None:
    _, line = describe_entry(encode_entry(ENTRIES[-2][0]))
    assert line.endswith(" and 3 more")


@pytest.mark.parametrize("origin", ["\x1b[2J", "a\nb", "é", "\u202e"])
def test_a_text_cannot_play_with_the_terminal(origin: str) -> None:
    _, line = describe_entry(encode_entry(AnchorEntry(origin=origin, size=1, root=ROOT)))
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize("data", [b"", b"\x90", b"\xc1", b"\x91\x01"])
def test_what_is_no_entry_is_told_as_that(data: bytes) -> None:
    kind, line = describe_entry(data)
    assert kind == "malformed"
    assert line.startswith(f"{len(data)} bytes: ")


def test_a_message_with_a_broken_header_is_told_as_malformed() -> None:
    entry = message(FR, 1)
    data = encode_entry(entry).replace(entry.header, b"\xff" * len(entry.header))
    assert describe_entry(data)[0] == "malformed"
