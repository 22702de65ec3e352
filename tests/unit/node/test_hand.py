"""What a member of the crew does gives what the node itself would have made."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gateway.catalogue import read_lists
from gateway.core.bundle import Bundle
from gateway.core.entries import AgreementEntry
from gateway.core.message.reference_lists import NO_LISTS
from gateway.core.message.registry import Catalogue
from gateway.core.message.schedule import Announced, Schedule, digests_of
from gateway.core.message.violation import MAX_VIOLATIONS
from gateway.core.receipt import ExceptionCode
from gateway.core.sealing import ContentKey
from gateway.errors import GatewayError, PeerConflictError, RejectedError, UnavailableError
from gateway.node.bundle_opening import BundleOpening
from gateway.node.crew import LENGTH, PIECE, PIECE_BYTES, Crew, CrewConfig, pieces
from gateway.node.first_stage import FirstStage
from gateway.node.hand import Hand, Outfit, serve
from gateway.node.opening import Contents, Opened, Opener
from gateway.node.pair import Pair
from gateway.node.posts import Candidate, Posted, Principal, agency_actor
from gateway.node.preparation import Preparation
from gateway.node.refusal import MAX_TOLD, NotAllowedError, RefusedError, TypeNotAgreedError, UnreadableError
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.storage.store import SqlStore
from scripts._bench.messages import make_templates, stamped
from tests.messages import answer
from tests.unit.node.sealing import bundle, message
from tests.world import AGENCIES, WorldClock, WorldEntropy, WorldKeyring


def crossed(value: Any) -> Any:
    """Return what arrives of a value in another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - of this test


def now_ms() -> int:
    return int(time.time() * 1_000)


class ThisProcess(Crew):
    """A crew of one that works right here; everything goes through the form in which it would travel."""

    def __init__(self, hand: Hand, clock: WorldClock) -> None:
        super().__init__(CrewConfig(size=1), outfit=None, seen=lambda: (NO_LISTS, Announced()), clock=clock)
        self.hand = hand
        self.done = 0
        self.present = True

    def takes(self, messages: int) -> bool:
        return self.present and messages > 0

    async def do(self, task: Callable[[Any, Any], Any], argument: Any) -> Any:
        self.done += 1
        there, with_it = crossed((task, argument))
        return crossed(there(self.hand, with_it))


class Side:
    """The French node's first stage and opening, and a member of its crew."""

    def __init__(
        self,
        pair: Pair,
        schedule: Schedule,
        keyring: WorldKeyring,
        clock: WorldClock,
        store: SqlStore,
        workers: Workers,
    ) -> None:
        self.announced = Announced()
        vault = Vault(keyring.storage_key)
        outfit = Outfit.of(pair, schedule, storage_key=keyring.storage_key, log_level="info")
        self.crew = ThisProcess(Hand(crossed(outfit), WorldEntropy()), clock)
        self.preparation = Preparation(
            pair=pair,
            schedule=schedule,
            vault=vault,
            entropy=WorldEntropy(),
            peer=lambda: self.announced,
            lists=read_lists(),
        )
        self.vault = vault
        self.first_stage = FirstStage(
            self.preparation,
            schedule=schedule,
            store=store,
            vault=vault,
            clock=clock,
            workers=workers,
            crew=self.crew,
        )
        self.opening = BundleOpening(
            Opener(pair=pair, schedule=schedule, kem_private=keyring.kem_private, vault=vault),
            schedule=schedule,
            workers=workers,
            crew=self.crew,
            announced=lambda: self.announced,
        )
        self.see(self.announced)

    def see(self, announced: Announced) -> None:
        self.announced = announced
        self.crew.hand.see((dict(self.preparation.lists), announced))

    async def both(
        self, bodies: Sequence[bytes], *, agency: str = AGENCIES["FR"], key: str | None = None
    ) -> list[tuple[Candidate | GatewayError, Candidate | GatewayError]]:
        """Return what crew and node make of the same posts."""
        at, caller = now_ms(), principal(agency)

        def posts() -> list[Posted]:
            return [Posted(caller, body, key, now_ms=at, strict=False) for body in bodies]

        self.crew.present = True
        there = await self.first_stage.prepare(posts())
        self.crew.present = False
        return list(zip(there, await self.first_stage.prepare(posts()), strict=True))


def principal(agency: str) -> Principal:
    return Principal(
        nation=agency[:2], agency=agency, actor=agency_actor(hashlib.sha256(agency.encode()).digest())
    )


@pytest.fixture
def side(
    pair: Pair,
    catalogue: Catalogue,
    keyring: WorldKeyring,
    clock: WorldClock,
    store: SqlStore,
    workers: Workers,
) -> Side:
    return Side(pair, Schedule(catalogue=catalogue), keyring, clock, store, workers)


def is_same(there: Candidate | GatewayError, here: Candidate | GatewayError) -> bool:
    """Return whether two candidates differ in nothing but the key that they are sealed under."""
    if isinstance(there, GatewayError) and isinstance(here, GatewayError):
        return type(there) is type(here) and there.args == here.args and vars(there) == vars(here)
    names = [field.name for field in fields(Candidate) if field.name != "sealed"]
    return all(getattr(there, name) == getattr(here, name) for name in names)


async def test_messages_of_every_type_become_the_same_candidates_and_are_sealed(side: Side) -> None:
    templates = make_templates("FR", now=datetime.now(UTC))
    by_agency: dict[str, list[bytes]] = {}
    for template, _, body in stamped(templates, len(templates)):
        by_agency.setdefault(template.agency, []).append(body)

    for agency, bodies in by_agency.items():
        for there, here in await side.both(bodies, agency=agency):
            assert isinstance(there, Candidate)
            assert is_same(there, here)
            assert there.catalogue is side.preparation._schedule.catalogue
            assert there.sealed is not None
            assert there.message is not None
            ciphertext, wrapped = there.sealed
            header, message_id = there.derived.header_bytes, there.message_id
            opened = side.vault.open(
                header=header, ciphertext=ciphertext, wrapped_key=wrapped, message_id=message_id
            )
            assert opened == there.message
    assert side.crew.done == len(by_agency)


async def test_what_is_refused_is_refused_for_the_same_reasons(side: Side) -> None:
    templates = [
        item for item in make_templates("FR", now=datetime.now(UTC)) if item.agency == AGENCIES["FR"]
    ]
    ((_, _, good),) = stamped(templates, 1)
    document = orjson.loads(good)
    late = {**document, "header": {**document["header"], "expires_at": document["header"]["created_at"]}}
    bodies = [
        good,
        b'{"type": 1, "type": 2}',
        orjson.dumps({**document, "payload": {}}),
        orjson.dumps({**document, "header": {**document["header"], "from": {"agency": "FR.DGDDI.DNRED"}}}),
        orjson.dumps(late),
        orjson.dumps({**document, "type": "no.such_type/1"}),
    ]

    pairs = await side.both(bodies)

    assert all(is_same(there, here) for there, here in pairs)
    kinds = [type(there) for there, _ in pairs]
    assert kinds[:4] == [Candidate, UnreadableError, RefusedError, NotAllowedError]
    assert all(issubclass(kind, RejectedError) for kind in kinds[4:])
    refused = pairs[2][0]
    assert isinstance(refused, RefusedError)
    assert refused.violations


async def test_a_call_is_told_so_many_violations_and_then_the_first_of_each_message(side: Side) -> None:
    ((_, _, good),) = stamped(
        [item for item in make_templates("FR", now=datetime.now(UTC)) if item.agency == AGENCIES["FR"]], 1
    )
    document = orjson.loads(good)
    flooded = orjson.dumps({**document, "header": {**document["header"], "to": [0] * 300}})
    single = orjson.dumps({**document, "payload": {}})
    bodies = [flooded, b"{", single, good] * 12

    both = await side.both(bodies)

    assert all(is_same(there, here) for there, here in both)
    heres = [here for _, here in both]
    told = [(len(item.violations), item.truncated) for item in heres[::4] if isinstance(item, RefusedError)]
    full = told.index((1, "call"))
    assert told == [(MAX_VIOLATIONS, "message")] * full + [(1, "call")] * (12 - full)
    # What the small ones between them are told counts as well.
    assert full * MAX_VIOLATIONS <= MAX_TOLD < (full + 1) * MAX_VIOLATIONS + full * 12
    for unreadable, last in zip(heres[1::4], heres[3::4], strict=True):
        assert isinstance(unreadable, UnreadableError)
        assert unreadable.truncated is None
        assert isinstance(last, Candidate)
    first, last = heres[2], heres[-2]
    assert isinstance(first, RefusedError)
    assert isinstance(last, RefusedError)
    assert first.violations[0] == last.violations[0]
    assert last.truncated == "call"


async def test_values_in_no_list_are_warned_of_and_types_that_are_not_agreed_refused(
    side: Side, catalogue: Catalogue
) -> None:
    templates = [
        item for item in make_templates("FR", now=datetime.now(UTC)) if item.agency == AGENCIES["FR"]
    ]
    bodies = [body for _, _, body in stamped(templates, len(templates))]
    types = tuple((type_id, bytes(48)) for type_id in digests_of(catalogue))
    side.see(Announced(entries=(AgreementEntry(types=types, effective_ms=1),)))

    for there, here in await side.both(bodies):
        assert isinstance(there, TypeNotAgreedError)
        assert is_same(there, here)


async def test_a_reply_draft_is_left_to_the_node_which_alone_has_the_message_it_answers(side: Side) -> None:
    draft = answer("FR", bytes(16), now_ms())

    ((there, here),) = await side.both([orjson.dumps(draft)])

    assert isinstance(there, RefusedError)
    assert [item.rule for item in there.violations] == ["RF-OPEN"]
    assert is_same(there, here)


async def test_a_key_of_its_own_names_a_post_there_as_here(side: Side) -> None:
    templates = [
        item for item in make_templates("FR", now=datetime.now(UTC)) if item.agency == AGENCIES["FR"]
    ]
    ((_, _, body),) = stamped(templates, 1)

    ((there, here),) = await side.both([body], key="order-1")

    assert isinstance(there, Candidate)
    assert there.name == (AGENCIES["FR"], "order-1")
    assert is_same(there, here)


# --- bundles -----------------------------------------------------------------------------


async def opened(side: Side, made: Bundle, *, skip: int = 0, at_ms: int) -> tuple[Contents, Contents]:
    side.crew.present = True
    there = await side.opening.open(made, skip=skip, now_ms=at_ms)
    side.crew.present = False
    return there, await side.opening.open(made, skip=skip, now_ms=at_ms)


def without_keys(contents: Contents, vault: Vault) -> list[object]:
    """Return what became of each message, with the content key in place of its wrapped form."""
    found: list[object] = []
    for item in contents.messages:
        if isinstance(item, Opened):
            key = vault.unwrap(item.wrapped_key, message_id=item.message_id)
            found.append((item.index, item.document, item.derived, item.ciphertext, key))
            assert item.catalogue is not None
        else:
            found.append(item)
    return found


async def test_a_bundle_opens_there_as_here_whatever_is_in_it(
    side: Side, catalogue: Catalogue, keyring: WorldKeyring, clock: WorldClock
) -> None:
    at_ms = clock.now_ms()
    _, public_key = keyring.create_kem_key(at_ms)

    def change(document: dict[str, Any]) -> None:
        document["payload"]["nonsense"] = True

    sent = [
        message(catalogue, at_ms),
        message(catalogue, at_ms, change=change),
        message(catalogue, at_ms, body=b"{"),
        message(catalogue, at_ms, header=lambda header: replace(header, expires_ms=header.created_ms - 1)),
        replace(message(catalogue, at_ms), content_key=ContentKey(bytes(32))),
        message(catalogue, at_ms),
    ]
    made = bundle(sent, public_key=public_key, extra=[b"nothing"])

    there, here = await opened(side, made, at_ms=at_ms)
    later, too = await opened(side, made, skip=2, at_ms=at_ms)

    assert without_keys(there, side.vault) == without_keys(here, side.vault)
    assert (there.others, there.malformed, there.kem_key_ids) == (
        here.others,
        here.malformed,
        here.kem_key_ids,
    )
    codes = [getattr(item, "code", None) for item in there.messages]
    assert codes == [
        None,
        ExceptionCode.SCHEMA,
        ExceptionCode.JSON,
        ExceptionCode.EXPIRED,
        ExceptionCode.CONTENT_INVALID,
        None,
    ]
    assert without_keys(later, side.vault) == without_keys(too, side.vault)
    assert len(later.messages) == 4


async def test_a_box_that_does_not_open_refuses_its_messages_there_as_here(
    side: Side, catalogue: Catalogue, keyring: WorldKeyring, peer_keyring: WorldKeyring, clock: WorldClock
) -> None:
    at_ms = clock.now_ms()
    _, strange_key = peer_keyring.create_kem_key(at_ms)
    _, public_key = keyring.create_kem_key(at_ms)
    good = bundle([message(catalogue, at_ms) for _ in range(2)], public_key=public_key)
    erased = replace(good, ciphertexts=(None, good.ciphertexts[1]))

    for made, codes in (
        (bundle([message(catalogue, at_ms)], public_key=strange_key), [ExceptionCode.KEM_KEY_GONE]),
        (replace(good, boxes=()), [ExceptionCode.CONTENT_LOST] * 2),
        (replace(good, boxes=(bytes(64),)), [ExceptionCode.DIGEST_MISMATCH] * 2),
        (erased, [ExceptionCode.ERASED, None]),
    ):
        there, here = await opened(side, made, at_ms=at_ms)
        assert [getattr(item, "code", None) for item in there.messages] == codes
        assert without_keys(there, side.vault) == without_keys(here, side.vault)


# --- the pipe ----------------------------------------------------------------------------


def framed(*items: object) -> io.BytesIO:
    frames = [pickle.dumps(item) for item in items]
    return io.BytesIO(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))


def answers(written: bytes) -> list[tuple[bool, Any]]:
    found, rest = [], written
    while rest:
        (length,) = LENGTH.unpack(rest[: LENGTH.size])
        found.append(pickle.loads(rest[LENGTH.size : LENGTH.size + length]))  # noqa: S301 - of this test
        rest = rest[LENGTH.size + length :]
    return found


def lists_of(hand: Hand, names: Sequence[str]) -> list[bool]:
    return [name in hand.preparation.lists for name in names]


def refuse(_hand: Hand, size: int) -> None:
    raise PeerConflictError(size)


def test_a_member_answers_every_frame_with_one_and_an_error_with_its_attributes(side: Side) -> None:
    lists = dict(side.preparation.lists)
    name = next(iter(lists))
    work = framed(
        "outfit", (lists_of, [name]), (lists, Announced()), (lists_of, [name]), (refuse, 7), ({}, Announced())
    )
    outgoing = io.BytesIO()
    side.crew.hand.see((NO_LISTS, Announced()))

    serve(lambda _: side.crew.hand, work, outgoing)

    ready, before, seen, after, refused, unseen = answers(outgoing.getvalue())
    assert ready == seen == unseen == (True, None)
    assert (before, after) == ((True, [False]), (True, [True]))
    assert refused[0] is False
    assert isinstance(refused[1], PeerConflictError)
    assert (refused[1].size, refused[1].retry_after_s) == (7, 1)


def test_a_member_ends_when_the_node_closes_the_pipe(side: Side) -> None:
    outgoing = io.BytesIO()
    serve(lambda _: side.crew.hand, io.BytesIO(), outgoing)
    assert outgoing.getvalue() == b""


@pytest.mark.parametrize("written", [1, LENGTH.size, LENGTH.size + 1, -1])
def test_a_member_ends_without_a_word_when_the_node_is_killed_in_the_middle_of_a_frame(
    side: Side, written: int
) -> None:
    """The log of a node takes lines of JSON; a traceback of each of its crew would be none."""
    data = pickle.dumps((NO_LISTS, Announced()))
    outgoing = io.BytesIO()
    serve(lambda _: side.crew.hand, io.BytesIO((LENGTH.pack(len(data)) + data)[:written]), outgoing)
    assert outgoing.getvalue() == b""


def test_work_is_cut_by_number_and_by_size_and_keeps_its_order() -> None:
    assert [len(piece) for piece in pieces(range(2 * PIECE + 1), lambda _: 1)] == [PIECE, PIECE, 1]
    sizes = [PIECE_BYTES, 1, PIECE_BYTES - 1, 1, 2 * PIECE_BYTES, 1]
    assert list(pieces(sizes, lambda size: size)) == [
        [PIECE_BYTES],
        [1, PIECE_BYTES - 1],
        [1],
        [2 * PIECE_BYTES],
        [1],
    ]
    assert list(pieces([], lambda _: 1)) == []


def test_an_error_crosses_to_another_process_whatever_its_constructor_asks_for() -> None:
    for error in (UnavailableError("later", retry_after_s=9), RefusedError(()), TypeNotAgreedError("a.b/1")):
        arrived = crossed(error)
        assert type(arrived) is type(error)
        assert (arrived.args, vars(arrived)) == (error.args, vars(error))
