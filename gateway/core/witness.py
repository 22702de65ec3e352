"""Third witnesses: somebody who belongs to neither nation and saw a checkpoint.

A C2SP witness signs checkpoints with one Ed25519 key, in the form 0x04: "at that time this
was the largest consistent view of this log that I have seen". That is all that witnesses outside
sign with today, so such a line *adds* to the hybrid signatures of the log and of the peer and
never stands in for one of them. Its keys are kept apart for that reason: a `WitnessKey` is
no `HybridVerifier`, and no function that wants one takes the other.

Spec: C2SP tlog-cosignature ("cosignature/v1"), tlog-witness; docs/spec/log.md, "Third parties".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.checkpoint import parse_checkpoint
from gateway.core.cosignature import MAX_TIME_S, cosigned_text
from gateway.core.merkle import MAX_PROOF_HASHES, Hash
from gateway.core.note import (
    ALGORITHM_COSIGNATURE_ED25519,
    NoteSignature,
    VerifierKey,
    parse_note,
    parse_verifier_key,
)
from gateway.errors import MalformedError, SignatureInvalidError

_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessKey:
    """The public key of a witness.

    Attributes:
        key: As it stands in notes; Ed25519, type 0x04.
    """

    key: VerifierKey
    _ed25519: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the key once.

        Raises:
            MalformedError: It is not the Ed25519 key of a cosigner.
        """
        if self.key.algorithm != ALGORITHM_COSIGNATURE_ED25519:
            msg = "a witness has an Ed25519 key of type 0x04 (cosignature/v1)"
            raise MalformedError(msg)
        loaded = Ed25519PublicKey.from_public_bytes(self.key.public_key)
        object.__setattr__(self, "_ed25519", loaded)

    @property
    def name(self) -> str:
        """Return the name under which it signs."""
        return self.key.name

    def is_valid(self, signature: bytes, message: bytes) -> bool:
        """Return whether a signature of this key verifies."""
        try:
            self._ed25519.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def has_line(self, lines: Sequence[NoteSignature]) -> bool:
        """Return whether a line says that it is of this key; nothing is verified."""
        return any((line.name, line.key_id) == (self.key.name, self.key.key_id) for line in lines)


def parse_witness_key(line: str) -> WitnessKey:
    """Return the key that a C2SP verifier key line holds.

    Raises:
        MalformedError: Not a verifier key, or of another kind.
    """
    return WitnessKey(key=parse_verifier_key(line))


def verify_witness(note: bytes, *, witness: WitnessKey) -> int:
    """Verify that a witness has signed the checkpoint of a note.

    Whether the log itself signed it is a question of its own: `verify_log_note`.

    Returns:
        When the witness signed, POSIX seconds.

    Raises:
        MalformedError: Not a note of a checkpoint in canonical form.
        SignatureInvalidError: Its line is absent, is there twice, or does not verify.
    """
    signed = parse_note(note)
    checkpoint = parse_checkpoint(signed.text)
    blobs = [line.blob for line in signed.signatures if witness.has_line([line])]
    invalid = "the line of a witness is absent, is there twice, or does not verify"
    if len(blobs) != 1:
        raise SignatureInvalidError(invalid)
    time_s = int.from_bytes(blobs[0][:_TIME_BYTES], "big")
    message = cosigned_text(checkpoint, time_s)
    if not (0 < time_s <= MAX_TIME_S and witness.is_valid(blobs[0][_TIME_BYTES:], message)):
        raise SignatureInvalidError(invalid)
    return time_s


def witness_request(note: bytes, *, old_size: int, proof: Sequence[Hash]) -> bytes:
    """Return the body of the call that asks a witness for its line.

    Args:
        note: Signed note of the log, with the log's lines alone.
        old_size: Size that the witness signed last; 0 if it does not know the log.
        proof: Consistency proof from there to the note's size; empty from size 0.

    Spec: C2SP tlog-witness, "add-checkpoint".
    """
    if len(proof) > MAX_PROOF_HASHES:
        msg = f"a consistency proof has at most {MAX_PROOF_HASHES} hashes"
        raise ValueError(msg)
    lines = [f"old {old_size}", *(base64.b64encode(node).decode() for node in proof), "", ""]
    return "\n".join(lines).encode() + note
