"""What a world of two nodes is made of: clock, randomness, keys, drafts, and a store that can die.

`tests.world` puts the parts together and names them all; import them from there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

from gateway.core.generation import first_of
from gateway.core.keybox import KemPrivateKey, kem_key_id
from gateway.core.message.instants import time_text
from gateway.core.note import parse_note
from gateway.core.sealing import StorageKey
from gateway.core.signature import HybridSigner, HybridVerifier, SigningAwayError, SoftwareSigner
from gateway.errors import GatewayError, StoreError
from gateway.keyring.statement import (
    KeyStatement,
    parse_statement,
    root_name,
    sign_statement,
    verify_statement,
)
from gateway.node.pair import Pair
from gateway.ports import DiskSpace, Order, Step, StoreStats, Transaction
from gateway.storage.orders import FileOrders
from gateway.storage.store import SqlStore

T = TypeVar("T")

NATIONS = ("FR", "US")
NODES = {"FR": "fr.gateway.test", "US": "us.gateway.test"}
AGENCIES = {"FR": "FR.DGDDI.SARC", "US": "US.CBP.NTC"}


def other(nation: str) -> str:
    """Return the other nation."""
    return "US" if nation == "FR" else "FR"


class WorldClock:
    """Real time plus what the test has added to it."""

    def __init__(self) -> None:
        self._base_ms = int(datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp() * 1_000)
        self._began = time.monotonic()
        self._added_s = 0.0
        self._jumped = asyncio.Event()

    def now_ms(self) -> int:
        return self._base_ms + int(self.monotonic_s() * 1_000)

    def monotonic_s(self) -> float:
        return time.monotonic() - self._began + self._added_s

    async def sleep(self, seconds: float, *, until: asyncio.Event | None = None) -> None:
        if until is None:
            await self._pass(seconds)
            return
        waits = [asyncio.ensure_future(self._pass(seconds)), asyncio.ensure_future(until.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _pass(self, seconds: float) -> None:
        end = self.monotonic_s() + seconds
        while (left := end - self.monotonic_s()) > 0:
            jumped = self._jumped
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await jumped.wait()

    def set_back(self, seconds: float) -> None:
        """Let an operator set the clock back; time that passes is measured as before."""
        self._base_ms -= int(seconds * 1_000)

    def advance(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self._added_s += seconds
        jumped, self._jumped = self._jumped, asyncio.Event()
        jumped.set()


class WorldDisk:
    """A disk of a gibibyte that tests fill up."""

    total_bytes = 2**30

    def __init__(self) -> None:
        self.free_bytes = self.total_bytes

    def spaces(self) -> list[DiskSpace]:
        return [DiskSpace(free_bytes=self.free_bytes, total_bytes=self.total_bytes)]


class WorldEntropy:
    """Randomness of the machine; nothing here depends on its values, but for the waits."""

    jitter = 0.5

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def fraction(self) -> float:
        return self.jitter


class WorldKeyring:
    """Test keys of one node, derived from names; KEM keys live as long as this object."""

    def __init__(self, nation: str) -> None:
        self.pair = pair_of(nation)
        self.storage_key = StorageKey(hashlib.sha256(f"storage {nation}".encode()).digest())
        self.statement = _statement(nation, 1)
        # Keys stay in the folder, whatever statement lies beside them.
        self._newest_key = 1
        # Keys of statements up to this version are in a token that is away, or gone.
        self.away_up_to = 0
        self.cosigner: HybridSigner = _InToken(self, self.pair.node, 1)
        self.peer_statement = _statement(other(nation), 1)
        self._peer = [self._verify(self.peer_statement)]
        self._kem: dict[bytes, tuple[KemPrivateKey, int]] = {}

    def rotate(self) -> None:
        """Have the next statement, with new keys for both logs and for the cosigner."""
        self._newest_key = _read(self.statement).version + 1
        self.statement = _statement(self.pair.nation, self._newest_key)

    def take_up_own(self, statement: bytes) -> bool:
        is_newer = _read(statement).version > _read(self.statement).version
        if is_newer:
            self.statement = statement
        return is_newer

    def check_signing(self) -> None:
        self.cosigner.sign_ed25519(b"")

    def use_cosigner_of(self, statement: bytes) -> None:
        self.cosigner = _InToken(self, self.pair.node, _read(statement).version)

    @property
    def peer_cosigners(self) -> tuple[HybridVerifier, ...]:
        return self._newest_two(lambda stated: stated.cosigner)

    def log_signer(self, origin: str, statement: bytes) -> HybridSigner:
        return _InToken(self, origin, _read(statement).version)

    def own_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        return tuple(_signer(origin, version).verifier for version in range(self._newest_key, 0, -1))

    def peer_log_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        return self._newest_two(lambda stated: stated.log(origin))

    def peer_log_verifier(self, origin: str, statement: bytes) -> HybridVerifier:
        return self._verify(statement).log(origin)

    def accept_peer_statement(self, statement: bytes, *, after: bytes | None = None) -> None:
        stated = self._verify(statement, 1 if after is None else self._verify(after).version)
        if stated not in self._peer:
            self._peer = sorted((*self._peer, stated), key=lambda item: item.version)

    def _newest_two(self, key: Callable[[KeyStatement], HybridVerifier]) -> tuple[HybridVerifier, ...]:
        return tuple(dict.fromkeys(key(stated) for stated in reversed(self._peer)))[:2]

    def create_kem_key(self, now_ms: int) -> tuple[bytes, bytes]:
        key = KemPrivateKey.from_seed(os.urandom(32))
        public = key.public_key.to_bytes()
        self._kem[kem_key_id(public)] = (key, now_ms)
        return kem_key_id(public), public

    def kem_private(self, key_id: bytes) -> KemPrivateKey | None:
        return self._kem[key_id][0] if key_id in self._kem else None

    def destroy_kem_key(self, key_id: bytes) -> None:
        self._kem.pop(key_id, None)

    def kem_keys(self) -> Mapping[bytes, int]:
        return {key_id: created for key_id, (_, created) in self._kem.items()}

    def _verify(self, note: bytes, lowest: int = 1) -> KeyStatement:
        nation = self.pair.peer_nation
        return verify_statement(
            note,
            root=_signer(root_name(nation)).verifier,
            nation=nation,
            node=NODES[nation],
            lowest_version=lowest,
        )


class _InToken:
    """A key of which one half is in a token that may be away."""

    def __init__(self, keyring: WorldKeyring, name: str, version: int) -> None:
        self._keyring = keyring
        self._signer = _signer(name, version)
        self._version = version

    @property
    def name(self) -> str:
        return self._signer.name

    @property
    def verifier(self) -> HybridVerifier:
        return self._signer.verifier

    def sign_ed25519(self, message: bytes) -> bytes:
        if self._version <= self._keyring.away_up_to:
            msg = "the token is away"
            raise SigningAwayError(msg)
        return self._signer.sign_ed25519(message)

    def sign_mldsa87(self, message: bytes, *, context: bytes = b"") -> bytes:
        return self._signer.sign_mldsa87(message, context=context)


def pair_of(nation: str) -> Pair:
    """Return the pair as the node of ``nation`` sees it."""
    peer = other(nation)
    return Pair(nation=nation, node=NODES[nation], peer_nation=peer, peer_node=NODES[peer])


@cache
def _signer(name: str, version: int = 1) -> SoftwareSigner:
    """Return the key of a log or cosigner that the statement of a version names.

    The key of a log signs its successors, under their names.
    """
    first = first_of(name)
    seed = hashlib.sha512(f"test key {first}{f' v{version}' * (version > 1)}".encode()).digest()
    return SoftwareSigner(name=name, ed25519_seed=seed[:32], mldsa87_seed=seed[32:])


@cache
def _read(statement: bytes) -> KeyStatement:
    return parse_statement(parse_note(statement).text)


@cache
def _statement(nation: str, version: int) -> bytes:
    pair = pair_of(nation)
    statement = KeyStatement(
        nation=nation,
        node=pair.node,
        version=version,
        issued=datetime(2026, 11, 1, tzinfo=UTC),
        test=True,
        root_certificate=b"\x03" * 48,
        logs=tuple(_signer(o, version).verifier for o in (pair.audit_origin, pair.exchange_origin)),
        cosigner=_signer(pair.node, version).verifier,
        tls_spki=(b"\x01" * 32, b"\x02" * 32),
    )
    return sign_statement(statement, root=_signer(root_name(nation)))


class CrashError(StoreError):
    """The process died at a write, as far as the test is concerned."""

    code = "simulated-crash"


@dataclass(slots=True)
class Faults:
    """What is broken right now, for one node."""

    crash_step: Step | None = None
    crash_persisted: bool = False
    crash_skip: int = 0
    crash_due: bool = False
    crash_at_scrub: bool = False
    # At the next order: False for just before it is durable, True for just after.
    crash_at_orders: bool | None = None
    # A node may die in any of its threads.
    crashed: threading.Event = field(default_factory=threading.Event)
    # What a node writes while nobody waits for it is lost, as by a crash before the commit.
    forgets_soon: bool = False
    unreachable: bool = False
    lose_answers: bool = False
    tamper: Callable[[bytes], bytes] | None = None
    # Called with a bundle before it leaves; an error that it returns is what the sender gets.
    refuse: Callable[[bytes], GatewayError | None] | None = None
    # The same for questions, by name: view, entries, add_checkpoint.
    refuse_question: Callable[[str], GatewayError | None] | None = None
    # What this node is answered in place of what the peer says: (question, answer) to answer.
    alter_answer: Callable[[str, Any], Any] | None = None
    # The same for the cosigned note that a bundle is answered with.
    alter_cosigned: Callable[[bytes], bytes] | None = None
    # A peer in place of the real one: question to answer.
    impostor: Callable[[str], Any] | None = None
    # While it is there and not set, bundles are on their way and do not arrive.
    gate: asyncio.Event | None = None
    # Bundles that this node sent, unless a test sends too many to keep them.
    posted: list[bytes] = field(default_factory=list)
    keep_posted: bool = True
    asked: list[str] = field(default_factory=list)
    # What the peer's clock looks like from here.
    peer_ahead_s: float | None = 0.0
    in_flight: int = 0
    most_in_flight: int = 0


_DIED: Final = "the process died"


class FaultyStore:
    """A real store that can die at one write, just before or just after it is durable."""

    def __init__(self, store: SqlStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def write(self, step: Step, work: Callable[[Transaction], T], *, linger_s: float = 0.0) -> T:
        with self._dying(step):
            return await self._store.write(step, self._until_death(step, work), linger_s=linger_s)

    def write_now(self, step: Step, work: Callable[[Transaction], T]) -> T:
        with self._dying(step):
            return self._store.write_now(step, self._until_death(step, work))

    def write_soon(self, step: Step, work: Callable[[Transaction], object], *, linger_s: float) -> None:
        if self._faults.crash_step is step:
            # Dies where it would be handed in, or once it is durable; before anything that follows.
            self.write_now(step, work)
        elif not self._faults.forgets_soon:
            self._store.write_soon(step, work, linger_s=linger_s)

    @contextmanager
    def _dying(self, step: Step) -> Iterator[None]:
        """Let the process die at a write if it is to die at this step."""
        faults = self._faults
        if faults.crashed.is_set():
            msg = "the process is dead"
            raise CrashError(msg)
        if faults.crash_step is not step:
            yield
            return
        try:
            yield
        except CrashError:
            self._die()
            raise
        if faults.crash_due:
            self._die()
            raise CrashError(_DIED)

    def _until_death(self, step: Step, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """Return ``work``, or what dies in its place."""
        faults = self._faults
        if faults.crash_step is not step:
            return work

        def dying(tx: Transaction) -> T:
            value = work(tx)
            # A courier looks whether anything is due whenever it likes. A look that found
            # nothing is no step of anything, so it neither counts nor kills.
            if step is not Step.SEQUENCED or value is not None:
                if faults.crash_skip > 0:
                    faults.crash_skip -= 1
                elif not faults.crash_persisted:
                    raise CrashError(_DIED)
                else:
                    faults.crash_due = True
            return value

        return dying

    def _die(self) -> None:
        self._faults.crash_step = None
        self._faults.crash_due = False
        self._faults.crash_at_scrub = False
        self._faults.crashed.set()

    async def scrub(self) -> bool:
        faults = self._faults
        if faults.crashed.is_set():
            raise CrashError(_DIED)
        if faults.crash_at_scrub:
            self._die()
            raise CrashError(_DIED)
        return await self._store.scrub()

    def stats(self) -> StoreStats:
        return replace(self._store.stats(), failed=self._faults.crashed.is_set())

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.read(work)


class FaultyOrders:
    """A real file of orders at which a node can die, just before or just after a write."""

    def __init__(self, orders: FileOrders, faults: Faults) -> None:
        self._orders = orders
        self._faults = faults

    async def record(self, orders: Sequence[Order]) -> None:
        faults = self._faults
        if faults.crashed.is_set():
            raise CrashError(_DIED)
        persisted = faults.crash_at_orders
        if persisted is None or not orders:
            await self._orders.record(orders)
            return
        if persisted:
            await self._orders.record(orders)
        faults.crash_at_orders = None
        faults.crashed.set()
        raise CrashError(_DIED)

    def read(self) -> Sequence[Order]:
        return self._orders.read()


def make_draft(nation: str, now_ms: int, **header: Any) -> dict[str, Any]:
    """Return a draft of a small type for the nation's targeting centre."""
    act_before = time_text(now_ms + 86_400_000)
    document: dict[str, Any] = {
        "type": "alert.urgent/1",
        "header": {
            "to": [{"nation": other(nation), "agency": AGENCIES[other(nation)]}],
            "language": "fr" if nation == "FR" else "en",
            "precedence": "IMMEDIATE",
            "evaluation": {"scheme": "EU4X4", "source": "B", "information": "2"},
            "purpose": {"code": "CARGO_TARGETING", "areas": ["NARCOTICS"]},
            "reply_by": act_before,
            **header,
        },
        "payload": {
            "kind": "TOXIC_SUBSTANCE",
            "headline": "Synthetic test alert",
            "narrative": "A synthetic narrative for tests.",
            "act_before": act_before,
            "requested_action": "Examine the synthetic consignment.",
        },
    }
    return document


def message_uuid(message_id: bytes) -> str:
    """Return a message id as text."""
    return str(UUID(bytes=message_id))
