"""What two exports cannot show side by side: logs that nobody brings, entries that are none, late answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.entries import Entry, ReceiptException, VoidEntry, encode_entry
from gateway.core.receipt import ExceptionCode
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    US,
    US_FR,
    MadeLog,
    accepted,
    anchor,
    announcements,
    collected,
    exchange_log,
    header,
    make_log,
    message,
    opening,
    receipt,
    successor_signer,
)
from tests.unit.audit.test_reconcile import answering, compare, excepted, excepting, log_of, sent


def generations(
    first: MadeLog, answers: MadeLog, *later: Entry, sends: Sequence[Entry] = ()
) -> list[MadeLog]:
    """Return two logs that were closed, and those that follow them."""
    second = make_log(
        f"{FR_US}/2",
        [anchor(first, first.size), *opening(FR), *sends],
        by=successor_signer(FR_US, 2),
        cosigner=US,
    )
    answered = [anchor(answers, answers.size), *opening(US), *later]
    return [
        first,
        answers,
        second,
        make_log(f"{US_FR}/2", answered, by=successor_signer(US_FR, 2), cosigner=FR),
    ]


def test_a_message_without_a_receipt_in_a_closed_log_gets_none(tmp_path: Path) -> None:
    first = log_of(1, 2, 3)
    logs = generations(first, answering(first, receipt(first, 3, 5)))
    found = compare(tmp_path, logs, logs)
    assert found.is_reconciled, found.differences
    assert found.directions[0].unanswered == 1
    what = "1 message has no receipt and gets none, for it is closed; no later log at hand sends it anew"
    assert found.open_ends == (f"{FR_US}: {what}",)


def test_a_receipt_takes_nothing_back_in_the_next_generation(tmp_path: Path) -> None:
    first = log_of(1, 2, 3)
    logs = generations(
        first,
        answering(first, receipt(first, 3, 6)),
        excepting(receipt(first, 3, 6), ExceptionCode.EXPIRED, 4),
    )
    found = compare(tmp_path, logs, logs)
    why = "entry 4 is a receipt for another log than the exchange log of its generation"
    assert why in found.headline


def test_a_receipt_is_for_one_log_alone(tmp_path: Path) -> None:
    log = log_of(1)
    good = receipt(log, 3, 4)
    for number, (origin, why) in enumerate(
        [
            ("zz.gateway.test/exchange/us", "is a receipt for a second log"),
            (FR_AUDIT, "is a receipt for another log than"),
            (US_FR, "is a receipt of a node for its own log"),
        ]
    ):
        answers = answering(log, good, replace(good, origin=origin))
        found = compare(tmp_path / str(number), [log, answers], [answers, log])
        assert f"entry 4 {why}" in found.headline


def test_what_neither_nation_brings_is_a_difference(tmp_path: Path) -> None:
    first = log_of(1, 2)
    logs = generations(first, answering(first, receipt(first, 3, 5)))
    later = compare(tmp_path / "later", logs[2:], logs[2:])
    assert later.differences == (
        f"neither nation brings {FR_US}, of which {FR_US}/2 speaks",
        f"neither nation brings {US_FR}, of which {US_FR}/2 speaks",
    )
    assert f"succession of {FR_US}/2: follows {FR_US}, closed at 5 entries; that log is not at hand" in (
        later.open_ends
    )
    lone = compare(tmp_path / "lone", [first], [first])
    assert lone.differences == (f"neither nation brings a log that answers {FR_US}",)
    # What a node's own audit log anchors of its exchange log may not be signed yet.
    known = [*announcements(FR), accepted(1, 2)]
    audit = make_log(
        FR_AUDIT, [*known, anchor(logs[1], 4), anchor(first, 5), anchor(logs[2], 4)], cosigner=US
    )
    early = compare(tmp_path / "early", [*logs[:2], audit], logs[:2])
    assert early.is_reconciled
    assert [line for line in early.open_ends if f"{FR_US}/2" in line]
    audit = make_log(
        FR_AUDIT, [*known, anchor(first, 5), anchor(logs[1], 4), anchor(logs[3], 4)], cosigner=US
    )
    withheld = compare(tmp_path / "withheld", [*logs[:2], audit], logs[:2])
    assert withheld.differences == (f"neither nation brings {US_FR}/2, of which {FR_AUDIT} speaks",)


def test_a_duplicate_of_nothing_is_a_difference(tmp_path: Path) -> None:
    log = log_of(1, 2, 1)
    answers = answering(log, excepted(log, 3, 6, {4: 5, 5: 5}))
    found = compare(tmp_path / "one", [log, answers], [answers, log])
    (difference,) = found.differences
    assert difference.startswith(
        f"{FR_US} entry 4: refused as a duplicate, but no entry before it has its id"
    )
    # A message of the generation before may be what is repeated.
    first = log_of(1, 2)
    logs = generations(first, answering(first, receipt(first, 3, 4)), sends=[sent(1, bundle=7)])
    again = replace(receipt(logs[2], 4, 5), exceptions=(ReceiptException(index=4, code=5, rule=None),))
    logs = generations(first, logs[1], again, sends=[sent(1, bundle=7)])
    found = compare(tmp_path / "two", logs, logs)
    assert found.is_reconciled, found.differences


@pytest.mark.parametrize("refused", [False, True])
def test_one_id_in_both_directions_is_a_difference(tmp_path: Path, *, refused: bool) -> None:
    """Its receiver, who has sent a message under this id, calls it a duplicate: rightly."""
    log = make_log(FR_US, [*opening(FR), message(FR, 1), message(FR, 2, slot=1)], cosigner=US)
    codes = {4: int(ExceptionCode.DUPLICATE)} if refused else {}
    answers = answering(log, message(US, 2), excepted(log, 3, 5, codes))
    log = make_log(FR_US, [*log.stored, receipt(answers, 3, 4)], cosigner=US)
    found = compare(tmp_path, [log, answers], [answers, log])
    (difference,) = found.differences
    assert difference.startswith(f"{US_FR} entry 3: has the id of entry 4 of {FR_US}, and is another message")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b"\x91\x01", "is not an entry of this protocol"),
        (b"\x96" + encode_entry(message(US, 90))[1:], "is not an entry of this protocol"),
        (encode_entry(replace(message(US, 90), header=b"\x90")), "holds a header that is not one"),
        (
            encode_entry(VoidEntry(conversation_id=bytes(16), agency="FR.DGDDI.SARC", numbers=(3,))),
            "declares void what is no number of an agency of its nation",
        ),
        (
            encode_entry(VoidEntry(conversation_id=bytes(16), agency="US.CBP.NTC", numbers=(2**40,))),
            "declares void what is no number of an agency of its nation",
        ),
    ],
)
def test_one_entry_that_is_none_hides_nothing_else(tmp_path: Path, entry: bytes, why: str) -> None:
    log = exchange_log(20)
    number = VoidEntry(conversation_id=header(US, 90).conversation_id, agency="US.CBP.NTC", numbers=(1,))
    answers = make_log(
        US_FR,
        [*opening(US), receipt(log, 3, 9), receipt(log, 10, 20, refused=[11]), number, entry, entry],
        cosigner=FR,
    )
    log = make_log(FR_US, [*log.stored, collected(answers, 6)], cosigner=US)
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.differences[0] == f"fr1 is not verified: entries: entry 6 {why} (and 1 more)"
    assert not [line for line in found.differences if "only one nation" in line]
    assert f"{FR_US} entry 9: no receipt, though later ones exist" in " ".join(found.differences)
    assert [line for line in found.differences if line.startswith(f"{US_FR} entry 6: collected")]
    assert (found.directions[0].received, found.directions[0].refused) == (15, {"rule": 1})
