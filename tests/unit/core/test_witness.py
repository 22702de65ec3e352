"""One line of a witness: what it takes to believe it, and what it never stands in for."""

from __future__ import annotations

import pytest

from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import cosign, merge_signatures, sign_checkpoint, verify_cosignature
from gateway.core.merkle import Hash
from gateway.core.note import NoteSignature, format_note, parse_note, parse_signatures
from gateway.core.witness import parse_witness_key, verify_witness, witness_request
from gateway.errors import MalformedError, SignatureInvalidError
from tests.outsiders import SpecWitness
from tests.unit.audit.making import FR_US, TIME_S, US, signer

CHECKPOINT = Checkpoint(origin=FR_US, size=3, root=Hash(b"\x07" * 32))
NOTE = sign_checkpoint(CHECKPOINT, signer=signer(FR_US), time_s=TIME_S)
LOG_KEY = signer(FR_US).verifier.verifier_keys(cosigner=False)[0].encode()


def witness() -> SpecWitness:
    return SpecWitness(name="witness.example/third", log_key=LOG_KEY)


def witnessed(third: SpecWitness) -> bytes:
    status, _, lines = third.answer("/add-checkpoint", witness_request(NOTE, old_size=0, proof=[]))
    assert status == 200
    return merge_signatures(NOTE, parse_signatures(lines))


def test_a_line_of_a_witness_that_is_not_ours_verifies() -> None:
    third = witness()
    assert verify_witness(witnessed(third), witness=parse_witness_key(third.vkey)) == third.now_s


def test_the_key_of_a_node_as_cosigner_signs_the_same_form() -> None:
    key = parse_witness_key(signer(US).verifier.verifier_keys(cosigner=True)[0].encode())
    assert verify_witness(cosign(NOTE, cosigner=signer(US), time_s=TIME_S), witness=key) == TIME_S


def test_an_absent_a_second_and_an_altered_line_are_refused() -> None:
    third = witness()
    key = parse_witness_key(third.vkey)
    note = parse_note(witnessed(third))
    line = note.signatures[-1]
    later = (third.now_s + 1).to_bytes(8, "big")
    altered = (
        note.signatures[:-1],
        (*note.signatures, line),
        (
            *note.signatures[:-1],
            NoteSignature(name=line.name, key_id=line.key_id, blob=later + line.blob[8:]),
        ),
        (*note.signatures[:-1], NoteSignature(name=line.name, key_id=line.key_id, blob=bytes(72))),
        (*note.signatures[:-1], NoteSignature(name=line.name, key_id=line.key_id, blob=b"\x01")),
    )
    for lines in altered:
        with pytest.raises(SignatureInvalidError):
            verify_witness(format_note(note.text, lines), witness=key)


def test_a_line_over_another_checkpoint_is_refused() -> None:
    third = witness()
    other = format_checkpoint(Checkpoint(origin=FR_US, size=4, root=Hash(b"\x08" * 32)))
    note = format_note(other, parse_note(witnessed(third)).signatures)
    with pytest.raises(SignatureInvalidError):
        verify_witness(note, witness=parse_witness_key(third.vkey))


def test_a_witness_is_no_cosigner() -> None:
    # Its one line does not make half of the peer's two.
    third = witness()
    with pytest.raises(SignatureInvalidError):
        verify_cosignature(witnessed(third), cosigner=signer(US).verifier)


@pytest.mark.parametrize("place", [0, 1])
def test_only_an_ed25519_key_of_a_cosigner_is_the_key_of_a_witness(place: int) -> None:
    with pytest.raises(MalformedError):
        parse_witness_key(signer(FR_US).verifier.verifier_keys(cosigner=False)[place].encode())


def test_a_request_is_what_the_specification_says() -> None:
    body = witness_request(NOTE, old_size=2, proof=[Hash(bytes(32)), Hash(b"\x01" * 32)])
    head, _, note = body.partition(b"\n\n")
    assert head.split(b"\n") == [b"old 2", b"A" * 43 + b"=", b"AQEB" * 10 + b"AQE="]
    assert note == NOTE
    with pytest.raises(ValueError, match="at most 63"):
        witness_request(NOTE, old_size=2, proof=[Hash(bytes(32))] * 64)
