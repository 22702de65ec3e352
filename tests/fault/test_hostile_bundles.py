"""What the receiving node does with bundles that no honest node would send."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from gateway.core.bundle import Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.entries import IncidentEntry, IncidentKind, VoidEntry, encode_entry
from gateway.core.envelope import Header
from gateway.core.merkle import Hash, append, hash_leaf
from gateway.core.note import format_note, parse_note
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey, seal_content
from gateway.errors import (
    GatewayError,
    MalformedError,
    PairFrozenError,
    PeerConflictError,
    PeerError,
    RootMismatchError,
    SignatureInvalidError,
)
from gateway.node.health import Phase
from gateway.ports import Transaction
from tests.forger import Forger, Parts
from tests.world import AGENCIES, World


@pytest.fixture
async def forger(world: World) -> Forger:
    return await Forger.take_over(world)


async def ids(world: World) -> list[bytes]:
    return await world.received("FR")


# --- the log: the whole bundle is refused ------------------------------------------------


async def test_a_good_forged_bundle_is_taken_so_that_the_others_prove_something(
    world: World, forger: Forger
) -> None:
    part = forger.message()

    answer = await forger.post(forger.bundle([part]))

    assert answer.size == forger.size
    assert await ids(world) == [part.header.message_id]


@pytest.mark.parametrize("line", [0, 1])
async def test_a_note_without_one_of_its_two_signatures_is_refused(
    world: World, forger: Forger, line: int
) -> None:
    bundle = forger.bundle([forger.message()])
    note = parse_note(bundle.note)
    stripped = format_note(note.text, [note.signatures[1 - line]])

    with pytest.raises(SignatureInvalidError):
        await forger.post(replace(bundle, note=stripped))

    assert await ids(world) == []


async def test_a_note_that_other_keys_signed_is_refused(world: World, forger: Forger) -> None:
    bundle = forger.bundle([forger.message()])
    note = parse_note(bundle.note)
    other = parse_note(forger.note(Checkpoint(origin=forger.origin, size=1, root=Hash(bytes(32)))))
    forged = format_note(note.text, other.signatures)

    with pytest.raises(SignatureInvalidError):
        await forger.post(replace(bundle, note=forged))


async def test_a_refusal_is_told_once_of_each_kind_until_a_bundle_is_taken(
    world: World, forger: Forger
) -> None:
    good = forger.bundle([forger.message(), forger.message()])
    unsigned = replace(good, note=forger.note(Checkpoint(origin=forger.origin, size=1, root=Hash(bytes(32)))))
    altered = replace(good, entries=(good.entries[1], good.entries[0]))

    async def refused(bundle: Bundle) -> None:
        with pytest.raises(PeerError):
            await forger.post(bundle)

    with capture_logs() as logs:
        for bundle in (unsigned, unsigned, altered, altered):
            await refused(bundle)
        await forger.post(good)
        await refused(altered)

    told = [
        item["error"] for item in logs if item["event"] == "bundle.refused" and item["log_level"] == "warning"
    ]
    assert len(told) == 3
    assert told[1] == told[2] == "RootMismatchError"


async def test_an_altered_entry_is_refused(world: World, forger: Forger) -> None:
    bundle = forger.bundle([forger.message(), forger.message()])
    altered = (bundle.entries[1], bundle.entries[0])

    with pytest.raises(RootMismatchError):
        await forger.post(replace(bundle, entries=altered))


async def test_a_hidden_entry_is_refused(world: World, forger: Forger) -> None:
    bundle = forger.bundle([forger.message(), forger.message()])
    hidden = replace(bundle, entries=bundle.entries[:1], ciphertexts=bundle.ciphertexts[:1])

    with pytest.raises(MalformedError):
        await forger.post(hidden)


async def test_a_stale_checkpoint_is_refused(world: World, forger: Forger) -> None:
    first = forger.bundle([forger.message()])
    await forger.post(first)
    second = forger.bundle([forger.message()])

    with pytest.raises(MalformedError):
        await forger.post(replace(second, note=first.note))


async def test_a_bundle_from_further_ahead_gets_the_size_that_is_mirrored(
    world: World, forger: Forger
) -> None:
    before = forger.size
    await_first = forger.bundle([forger.message()])
    forger.size += 1
    ahead = replace(await_first, start=before + 1)
    forger.size -= 1
    edge_note = forger.note(Checkpoint(origin=forger.origin, size=before + 2, root=Hash(bytes(32))))

    with pytest.raises(PeerConflictError) as caught:
        await forger.post(replace(ahead, note=edge_note).encode())

    assert caught.value.size == before


async def test_a_missing_bundle_is_waited_for(world: World, forger: Forger) -> None:
    first = forger.bundle([forger.message()])
    shadow = Forger.__new__(Forger)
    shadow.__dict__.update(forger.__dict__)
    shadow._edge, shadow.size = _grown(forger, first), first.end
    second = shadow.bundle([shadow.message()])

    late = asyncio.create_task(shadow.post(second))
    await asyncio.sleep(0.05)
    await forger.post(first)

    assert (await late).size == second.end
    assert len(await ids(world)) == 2


def _grown(forger: Forger, bundle: Any) -> Any:
    return append(forger._edge, [hash_leaf(entry) for entry in bundle.entries]).edge


async def test_a_bundle_cut_anywhere_is_refused_and_nothing_of_it_stays(world: World, forger: Forger) -> None:
    data = forger.bundle([forger.message()]).encode()
    cuts = [*range(0, len(data), 1_024), len(data) - 1]

    for cut in cuts:
        with pytest.raises(MalformedError):
            await forger.post(data[:cut])

    assert await ids(world) == []
    await forger.post(data)


async def test_a_flipped_bit_anywhere_never_makes_another_message(world: World, forger: Forger) -> None:
    part = forger.message()
    data = forger.bundle([part]).encode()
    taken = 0

    for position in range(3, len(data), len(data) // 150):
        damaged = data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]
        try:
            await forger.post(damaged)
        except GatewayError:
            continue
        taken += 1  # a bit of box or ciphertext: mirrored, with an exception for the message
        break

    assert await ids(world) == []
    assert taken <= 1


async def test_a_replayed_bundle_is_answered_with_the_newest_cosignature(
    world: World, forger: Forger
) -> None:
    first = forger.bundle([forger.message()])
    await forger.post(first)
    await forger.post(forger.bundle([forger.message()]))

    answer = await forger.post(first)

    assert answer.size == forger.size
    assert answer.note is not None
    assert len(await ids(world)) == 2


async def test_a_second_history_of_the_log_freezes_the_pair_and_both_notes_are_kept(
    world: World, forger: Forger
) -> None:
    fork = forger.bundle([forger.message()])
    await forger.post(forger.bundle([forger.message()]))

    with pytest.raises(PairFrozenError):
        await forger.post(fork)

    with pytest.raises(PairFrozenError):
        await forger.post(forger.bundle([forger.message()]))
    store = world.sides["FR"].store
    assert store is not None
    (incident,) = await store.read(lambda tx: tx.facts.incidents(limit=10))
    assert incident.kind == IncidentKind.FORK
    assert incident.note_a == fork.note
    assert incident.note_b is not None
    # The outbox of the frozen node still accepts, and a restart heals nothing.
    await world.send("FR")
    await world.restart("FR")
    await world.until_phase("FR", Phase.FROZEN)
    with pytest.raises(PairFrozenError):
        await forger.post(forger.bundle([forger.message()]))


async def test_other_entries_at_a_mirrored_place_without_a_signed_root_are_no_fork(
    world: World, forger: Forger
) -> None:
    first = forger.bundle([forger.message()])
    other = forger.bundle([forger.message()])
    await forger.post(first)

    with pytest.raises(RootMismatchError):
        await forger.post(replace(other, note=first.note))

    await forger.post(forger.bundle([forger.message()]))


async def test_a_malformed_entry_under_a_valid_root_is_mirrored_without_effect(
    world: World, forger: Forger
) -> None:
    part = forger.message()

    # The last one is longer than any entry may be, and as long as an exported log can hold.
    extra = [b"\x92\x63\x00", b"not an entry", bytes(65_535)]

    await forger.post(forger.bundle([part], extra=extra))

    assert await ids(world) == [part.header.message_id]
    store = world.sides["FR"].store
    assert store is not None
    found = await store.read(lambda tx: tx.facts.incidents(limit=10))
    assert [item.kind for item in found] == [IncidentKind.MALFORMED_ENTRY] * 3

    def newest(tx: Transaction) -> list[bytes]:
        head = tx.logs.head(forger.origin)
        assert head is not None
        return list(tx.logs.entries(forger.origin, head.size - len(extra), head.size))

    assert await store.read(newest) == extra


async def test_an_entry_that_no_exported_log_could_hold_is_not_mirrored(world: World, forger: Forger) -> None:
    """Else one such entry would keep the auditors of this node from the copy of the peer's log for good."""
    size = forger.size

    with pytest.raises(MalformedError):
        await forger.post(forger.bundle([forger.message()], extra=[bytes(65_536)]))

    await forger.post(forger.bundle([forger.message()]))
    assert forger.size == size + 1


async def test_an_incident_whose_origin_is_no_name_is_malformed_and_shown_to_nobody(
    world: World, forger: Forger
) -> None:
    said = "[/] \x1b[2J\nyour log is lost, call +33 1 00 00 00 00"
    told = [
        IncidentEntry(incident=kind, origin=said, size=2**53, root=bytes(32))
        for kind in (IncidentKind.FORK, IncidentKind.ERASED, 2**53)
    ]

    with capture_logs() as logs:
        await forger.post(forger.bundle([forger.message()], extra=[encode_entry(item) for item in told]))

    found = await world.incidents("FR")
    assert [item.kind for item in found] == [IncidentKind.MALFORMED_ENTRY] * 3
    assert {item.origin for item in found} == {forger.origin}
    assert not any("call" in str(item) for item in logs)


async def test_a_rollback_that_the_peer_states_of_our_log_does_not_hide_the_one_that_we_find(
    world: World, forger: Forger
) -> None:
    origin = world.exchange_origin("FR")
    stated = IncidentEntry(incident=IncidentKind.PEER_ROLLBACK, origin=origin, size=1, root=bytes(32))
    await forger.post(forger.bundle([forger.message()], extra=[encode_entry(stated)]))

    await world.node("FR").recovery.peer_rolled_back(1, 3)

    found = [(item.kind, item.origin) for item in await world.incidents("FR")]
    assert found == [
        (IncidentKind.MALFORMED_ENTRY, forger.origin),
        (IncidentKind.PEER_ROLLBACK, origin),
    ]
    (event,) = [event for event in await world.events("FR") if event.event == "peer.rolled_back"]
    assert event.details == (1, 3)


async def test_the_peer_takes_no_number_from_an_agency_of_this_node(world: World) -> None:
    conversation_id = await world.send("FR")
    forger = await Forger.take_over(world)
    void = VoidEntry(conversation_id=conversation_id, agency=AGENCIES["FR"], numbers=(2, 100_000))

    await forger.post(forger.bundle([forger.message()], extra=[encode_entry(void)]))

    assert [item.kind for item in await world.incidents("FR")] == [IncidentKind.MALFORMED_ENTRY]
    await world.send("FR", conversation={"id": str(UUID(bytes=conversation_id))})


# --- one message: its entry is mirrored and its receipt has an exception -------------------


def _header(**changes: Any) -> Callable[[Header], Header]:
    return lambda header: replace(header, **changes)


def _no_headline(document: dict[str, Any]) -> None:
    del document["payload"]["headline"]


def _late(document: dict[str, Any]) -> None:
    document["header"]["precedence"] = "ROUTINE"  # alerts are FLASH or IMMEDIATE: CX-ALERT


MESSAGE_CASES: dict[str, tuple[Callable[[Forger], Parts], ExceptionCode]] = {
    "addressed to another node": (
        lambda forger: forger.message(header=_header(to_node="xx.gateway.test")),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "addressed to an agency of its own nation": (
        lambda forger: forger.message(header=_header(to_agencies=("US.CBP.NTC",))),
        ExceptionCode.WRONG_RECIPIENT,
    ),
    "expired on arrival": (
        lambda forger: forger.message(header=_header(expires_ms=1)),
        ExceptionCode.EXPIRED,
    ),
    "of a type nobody agreed": (
        lambda forger: forger.message(header=_header(type="alert.unknown/1")),
        ExceptionCode.TYPE_NOT_AGREED,
    ),
    "of another version of its type": (
        lambda forger: forger.message(header=_header(type_digest=bytes(48))),
        ExceptionCode.TYPE_NOT_AGREED,
    ),
    "without its ciphertext": (
        lambda forger: replace(forger.message(), ciphertext=None),
        ExceptionCode.ERASED,
    ),
    "that is no JSON": (lambda forger: forger.message(body=b"{"), ExceptionCode.JSON),
    "with a key twice": (
        lambda forger: forger.message(body=b'{"type": "a", "type": "b"}'),
        ExceptionCode.JSON,
    ),
    "that its schema refuses": (
        lambda forger: forger.message(change=_no_headline),
        ExceptionCode.SCHEMA,
    ),
    "that breaks a rule": (lambda forger: forger.message(change=_late), ExceptionCode.RULE),
    "with a header that says something else": (
        lambda forger: forger.message(header=_header(attachments_bytes=7)),
        ExceptionCode.HEADER_MISMATCH,
    ),
}


@pytest.mark.parametrize("case", MESSAGE_CASES, ids=str)
async def test_a_bad_message_gets_its_exception_and_its_neighbours_are_received(
    world: World, forger: Forger, case: str
) -> None:
    make, code = MESSAGE_CASES[case]
    before, bad, after = forger.message(), make(forger), forger.message()
    index = forger.size + 1

    await forger.post(forger.bundle([before, bad, after]))

    assert await ids(world) == [before.header.message_id, after.header.message_id]
    (exception,) = await forger.exceptions()
    assert (exception.index, exception.code) == (index, code)


async def test_a_wrong_content_key_in_one_slot_concerns_that_message_alone(
    world: World, forger: Forger
) -> None:
    parts = [forger.message() for _ in range(3)]

    def swap(keys: list[ContentKey]) -> list[ContentKey]:
        return [keys[0], ContentKey(os.urandom(32)), keys[2]]

    await forger.post(forger.bundle(parts, keys=swap))

    assert await ids(world) == [parts[0].header.message_id, parts[2].header.message_id]


async def test_a_ciphertext_that_is_not_the_logged_one_is_refused(world: World, forger: Forger) -> None:
    parts = [forger.message(), forger.message()]
    other = forger.message()

    await forger.post(forger.bundle(parts, ciphertexts=lambda carried: [carried[0], other.ciphertext]))

    assert await ids(world) == [parts[0].header.message_id]


async def test_a_ciphertext_opens_under_one_key_and_one_header_only(world: World, forger: Forger) -> None:
    part = forger.message()
    foreign = seal_content(b"{}", content_key=part.content_key, header=b"another header")
    bundle = forger.bundle([replace(part, ciphertext=foreign)])
    assert hashlib.sha384(foreign).digest()

    await forger.post(bundle)

    assert await ids(world) == []


async def test_a_key_box_for_another_receiver_does_not_open(world: World, forger: Forger) -> None:
    await forger.post(forger.bundle([forger.message()], receiver="xx.gateway.test"))

    assert await ids(world) == []


async def test_a_message_id_that_was_received_is_not_delivered_again(world: World, forger: Forger) -> None:
    part = forger.message()
    await forger.post(forger.bundle([part]))

    def same(document: dict[str, Any]) -> None:
        document.update(part.document)

    again = forger.message(change=same)
    assert UUID(again.document["header"]["message_id"]).bytes == part.header.message_id
    await forger.post(forger.bundle([again]))

    assert await ids(world) == [part.header.message_id]
    assert [item.code for item in await forger.exceptions()][-1] == ExceptionCode.DUPLICATE


async def test_a_refused_message_stays_refused_when_it_comes_again(world: World, forger: Forger) -> None:
    bad = forger.message(change=_no_headline)
    await forger.post(forger.bundle([bad]))
    mended = forger.message()

    def same_id(document: dict[str, Any]) -> None:
        document["header"]["message_id"] = bad.document["header"]["message_id"]

    again = forger.message(change=same_id)
    await forger.post(forger.bundle([again, mended]))

    assert await ids(world) == [mended.header.message_id]
