"""Laws of notes: what is written is read back, and what is altered is refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from gateway.core.cosignature import (
    cosign,
    sign_checkpoint,
    sign_text_note,
    verify_cosignature,
    verify_log_note,
    verify_text_note,
)
from gateway.core.merkle import Hash
from gateway.core.note import (
    NoteSignature,
    VerifierKey,
    format_note,
    format_signatures,
    parse_note,
    parse_signatures,
    parse_verifier_key,
)
from gateway.core.signature import SoftwareSigner
from gateway.errors import MalformedError, SignatureInvalidError

PRINTABLE = st.characters(exclude_categories=("Cs", "Cc"))
TEXTS = (
    st.lists(st.text(PRINTABLE, max_size=30), min_size=1, max_size=6)
    .map(lambda lines: "\n".join(lines) + "\n")
    .filter(lambda text: text != "\n")
)
NAMES = st.text(
    PRINTABLE.filter(lambda character: not character.isspace() and character != "+"), min_size=1, max_size=40
)
LINES = st.lists(
    st.builds(
        NoteSignature,
        name=NAMES,
        key_id=st.binary(min_size=4, max_size=4),
        blob=st.binary(min_size=1, max_size=90),
    ),
    min_size=1,
    max_size=16,
)
ORIGINS = st.from_regex(r"[a-z0-9.-]{1,20}(/[a-z0-9-]{1,20}){1,3}", fullmatch=True).filter(
    lambda origin: not origin.startswith("cosignature/")
)
CHECKPOINTS = st.builds(
    Checkpoint,
    origin=ORIGINS,
    size=st.integers(1, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32).map(Hash),
)
ORIGIN = "fr.gateway.test/exchange/us"
LOG = SoftwareSigner(name=ORIGIN, ed25519_seed=b"1" * 32, mldsa87_seed=b"2" * 32)
PEER = SoftwareSigner(name="us.gateway.test", ed25519_seed=b"3" * 32, mldsa87_seed=b"4" * 32)
NOTE = cosign(
    sign_checkpoint(Checkpoint(origin=ORIGIN, size=1_000, root=Hash(bytes(32))), signer=LOG, time_s=9),
    cosigner=PEER,
    time_s=10,
)
LOG_END = [at for at, byte in enumerate(NOTE) if byte == 0x0A][5]
"""End of the log's second line: three lines of text, an empty one, and two of the log."""


@given(TEXTS, LINES)
def test_a_note_is_read_back(text: str, lines: list[NoteSignature]) -> None:
    note = parse_note(format_note(text, lines))

    assert (note.text, list(note.signatures)) == (text, lines)
    assert parse_signatures(format_signatures(lines)) == tuple(lines)


@given(st.binary(max_size=200) | TEXTS.map(lambda text: (text + "\n\u2014 a AAAAAQID\n").encode()))
def test_whatever_is_read_is_written_the_same_way(data: bytes) -> None:
    try:
        note = parse_note(data)
    except MalformedError:
        return
    assert format_note(note.text, note.signatures) == data


@given(NAMES, st.sampled_from([1, 4]), st.binary(min_size=32, max_size=32))
def test_a_verifier_key_is_read_back(name: str, algorithm: int, public_key: bytes) -> None:
    key = VerifierKey(name=name, algorithm=algorithm, identifier=b"", public_key=public_key)

    assert parse_verifier_key(key.encode()) == key


@given(CHECKPOINTS)
def test_a_checkpoint_is_read_back(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@given(st.text(max_size=80) | CHECKPOINTS.map(format_checkpoint), st.data())
def test_an_altered_checkpoint_is_refused_or_is_another_one(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    other = text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    try:
        checkpoint = parse_checkpoint(other)
    except MalformedError:
        return
    assert format_checkpoint(checkpoint) == other


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_an_altered_byte_of_a_note_refuses_one_of_its_signatures(at: int, change: int) -> None:
    altered = NOTE[:at] + bytes((NOTE[at] ^ change,)) + NOTE[at + 1 :]
    mine, theirs = (
        at <= LOG_END,
        at > LOG_END or at < len(format_checkpoint(parse_checkpoint(parse_note(NOTE).text))),
    )

    if mine:
        with pytest.raises((MalformedError, SignatureInvalidError)):
            verify_log_note(altered, verifier=LOG.verifier)
    if theirs:
        with pytest.raises((MalformedError, SignatureInvalidError)):
            verify_cosignature(altered, cosigner=PEER.verifier)


@given(st.integers(0, len(NOTE) - 1))
def test_a_truncated_note_never_counts_as_cosigned(end: int) -> None:
    with pytest.raises((MalformedError, SignatureInvalidError)):
        verify_cosignature(NOTE[:end], cosigner=PEER.verifier)


@given(CHECKPOINTS.filter(lambda checkpoint: checkpoint.origin != ORIGIN), st.integers(1, 2**63 - 1))
def test_whatever_is_signed_verifies_at_any_time(checkpoint: Checkpoint, time_s: int) -> None:
    signer = SoftwareSigner(name=checkpoint.origin, ed25519_seed=b"5" * 32, mldsa87_seed=b"6" * 32)
    note = cosign(sign_checkpoint(checkpoint, signer=signer, time_s=time_s), cosigner=PEER, time_s=time_s)

    assert verify_log_note(note, verifier=signer.verifier).checkpoint == checkpoint
    assert verify_cosignature(note, cosigner=PEER.verifier) == time_s
    with pytest.raises(SignatureInvalidError):
        verify_log_note(note, verifier=LOG.verifier)


@given(TEXTS, TEXTS)
def test_a_statement_is_read_back_and_no_other_text_is_signed_by_it(text: str, other: str) -> None:
    note = sign_text_note(text, signer=PEER)

    assert verify_text_note(note, verifier=PEER.verifier) == text
    if other != text:
        with pytest.raises(SignatureInvalidError):
            verify_text_note(format_note(other, parse_note(note).signatures), verifier=PEER.verifier)


def test_base64_has_one_form() -> None:
    for length in range(5, 20):
        encoded = b64encode(bytes(length)).decode()
        for other in (encoded + "=", encoded[:-1], encoded + "\n", " " + encoded):
            with pytest.raises(MalformedError):
                parse_note(f"text\n\n\u2014 a {other}\n".encode())
