"""Two nations' exports side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import scan
from gateway.audit.fates import MAX_NAMED
from gateway.audit.folder import LogFolder
from gateway.audit.reconcile import NamedLog, Reconciliation, reconcile
from gateway.audit.trust import Trust, parse_trust
from gateway.core.entries import (
    Entry,
    IncidentEntry,
    IncidentKind,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    encode_entry,
)
from gateway.core.merkle import Hash
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
    event,
    exchange_log,
    full_trust,
    header,
    make_log,
    message,
    opening,
    receipt,
    root_vkeys,
    signer,
    statement,
    successor_signer,
    vkeys,
)


def answering(log: MadeLog, *entries: Entry) -> MadeLog:
    """Return the American log that answers a French one."""
    return make_log(US_FR, [*opening(US), *entries], cosigner=FR)


def excepting(entry: ReceiptEntry, code: ExceptionCode, *indexes: int) -> ReceiptEntry:
    """Return a receipt with exceptions."""
    found = tuple(ReceiptException(index=index, code=int(code), rule=None) for index in indexes)
    return replace(entry, exceptions=found)


def beginning(log: MadeLog, size: int) -> MadeLog:
    """Return a log as it was at a smaller size."""
    return make_log(log.origin, log.stored[:size], cosigner=US)


def compare(
    folder: Path, french: Sequence[MadeLog], american: Sequence[MadeLog], *, trust: Trust | None = None
) -> Reconciliation:
    sides = []
    for side, logs in (("fr", french), ("us", american)):
        named = []
        for number, made in enumerate(logs):
            path = made.export(folder / f"{side}{number}")
            named.append(NamedLog(title=f"{side}{number}", log=LogFolder(path)))
        sides.append(named)
    return reconcile(*sides, trust=trust or full_trust(), progress=lambda _: lambda _done, _all: None)


def test_two_exports_that_tell_the_same_are_reconciled(tmp_path: Path) -> None:
    log = exchange_log(300)
    answers = answering(log, receipt(log, 3, 300, refused=[7]), collected(log, 3, 4, 5))
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.headline == "RECONCILED: 297 messages in 305 entries, both nations tell the same"
    french = found.directions[0]
    assert french.origin == FR_US
    assert (french.mirrored, french.messages, french.received) == (300, 297, 296)
    assert (french.refused, french.unanswered, french.collected) == ({"rule": 1}, 0, 3)
    assert found.open_ends == ()
    assert found.as_json()["verdict"] == "RECONCILED"


def test_what_one_copy_does_not_hold_yet_is_said_and_is_no_difference(tmp_path: Path) -> None:
    log = exchange_log(300)
    answers = answering(log, receipt(log, 3, 280))
    found = compare(tmp_path, [log, answers], [answers, beginning(log, 290)])
    assert found.is_reconciled
    assert found.directions[0].mirrored == 290
    assert found.directions[0].unanswered == 20
    assert found.open_ends == (
        f"{FR_US}: us1 ends at 290, fr0 at 300",
        f"{FR_US}: 20 messages at its end wait for a receipt",
    )
    older = compare(tmp_path / "older", [beginning(log, 100), answers], [answers, beginning(log, 90)])
    assert older.is_reconciled
    assert f"{US_FR}: 1 answer is about entries of {FR_US} beyond 100" in older.open_ends


@pytest.mark.parametrize("index", [3, 255, 256, 299])
def test_the_first_entry_that_differs_is_named(tmp_path: Path, index: int) -> None:
    log = exchange_log(300)
    entries: list[Entry | bytes] = list(log.stored)
    entries[index] = message(FR, 1_000_000)
    other = make_log(FR_US, entries, cosigner=US)
    answers = answering(log, receipt(log, 3, 300))
    found = compare(tmp_path, [log, answers], [answers, other])
    assert found.differences == (
        f"{FR_US} entry {index}: the two copies differ from here on, both are signed: a fork",
    )
    assert found.headline.startswith("NOT RECONCILED: 1 difference, first: ")


def test_many_differing_entries_are_named_up_to_a_number_and_counted(tmp_path: Path) -> None:
    log = exchange_log(300)
    other = make_log(FR_US, [*log.stored[:100], *(message(FR, 9_000 + n) for n in range(200))], cosigner=US)
    answers = answering(log, receipt(log, 3, 300))
    found = compare(tmp_path, [log, answers], [answers, other])
    assert len(found.differences) == MAX_NAMED + 1
    assert found.differences[1] == f"{FR_US} entry 101: the two copies differ"
    assert found.differences[-1] == f"{FR_US}: {200 - MAX_NAMED} further entries differ"


def test_a_message_that_was_skipped_by_receipts_is_named_with_its_id(tmp_path: Path) -> None:
    log = exchange_log(20)
    answers = answering(log, receipt(log, 3, 9), receipt(log, 10, 20))
    found = compare(tmp_path, [log, answers], [answers, log])
    skipped = "message 00000000-0000-0000-0000-000000000006"
    assert found.differences == (f"{FR_US} entry 9: no receipt, though later ones exist ({skipped})",)


def test_answers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    log = exchange_log(20)
    wrong = replace(receipt(log, 0, 18, refused=[0]), root=log.root(18))
    assert isinstance(wrong, ReceiptEntry)
    answers = answering(log, wrong, receipt(log, 18, 19, refused=[18]), collected(log, 1, 18, 19))
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.differences == (
        f"{FR_US} entry 0: {US_FR} refuses it, but it is no message",
        f"{FR_US} entry 1: collected, but it is no message",
        f"{FR_US} entry 18: collected although it was refused (message 00000000-0000-0000-0000-00000000000f)",
        f"{FR_US} entry 19: collected without a receipt (message 00000000-0000-0000-0000-000000000010)",
    )


def test_a_log_that_is_not_verified_or_absent_is_a_difference(tmp_path: Path) -> None:
    log = exchange_log(20)
    answers = answering(log, receipt(log, 3, 20))
    lone = compare(tmp_path / "lone", [log], [answers])
    assert set(lone.differences) == {f"only one nation brings {FR_US}", f"only one nation brings {US_FR}"}
    assert compare(tmp_path / "none", [], []).differences == ("neither export holds an exchange log",)
    twice = compare(tmp_path / "twice", [log, log, answers], [answers, log])
    assert twice.differences == (f"fr1 is a second copy of {FR_US} from the same nation",)
    folder = log.export(tmp_path / "broken")
    (folder / "tile/0/000.p/20").write_bytes(bytes(640))
    named = NamedLog(title="broken", log=LogFolder(folder))
    found = reconcile([named], [named], trust=full_trust(), progress=lambda _: lambda _done, _all: None)
    assert found.differences[0].startswith("broken is not verified: tiles: ")


def test_a_key_that_was_replaced_reconciles_nothing(tmp_path: Path) -> None:
    entries = [*exchange_log(20).stored, encode_entry(KeyStatementEntry(statement=statement(FR, 2, 2)))]
    keys = [*vkeys(FR), *vkeys(FR, 2), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)]
    right = make_log(FR_US, entries, cosigner=US, by=signer(FR_US, 2))
    stolen = make_log(FR_US, entries, cosigner=US, by=signer(FR_US))
    answers = answering(right, receipt(right, 3, 21))
    good = compare(tmp_path / "good", [right, answers], [answers, right], trust=parse_trust(keys))
    assert good.is_reconciled, good.differences
    for place, french, american in (("full", stolen, stolen), ("mirror", right, stolen)):
        found = compare(tmp_path / place, [french, answers], [answers, american], trust=parse_trust(keys))
        assert "the newest one names other keys than those that signed" in found.headline


def test_what_one_log_says_of_the_roots_of_the_others_is_compared(tmp_path: Path) -> None:
    log = exchange_log(20)
    answers = answering(log, receipt(log, 3, 20, root=Hash(bytes(32))))
    found = compare(tmp_path / "receipt", [log, answers], [answers, log])
    assert found.differences == (
        f"receipts in {US_FR}: entry 3 names another root than {FR_US} had at size 20",
    )
    answers = answering(log, receipt(log, 3, 20))
    audit = make_log(FR_AUDIT, [event(0), anchor(log, 12, root=Hash(bytes(32)))], cosigner=US)
    found = compare(tmp_path / "anchor", [log, answers, audit], [answers, log])
    assert found.differences == (
        f"anchors in {FR_AUDIT}: entry 1 names another root than {FR_US} had at size 12",
    )


def test_a_bundle_that_an_audit_log_at_hand_does_not_anchor_is_a_difference(tmp_path: Path) -> None:
    log = exchange_log(11)
    answers = answering(log, receipt(log, 3, 11))
    known = [*announcements(FR), accepted(*range(8))]
    audit = make_log(FR_AUDIT, [*known, anchor(log, 3), anchor(log, 11)], cosigner=US)
    found = compare(tmp_path, [log, answers, audit], [answers, log])
    assert found.headline.startswith("NOT RECONCILED: 1 difference, first: bundles anchored in ")


def test_two_histories_of_an_audit_log_are_a_fork(tmp_path: Path) -> None:
    log = exchange_log(20)
    answers = answering(log, receipt(log, 3, 20))
    shown, other = (make_log(FR_AUDIT, [event(0), event(number)], cosigner=US) for number in (1, 2))
    found = compare(tmp_path, [log, answers, shown], [answers, log, other])
    assert found.differences == (
        f"{FR_AUDIT} entry 1: the two copies differ from here on, both are signed: a fork",
    )


def test_a_collection_by_an_agency_that_was_not_addressed_is_named(tmp_path: Path) -> None:
    log = exchange_log(20)
    answers = answering(log, receipt(log, 3, 20), collected(log, 4), collected(log, 5, agency="US.ICE.HSI"))
    second = "message 00000000-0000-0000-0000-000000000002"
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.differences == (
        f"{FR_US} entry 5: collected by an agency that it is not addressed to ({second})",
    )
    assert found.directions[0].collected == 1


def test_addressees_are_looked_up_where_there_are_too_many_lists_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MAX_LISTS", 0)
    test_a_collection_by_an_agency_that_was_not_addressed_is_named(tmp_path)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b"\x92\x01\xc0", "is not an entry of this protocol"),
        (encode_entry(replace(message(FR, 90), header=b"\x90")), "holds a header that is not one"),
        (encode_entry(message(US, 90)), "is a message that this log's node did not send"),
        (encode_entry(message(FR, 90, bundle=90, slot=3)), "does not stand at the next slot of its key box"),
        (encode_entry(event(90)), "is of a kind that does not belong into this log"),
    ],
)
def test_entries_that_both_nations_hold_alike_have_to_be_sound(
    tmp_path: Path, entry: bytes, why: str
) -> None:
    log = make_log(FR_US, [*exchange_log(20).stored, entry], cosigner=US)
    answers = answering(log, receipt(log, 3, 21))
    found = compare(tmp_path, [log, answers], [answers, log])
    assert f"entry 20 {why}" in found.headline


def test_the_copy_that_holds_most_answers_for_the_others_whoever_brings_it(tmp_path: Path) -> None:
    log = exchange_log(20)
    more = make_log(FR_US, [*log.stored, message(US, 90)], cosigner=US)
    answers = answering(log, receipt(log, 3, 20))
    for place, french, american in (("own", more, log), ("mirror", log, more)):
        found = compare(tmp_path / place, [french, answers], [answers, american])
        assert "did not send" in found.headline


def test_what_was_collected_before_a_restore_and_shipped_once_more_stays_collected(tmp_path: Path) -> None:
    log = exchange_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=log.root(3))
    again = excepting(receipt(log, 3, 12), ExceptionCode.CONTENT_LOST, 4, 5)
    answers = answering(log, receipt(log, 3, 8), collected(log, 4), restored, again)
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.is_reconciled, found.differences
    french = found.directions[0]
    assert (french.collected, french.received, french.refused) == (1, 8, {"content-lost": 1})


def test_a_receiver_that_takes_back_after_a_restore_what_it_received_is_a_difference(tmp_path: Path) -> None:
    log = exchange_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=log.root(3))
    first = excepting(receipt(log, 3, 8), ExceptionCode.EXPIRED, 7)
    again = excepting(receipt(log, 3, 12), ExceptionCode.EXPIRED, 5, 7, 11)
    found = compare(tmp_path, [log, made := answering(log, first, restored, again)], [made, log])
    # What was refused the first time, or is answered for the first time, is no contradiction.
    (difference,) = found.differences
    assert difference.startswith(f"{FR_US} entry 5: {US_FR} has received it, and says later: expired")
    french = found.directions[0]
    assert (french.received, french.refused) == (7, {"expired": 2})


def test_what_a_restored_receiver_finds_erased_was_received(tmp_path: Path) -> None:
    log = exchange_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=log.root(3))
    again = excepting(receipt(log, 3, 12), ExceptionCode.ERASED, 5)
    found = compare(
        tmp_path, [log, made := answering(log, receipt(log, 3, 12), restored, again)], [made, log]
    )
    assert found.is_reconciled, found.differences
    assert (found.directions[0].received, found.directions[0].refused) == (9, {})


def test_a_collection_of_a_refused_message_is_no_effect_of_a_restore(tmp_path: Path) -> None:
    log = exchange_log(12)
    restored = IncidentEntry(incident=IncidentKind.RECOVERY, origin=FR_US, size=3, root=log.root(3))
    answers = answering(log, restored, receipt(log, 3, 12, refused=[4]), collected(log, 4))
    assert not compare(tmp_path, [log, answers], [answers, log]).is_reconciled


# --- messages that were sent again ----------------------------------------------------------


def log_of(*numbers: int) -> MadeLog:
    """Return a French log whose messages have these ids, each in a box of its own."""
    messages = [sent(number, bundle=at) for at, number in enumerate(numbers)]
    return make_log(FR_US, [*opening(FR), *messages], cosigner=US)


def sent(number: int, *, bundle: int = 0) -> MessageEntry:
    """Return the entry of a message with this id: the same, however often it is sent, but for its box."""
    named = replace(header(FR, 1), message_id=number.to_bytes(16, "big"))
    return replace(message(FR, 1, bundle=bundle), header=named.encode())


def excepted(log: MadeLog, start: int, end: int, codes: dict[int, int]) -> ReceiptEntry:
    """Return a receipt with these exceptions."""
    items = tuple(ReceiptException(index=at, code=code, rule=None) for at, code in codes.items())
    return replace(receipt(log, start, end), exceptions=items)


def test_a_message_that_was_sent_again_is_one_message(tmp_path: Path) -> None:
    log = log_of(1, 2, 1, 3, 1)
    answers = answering(log, excepted(log, 3, 8, {3: 14, 5: 3}), collected(log, 7))
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.is_reconciled
    assert found.headline.startswith("RECONCILED: 3 messages in ")
    french = found.directions[0]
    assert (french.messages, french.sent_again) == (3, 2)
    assert (french.received, french.collected, french.refused, french.unanswered) == (3, 1, {}, 0)
    assert french.as_json()["sent_again"] == 2


def test_a_message_that_was_sent_again_in_vain_was_refused_once(tmp_path: Path) -> None:
    log = log_of(1, 1, 1, 1)
    answers = answering(log, excepted(log, 3, 7, dict.fromkeys(range(3, 7), 14)))
    french = compare(tmp_path, [log, answers], [answers, log]).directions[0]
    assert (french.messages, french.sent_again, french.refused) == (1, 3, {"content-lost": 1})


def test_a_duplicate_takes_nothing_from_the_message_that_was_received(tmp_path: Path) -> None:
    log = log_of(1, 2, 1)
    answers = answering(log, excepted(log, 3, 6, {5: 5}))
    french = compare(tmp_path, [log, answers], [answers, log]).directions[0]
    assert (french.messages, french.sent_again, french.received, french.refused) == (2, 1, 2, {})


def test_messages_that_end_alike_are_still_two(tmp_path: Path) -> None:
    log = log_of(1, 1 + 2**32, 1 + 2**64)
    answers = answering(log, receipt(log, 3, 6))
    french = compare(tmp_path, [log, answers], [answers, log]).directions[0]
    assert (french.messages, french.sent_again, french.received) == (3, 0, 3)


def test_a_message_that_was_sent_anew_in_the_next_generation_is_one_message(tmp_path: Path) -> None:
    first = log_of(1, 2, 3)
    first_answers = answering(first, receipt(first, 3, 5))
    opened = [anchor(first, 6), *opening(FR), sent(3, bundle=8), message(FR, 4, bundle=9)]
    second = make_log(f"{FR_US}/2", opened, by=successor_signer(FR_US, 2), cosigner=US)
    answered = [anchor(first_answers, 4), *opening(US), receipt(second, 4, 6)]
    second_answers = make_log(f"{US_FR}/2", answered, by=successor_signer(US_FR, 2), cosigner=FR)
    logs = [first, first_answers, second, second_answers]
    found = compare(tmp_path, logs, logs)
    assert found.is_reconciled, found.differences
    assert found.headline.startswith("RECONCILED: 4 messages in ")
    assert not [line for line in found.open_ends if "wait" in line]
    figures = {item.origin: (item.messages, item.sent_again, item.received) for item in found.directions}
    assert figures[FR_US] == (2, 1, 2)
    assert figures[f"{FR_US}/2"] == (2, 0, 2)


@pytest.mark.parametrize("codes", [{}, {3: 14}, {4: 5}], ids=["received twice", "lost first", "a duplicate"])
@pytest.mark.parametrize(
    "changed",
    [
        {"header": replace(header(FR, 7), message_id=(1).to_bytes(16, "big")).encode()},
        {"ciphertext_digest": bytes(48)},
        {"ciphertext_bytes": 7},
    ],
    ids=["header", "digest", "length"],
)
def test_one_id_with_two_contents_is_a_difference(
    tmp_path: Path, changed: dict[str, Any], codes: dict[int, int]
) -> None:
    first, second = sent(1), replace(sent(1, bundle=1), **changed)
    log = make_log(FR_US, [*opening(FR), first, second], cosigner=US)
    answers = answering(log, excepted(log, 3, 5, codes))

    found = compare(tmp_path, [log, answers], [answers, log])

    (difference,) = found.differences
    what = f"{FR_US} entry 4: has the id of entry 3 of {FR_US}, and is another message"
    assert difference == f"{what} (message 00000000-0000-0000-0000-000000000001)"


def test_a_collection_told_in_the_next_generation_has_its_receipt_in_the_one_before(tmp_path: Path) -> None:
    first = log_of(1, 2)
    answers = answering(first, receipt(first, 3, 5))
    second = make_log(f"{FR_US}/2", [anchor(first, 5), *opening(FR)], by=successor_signer(FR_US, 2))
    later = make_log(
        f"{US_FR}/2",
        [anchor(answers, 4), *opening(US), collected(first, 3)],
        by=successor_signer(US_FR, 2),
    )
    # However the folders are called, and in whatever order they are read.
    for number, logs in enumerate(([first, answers, second, later], [later, second, answers, first])):
        found = compare(tmp_path / str(number), logs, logs)
        assert found.is_reconciled, found.differences
        assert {item.origin: item.collected for item in found.directions}[FR_US] == 1


# --- receipts that came after a restore ------------------------------------------------------


def recovered(log: MadeLog, size: int) -> IncidentEntry:
    """Return the incident of a mirror that was put back to a size."""
    return IncidentEntry(incident=IncidentKind.RECOVERY, origin=log.origin, size=size, root=log.root(size))


def test_the_receipts_after_a_restore_replace_those_before(tmp_path: Path) -> None:
    log = exchange_log(12)
    answers = answering(
        log, receipt(log, 3, 12, refused=[4, 5]), recovered(log, 4), receipt(log, 4, 12), collected(log, 4)
    )
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.is_reconciled, found.differences
    assert (found.directions[0].received, found.directions[0].refused) == (9, {})


def test_a_message_that_is_sent_again_after_a_restore_is_not_taken_back(tmp_path: Path) -> None:
    log = log_of(1, 2, 1)
    answers = answering(
        log, receipt(log, 3, 5), recovered(log, 3), excepted(log, 3, 5, {3: 14}), receipt(log, 5, 6)
    )
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.is_reconciled


def test_a_receipt_that_is_taken_back_by_way_of_asking_for_the_message_again_is_named(tmp_path: Path) -> None:
    """A restore that never was licenses to ask for content; what comes was received all the same."""
    log = log_of(1, 2, 1)
    restored = recovered(log, 3)
    for code, is_fine in ((ExceptionCode.EXPIRED, False), (ExceptionCode.ERASED, True)):
        answers = answering(
            log,
            receipt(log, 3, 5),
            restored,
            excepted(log, 3, 5, {3: ExceptionCode.CONTENT_LOST}),
            excepted(log, 5, 6, {5: code}),
        )
        found = compare(tmp_path / code.label, [log, answers], [answers, log])
        assert found.is_reconciled is is_fine, found.differences
        if not is_fine:
            (difference,) = found.differences
            assert difference.startswith(f"{FR_US} entry 5: expired, though it was received as entry 3 of")


def test_what_was_never_received_may_be_refused_when_it_comes_again(tmp_path: Path) -> None:
    log = log_of(1, 2, 1)
    answers = answering(
        log,
        excepted(log, 3, 5, {3: ExceptionCode.KEM_KEY_GONE}),
        excepted(log, 5, 6, {5: ExceptionCode.EXPIRED}),
    )
    found = compare(tmp_path, [log, answers], [answers, log])
    assert found.is_reconciled, found.differences
