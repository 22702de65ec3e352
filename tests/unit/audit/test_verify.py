"""VERIFIED means that nothing about the log can be doubted; everything else is NOT VERIFIED."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.report import LogReport, Outcome
from gateway.audit.trust import Trust, parse_trust
from gateway.audit.verify import verify_folder
from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import (
    AnchorEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    KeyStatementEntry,
    ReceiptEntry,
    ReceiptException,
    VoidEntry,
    encode_entry,
)
from gateway.core.merkle import hash_leaf, root_of
from gateway.core.note import format_note, parse_note
from gateway.core.tiles import decode_bundle, encode_bundle
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    LARGE_SIZES,
    SIZES,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    audit_log,
    event,
    exchange_log,
    full_trust,
    make_log,
    message,
    opening,
    receipt,
    root_vkeys,
    signer,
    statement,
    vkeys,
)
from tests.unit.audit.making import header as header_of


def verify(folder: Path, trust: Trust | None = None) -> LogReport:
    return verify_folder(folder, trust=trust or full_trust())


def outcome(report: LogReport, name: str) -> Outcome:
    return next(check.outcome for check in report.checks if check.name == name)


def refuses(report: LogReport, check: str, why: str = "") -> None:
    assert not report.is_verified
    assert report.headline.startswith("NOT VERIFIED ")
    assert outcome(report, check) is Outcome.FAILED
    assert why in (report.reason or "")


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_an_export_of_any_size_is_verified(tmp_path: Path, size: int) -> None:
    report = verify(audit_log(size).export(tmp_path))
    assert report.is_verified
    assert report.headline.startswith(f"VERIFIED fr.gateway.test/audit: {size} entries, signed 2026-")
    assert report.headline.count(f"cosigned by {US}") == 1
    assert [item.name for item in report.cosigned] == [US]
    assert sum(report.kinds.values()) == size


def test_an_exchange_log_is_verified_in_every_respect(tmp_path: Path) -> None:
    report = verify(exchange_log(300).export(tmp_path))
    assert report.is_verified
    assert {check.outcome for check in report.checks} == {Outcome.HELD}
    assert [check.name for check in report.checks] == [
        *("signatures", "cosignature", "files", "tree", "tiles"),
        *("key statement", "national root", "entries", "messages", "receipts", "anchors"),
        "numbers",
    ]
    assert dict(report.kinds) == {"message": 297, "kem-key": 1, "key-statement": 1, "agreement": 1}


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = audit_log(65_537).export(tmp_path)
    verify_folder(folder, trust=full_trust(), progress=lambda done, size: told.append((done, size)))
    assert told[-1] == (65_537, 65_537)
    assert told == sorted(told)
    assert len(told) > 10


# --- every byte ---------------------------------------------------------------------


def positions(name: str, data: bytes) -> Iterator[int]:
    """Every position; of the long post-quantum lines of a checkpoint every 16th."""
    if name != "checkpoint":
        yield from range(len(data))
        return
    at = 0
    for line in data.split(b"\n"):
        step = 16 if len(line) > 1_000 else 1
        # The first part of a long line holds name, key ID and time: all of it.
        yield from range(at, at + min(len(line), 80) + 1)
        yield from range(at + 81, at + len(line), step)
        yield from range(max(at + 81, at + len(line) - 8), at + len(line))
        at += len(line) + 1


def flip_all(folder: Path, every: Callable[[str, bytes], Iterator[int]]) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        data = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        for at in every(name, data):
            if at >= len(data):
                continue
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            report = verify(folder)
            assert not report.is_verified, f"byte {at} of {name}"
            assert report.reason
        path.write_bytes(data)
    assert verify(folder).is_verified


def test_no_byte_of_an_export_can_be_flipped(tmp_path: Path) -> None:
    flip_all(audit_log(3).export(tmp_path), positions)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_byte_at_all_of_an_export_can_be_flipped(tmp_path: Path) -> None:
    flip_all(exchange_log(4).export(tmp_path), lambda _, data: iter(range(len(data))))


@pytest.mark.parametrize("size", [257, 258, 259, 511, 512, 515])
def test_a_forged_entry_in_the_first_tile_is_found_at_sizes_that_fooled_others(
    tmp_path: Path, size: int
) -> None:
    # CVE-2026-56865: a reader that skips full tiles accepts the tile that fits the forged entry.
    folder = audit_log(size).export(tmp_path)
    entries = list(decode_bundle((folder / "tile/entries/000").read_bytes(), 256))
    entries[7] = encode_entry(event(1_000_000))
    (folder / "tile/entries/000").write_bytes(encode_bundle(entries))
    # Under true tiles, which lead to the signed root by themselves; and under one that fits.
    refuses(verify(folder), "tree", "do not lead to the signed root")
    (folder / "tile/0/000").write_bytes(b"".join(hash_leaf(entry) for entry in entries))
    refuses(verify(folder), "tree", "do not lead to the signed root")


def test_a_wrong_hash_in_a_tile_is_named_although_the_entries_are_right(tmp_path: Path) -> None:
    folder = audit_log(600).export(tmp_path)
    tile = folder / "tile/1/000.p/2"
    tile.write_bytes(bytes(64))
    report = verify(folder)
    refuses(report, "tiles", "tile/1/000.p/2")
    assert outcome(report, "tree") is Outcome.HELD


# --- signatures ---------------------------------------------------------------------


def without(note: bytes, *numbers: int) -> bytes:
    signed = parse_note(note)
    return format_note(signed.text, [s for n, s in enumerate(signed.signatures) if n not in numbers])


@pytest.mark.parametrize("line", [0, 1])
def test_a_checkpoint_without_one_of_the_two_log_lines_is_refused(tmp_path: Path, line: int) -> None:
    folder = audit_log(3).export(tmp_path)
    path = folder / "checkpoint"
    path.write_bytes(without(path.read_bytes(), line))
    refuses(verify(folder), "signatures")


@pytest.mark.parametrize("line", [2, 3])
def test_half_a_cosignature_is_refused(tmp_path: Path, line: int) -> None:
    folder = audit_log(3).export(tmp_path)
    path = folder / "checkpoint"
    path.write_bytes(without(path.read_bytes(), line))
    refuses(verify(folder), "cosignature", US)


def test_an_absent_cosignature_is_said(tmp_path: Path) -> None:
    folder = audit_log(3).export(tmp_path)
    path = folder / "checkpoint"
    path.write_bytes(without(path.read_bytes(), 2, 3))
    report = verify(folder)
    assert report.is_verified
    assert report.headline.endswith("not cosigned")
    assert outcome(report, "cosignature") is Outcome.NOT_CHECKED


def test_a_cosignature_of_an_unknown_node_counts_for_nothing(tmp_path: Path) -> None:
    folder = audit_log(3).export(tmp_path)
    path = folder / "checkpoint"
    path.write_bytes(cosign(without(path.read_bytes(), 2, 3), cosigner=signer("evil.gateway.test"), time_s=9))
    report = verify(folder)
    assert report.is_verified
    assert not report.cosigned
    assert "ignored" in next(check.detail for check in report.checks if check.name == "cosignature")


def test_a_node_cannot_vouch_for_its_own_log(tmp_path: Path) -> None:
    folder = make_log(FR_US, opening(FR), cosigner=FR).export(tmp_path)
    report = verify(folder)
    assert report.is_verified
    assert not report.cosigned


def test_without_the_peers_key_its_cosignature_is_not_checked(tmp_path: Path) -> None:
    report = verify(audit_log(3).export(tmp_path), parse_trust(vkeys(FR)))
    assert report.is_verified
    assert outcome(report, "cosignature") is Outcome.NOT_CHECKED


def test_a_log_whose_keys_are_not_trusted_is_refused(tmp_path: Path) -> None:
    report = verify(audit_log(3).export(tmp_path), parse_trust(vkeys(US)))
    refuses(report, "signatures", "no trusted keys for the log fr.gateway.test/audit")
    assert report.checkpoint is None


def test_the_key_of_one_log_does_not_sign_another(tmp_path: Path) -> None:
    folder = audit_log(3).export(tmp_path)
    checkpoint = Checkpoint(origin=FR_US, size=3, root=audit_log(3).root(3))
    keys = signer(FR_US).verifier.verifier_keys(cosigner=False)
    other = sign_checkpoint(
        Checkpoint(origin="fr.gateway.test/audit", size=3, root=checkpoint.root),
        signer=signer("fr.gateway.test/audit"),
        time_s=TIME_S,
    )
    lines = parse_note(other).signatures
    forged = [key.signature(line.blob) for key, line in zip(keys, lines, strict=True)]
    (folder / "checkpoint").write_bytes(format_note(format_checkpoint(checkpoint), forged))
    refuses(verify(folder), "signatures")


def test_a_successor_generation_is_signed_by_the_key_of_the_first(tmp_path: Path) -> None:
    cited = AnchorEntry(origin=FR_US, size=3, root=bytes(32))
    entries = tuple(encode_entry(entry) for entry in (cited, *opening(FR)))
    origin = f"{FR_US}/2"
    key = signer(FR_US)
    root = root_of([hash_leaf(entry) for entry in entries])

    class Renamed:
        name = origin
        sign_ed25519 = staticmethod(key.sign_ed25519)
        sign_mldsa87 = staticmethod(key.sign_mldsa87)
        verifier = type(key.verifier)(name=origin, ed25519=key.verifier.ed25519, mldsa87=key.verifier.mldsa87)

    note = sign_checkpoint(Checkpoint(origin=origin, size=4, root=root), signer=Renamed(), time_s=TIME_S)
    assert verify(MadeLog(origin=origin, stored=entries, signed=note).export(tmp_path)).is_verified


def test_a_time_beyond_the_calendar_is_printed_as_a_number(tmp_path: Path) -> None:
    log = audit_log(1)
    checkpoint = Checkpoint(origin=log.origin, size=1, root=log.root(1))
    note = sign_checkpoint(checkpoint, signer=signer(log.origin), time_s=2**63 - 1)
    report = verify(MadeLog(origin=log.origin, stored=log.stored, signed=note).export(tmp_path))
    assert report.is_verified
    assert f"at second {2**63 - 1}" in report.headline


# --- what the entries say -----------------------------------------------------------


def exchange(tmp_path: Path, *entries: object) -> LogReport:
    return verify(make_log(FR_US, [*opening(FR), *entries]).export(tmp_path))  # type: ignore[list-item]


@pytest.mark.parametrize(
    "entry",
    [
        *(b"", b"\x00", b"\x90", b"\x91\x0b", b"\xc1", b"\x91\xcd\x00\x01", b"\x80", b"\x92\x05\xc4"),
        *(b"{}", b"\x91\x01", encode_entry(event(1))[:-1], b"\xff" * 5_000, b"\x91" * 5_000),
    ],
)
def test_an_entry_that_is_none_is_reported_under_a_valid_root(tmp_path: Path, entry: bytes) -> None:
    report = exchange(tmp_path, entry)
    refuses(report, "entries", "entry 3 is not an entry of this protocol")
    assert outcome(report, "tree") is Outcome.HELD


def test_an_event_does_not_belong_into_an_exchange_log(tmp_path: Path) -> None:
    refuses(exchange(tmp_path, event(1)), "entries", "entry 3 is of a kind that does not belong")


def test_a_message_does_not_belong_into_an_audit_log(tmp_path: Path) -> None:
    log = make_log(f"{FR}/audit", [event(0), message(FR, 0)])
    refuses(verify(log.export(tmp_path)), "entries", "entry 1 is of a kind")


def test_a_message_with_a_broken_header_is_reported(tmp_path: Path) -> None:
    entry = message(FR, 0)
    broken = replace(entry, header=b"\x90")
    refuses(exchange(tmp_path, broken), "entries", "entry 3 holds a header that is not one")


def test_a_message_that_another_node_sent_is_reported(tmp_path: Path) -> None:
    refuses(
        exchange(tmp_path, message(US, 0)), "messages", "entry 3 is a message that this log's node did not"
    )


@pytest.mark.parametrize(
    "named",
    [
        {"from_agency": "US.CBP.NTC"},
        {"to_agencies": ("FR.DGDDI.SARC",)},
        {"to_agencies": ("US.CBP.NTC", "DE.ZKA")},
    ],
)
def test_a_message_that_crosses_no_border_is_reported(tmp_path: Path, named: dict[str, Any]) -> None:
    entry = replace(message(FR, 0), header=replace(header_of(FR, 0), **named).encode())
    what = "entry 3 is not from an agency of one nation to agencies of the other"
    refuses(exchange(tmp_path, entry), "messages", what)


def test_a_slot_that_is_left_out_is_reported(tmp_path: Path) -> None:
    report = exchange(tmp_path, message(FR, 0, slot=0), message(FR, 1, slot=2))
    refuses(report, "messages", "entry 4 does not stand at the next slot")


def test_a_key_box_under_the_id_of_an_earlier_one_is_reported(tmp_path: Path) -> None:
    """The id of a bundle names its key box, and is bound into it: a second box is another one."""
    boxes = [message(FR, n, bundle=bundle) for n, bundle in enumerate((1, 2, 3, 2))]
    report = exchange(tmp_path, *boxes, message(FR, 4, bundle=2, slot=1))
    refuses(report, "messages", "entry 6 begins a key box under the id of an earlier one")


@pytest.mark.parametrize("expires_ms", [0, 1_000, 999])
def test_a_message_that_expired_before_it_was_created_is_reported(tmp_path: Path, expires_ms: int) -> None:
    header = replace(header_of(FR, 0), created_ms=1_000, expires_ms=expires_ms)
    entry = replace(message(FR, 0), header=header.encode())
    refuses(exchange(tmp_path, entry), "messages", "entry 3 is a message that expired before it was created")


@pytest.mark.parametrize("code", [0, 18, 99, 2**53])
def test_an_exception_that_is_not_in_the_table_is_reported(tmp_path: Path, code: int) -> None:
    peer = make_log(US_FR, [*opening(US), message(US, 1)])
    said = replace(receipt(peer, 3, 4), exceptions=(ReceiptException(index=3, code=code, rule=None),))
    refuses(exchange(tmp_path, said), "entries", "entry 3 names an exception that this release does not know")


@pytest.mark.parametrize(
    "change",
    [{"key_id": b"\x07" * 8}, {"suite": 2}, {"public_key": bytes(1_665)}],
    ids=lambda item: next(iter(item)),
)
def test_a_kem_key_that_is_none_is_reported(tmp_path: Path, change: dict[str, Any]) -> None:
    announced = opening(FR)[1]
    assert isinstance(announced, KemKeyEntry)
    refuses(
        exchange(tmp_path, replace(announced, **change)),
        "entries",
        "entry 3 announces a KEM key that is none",
    )


def test_the_number_of_problems_is_said(tmp_path: Path) -> None:
    refuses(exchange(tmp_path, b"", b"", b""), "entries", "(and 2 more)")


def test_an_exchange_log_has_to_open_with_its_key_statement(tmp_path: Path) -> None:
    log = make_log(FR_US, opening(FR)[1:])
    refuses(verify(log.export(tmp_path)), "key statement", "entry 0 is not the key statement")


def test_a_key_statement_about_another_node_is_reported(tmp_path: Path) -> None:
    log = make_log(FR_US, [KeyStatementEntry(statement=statement(US)), *opening(FR)[1:]])
    refuses(verify(log.export(tmp_path)), "key statement", "about another node")


def test_a_key_statement_that_is_no_note_is_reported(tmp_path: Path) -> None:
    log = make_log(FR_US, [KeyStatementEntry(statement=b"no note"), *opening(FR)[1:]])
    refuses(verify(log.export(tmp_path)), "key statement", "holds a key statement that is not one")


def test_a_key_statement_that_goes_back_is_reported(tmp_path: Path) -> None:
    entries = [KeyStatementEntry(statement=statement(FR, version)) for version in (3, 2)]
    refuses(verify(make_log(FR_US, entries).export(tmp_path)), "key statement", "version does not grow")


def test_an_auditor_with_the_keys_of_before_a_change_is_told_so(tmp_path: Path) -> None:
    entries = [*opening(FR), KeyStatementEntry(statement=statement(FR, 2, 2))]
    folder = make_log(FR_US, entries, by=signer(FR_US, 2)).export(tmp_path)
    refuses(verify(folder), "signatures", "newer ones than you have")
    assert verify(folder, parse_trust([*vkeys(FR), *vkeys(FR, 2), *root_vkeys(FR)])).is_verified


def test_a_later_key_statement_is_fine(tmp_path: Path) -> None:
    report = exchange(tmp_path, KeyStatementEntry(statement=statement(FR, 2)))
    assert report.is_verified
    detail = next(check.detail for check in report.checks if check.name == "key statement")
    assert detail == "version 2 names the keys that signed, test keys"


def test_other_keys_than_the_stated_ones_are_reported(tmp_path: Path) -> None:
    # The auditor was handed keys, and the log signed with them; but the nation states others.
    text = parse_note(statement(FR)).text
    other = [key.encode() for key in signer("fr.gateway.test/other").verifier.verifier_keys(cosigner=False)]
    mine = [key.encode() for key in signer(FR_US).verifier.verifier_keys(cosigner=False)]
    renamed = [line.replace("/other+", "/exchange/us+") for line in other]
    swapped = text
    for old, new in zip(mine, renamed, strict=True):
        swapped = swapped.replace(old, new)
    note = format_note(swapped, parse_note(statement(FR)).signatures)
    log = make_log(FR_US, [KeyStatementEntry(statement=note), *opening(FR)[1:]])
    refuses(verify(log.export(tmp_path)), "key statement", "other keys than those that signed")


def test_a_key_statement_that_the_root_did_not_sign_is_reported(tmp_path: Path) -> None:
    lines = parse_note(statement(FR)).signatures
    text = parse_note(statement(FR)).text.replace("version 1", "version 9")
    log = make_log(FR_US, [KeyStatementEntry(statement=format_note(text, lines)), *opening(FR)[1:]])
    refuses(verify(log.export(tmp_path)), "national root", "has not signed the key statement")


def test_a_root_that_was_replaced_has_signed_what_stands_before_its_successor(tmp_path: Path) -> None:
    def log(number: int, *roots: int) -> Path:
        stated = [statement(FR, version, root_keys=root) for version, root in enumerate(roots, 2)]
        return make_log(
            FR_US, [*opening(FR), *(KeyStatementEntry(statement=item) for item in stated)]
        ).export(tmp_path / str(number))

    both = parse_trust([*vkeys(FR), *root_vkeys(FR), *root_vkeys(FR, 2)])
    assert verify(log(1), both).is_verified
    assert verify(log(2, 1), both).is_verified
    assert verify(log(3, 2), both).is_verified
    assert verify(log(4, 1, 2, 2), both).is_verified
    # Who kept the old root states keys once more; and a third root is nobody's.
    refuses(verify(log(5, 2, 1), both), "national root", "that was replaced has signed")
    refuses(verify(log(6, 3), both), "national root", "it has not signed the key statement of version 2")
    # One of the two is not enough: for the first half of the log, or for the second.
    for keys, version in ((1, 2), (2, 1)):
        one = parse_trust([*vkeys(FR), *root_vkeys(FR, keys)])
        refuses(verify(log(7 + keys, 2), one), "national root", f"key statement of version {version}")


@pytest.mark.parametrize("origin", [FR_US, FR_AUDIT])
def test_the_root_of_the_other_nation_vouches_for_no_key_of_a_node(tmp_path: Path, origin: str) -> None:
    stated = KeyStatementEntry(statement=statement(FR, nation="US"))
    log = make_log(origin, [stated, *(opening(FR)[1:] if origin == FR_US else [event(0)])])
    refuses(verify(log.export(tmp_path)), "national root", "of the nation with which its node exchanges")


def test_without_the_key_of_the_root_its_signature_is_not_checked(tmp_path: Path) -> None:
    report = verify(exchange_log().export(tmp_path), parse_trust([*vkeys(FR), *root_vkeys(US)]))
    assert report.is_verified
    assert outcome(report, "national root") is Outcome.NOT_CHECKED


def test_an_origin_that_is_neither_exchange_nor_audit_is_reported(tmp_path: Path) -> None:
    key = signer("fr.gateway.test/diary").verifier
    trust = parse_trust(item.encode() for item in key.verifier_keys(cosigner=False))
    log = make_log("fr.gateway.test/diary", [event(0)])
    refuses(verify(log.export(tmp_path), trust), "entries", "neither an exchange log nor an audit log")


def test_a_second_receipt_for_a_range_is_reported(tmp_path: Path) -> None:
    peer = make_log(US_FR, [*opening(US), *(message(US, n, slot=n) for n in range(7))])
    report = exchange(tmp_path, receipt(peer, 3, 6), receipt(peer, 5, 7))
    refuses(report, "receipts", "entry 4 is a second receipt")


def test_receipts_whose_sizes_go_back_are_reported(tmp_path: Path) -> None:
    peer = make_log(US_FR, [*opening(US), *(message(US, n, slot=n) for n in range(7))])
    refuses(exchange(tmp_path, receipt(peer, 6, 8), receipt(peer, 3, 6)), "receipts", "entry 4")


def test_anchors_that_contradict_each_other_are_reported(tmp_path: Path) -> None:
    first = AnchorEntry(origin=US_FR, size=9, root=bytes(32))
    for second, why in (
        (AnchorEntry(origin=US_FR, size=8, root=bytes(32)), "a smaller size"),
        (AnchorEntry(origin=US_FR, size=9, root=b"\x01" * 32), "another root"),
    ):
        refuses(exchange(tmp_path / why, first, second), "anchors", f"entry 4 names {why}")


def test_an_anchor_may_go_back_after_a_rollback_that_the_log_reports(tmp_path: Path) -> None:
    first = AnchorEntry(origin=US_FR, size=9, root=bytes(32))
    incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_FR, size=8, root=bytes(32))
    again = AnchorEntry(origin=US_FR, size=8, root=bytes(32))
    assert exchange(tmp_path, first, incident, again).is_verified
    once = exchange(tmp_path / "once", first, incident, again, first, again)
    refuses(once, "anchors", "entry 7 names a smaller size")
    further = exchange(tmp_path / "further", first, incident, replace(again, size=7))
    refuses(further, "anchors", "entry 5 names a smaller size")


def test_two_roots_for_one_size_are_found_wherever_in_a_log_they_stand(tmp_path: Path) -> None:
    first = AnchorEntry(origin=US_FR, size=9, root=bytes(32))
    incident = IncidentEntry(incident=IncidentKind.RECOVERY, origin=US_FR, size=8, root=bytes(32))
    again = AnchorEntry(origin=US_FR, size=8, root=bytes(32))
    other = AnchorEntry(origin=US_FR, size=9, root=b"\x01" * 32)
    rolled_back = exchange(tmp_path / "rolled back", first, incident, again, other)
    refuses(rolled_back, "anchors", "entries 3 and 6 name two roots of one log for size 9")
    receipt = ReceiptEntry(origin=US_FR, start=3, count=6, root=b"\x01" * 32, decided_ms=1, exceptions=())
    answered = exchange(tmp_path / "answered", receipt, first)
    refuses(answered, "anchors", "entries 3 and 4 name two roots of one log for size 9")


def test_more_logs_than_a_node_can_know_are_reported(tmp_path: Path) -> None:
    anchors = [AnchorEntry(origin=f"us.gateway.test/{n}/x", size=1, root=bytes(32)) for n in range(200)]
    refuses(exchange(tmp_path, *anchors), "anchors", "speaks of one log too many")


def test_a_void_needs_nothing_else(tmp_path: Path) -> None:
    void = VoidEntry(conversation_id=bytes(16), agency="FR.X", numbers=(1, 2))
    assert exchange(tmp_path, void).is_verified
