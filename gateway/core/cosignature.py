"""Who signed a checkpoint: the log itself, and the peer that holds all of it.

A note of a log carries two lines of the log, both required::

    Ed25519      type 0x01, over the text
    ML-DSA-87    type 0xff, u64 time || signature over `cosigned_message`

and, once the peer holds every entry and ciphertext below the size, two lines of the peer
under its node name: Ed25519 in the C2SP form 0x04, and the same ML-DSA-87 form. Lines of
keys that nobody asked for are ignored; a line of a required key that does not verify
refuses the note, as does a second line of one key.

Statements of the national roots are notes as well (`sign_text_note`): two lines over a
text that is not a checkpoint, kept apart by the FIPS 204 context and the key's identifier.

Spec: C2SP tlog-cosignature; docs/spec/log.md, "Signatures".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from gateway.core.note import (
    MLDSA87_NOTE,
    NoteSignature,
    SignedNote,
    VerifierKey,
    format_note,
    format_signatures,
    parse_note,
    parse_signatures,
)
from gateway.core.signature import HybridSigner, HybridVerifier
from gateway.errors import SignatureInvalidError

MAX_TIME_S: Final = 2**63 - 1

_TIME_BYTES: Final = 8
_SUBTREE_LABEL: Final = b"subtree/v1\n\x00"
_INVALID: Final = "a required signature is absent, is there twice, or does not verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedNote:
    """A checkpoint that its log has signed with both keys.

    Attributes:
        checkpoint: Origin, size and root.
        time_s: Time in the log's ML-DSA-87 line, POSIX seconds. It orders nothing.
        note: The note as received. Its lines are malleable: never compare notes by bytes.
    """

    checkpoint: Checkpoint
    time_s: int
    note: bytes


def cosigned_message(checkpoint: Checkpoint, *, name: str, time_s: int) -> bytes:
    """Return what an ML-DSA-87 line signs: name, time, origin, size and root.

    Args:
        checkpoint: What is signed.
        name: Key name of the signer, 1 to 255 bytes.
        time_s: POSIX seconds.

    Spec: C2SP tlog-cosignature, "cosigned_message" (start 0, end the size).
    """
    signer, origin = name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            _SUBTREE_LABEL,
            len(signer).to_bytes(1, "big"),
            signer,
            _u64(time_s),
            len(origin).to_bytes(1, "big"),
            origin,
            _u64(0),
            _u64(checkpoint.size),
            checkpoint.root,
        )
    )


def sign_checkpoint(checkpoint: Checkpoint, *, signer: HybridSigner, time_s: int) -> bytes:
    """Return the note of a log over its checkpoint, with both lines, about 6.4 kB.

    The caller never signs two checkpoints of one log that no single tree satisfies, and
    calls this only for a state that is durable.

    Args:
        checkpoint: State of the log.
        signer: Key of the log; its name is the origin.
        time_s: POSIX seconds, not lower than in any earlier note of the log.

    Raises:
        ValueError: The signer belongs to another log, or the time is out of range.
    """
    if signer.name != checkpoint.origin:
        msg = "a log is signed by the key that bears its origin as its name"
        raise ValueError(msg)
    _check_time(time_s)
    text = format_checkpoint(checkpoint)
    classical, post_quantum = signer.verifier.verifier_keys(cosigner=False)
    message = cosigned_message(checkpoint, name=signer.name, time_s=time_s)
    return format_note(
        text,
        (
            classical.signature(signer.sign_ed25519(text.encode())),
            post_quantum.signature(_u64(time_s) + signer.sign_mldsa87(message)),
        ),
    )


def cosign(note: bytes, *, cosigner: HybridSigner, time_s: int) -> bytes:
    """Return the note with both lines of a cosigner; earlier lines of the same keys go.

    The caller has verified the note, has stored everything that a cosignature claims, and
    never cosigned a larger or another state of the log.

    Args:
        note: Signed note of the other log.
        cosigner: Key of this node as cosigner.
        time_s: POSIX seconds, not lower than in any earlier cosignature.

    Raises:
        MalformedError: The note is not one of a checkpoint, or would exceed its limits.
        ValueError: The time is out of range.
    """
    signed = parse_note(note)
    return _merged(signed, cosignature_lines(parse_checkpoint(signed.text), cosigner=cosigner, time_s=time_s))


def cosignature_lines(
    checkpoint: Checkpoint, *, cosigner: HybridSigner, time_s: int
) -> tuple[NoteSignature, NoteSignature]:
    """Return the two lines by which a cosigner signs a checkpoint, Ed25519 first."""
    _check_time(time_s)
    classical, post_quantum = cosigner.verifier.verifier_keys(cosigner=True)
    message = cosigned_message(checkpoint, name=cosigner.name, time_s=time_s)
    return (
        classical.signature(_u64(time_s) + cosigner.sign_ed25519(cosigned_text(checkpoint, time_s))),
        post_quantum.signature(_u64(time_s) + cosigner.sign_mldsa87(message)),
    )


def merge_signatures(note: bytes, lines: tuple[NoteSignature, ...]) -> bytes:
    """Return a note with further lines, which replace those of the same name and key ID.

    Raises:
        MalformedError: Not a note, or the result has more than 16 lines or 64 KiB.
    """
    return _merged(parse_note(note), lines)


def added_signatures(note: bytes, *, signed: bytes) -> tuple[NoteSignature, ...] | None:
    """Return the lines that a note has beyond another one that it begins with, or None if it does not.

    Whoever made the other note itself, or has verified it, need not verify its lines again.

    Args:
        note: The note as received.
        signed: The note that is known.

    Raises:
        MalformedError: What follows is not signature lines.
    """
    return parse_signatures(note[len(signed) :]) if signed and note.startswith(signed) else None


def only_signatures(note: bytes, *, verifier: HybridVerifier) -> bytes:
    """Return the cosigner's lines of a note alone, as a C2SP witness answers them."""
    keys = verifier.verifier_keys(cosigner=True)
    wanted = {(key.name, key.key_id) for key in keys}
    lines = [line for line in parse_note(note).signatures if (line.name, line.key_id) in wanted]
    return format_signatures(lines)


def verify_log_note(note: bytes, *, verifier: HybridVerifier) -> VerifiedNote:
    """Verify that a log has signed a checkpoint with both its keys.

    Args:
        note: The note as received.
        verifier: Public keys of the log; their name is the origin that is expected.

    Raises:
        MalformedError: Not a note of a checkpoint in canonical form.
        SignatureInvalidError: The checkpoint is of another log, or one of the two lines is
            absent, is there twice, or does not verify. The text does not say which.
    """
    signed = parse_note(note)
    checkpoint = parse_checkpoint(signed.text)
    classical, post_quantum = verifier.verifier_keys(cosigner=False)
    signature = _only(signed.signatures, classical)
    time_s, timed = _timed(_only(signed.signatures, post_quantum))
    message = cosigned_message(checkpoint, name=verifier.name, time_s=time_s)
    valid = (
        checkpoint.origin == verifier.name,
        verifier.is_ed25519_valid(signature, signed.text.encode()),
        verifier.is_mldsa87_valid(timed, message),
    )
    if not all(valid):
        raise SignatureInvalidError(_INVALID)
    return VerifiedNote(checkpoint=checkpoint, time_s=time_s, note=note)


def verify_cosignature(note: bytes, *, cosigner: HybridVerifier) -> int:
    """Verify that a cosigner has signed the checkpoint of a note with both its keys.

    Whether the log itself signed it is a question of its own: `verify_log_note`.

    Args:
        note: The note as received.
        cosigner: Public keys of the cosigner.

    Returns:
        The time of the cosignature, POSIX seconds.

    Raises:
        MalformedError: Not a note of a checkpoint in canonical form.
        SignatureInvalidError: One of the two lines is absent, is there twice or does not
            verify, or the two name different times.
    """
    signed = parse_note(note)
    return verify_cosignature_lines(parse_checkpoint(signed.text), signed.signatures, cosigner=cosigner)


def verify_cosignature_lines(
    checkpoint: Checkpoint, lines: Sequence[NoteSignature], *, cosigner: HybridVerifier
) -> int:
    """Verify that a cosigner has signed a checkpoint with both its keys, among these lines.

    Raises:
        SignatureInvalidError: As for `verify_cosignature`, whose result this is.
    """
    classical, post_quantum = cosigner.verifier_keys(cosigner=True)
    text_time_s, signature = _timed(_only(lines, classical))
    time_s, timed = _timed(_only(lines, post_quantum))
    message = cosigned_message(checkpoint, name=cosigner.name, time_s=time_s)
    valid = (
        text_time_s == time_s,
        cosigner.is_ed25519_valid(signature, cosigned_text(checkpoint, text_time_s)),
        cosigner.is_mldsa87_valid(timed, message),
    )
    if not all(valid):
        raise SignatureInvalidError(_INVALID)
    return time_s


def signing_key(
    note: bytes, verifiers: Sequence[HybridVerifier], *, cosigner: bool = False
) -> HybridVerifier:
    """Return the one of several keys whose lines a note carries; nothing is verified.

    Keys of a log and of a cosigner change. Which of them may have signed is the caller's
    question; whether it has, the verification's that follows.

    Args:
        note: The note as received.
        verifiers: At least one, the one to name if none has both its lines in the note first.
        cosigner: Whether they cosign checkpoints of others or sign those of their own log.

    Raises:
        MalformedError: Not a note.
    """
    if len(verifiers) == 1:
        return verifiers[0]
    return key_of(parse_note(note).signatures, verifiers, cosigner=cosigner)


def key_of(
    lines: Sequence[NoteSignature], verifiers: Sequence[HybridVerifier], *, cosigner: bool = False
) -> HybridVerifier:
    """Return the one of several keys that these lines are of, as `signing_key` does of a note."""
    found = {(line.name, line.key_id) for line in lines}
    for verifier in verifiers:
        if {(key.name, key.key_id) for key in verifier.verifier_keys(cosigner=cosigner)} <= found:
            return verifier
    return verifiers[0]


def sign_text_note(text: str, *, signer: HybridSigner) -> bytes:
    """Return a note over a text that is not a checkpoint, with both lines.

    Args:
        text: Lines, each ended by a line feed.
        signer: Key that makes statements only.

    Raises:
        MalformedError: The text cannot stand in a note.
    """
    classical, post_quantum = signer.verifier.statement_keys()
    message = text.encode()
    return format_note(
        text,
        (
            classical.signature(signer.sign_ed25519(message)),
            post_quantum.signature(signer.sign_mldsa87(message, context=MLDSA87_NOTE)),
        ),
    )


def verify_text_note(note: bytes, *, verifier: HybridVerifier) -> str:
    """Verify a note over a text with both keys, and return the text.

    Raises:
        MalformedError: Not a note.
        SignatureInvalidError: One of the two lines is absent, is there twice, or does not
            verify.
    """
    signed = parse_note(note)
    classical, post_quantum = verifier.statement_keys()
    message = signed.text.encode()
    valid = (
        verifier.is_ed25519_valid(_only(signed.signatures, classical), message),
        verifier.is_mldsa87_valid(_only(signed.signatures, post_quantum), message, context=MLDSA87_NOTE),
    )
    if not all(valid):
        raise SignatureInvalidError(_INVALID)
    return signed.text


def _merged(signed: SignedNote, lines: Sequence[NoteSignature]) -> bytes:
    """Return a note with further lines, which replace those of the same name and key ID."""
    replaced = {(line.name, line.key_id) for line in lines}
    kept = [line for line in signed.signatures if (line.name, line.key_id) not in replaced]
    return format_note(signed.text, (*kept, *lines))


def _only(lines: Sequence[NoteSignature], key: VerifierKey) -> bytes:
    """Return the blob of the only line of a key."""
    blobs = [line.blob for line in lines if line.name == key.name and line.key_id == key.key_id]
    if len(blobs) != 1:
        raise SignatureInvalidError(_INVALID)
    return blobs[0]


def _timed(blob: bytes) -> tuple[int, bytes]:
    """Return the time and the signature of a line that carries both."""
    time_s = int.from_bytes(blob[:_TIME_BYTES], "big")
    if not 0 < time_s <= MAX_TIME_S:
        raise SignatureInvalidError(_INVALID)
    return time_s, blob[_TIME_BYTES:]


def cosigned_text(checkpoint: Checkpoint, time_s: int) -> bytes:
    """Return what an Ed25519 cosignature (0x04) signs."""
    return f"cosignature/v1\ntime {time_s}\n{format_checkpoint(checkpoint)}".encode()


def _check_time(time_s: int) -> None:
    if not 0 < time_s <= MAX_TIME_S:
        msg = "a signature time is a positive number of POSIX seconds below 2^63"
        raise ValueError(msg)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
