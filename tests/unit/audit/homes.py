"""Two node homes in which real traffic has left real logs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gateway.core.note import parse_note
from gateway.keyring.statement import parse_statement, root_name, root_verifier_keys
from gateway.ports import Transaction
from gateway.storage.store import SqlStore
from tests.world import NATIONS, NODES, World, _signer, other

CONFIG = """
[node]
name = "{node}"
nation = "{nation}"
mode = "test"
[agency_api]
listen = "127.0.0.1:9441"
[peer_api]
listen = "127.0.0.1:9442"
[ops_api]
listen = "127.0.0.1:9443"
[peers.{peer_nation}]
name = "{peer}"
url = "https://127.0.0.1:9452"
[store]
url = "sqlite:///{database}"
high_water_file = "{high_water}"
"""


def write_home(world: World, nation: str, home: Path) -> Path:
    """Write configuration and public keys of one of the world's nodes; return the home."""
    side = world.sides[nation]
    peer = other(nation)
    trust = home / "trust"
    for folder in (trust / "own", trust / "peer"):
        folder.mkdir(parents=True)
    text = CONFIG.format(
        node=NODES[nation],
        nation=nation,
        peer=NODES[peer],
        peer_nation=peer,
        database=side.folder / "gateway.db",
        high_water=side.folder / "high-water",
    )
    (home / "gateway.toml").write_text(text, encoding="utf-8")
    for name, whose, note in (
        ("own", nation, side.keyring.statement),
        ("peer", peer, side.keyring.peer_statement),
    ):
        keys = parse_statement(parse_note(note).text).verifier_keys()
        (trust / f"{name}.vkeys").write_text(keys, encoding="ascii")
        root = root_verifier_keys(_signer(root_name(whose)).verifier)
        (trust / name / "root.vkeys").write_text(root, encoding="ascii")
    return home


async def exchange(world: World, count: int) -> None:
    """Let messages cross, be received and be acknowledged, and wait until all of it is logged."""
    sent = {nation: await world.send_many(nation, count) for nation in NATIONS}
    for nation in NATIONS:
        for message_id in sent[nation]:
            await world.until_state(nation, message_id, "received")
            to = other(nation)
            await world.node(to).inbox.acknowledge(world.principal(to), message_id)
    for nation in NATIONS:
        for message_id in sent[nation]:
            await world.until_state(nation, message_id, "collected")
    await world.settle()
    world.clock.advance(5)


async def make_homes(folder: Path, *, count: int = 20) -> dict[str, Path]:
    """Return the homes of two stopped nodes that have exchanged messages."""
    world = World(folder / "world")
    async with world:
        await exchange(world, count)
        await signed_audit_logs(world)
    return {nation: write_home(world, nation, folder / nation.lower()) for nation in NATIONS}


async def signed_audit_logs(world: World) -> None:
    """Wait until both audit logs are signed to their end."""
    for nation in NATIONS:
        store = world.sides[nation].store
        assert store is not None
        await world.until(
            partial(_unsigned, world, store, f"{NODES[nation]}/audit"), lambda count: count == 0
        )


async def _unsigned(world: World, store: SqlStore, origin: str) -> int:
    """Return how many entries are not signed; let time pass, so that they will be."""
    world.clock.advance(1)

    def load(tx: Transaction) -> int:
        head, note = tx.logs.head(origin), tx.logs.newest_note(origin)
        return (0 if head is None else head.size) - (0 if note is None else note.size)

    return await store.read(load)
