"""The evidence of one message: one file that proves it to somebody who has none of our software.

It holds the message's entry with its place in the sender's log, the receiver's receipt with
its place in the receiver's log, the keys and the statements of the roots that name them, the
schema, the ciphertext and, only if content is disclosed, the content key. The file is a
function of these: whoever reads it writes it again and compares, so nothing else can hide
in it.

Spec: docs/spec/evidence.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.core.archive import Member, read_archive, write_archive
from gateway.core.checkpoint import parse_checkpoint
from gateway.core.entries import MAX_ENTRY_BYTES
from gateway.core.evidence_text import LISEZMOI, README
from gateway.core.log_proof import MAX_LOG_PROOF_BYTES, LogProof, parse_log_proof
from gateway.core.merkle import HASH_BYTES, MAX_PROOF_HASHES, Hash
from gateway.core.note import MAX_NOTE_BYTES, parse_note, parse_verifier_key
from gateway.core.sealing import CONTENT_KEY_BYTES, MAX_CONTENT_BYTES
from gateway.core.signature import HybridVerifier
from gateway.errors import MalformedError

MAX_EVIDENCE_BYTES: Final = 8 * 1024 * 1024
MAX_SCHEMA_BYTES: Final = 4 * 1024 * 1024

_LIMITS: Final = {
    "README.txt": len(README),
    "LISEZMOI.txt": len(LISEZMOI),
    "policy": MAX_NOTE_BYTES,
    "entry": MAX_ENTRY_BYTES,
    "entry.tlog-proof": MAX_LOG_PROOF_BYTES,
    "receipt": MAX_ENTRY_BYTES,
    "receipt.tlog-proof": MAX_LOG_PROOF_BYTES,
    "receipt.path": MAX_PROOF_HASHES * HASH_BYTES,
    "ciphertext": MAX_CONTENT_BYTES + MAX_CONTENT_BYTES // 512,
    "content-key": CONTENT_KEY_BYTES,
    "keys/sender.vkeys": MAX_NOTE_BYTES,
    "keys/receiver.vkeys": MAX_NOTE_BYTES,
    "keys/sender-statement.note": MAX_NOTE_BYTES,
    "keys/receiver-statement.note": MAX_NOTE_BYTES,
    "keys/receiver-cosigner-statement.note": MAX_NOTE_BYTES,
}
_SCHEMA: Final = "schema/"
_GENERATION: Final = re.compile(r"(.+)/(?:[2-9]|[1-9][0-9]{1,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEntry:
    """An entry and the proof of its place in a log."""

    entry: bytes
    proof: LogProof

    @property
    def origin(self) -> str:
        """Return the log that the checkpoint of the proof names; nothing is verified.

        Raises:
            MalformedError: The proof holds no checkpoint.
        """
        return parse_checkpoint(parse_note(self.proof.note).text).origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the file holds. Nothing in it is verified.

    Attributes:
        message: The message's entry in the sender's log.
        receipt: The receiver's answer in the receiver's log, or None as long as there is none.
        receiver_origin: The receiver's log, whose keys are among the keys.
        sender_statement: Signed statement of the sender's root: which keys its node has.
        receiver_statement: The same for the receiver; names the keys of its log.
        receipt_path: Inclusion proof of the message's entry in the state of the sender's log that the receipt
            names: it ties the two together. None without a receipt, and in files of earlier releases.
        cosigner_statement: An earlier or later one of the receiver, if the keys of its cosignature were
            others than those that stand beside the keys of its log; None if one names both.
        schema: Files that decide about the type, by path; empty if they have changed since.
        ciphertext: Encrypted content, or None once it is erased.
        content_key: 32 bytes if the content is disclosed, else None.
    """

    message: LoggedEntry
    receipt: LoggedEntry | None
    receiver_origin: str
    sender_statement: bytes
    receiver_statement: bytes
    schema: Mapping[str, bytes]
    ciphertext: bytes | None
    content_key: bytes | None
    receipt_path: tuple[Hash, ...] | None = None
    cosigner_statement: bytes | None = None

    @property
    def receiver_keys(self) -> tuple[HybridVerifier, HybridVerifier]:
        """Return the keys of the receiver's log and of its cosignature, as its statements name them.

        Raises:
            MalformedError: A statement does not name them, or the second one names no others.
        """
        log, cosigner = stated_keys(self.receiver_statement, self.receiver_origin)
        if self.cosigner_statement is None:
            return log, cosigner
        other = stated_keys(self.cosigner_statement, self.receiver_origin)[1]
        if other == cosigner:
            msg = "a second statement of the receiver names the same keys as the first"
            raise MalformedError(msg)
        return log, other

    def encode(self) -> bytes:
        """Return the file.

        Raises:
            MalformedError: A statement does not name the keys that are needed.
        """
        sender = stated_keys(self.sender_statement, self.message.origin)
        receiver = self.receiver_keys
        members: list[Member] = [
            ("README.txt", README),
            ("LISEZMOI.txt", LISEZMOI),
            ("policy", _policy(sender, receiver)),
            ("entry", self.message.entry),
            ("entry.tlog-proof", self.message.proof.encode()),
        ]
        if self.receipt is not None:
            members += [
                ("receipt", self.receipt.entry),
                ("receipt.tlog-proof", self.receipt.proof.encode()),
            ]
            if self.receipt_path is not None:
                members.append(("receipt.path", b"".join(self.receipt_path)))
        if self.ciphertext is not None:
            members.append(("ciphertext", self.ciphertext))
        if self.content_key is not None:
            members.append(("content-key", self.content_key))
        members += [
            ("keys/sender.vkeys", _lines(sender)),
            ("keys/receiver.vkeys", _lines(receiver)),
            ("keys/sender-statement.note", self.sender_statement),
            ("keys/receiver-statement.note", self.receiver_statement),
        ]
        if self.cosigner_statement is not None:
            members.append(("keys/receiver-cosigner-statement.note", self.cosigner_statement))
        members += [(f"{_SCHEMA}{path}", self.schema[path]) for path in sorted(self.schema)]
        return write_archive(members)


def parse_evidence(data: bytes) -> Evidence:
    """Read a file of evidence in the form that `Evidence.encode` writes; nothing is verified.

    Raises:
        MalformedError: Too long, another form, or a member that is superfluous, absent,
            too long or not what follows from the others.
    """
    members = dict(read_archive(data, max_bytes=MAX_EVIDENCE_BYTES))
    schema = {
        name.removeprefix(_SCHEMA): members.pop(name) for name in list(members) if name.startswith(_SCHEMA)
    }
    if any(len(content) > _LIMITS.get(name, -1) for name, content in members.items()):
        msg = "the evidence holds a member that does not belong into it, or that is too long"
        raise MalformedError(msg)
    if sum(map(len, schema.values())) > MAX_SCHEMA_BYTES:
        msg = "the schema in the evidence is too long"
        raise MalformedError(msg)
    try:
        evidence = Evidence(
            message=_logged(members["entry"], members["entry.tlog-proof"]),
            receipt=_logged(members["receipt"], members["receipt.tlog-proof"])
            if "receipt" in members
            else None,
            receipt_path=_path(members.get("receipt.path")),
            receiver_origin=_origin_of(members["keys/receiver.vkeys"]),
            sender_statement=members["keys/sender-statement.note"],
            receiver_statement=members["keys/receiver-statement.note"],
            cosigner_statement=members.get("keys/receiver-cosigner-statement.note"),
            schema=MappingProxyType(schema),
            ciphertext=members.get("ciphertext"),
            content_key=members.get("content-key"),
        )
    except KeyError as error:
        msg = "the evidence lacks a member"
        raise MalformedError(msg) from error
    if evidence.encode() != data:
        msg = "a member of the evidence is not the one that follows from the others"
        raise MalformedError(msg)
    return evidence


def stated_keys(statement: bytes, origin: str) -> tuple[HybridVerifier, HybridVerifier]:
    """Return the keys of a log and of its node as cosigner, as a statement names them.

    Args:
        statement: Key statement; its signatures are not looked at.
        origin: The log; a successor generation has the keys of the first.

    Raises:
        MalformedError: Not a statement that names both.
    """
    generation = _GENERATION.fullmatch(origin)
    first = origin if generation is None else generation[1]
    lines = parse_note(statement).text.split("\n")
    logs = [line.removeprefix("log ") for line in lines if line.startswith(f"log {first}+")]
    cosigners = [line.removeprefix("cosigner ") for line in lines if line.startswith("cosigner ")]
    if len(logs) != 2 or len(cosigners) != 2:
        msg = "the key statement does not name the keys of the log and of the cosigner"
        raise MalformedError(msg)
    log = HybridVerifier.from_verifier_keys(*map(parse_verifier_key, logs))
    cosigner = HybridVerifier.from_verifier_keys(*map(parse_verifier_key, cosigners))
    return HybridVerifier(name=origin, ed25519=log.ed25519, mldsa87=log.mldsa87), cosigner


def _lines(keys: tuple[HybridVerifier, HybridVerifier]) -> bytes:
    """Return the four verifier keys of a node: its log's, then the cosigner's."""
    log, cosigner = keys
    found = (*log.verifier_keys(cosigner=False), *cosigner.verifier_keys(cosigner=True))
    return "".join(f"{key.encode()}\n" for key in found).encode()


def _policy(
    sender: tuple[HybridVerifier, HybridVerifier], receiver: tuple[HybridVerifier, HybridVerifier]
) -> bytes:
    """Return which keys have to have signed the checkpoint of the message, as a C2SP tlog-policy.

    A policy has one key for a log; the other three are witnesses of whom all are needed.
    """
    classical, post_quantum = sender[0].verifier_keys(cosigner=False)
    peer = receiver[1].verifier_keys(cosigner=True)
    return "".join(
        (
            f"log {classical.encode()}\n",
            f"witness sender-ml-dsa-87 {post_quantum.encode()}\n",
            f"witness receiver-ed25519 {peer[0].encode()}\n",
            f"witness receiver-ml-dsa-87 {peer[1].encode()}\n",
            "group everybody all sender-ml-dsa-87 receiver-ed25519 receiver-ml-dsa-87\n",
            "quorum everybody\n",
        )
    ).encode()


def _logged(entry: bytes, proof: bytes) -> LoggedEntry:
    return LoggedEntry(entry=entry, proof=parse_log_proof(proof))


def _path(content: bytes | None) -> tuple[Hash, ...] | None:
    """Return the hashes of a path; what stands behind the last whole one is seen when it is written again."""
    if content is None:
        return None
    whole = range(0, len(content) - HASH_BYTES + 1, HASH_BYTES)
    return tuple(Hash(content[at : at + HASH_BYTES]) for at in whole)


def _origin_of(vkeys: bytes) -> str:
    """Return the name of the first key; that the file is the right one is seen when it is written again."""
    return vkeys.partition(b"+")[0].decode("latin-1")
