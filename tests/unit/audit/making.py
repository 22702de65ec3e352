"""Logs as nodes write them, made from test keys: what the tests export, verify and break."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from gateway.audit.export import export_log
from gateway.audit.trust import Trust, parse_trust
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import cosign, sign_checkpoint
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    KemKeyEntry,
    KeyStatementEntry,
    MessageEntry,
    ReceiptEntry,
    ReceiptException,
    encode_entry,
)
from gateway.core.envelope import Header
from gateway.core.keybox import KemPrivateKey
from gateway.core.merkle import Hash, hash_leaf, root_of
from gateway.core.signature import SoftwareSigner
from gateway.core.states import Precedence
from gateway.keyring.statement import KeyStatement, root_name, sign_statement

FR, US = "fr.gateway.test", "us.gateway.test"
FR_US, US_FR = f"{FR}/exchange/us", f"{US}/exchange/fr"
FR_AUDIT, US_AUDIT = f"{FR}/audit", f"{US}/audit"
NATION = {FR: "FR", US: "US"}
AGENCY = {FR: "FR.DGDDI.SARC", US: "US.CBP.NTC"}
TIME_S = 1_795_000_000
KEM_KEY = KemPrivateKey.from_seed(bytes(32)).public_key
SIZES = (0, 1, 2, 255, 256, 257, 259, 511, 515)
LARGE_SIZES = (65_535, 65_536, 65_537)


@cache
def signer(name: str, keys: int = 1) -> SoftwareSigner:
    """Return the test key of a name: the same in every run, another one for each change of keys."""
    return _signer(name, name if keys == 1 else f"{name} {keys}")


def successor_signer(origin: str, generation: int) -> SoftwareSigner:
    """Return the key of a log under the name of a later generation."""
    return _signer(f"{origin}/{generation}", origin)


def _signer(name: str, seed: str) -> SoftwareSigner:
    return SoftwareSigner(
        name=name,
        ed25519_seed=hashlib.sha256(f"ed25519 {seed}".encode()).digest(),
        mldsa87_seed=hashlib.sha256(f"mldsa87 {seed}".encode()).digest(),
    )


@cache
def statement(
    node: str,
    version: int = 1,
    keys: int = 1,
    *,
    nation: str = "",
    cosigner_keys: int = 0,
    root_keys: int = 1,
) -> bytes:
    """Return a node's key statement, signed by a root of its nation or of one that claims the node.

    Its cosigner is that of the same change of keys as its logs, if nothing else is said.
    """
    nation = nation or NATION[node]
    origins = sorted((f"{node}/audit", FR_US if node == FR else US_FR))
    value = KeyStatement(
        nation=nation,
        node=node,
        version=version,
        issued=datetime(2026, 11, 1, tzinfo=UTC),
        test=True,
        root_certificate=b"\x03" * 48,
        logs=tuple(signer(origin, keys).verifier for origin in origins),
        cosigner=signer(node, cosigner_keys or keys).verifier,
        tls_spki=(b"\x01" * 32, b"\x02" * 32),
    )
    return sign_statement(value, root=signer(root_name(nation), root_keys))


def vkeys(node: str, keys: int = 1) -> list[str]:
    """Return the lines of a node's vkeys file: its logs, then its cosigner."""
    logs = [signer(origin, keys).verifier for origin in (f"{node}/audit", FR_US if node == FR else US_FR)]
    lines = [key.encode() for log in logs for key in log.verifier_keys(cosigner=False)]
    return lines + [key.encode() for key in signer(node, keys).verifier.verifier_keys(cosigner=True)]


def root_vkeys(node: str, keys: int = 1) -> list[str]:
    """Return the lines of the vkeys file of a nation's root."""
    return [key.encode() for key in signer(root_name(NATION[node]), keys).verifier.statement_keys()]


@cache
def full_trust() -> Trust:
    """Return the keys of both nations, roots included."""
    return parse_trust([*vkeys(FR), *vkeys(US), *root_vkeys(FR), *root_vkeys(US)])


# --- entries ------------------------------------------------------------------------


def header(node: str, number: int) -> Header:
    """Return the header of the message with this number."""
    other = US if node == FR else FR
    return Header(
        message_id=number.to_bytes(16, "big"),
        created_ms=TIME_S * 1_000 + number,
        # By the clocks of the two nodes, which may differ a little, it is over when logs are signed.
        expires_ms=TIME_S * 1_000 + 240_000,
        from_node=node,
        to_node=other,
        from_agency=AGENCY[node],
        to_agencies=(AGENCY[other],),
        type="intel.spontaneous/1",
        type_digest=bytes(48),
        precedence=Precedence.ROUTINE,
        marking_level=1,
        conversation_id=number.to_bytes(16, "little"),
        attachments_bytes=0,
    )


def message(node: str, number: int, *, bundle: int = 0, slot: int = 0) -> MessageEntry:
    """Return the entry of a message."""
    return MessageEntry(
        header=header(node, number).encode(),
        kem_key_id=KEM_KEY.key_id,
        bundle_id=bundle.to_bytes(16, "big"),
        slot=slot,
        box_digest=hashlib.sha384(bundle.to_bytes(16, "big")).digest(),
        ciphertext_digest=hashlib.sha384(number.to_bytes(16, "big")).digest(),
        ciphertext_bytes=1_024,
    )


def opening(node: str) -> list[Entry]:
    """Return the three entries that an exchange log opens with."""
    return [
        KeyStatementEntry(statement=statement(node)),
        KemKeyEntry(
            key_id=KEM_KEY.key_id,
            suite=1,
            public_key=KEM_KEY.data,
            not_before_ms=TIME_S * 1_000,
            not_after_ms=TIME_S * 1_000 + 1,
        ),
        AgreementEntry(types=(("intel.spontaneous/1", bytes(48)),), effective_ms=TIME_S * 1_000),
    ]


def receipt(
    log: MadeLog, start: int, end: int, *, refused: Sequence[int] = (), root: Hash | None = None
) -> ReceiptEntry:
    """Return the receipt for a range of a log."""
    return ReceiptEntry(
        origin=log.origin,
        start=start,
        count=end - start,
        root=log.root(end) if root is None else root,
        decided_ms=TIME_S * 1_000,
        exceptions=tuple(ReceiptException(index=index, code=12, rule=7) for index in refused),
    )


def collected(log: MadeLog, *indexes: int, agency: str | None = None) -> CollectedEntry:
    """Return the collections of messages of a log."""
    node = log.origin.partition("/")[0]
    by = agency or AGENCY[US if node == FR else FR]
    return CollectedEntry(
        origin=log.origin,
        collections=tuple(Collection(index=index, agency=by, at_ms=TIME_S * 1_000) for index in indexes),
    )


def anchor(log: MadeLog, size: int, *, root: Hash | None = None) -> AnchorEntry:
    """Return an anchor of a log at a size."""
    return AnchorEntry(origin=log.origin, size=size, root=log.root(size) if root is None else root)


def event(number: int) -> EventEntry:
    """Return the audit event with this number."""
    return EventEntry(
        at_ms=TIME_S * 1_000 + number,
        role=1,
        actor=bytes(32),
        event="message.accepted",
        objects=(number.to_bytes(16, "big"),),
        outcome="ok",
    )


def accepted(*numbers: int, name: str = "message.accepted") -> EventEntry:
    """Return the audit event of the messages with these numbers, such as their acceptance."""
    return replace(event(0), event=name, objects=tuple(number.to_bytes(16, "big") for number in numbers))


def announcements(node: str) -> list[EventEntry]:
    """Return the audit events of the KEM key and the agreement with which an exchange log opens."""
    _, _, agreement = opening(node)
    stated = hashlib.sha384(encode_entry(agreement)).digest()
    own = replace(event(0), role=0, objects=())
    return [
        replace(own, event="kem.announced", details=(KEM_KEY.key_id,)),
        replace(own, event="agreement.stated", details=(stated, TIME_S * 1_000)),
    ]


@cache
def events(count: int) -> tuple[bytes, ...]:
    """Return encoded events; the entries of an audit log of this size."""
    return tuple(encode_entry(event(number)) for number in range(count))


# --- logs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLog:
    """A signed log. Satisfies `gateway.audit.export.LogSource`."""

    origin: str
    stored: tuple[bytes, ...]
    signed: bytes

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self.stored)

    def note(self) -> bytes:
        return self.signed

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        return self.stored[start:end]

    def root(self, size: int) -> Hash:
        """Return the root that the log had at a size."""
        return root_of([hash_leaf(entry) for entry in self.stored[:size]])

    def export(self, folder: Path) -> Path:
        """Export the log and return the folder."""
        export_log(self, folder)
        return folder


def make_log(
    origin: str,
    entries: Sequence[Entry | bytes],
    *,
    cosigner: str | None = None,
    by: SoftwareSigner | None = None,
    cosigned_by: SoftwareSigner | None = None,
) -> MadeLog:
    """Return a log with these entries, signed, and cosigned if a cosigner is named.

    Args:
        origin: Its name.
        entries: What it holds.
        cosigner: Name of the node that cosigns it with its first key.
        by: Signs in place of the log's first key.
        cosigned_by: Cosigns in place of the first key of ``cosigner``.
    """
    stored = tuple(item if isinstance(item, bytes) else encode_entry(item) for item in entries)
    root = root_of([hash_leaf(entry) for entry in stored])
    checkpoint = Checkpoint(origin=origin, size=len(stored), root=root)
    note = sign_checkpoint(checkpoint, signer=by or signer(origin), time_s=TIME_S)
    if cosigner is not None or cosigned_by is not None:
        note = cosign(note, cosigner=cosigned_by or signer(cosigner or ""), time_s=TIME_S + 1)
    return MadeLog(origin=origin, stored=stored, signed=note)


def audit_log(size: int) -> MadeLog:
    """Return the French audit log with this many events, cosigned by the American node."""
    return make_log(FR_AUDIT, events(size), cosigner=US)


def exchange_log(size: int = 8) -> MadeLog:
    """Return a French exchange log: its opening, then messages, four in a key box."""
    messages = [message(FR, n, bundle=n // 4, slot=n % 4) for n in range(max(0, size - 3))]
    return make_log(FR_US, [*opening(FR), *messages][:size], cosigner=US)
