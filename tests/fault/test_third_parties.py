"""Third parties vouch for checkpoints; whatever they do, messages go their way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.audit.stamps import read_authority, verify_stamp
from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import verify_log_note
from gateway.core.note import parse_note
from gateway.core.witness import parse_witness_key, verify_witness
from gateway.link.third_parties import HttpTimeAuthority, HttpWitness
from gateway.node.attestations import ThirdParties
from gateway.ports import Attestation, AttestationKind
from tests.outsiders import Answer, OpensslAuthority, SpecWitness, serving
from tests.world import World

HOUR_S = 3_600


@dataclass(slots=True)
class Outside:
    """An authority and a witness of the French exchange log, and how the node reaches them."""

    world: World
    authority: OpensslAuthority
    witness: SpecWitness
    authority_url: str
    witness_url: str

    @property
    def origin(self) -> str:
        return self.world.sides["FR"].keyring.pair.exchange_origin

    def parties(self, *, name: str = "third") -> tuple[ThirdParties, ...]:
        """Return them as the composition root would make them of the configuration."""
        stamps = HttpTimeAuthority(
            name="tsa",
            url=self.authority_url,
            authority=read_authority(self.authority.certificates),
            context=None,
        )
        witness = HttpWitness(
            name=name, url=self.witness_url, key=parse_witness_key(self.witness.vkey), context=None
        )
        return (ThirdParties(authorities=(stamps,)), ThirdParties(witnesses=(witness,)))

    async def start(self, *, name: str = "third") -> None:
        """Start the French node anew with these third parties."""
        self.world.third_parties["FR"] = self.parties(name=name)
        await self.world.restart("FR")
        await self.world.settle()

    async def kept(self, kind: AttestationKind) -> list[Attestation]:
        store = self.world.sides["FR"].store
        assert store is not None
        found = await store.read(lambda tx: tx.facts.attestations(self.origin))
        return [item for item in found if item.kind is kind]

    async def until_kept(self, kind: AttestationKind, count: int = 1) -> list[Attestation]:
        async def ask() -> list[Attestation]:
            self.world.clock.advance(HOUR_S)
            return await self.kept(kind)

        return await self.world.until(ask, lambda found: len(found) >= count)


@pytest.fixture
def outside(world: World, tmp_path: Path) -> Iterator[Outside]:
    keyring = world.sides["FR"].keyring
    log_key = keyring.own_verifiers(keyring.pair.exchange_origin)[0].verifier_keys(cosigner=False)[0].encode()
    authority = OpensslAuthority(tmp_path / "tsa")
    witness = SpecWitness(name="witness.example/third", log_key=log_key)
    with ExitStack() as stack:
        yield Outside(
            world=world,
            authority=authority,
            witness=witness,
            authority_url=stack.enter_context(serving(authority.answer)),
            witness_url=stack.enter_context(serving(witness.answer)),
        )


async def test_checkpoints_are_stamped_and_witnessed(world: World, outside: Outside) -> None:
    await world.settle()
    await outside.start()
    (stamp, *_) = await outside.until_kept(AttestationKind.STAMP)
    (seen, *_) = await outside.until_kept(AttestationKind.WITNESS)

    text = format_checkpoint(Checkpoint(origin=stamp.origin, size=stamp.size, root=stamp.root)).encode()
    trusted = read_authority(outside.authority.certificates)
    assert verify_stamp(stamp.evidence, text, authority=trusted).authority == "CN=Test time-stamp authority"
    verifier = world.sides["FR"].keyring.own_verifiers(outside.origin)[0]
    assert verify_log_note(seen.evidence, verifier=verifier).checkpoint.root == seen.root
    key = parse_witness_key(outside.witness.vkey)
    assert verify_witness(seen.evidence, witness=key) == outside.witness.now_s
    assert len(parse_note(seen.evidence).signatures) == 3, "both lines of the log, one of the witness"


async def test_a_log_that_has_grown_is_witnessed_with_a_consistency_proof(
    world: World, outside: Outside
) -> None:
    await outside.start()
    sizes: list[int] = []
    await outside.until_kept(AttestationKind.WITNESS)
    for count in (2, 3):
        await world.send_many("FR", 5)
        await world.settle()
        sizes = [item.size for item in await outside.until_kept(AttestationKind.WITNESS, count)]
    assert sizes == sorted(set(sizes))
    assert 409 not in outside.witness.statuses
    assert 422 not in outside.witness.statuses


async def test_a_witness_that_knows_more_than_the_node_remembers_is_asked_again_from_there(
    world: World, outside: Outside
) -> None:
    await outside.start()
    await outside.until_kept(AttestationKind.WITNESS)
    await world.send("FR")
    # Under another name the node does not know what it has shown: as after a restored backup.
    await outside.start(name="renamed")
    found = await outside.until_kept(AttestationKind.WITNESS, 2)
    assert {item.name for item in found} == {"third", "renamed"}
    assert outside.witness.statuses.count(409) == 1


async def test_an_outage_delays_stamps_and_never_traffic(world: World, outside: Outside) -> None:
    outside.authority.away = outside.witness.away = True
    await outside.start()
    sent = await world.send_many("FR", 3)
    for message_id in sent:
        await world.until_state("FR", message_id, "received")

    async def asked() -> int:
        world.clock.advance(HOUR_S)
        return min(outside.authority.asked, len(outside.witness.statuses))

    await world.until(asked, lambda count: count >= 3)
    assert await outside.kept(AttestationKind.STAMP) == []
    assert await outside.kept(AttestationKind.WITNESS) == []

    outside.authority.away = outside.witness.away = False
    (stamp, *_) = await outside.until_kept(AttestationKind.STAMP)
    (seen, *_) = await outside.until_kept(AttestationKind.WITNESS)
    assert min(stamp.size, seen.size) >= 3
    await world.check()


async def test_a_witness_that_was_shown_more_than_the_node_holds_is_told_to_the_operator(
    world: World, outside: Outside
) -> None:
    outside.witness.known[outside.origin] = (1_000_000, bytes(32))
    with capture_logs() as said:
        await outside.start()

        async def told() -> bool:
            world.clock.advance(HOUR_S)
            return any(line["event"] == "witness.ahead" for line in said)

        await world.until(told, lambda found: found)
    assert await outside.kept(AttestationKind.WITNESS) == []
    await world.until_state("FR", await world.send("FR"), "received")


async def test_what_a_third_party_says_wrongly_is_not_kept(world: World, outside: Outside) -> None:
    other = SpecWitness(name=outside.witness.name, log_key=outside.witness.log_key)
    calls: list[int] = []

    def wrong(path: str, body: bytes) -> Answer:
        calls.append(1)
        answers: list[Answer] = [
            # Another key under the same name, nothing, no line, a size that is none, more than is read.
            other.answer(path, body),
            (200, "text/plain", b""),
            (200, "text/plain", b"\xe2\x80\x94 x AAAA\n"),
            (409, "text/x.tlog.size", b"007\n"),
            (200, "application/timestamp-reply", b"\x30\x00"),
            (200, "text/plain", bytes(100_000)),
        ]
        return answers[len(calls) % len(answers)]

    with serving(wrong) as url:
        outside.witness_url = outside.authority_url = url
        await outside.start()

        async def asked() -> int:
            world.clock.advance(HOUR_S)
            return len(calls)

        await world.until(asked, lambda count: count > 24)
    assert await outside.kept(AttestationKind.WITNESS) == []
    assert await outside.kept(AttestationKind.STAMP) == []
    await world.until_state("FR", await world.send("FR"), "received")
