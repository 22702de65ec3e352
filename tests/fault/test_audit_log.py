"""The audit log says who did what and never what was said; the peer vouches for it unseen."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from gateway.core.checkpoint import Checkpoint, parse_checkpoint
from gateway.core.cosignature import (
    merge_signatures,
    sign_checkpoint,
    verify_cosignature,
    verify_log_note,
)
from gateway.core.entries import EventEntry, IncidentKind, KeyStatementEntry, Role
from gateway.core.generation import origin_of
from gateway.core.merkle import EMPTY_ROOT, Hash, consistency_proof, hash_leaf, root_of
from gateway.core.message.rule import rule_number
from gateway.core.note import format_note, parse_note, parse_signatures
from gateway.errors import (
    GatewayError,
    MalformedError,
    PeerConflictError,
    SignatureInvalidError,
    UnavailableError,
)
from gateway.link.wire import MAX_SIZE
from gateway.node.peer_service import MAX_AUDIT_GENERATIONS, ProofRefusedError, UnknownLogError
from gateway.node.posts import Submission
from gateway.node.refusal import NotAllowedError, RefusedError, UnreadableError
from gateway.ports import StoredNote
from gateway.storage.highwater import REWRITE_BYTES, FileHighWater
from tests.messages import INVESTIGATORS, answer, intelligence, request
from tests.world import World

ASKING, ANSWERING = INVESTIGATORS["US"], INVESTIGATORS["FR"]


async def named(world: World, nation: str, event: str) -> list[EventEntry]:
    return [entry for entry in await world.events(nation) if entry.event == event]


async def audit_note(world: World, nation: str, *, cosigned: bool = False) -> StoredNote | None:
    side = world.sides[nation]
    assert side.store is not None
    origin = side.keyring.pair.audit_origin
    return await side.store.read(lambda tx: tx.logs.newest_note(origin, cosigned=cosigned))


# --- every act is an event -----------------------------------------------------------------


async def test_the_log_begins_with_the_key_statement_and_the_start(world: World) -> None:
    await world.settle()
    origin = world.sides["US"].keyring.pair.audit_origin

    first, second, *_ = await world.log("US", origin)

    assert first == KeyStatementEntry(statement=world.sides["US"].keyring.statement)
    assert isinstance(second, EventEntry)
    assert (second.event, second.role, second.actor, second.outcome) == (
        "node.started",
        Role.NODE,
        b"",
        "ok",
    )


async def test_an_acceptance_names_the_agency_and_the_message_and_its_answer_names_the_event(
    world: World,
) -> None:
    accepted = await world.post("US", world.draft("US"))

    (event,) = await named(world, "US", "message.accepted")
    assert event.objects == (accepted.message_id,)
    assert (event.role, event.actor) == (Role.AGENCY, world.principal("US").actor.spki)
    entries = await world.log("US", world.sides["US"].keyring.pair.audit_origin)
    assert entries[accepted.audit_index] == event


async def test_each_agency_of_a_group_has_an_event_of_its_own(world: World) -> None:
    first = await world.send_many("US", 3)
    second = await world.submit(
        "US", [intelligence("US") for _ in range(2)], principal=world.principal("US", ASKING)
    )

    events = await named(world, "US", "message.accepted")

    by_actor = {event.actor: set(event.objects) for event in events}
    assert by_actor[world.principal("US").actor.spki] == set(first)
    assert by_actor[world.principal("US", ASKING).actor.spki] == set(second)


async def test_the_index_in_an_answer_names_the_event_that_lists_the_message_however_large_the_group(
    world: World,
) -> None:
    bodies = [Submission(body=orjson.dumps(world.draft("US"))) for _ in range(1_200)]
    outcomes = await world.node("US").admission.submit(world.principal("US"), bodies)
    entries = await world.log("US", world.sides["US"].keyring.pair.audit_origin)

    for outcome in outcomes:
        assert not isinstance(outcome, GatewayError)
        event = entries[outcome.audit_index]
        assert isinstance(event, EventEntry)
        assert outcome.message_id in event.objects


async def test_a_refusal_names_its_code_and_the_numbers_of_the_broken_rules(world: World) -> None:
    draft = world.draft("US")
    draft["header"]["precedence"] = "ROUTINE"  # alerts are FLASH or IMMEDIATE

    with pytest.raises(RefusedError) as caught:
        await world.post("US", draft)

    (event,) = await named(world, "US", "message.refused")
    assert event.outcome == "message-refused"
    assert set(event.details) == {rule_number(violation.rule) for violation in caught.value.violations}
    assert event.actor == world.principal("US").actor.spki


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        (b"{", UnreadableError, "message-unreadable"),
        (b'{"a": 1, "a": 2}', UnreadableError, "message-unreadable"),
        (b'{"header": {"from": {"agency": "US.ICE.HSI"}}}', NotAllowedError, "wrong-sender"),
        (b"{}", RefusedError, "message-refused"),
    ],
)
async def test_every_kind_of_refusal_is_an_event(
    world: World, body: bytes, error: type[GatewayError], code: str
) -> None:
    (outcome,) = await world.node("US").admission.submit(world.principal("US"), [Submission(body=body)])

    assert isinstance(outcome, error)
    (event,) = await named(world, "US", "message.refused")
    assert event.outcome == code


async def test_a_reading_a_collection_and_a_withdrawal_are_events_of_their_agency(world: World) -> None:
    message_id = await world.send("US")
    await world.until_state("US", message_id, "received")
    principal = world.principal("FR")
    await world.node("FR").inbox.page(principal)
    await world.node("FR").inbox.read(principal, message_id)
    await world.node("FR").inbox.acknowledge(principal, message_id)
    await world.node("FR").inbox.acknowledge(principal, message_id)
    await world.settle()
    await world.cut_off("US")
    withdrawn = await world.send("US")
    await world.node("US").tracking.withdraw(world.principal("US"), withdrawn)

    reads = await named(world, "FR", "message.read")
    assert [event.objects for event in reads] == [(message_id,), (message_id,)]
    (collected,) = await named(world, "FR", "message.collected")
    (event,) = await named(world, "US", "message.withdrawn")
    assert collected.objects == (message_id,)
    assert event.objects == (withdrawn,)
    assert {item.actor for item in (*reads, collected)} == {principal.actor.spki}
    assert event.actor == world.principal("US").actor.spki


async def test_an_expiry_is_an_event_of_the_node(world: World) -> None:
    await world.settle()
    await world.cut_off("US")
    message_id = await world.send("US")
    world.clock.advance(31 * 86_400)
    await world.until_state("US", message_id, "expired")

    (event,) = await named(world, "US", "message.expired")
    assert (event.objects, event.role, event.actor) == ((message_id,), Role.NODE, b"")


# --- signed and cosigned -------------------------------------------------------------------


async def size_of(world: World, nation: str) -> int:
    return len(await world.log(nation, world.sides[nation].keyring.pair.audit_origin))


async def test_the_log_is_signed_soon_after_its_growth_whatever_else_happens(world: World) -> None:
    await world.send("US")
    size = await size_of(world, "US")

    # Sooner than anything that is done once a minute: a cosignature, an anchor.
    note = await world.until(
        lambda: audit_note(world, "US"), lambda found: found is not None and found.size >= size
    )

    assert note is not None
    assert note.note is not None
    keyring = world.sides["US"].keyring
    origin = keyring.pair.audit_origin
    verified = verify_log_note(note.note, verifier=keyring.own_verifiers(origin)[0])
    entries = await raw(world, "US", origin, verified.checkpoint.size)
    assert verified.checkpoint.root == root_of([hash_leaf(entry) for entry in entries])


async def raw(world: World, nation: str, origin: str, size: int) -> list[bytes]:
    store = world.sides[nation].store
    assert store is not None
    return await store.read(lambda tx: tx.logs.entries(origin, 0, size))


async def test_times_of_its_notes_never_go_back_over_a_restart_with_the_clock_set_back(world: World) -> None:
    await world.send("US")
    size = await size_of(world, "US")
    found = await world.until(lambda: audit_note(world, "US"), lambda note: bool(note and note.size >= size))
    assert found is not None
    verifier = world.sides["US"].keyring.own_verifiers(found.origin)[0]
    assert found.note is not None
    before = verify_log_note(found.note, verifier=verifier).time_s

    await world.stop("US")
    world.clock.set_back(3_600)
    await world.start("US")

    later = await world.until(lambda: audit_note(world, "US"), lambda note: bool(note and note.size > size))
    assert later is not None
    assert later.note is not None
    assert verify_log_note(later.note, verifier=verifier).time_s >= before


async def test_the_peer_cosigns_the_first_checkpoint_and_later_ones_with_a_consistency_proof(
    world: World,
) -> None:
    await world.settle()
    first = await world.until(lambda: audit_note(world, "US", cosigned=True), lambda note: note is not None)
    assert first is not None
    for _ in range(3):
        await world.send("US")
    size = await size_of(world, "US")
    await world.until(lambda: audit_note(world, "US"), lambda note: bool(note and note.size >= size))
    world.clock.advance(61)

    later = await world.until(
        lambda: audit_note(world, "US", cosigned=True), lambda note: bool(note and note.size >= size)
    )

    assert later is not None
    assert later.size > first.size
    cosigner = world.sides["FR"].keyring.cosigner.verifier
    for note in (first, later):
        assert note.note is not None
        assert verify_cosignature(note.note, cosigner=cosigner) > 0
    # The witness holds its checkpoints, and not one entry of it.
    store = world.sides["FR"].store
    assert store is not None
    seen = await store.read(lambda tx: (tx.logs.newest_note(later.origin), tx.logs.head(later.origin)))
    assert seen[0] is not None
    assert seen[1] is not None
    assert (seen[0].size, seen[0].root, seen[1].size) == (later.size, later.root, 0)


async def test_a_cosignature_that_was_missed_is_asked_for_again_from_where_the_witness_is(
    world: World,
) -> None:
    await world.settle()
    first = await world.until(lambda: audit_note(world, "US", cosigned=True), lambda note: note is not None)
    assert first is not None
    await world.restart("US")  # it has forgotten what was cosigned and begins with size 0
    await world.send("US")

    later = await world.until(
        lambda: audit_note(world, "US", cosigned=True), lambda note: bool(note and note.size > first.size)
    )

    assert later is not None


async def test_no_traffic_waits_for_a_witness_that_is_away(world: World) -> None:
    await world.settle()
    faults = world.sides["US"].faults
    faults.refuse_question = lambda name: UnavailableError("away") if name == "add_checkpoint" else None
    world.clock.advance(61)

    message_id = await world.send("US")

    await world.until_state("US", message_id, "received")
    size = await size_of(world, "US")
    await world.until(lambda: audit_note(world, "US"), lambda note: bool(note and note.size >= size))


# --- the witness refuses ---------------------------------------------------------------------


class Audit:
    """The American audit log as a test makes it up, with the real keys."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.origin = world.sides["US"].keyring.pair.audit_origin
        self.leaves = [hash_leaf(b"entry %d" % number) for number in range(40)]

    def hashes(self, level: int, start: int, end: int) -> list[Hash]:
        assert level == 0
        return self.leaves[start:end]

    def note(self, size: int, *, root: Hash | None = None, origin: str | None = None) -> bytes:
        keyring = self.world.sides["US"].keyring
        signer = keyring.log_signer(origin or self.origin, keyring.statement)
        checkpoint = Checkpoint(
            origin=origin or self.origin, size=size, root=root or root_of(self.leaves[:size])
        )
        return sign_checkpoint(checkpoint, signer=signer, time_s=1_800_000_000)

    def proof(self, old: int, new: int) -> list[str]:
        nodes = consistency_proof(old_size=old, new_size=new, reader=self)
        return [base64.b64encode(node).decode() for node in nodes]

    def body(self, old: int, note: bytes, proof: list[str]) -> bytes:
        return "\n".join([f"old {old}", *proof, "", ""]).encode() + note

    async def ask(self, body: bytes) -> bytes:
        return await self.world.node("FR").peer_service.add_checkpoint(body)

    async def grow(self, old: int, new: int) -> bytes:
        proof = self.proof(old, new) if old else []
        return await self.ask(self.body(old, self.note(new), proof))


@pytest.fixture
async def audit(world: World) -> Audit:
    """Take the American node's place before it has asked for a cosignature."""
    await world.restore("US", None, marks=False)
    await world.stop("FR")
    await world.restore("FR", None, marks=False)
    world.sides["FR"].faults.unreachable = True
    await world.start("FR")
    return Audit(world)


async def test_the_witness_answers_its_lines_alone_and_they_verify(world: World, audit: Audit) -> None:
    lines = await audit.grow(0, 5)

    cosigner = world.sides["FR"].keyring.cosigner.verifier
    note = merge_signatures(audit.note(5), parse_signatures(lines))
    assert verify_cosignature(note, cosigner=cosigner) > 0
    assert len(parse_signatures(lines)) == 2
    assert {line.name for line in parse_signatures(lines)} == {world.sides["FR"].keyring.pair.node}


async def test_the_witness_follows_growth_and_may_be_asked_twice_for_one_size(
    world: World, audit: Audit
) -> None:
    await audit.grow(0, 5)
    await audit.grow(5, 17)
    await audit.grow(17, 17)
    await audit.grow(17, 40)

    with pytest.raises(PeerConflictError) as caught:
        await audit.grow(17, 40)
    assert caught.value.size == 40


@pytest.mark.parametrize("old", [0, 3, 6])
async def test_another_old_size_gets_the_size_that_was_cosigned(world: World, audit: Audit, old: int) -> None:
    await audit.grow(0, 5)

    with pytest.raises(PeerConflictError) as caught:
        await audit.grow(old, 9)

    assert caught.value.size == 5


async def test_the_size_is_remembered_over_a_restart_and_over_a_restored_backup(
    world: World, audit: Audit
) -> None:
    await audit.grow(0, 5)
    copy = world.backup("FR")
    await audit.grow(5, 9)
    await world.restart("FR")
    with pytest.raises(PeerConflictError) as caught:
        await audit.grow(5, 12)
    assert caught.value.size == 9

    await world.restore("FR", copy)
    await world.start("FR")

    with pytest.raises(PeerConflictError) as caught:
        await audit.grow(5, 12)
    assert caught.value.size == 9, "the marks have survived the restored database"
    await audit.grow(9, 12)


async def test_a_proof_that_does_not_hold_is_refused_and_nothing_moves(world: World, audit: Audit) -> None:
    await audit.grow(0, 5)
    good = audit.proof(5, 17)
    flipped = [base64.b64encode(bytes(32)).decode(), *good[1:]]

    for proof in ([], good[:-1], [*good, good[-1]], good[::-1], flipped):
        with pytest.raises(ProofRefusedError):
            await audit.ask(audit.body(5, audit.note(17), proof))

    await audit.ask(audit.body(5, audit.note(17), good))


async def test_a_history_that_was_rewritten_is_refused(world: World, audit: Audit) -> None:
    await audit.grow(0, 5)
    audit.leaves[2] = hash_leaf(b"another entry")

    with pytest.raises(ProofRefusedError):
        await audit.grow(5, 17)


async def test_one_size_with_two_roots_is_refused_and_both_notes_are_kept(world: World, audit: Audit) -> None:
    await audit.grow(0, 5)
    first = audit.note(5)
    forked = audit.note(5, root=Hash(b"\x01" * 32))

    for _ in range(2):
        with pytest.raises(ProofRefusedError):
            await audit.ask(audit.body(5, forked, []))

    (incident,) = [item for item in await world.incidents("FR") if item.origin == audit.origin]
    assert incident.kind == IncidentKind.FORK
    assert incident.note_a == forked
    assert incident.note_b is not None
    assert parse_note(incident.note_b).text == parse_note(first).text
    await audit.grow(5, 9)


async def test_a_proof_for_a_log_that_was_never_cosigned_is_refused(world: World, audit: Audit) -> None:
    with pytest.raises(ProofRefusedError):
        await audit.ask(audit.body(0, audit.note(5), audit.proof(3, 5)))
    await audit.ask(audit.body(0, audit.note(0, root=EMPTY_ROOT), []))
    await audit.grow(0, 5)


async def test_an_old_size_above_the_new_one_is_malformed(world: World, audit: Audit) -> None:
    await audit.grow(0, 5)

    with pytest.raises(MalformedError):
        await audit.ask(audit.body(5, audit.note(4), []))


async def test_a_checkpoint_of_another_log_is_unknown_here(world: World, audit: Audit) -> None:
    exchange = world.sides["US"].keyring.pair.exchange_origin

    with pytest.raises(UnknownLogError):
        await audit.ask(audit.body(0, audit.note(5, origin=exchange), []))


async def test_a_peer_cannot_fill_the_high_water_file_with_generations_of_its_audit_log(
    world: World, audit: Audit, tmp_path: Path
) -> None:
    """A file that has grown too long is taken for damaged: the node would never start again."""

    async def cosigned(generation: int) -> bytes:
        return await audit.ask(audit.body(0, audit.note(1, origin=origin_of(audit.origin, generation)), []))

    await cosigned(MAX_AUDIT_GENERATIONS)
    with pytest.raises(UnknownLogError):
        await cosigned(MAX_AUDIT_GENERATIONS + 1)

    marks = FileHighWater(tmp_path / "marks")
    longest = f"{'n' * 253}/audit"
    for generation in range(1, MAX_AUDIT_GENERATIONS + 1):
        await marks.record({origin_of(longest, generation): (MAX_SIZE, Hash(bytes(32)))})
    marks.close()
    assert (tmp_path / "marks").stat().st_size < REWRITE_BYTES
    assert len(FileHighWater(tmp_path / "marks").read()) == MAX_AUDIT_GENERATIONS


@pytest.mark.parametrize("line", [0, 1])
async def test_a_checkpoint_without_one_of_its_signatures_is_refused(
    world: World, audit: Audit, line: int
) -> None:
    note = parse_note(audit.note(5))

    with pytest.raises(SignatureInvalidError):
        await audit.ask(audit.body(0, format_note(note.text, [note.signatures[line]]), []))


async def test_a_checkpoint_with_another_text_than_was_signed_is_refused(world: World, audit: Audit) -> None:
    signed, other = parse_note(audit.note(5)), parse_note(audit.note(6))

    with pytest.raises(SignatureInvalidError):
        await audit.ask(audit.body(0, format_note(other.text, signed.signatures), []))


NODE = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "head",
    [
        "",
        "old",
        "old ",
        "new 0",
        "old -1",
        "old +1",
        "old 00",
        "old 05",
        "old 5 ",
        " old 5",
        "old 0x5",
        "old ٣",
        "old 12345678901234567",
        f"old 0\n{NODE[:-1]}",
        f"old 0\n{NODE} ",
        "old 0\n!!!!",
        "old 0\nAAAA",
        f"old 0\n{NODE[:-2]}B=",
        "\n".join(["old 0", *[NODE] * 64]),
    ],
    ids=lambda head: repr(head)[:24],
)
async def test_a_request_in_any_other_form_is_malformed(world: World, audit: Audit, head: str) -> None:
    with pytest.raises(MalformedError):
        await audit.ask(f"{head}\n\n".encode() + audit.note(5))


@pytest.mark.parametrize("body", [b"", b"old 0", b"old 0\n", b"old 0\n\n", b"old 0\n\nno note\n"], ids=repr)
async def test_a_request_without_a_note_is_malformed(world: World, audit: Audit, body: bytes) -> None:
    with pytest.raises(MalformedError):
        await audit.ask(body)


# --- nothing of any message ----------------------------------------------------------------

CANARY = "ZKANARYZ"


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each text in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from strings(item, (*path, position))
    elif isinstance(value, str):
        yield path


def with_value(
    document: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any], Any]
) -> dict[str, Any]:
    copy: Any = orjson.loads(orjson.dumps(document))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change(place[path[-1]])
    whole: dict[str, Any] = copy
    return whole


FREE_TEXTS = (
    "summary",
    "assessment",
    "subject",
    "facts",
    "legal_elements",
    "why_you",
    "questions",
    "procedure_wanted",
    "national_case",
    "text",
)


def marked(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the canary in every free text."""
    for path in list(strings(document["payload"])):
        if any(step in FREE_TEXTS for step in path):
            document = with_value(document, ("payload", *path), lambda text: f"{CANARY} {text}")
    document["header"]["references"] = [{"kind": "CASE_US", "value": CANARY}]
    return document


async def everything_stored(world: World) -> bytes:
    """Return every entry of every log, and the database files of both nodes as they lie on disk."""
    found = b""
    for nation in ("FR", "US"):
        side = world.sides[nation]
        store = side.store
        assert store is not None
        for head in await store.read(lambda tx: tx.logs.heads()):
            found += b"".join(await raw(world, nation, head.origin, head.size))
        for path in side.folder.iterdir():
            found += path.read_bytes()
    return found


async def test_no_value_of_a_message_is_in_any_log_on_any_disk_or_in_any_output(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()
    now_ms = world.clock.now_ms()
    asked = (await world.post("US", marked(request("US", now_ms)), agency=ASKING)).message_id
    told = (await world.post("US", marked(intelligence("US")), agency=ASKING)).message_id
    for message_id in (asked, told):
        await world.until_state("US", message_id, "received", agency=ASKING)
    reply = (await world.post("FR", marked(answer("FR", asked, now_ms)), agency=ANSWERING)).message_id
    await world.until_state("FR", reply, "received", agency=ANSWERING)
    principal = world.principal("FR", ANSWERING)
    deliveries = await world.node("FR").inbox.page(principal)
    assert all(CANARY.encode() in (item.message or b"") for item in deliveries), "the canary was sent"
    for message_id in (asked, told):
        await world.node("FR").inbox.acknowledge(principal, message_id)
        await world.until_state("US", message_id, "collected", agency=ASKING)
    await world.settle()
    world.clock.advance(61)
    await world.until(lambda: audit_note(world, "US", cosigned=True), lambda note: note is not None)

    stored = await everything_stored(world)
    assert asked in stored
    assert CANARY.encode() not in stored
    said = "".join(capsys.readouterr())
    assert "bundle.delivered" in said
    assert CANARY not in said


def hostile_bodies(world: World) -> Iterator[bytes]:
    """Yield bodies that hold the canary, each wrong in another place."""
    for document in (intelligence("US"), request("US", world.clock.now_ms()), world.draft("US")):
        for path in strings(document):
            for change in (
                lambda _: CANARY,
                lambda text: f"{text}{CANARY}",
                lambda _: {CANARY: CANARY},
                lambda _: [CANARY],
            ):
                yield orjson.dumps(with_value(document, path, change))
        for part in (document, document["header"], document["payload"]):
            part[CANARY] = CANARY
            yield orjson.dumps(document)
            del part[CANARY]
    yield f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode()
    yield f'{{"{CANARY}": NaN}}'.encode()
    yield f'"{CANARY}"'.encode()
    yield f'{{"a": "{CANARY}'.encode()
    yield f'{{"type": "{CANARY}"}}'.encode()


async def test_no_value_of_a_refused_message_is_in_its_errors_or_in_any_log(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()
    principal = world.principal("US", ASKING)
    bodies = [Submission(body=body) for body in hostile_bodies(world)]
    outcomes = await world.node("US").admission.submit(principal, bodies)

    errors = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    assert len(errors) > 150
    for error in errors:
        said = [str(error), repr(error), error.code]
        causes = (error.__cause__, error.__context__)
        said += [str(cause) for cause in causes if isinstance(cause, GatewayError)]
        if isinstance(error, RefusedError):
            for violation in error.violations:
                said += [violation.rule, violation.pointer, violation.text("en"), violation.text("fr")]
        assert CANARY not in "".join(said)
    world.clock.advance(5)
    await world.settle()
    stored = await everything_stored(world)
    assert CANARY.encode() not in stored
    assert CANARY not in "".join(capsys.readouterr())
    refused = await named(world, "US", "message.refused")
    assert len(refused) == len(errors)


async def test_a_checkpoint_of_the_audit_log_is_all_that_the_peer_gets_of_it(world: World) -> None:
    bodies: list[bytes] = []
    service = world.node("FR").peer_service
    real = service.add_checkpoint

    async def overhear(body: bytes) -> bytes:
        bodies.append(body)
        return await real(body)

    service.add_checkpoint = overhear  # type: ignore[method-assign]
    await world.send("US")
    await world.until(lambda: audit_note(world, "US"), lambda note: bool(note and note.size > 2))
    world.clock.advance(61)
    await world.until(_any(bodies), lambda found: found)

    origin = world.sides["US"].keyring.pair.audit_origin
    for body in bodies:
        head, _, note = body.partition(b"\n\n")
        assert parse_checkpoint(parse_note(note).text).origin == origin
        assert len(body) < 16_384
        for line in head.split(b"\n")[1:]:
            assert len(base64.b64decode(line)) == 32


def _any(items: list[bytes]) -> Any:
    async def ask() -> bool:
        return bool(items)

    return ask
