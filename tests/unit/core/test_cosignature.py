"""A note counts with both lines of each required key, and with nothing less."""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dilithium_py.ml_dsa import ML_DSA_87

from gateway.core.checkpoint import Checkpoint, format_checkpoint
from gateway.core.cosignature import (
    added_signatures,
    cosign,
    cosignature_lines,
    cosigned_message,
    key_of,
    merge_signatures,
    only_signatures,
    sign_checkpoint,
    sign_text_note,
    verify_cosignature,
    verify_cosignature_lines,
    verify_log_note,
    verify_text_note,
)
from gateway.core.merkle import Hash
from gateway.core.note import NoteSignature, format_note, parse_note, parse_signatures
from gateway.core.signature import SoftwareSigner
from gateway.errors import MalformedError, SignatureInvalidError

ORIGIN = "fr.gateway.test/exchange/us"
CHECKPOINT = Checkpoint(origin=ORIGIN, size=257, root=Hash(bytes(range(32))))


def make_signer(name: str, seed: int) -> SoftwareSigner:
    return SoftwareSigner(name=name, ed25519_seed=bytes([seed]) * 32, mldsa87_seed=bytes([seed]) * 32)


LOG = make_signer(ORIGIN, 1)
PEER = make_signer("us.gateway.test", 2)
STRANGER = make_signer("stranger.test", 3)
NOTE = sign_checkpoint(CHECKPOINT, signer=LOG, time_s=1_767_225_600)
COSIGNED = cosign(NOTE, cosigner=PEER, time_s=1_767_225_601)


def edited(note: bytes, edit: Callable[[list[NoteSignature]], list[NoteSignature]]) -> bytes:
    signed = parse_note(note)
    return format_note(signed.text, edit(list(signed.signatures)))


def with_blob(
    line: int, change: Callable[[bytes], bytes]
) -> Callable[[list[NoteSignature]], list[NoteSignature]]:
    def edit(lines: list[NoteSignature]) -> list[NoteSignature]:
        lines[line] = replace(lines[line], blob=change(lines[line].blob))
        return lines

    return edit


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda blob: blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]


def test_a_log_signs_with_both_lines() -> None:
    verified = verify_log_note(NOTE, verifier=LOG.verifier)

    assert verified.checkpoint == CHECKPOINT
    assert verified.time_s == 1_767_225_600
    assert verified.note == NOTE
    assert [(line.name, len(line.blob)) for line in parse_note(NOTE).signatures] == [
        (ORIGIN, 64),
        (ORIGIN, 8 + 4_627),
    ]


def test_a_peer_cosigns_with_both_lines() -> None:
    assert verify_log_note(COSIGNED, verifier=LOG.verifier).checkpoint == CHECKPOINT
    assert verify_cosignature(COSIGNED, cosigner=PEER.verifier) == 1_767_225_601
    assert [(line.name, len(line.blob)) for line in parse_note(COSIGNED).signatures[2:]] == [
        ("us.gateway.test", 8 + 64),
        ("us.gateway.test", 8 + 4_627),
    ]
    assert 12_700 < len(COSIGNED) < 12_900


def test_lines_sign_what_the_specification_says() -> None:
    """Take the note apart with bytes alone, and verify it with code that is not ours."""
    text = format_checkpoint(CHECKPOINT).encode()
    lines = [line.split(b" ") for line in COSIGNED[len(text) + 1 :].splitlines()]
    blobs = [b64decode(line[2])[4:] for line in lines]

    def cosigned(name: bytes, time_s: int) -> bytes:
        return b"".join(
            (
                b"subtree/v1\n\x00",
                bytes((len(name),)) + name,
                struct.pack(">Q", time_s),
                bytes((len(ORIGIN),)) + ORIGIN.encode(),
                struct.pack(">QQ", 0, 257),
                bytes(range(32)),
            )
        )

    Ed25519PublicKey.from_public_bytes(LOG.verifier.ed25519).verify(blobs[0], text)
    assert (blobs[1][:8], blobs[3][:8]) == (
        struct.pack(">Q", 1_767_225_600),
        struct.pack(">Q", 1_767_225_601),
    )
    assert ML_DSA_87.verify(LOG.verifier.mldsa87, cosigned(ORIGIN.encode(), 1_767_225_600), blobs[1][8:])
    Ed25519PublicKey.from_public_bytes(PEER.verifier.ed25519).verify(
        blobs[2][8:], b"cosignature/v1\ntime 1767225601\n" + text
    )
    assert ML_DSA_87.verify(PEER.verifier.mldsa87, cosigned(b"us.gateway.test", 1_767_225_601), blobs[3][8:])


def test_the_signed_structure_has_the_length_of_the_specification() -> None:
    checkpoint = Checkpoint(origin="a.test/" + "x" * 14, size=1, root=Hash(bytes(32)))

    assert len(cosigned_message(checkpoint, name="n" * 21, time_s=1)) == 112


def test_lines_of_unknown_keys_are_ignored() -> None:
    grease = NoteSignature(name="grease.test", key_id=b"\x00\x01\x02\x03", blob=b"\x00" * 9)
    same_name = NoteSignature(name=ORIGIN, key_id=b"\x00\x01\x02\x03", blob=b"\x00" * 64)
    note = edited(
        cosign(COSIGNED, cosigner=STRANGER, time_s=5),
        lambda lines: [grease, same_name, *reversed(lines), grease],
    )

    assert verify_log_note(note, verifier=LOG.verifier).checkpoint == CHECKPOINT
    assert verify_cosignature(note, cosigner=PEER.verifier) == 1_767_225_601


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize(
    "edit",
    [
        lambda line: lambda lines: lines[:line] + lines[line + 1 :],
        lambda line: lambda lines: [*lines, lines[line]],
        lambda line: with_blob(line, flip(0)),
        lambda line: with_blob(line, flip(7)),
        lambda line: with_blob(line, flip(-1 % 64)),
        lambda line: with_blob(line, lambda blob: blob[:-1]),
        lambda line: with_blob(line, lambda blob: blob + b"\x00"),
        lambda line: with_blob(line, lambda _: b"\x00"),
        lambda line: with_blob(line, lambda blob: bytes(len(blob))),
        lambda line: lambda lines: [*lines, replace(lines[line], blob=b"\x00" * 64)],
    ],
    ids=[
        "removed",
        "twice",
        "first byte",
        "time",
        "byte 63",
        "short",
        "long",
        "one byte",
        "zeros",
        "and a bad one",
    ],
)
def test_a_log_note_without_exactly_both_good_lines_is_refused(
    line: int, edit: Callable[[int], object]
) -> None:
    note = edited(NOTE, edit(line))  # type: ignore[arg-type]

    with pytest.raises(SignatureInvalidError):
        verify_log_note(note, verifier=LOG.verifier)


@pytest.mark.parametrize("line", [2, 3])
@pytest.mark.parametrize(
    "edit",
    [
        lambda line: lambda lines: lines[:line] + lines[line + 1 :],
        lambda line: lambda lines: [*lines, lines[line]],
        lambda line: with_blob(line, flip(7)),
        lambda line: with_blob(line, flip(8)),
        lambda line: with_blob(line, lambda blob: blob[:-1]),
        lambda line: with_blob(line, lambda blob: blob + b"\x00"),
        lambda line: with_blob(line, lambda blob: bytes(8) + blob[8:]),
        lambda line: with_blob(line, lambda blob: b"\x80" + blob[1:]),
        lambda line: with_blob(line, lambda blob: blob[:8]),
        lambda line: with_blob(line, lambda blob: blob[:3]),
    ],
    ids=[
        "removed",
        "twice",
        "time",
        "signature",
        "short",
        "long",
        "no time",
        "time 2^63",
        "time only",
        "3 bytes",
    ],
)
def test_a_cosignature_without_exactly_both_good_lines_is_refused(
    line: int, edit: Callable[[int], object]
) -> None:
    note = edited(COSIGNED, edit(line))  # type: ignore[arg-type]

    with pytest.raises(SignatureInvalidError):
        verify_cosignature(note, cosigner=PEER.verifier)


def test_both_lines_of_a_cosignature_name_one_time() -> None:
    later = parse_note(cosign(NOTE, cosigner=PEER, time_s=1_767_225_999)).signatures
    note = edited(COSIGNED, lambda lines: [*lines[:3], later[3]])

    with pytest.raises(SignatureInvalidError):
        verify_cosignature(note, cosigner=PEER.verifier)


@pytest.mark.parametrize(
    "other",
    [
        replace(CHECKPOINT, size=258),
        replace(CHECKPOINT, root=Hash(bytes(32))),
        replace(CHECKPOINT, origin="fr.gateway.test/exchange/uk"),
    ],
    ids=["size", "root", "origin"],
)
def test_signatures_do_not_fit_another_checkpoint(other: Checkpoint) -> None:
    note = format_note(format_checkpoint(other), parse_note(COSIGNED).signatures)

    with pytest.raises(SignatureInvalidError):
        verify_log_note(note, verifier=LOG.verifier)
    with pytest.raises(SignatureInvalidError):
        verify_cosignature(note, cosigner=PEER.verifier)


def test_a_log_key_signs_for_its_own_log_only() -> None:
    with pytest.raises(ValueError, match="origin"):
        sign_checkpoint(CHECKPOINT, signer=PEER, time_s=1)
    # Not even when somebody who holds the key does it by hand.
    other = replace(CHECKPOINT, origin="fr.gateway.test/audit")
    text = format_checkpoint(other)
    classical, post_quantum = LOG.verifier.verifier_keys(cosigner=False)
    message = cosigned_message(other, name=LOG.name, time_s=1)
    lines = (
        classical.signature(LOG.sign_ed25519(text.encode())),
        post_quantum.signature((1).to_bytes(8, "big") + LOG.sign_mldsa87(message)),
    )
    with pytest.raises(SignatureInvalidError):
        verify_log_note(format_note(text, lines), verifier=LOG.verifier)


def test_a_cosignature_is_not_the_signature_of_a_log() -> None:
    """One key pair used for both would still sign different bytes under different key IDs."""
    with pytest.raises(SignatureInvalidError):
        verify_cosignature(NOTE, cosigner=LOG.verifier)
    cosigned_only = format_note(
        format_checkpoint(CHECKPOINT), cosignature_lines(CHECKPOINT, cosigner=LOG, time_s=1)
    )
    with pytest.raises(SignatureInvalidError):
        verify_log_note(cosigned_only, verifier=LOG.verifier)


def test_a_note_of_a_stranger_is_refused() -> None:
    twin = make_signer(ORIGIN, 9)

    with pytest.raises(SignatureInvalidError):
        verify_log_note(NOTE, verifier=twin.verifier)
    with pytest.raises(SignatureInvalidError):
        verify_cosignature(COSIGNED, cosigner=STRANGER.verifier)


def test_a_cosigner_replaces_its_own_lines() -> None:
    again = cosign(cosign(COSIGNED, cosigner=STRANGER, time_s=7), cosigner=PEER, time_s=1_767_225_700)

    assert verify_cosignature(again, cosigner=PEER.verifier) == 1_767_225_700
    assert verify_cosignature(again, cosigner=STRANGER.verifier) == 7
    assert len(parse_note(again).signatures) == 6


def test_a_cosigner_does_not_exceed_the_limits_of_a_note() -> None:
    full = edited(
        NOTE,
        lambda lines: [
            *lines,
            *(NoteSignature(name="x", key_id=bytes((n, 0, 0, 0)), blob=b"1") for n in range(13)),
        ],
    )

    assert len(parse_note(full).signatures) == 15
    with pytest.raises(MalformedError, match="16"):
        cosign(full, cosigner=PEER, time_s=1)


def test_what_follows_a_known_note_is_verified_by_itself() -> None:
    added = added_signatures(COSIGNED, signed=NOTE)

    assert added == parse_note(COSIGNED).signatures[2:]
    assert key_of(added, [STRANGER.verifier, PEER.verifier], cosigner=True) == PEER.verifier
    assert verify_cosignature_lines(CHECKPOINT, added, cosigner=PEER.verifier) == 1_767_225_601
    with pytest.raises(SignatureInvalidError):
        verify_cosignature_lines(replace(CHECKPOINT, size=258), added, cosigner=PEER.verifier)
    with pytest.raises(SignatureInvalidError):
        verify_cosignature_lines(CHECKPOINT, added, cosigner=STRANGER.verifier)


@pytest.mark.parametrize("known", [b"", NOTE[:-1] + b"x", NOTE.replace(b"257", b"258"), COSIGNED + NOTE])
def test_a_note_that_does_not_begin_with_the_known_one_is_another(known: bytes) -> None:
    assert added_signatures(COSIGNED, signed=known) is None


@pytest.mark.parametrize("tail", [b"", b"\n", b"text\n", b"\n" + NOTE])
def test_what_follows_a_known_note_is_signature_lines(tail: bytes) -> None:
    with pytest.raises(MalformedError):
        added_signatures(NOTE + tail, signed=NOTE)


def test_the_lines_of_a_cosigner_travel_alone() -> None:
    lines = only_signatures(COSIGNED, verifier=PEER.verifier)

    assert parse_signatures(lines) == parse_note(COSIGNED).signatures[2:]
    assert merge_signatures(NOTE, parse_signatures(lines)) == COSIGNED


@pytest.mark.parametrize("time_s", [0, -1, 2**63])
def test_a_time_out_of_range_is_not_signed(time_s: int) -> None:
    with pytest.raises(ValueError, match="time"):
        sign_checkpoint(CHECKPOINT, signer=LOG, time_s=time_s)
    with pytest.raises(ValueError, match="time"):
        cosign(NOTE, cosigner=PEER, time_s=time_s)


def test_a_note_with_an_extension_line_is_refused_although_it_is_signed() -> None:
    text = format_checkpoint(CHECKPOINT) + "extension\n"
    note = format_note(text, (LOG.verifier.verifier_keys(cosigner=False)[0].signature(bytes(64)),))

    for check in (
        lambda: verify_log_note(note, verifier=LOG.verifier),
        lambda: verify_cosignature(note, cosigner=PEER.verifier),
        lambda: cosign(note, cosigner=PEER, time_s=1),
    ):
        with pytest.raises(MalformedError):
            check()


STATEMENT = "entente key statement\nnation fr\n"


def test_a_statement_is_signed_with_both_keys_too() -> None:
    note = sign_text_note(STATEMENT, signer=STRANGER)
    classical, post_quantum = parse_note(note).signatures

    assert verify_text_note(note, verifier=STRANGER.verifier) == STATEMENT
    Ed25519PublicKey.from_public_bytes(STRANGER.verifier.ed25519).verify(classical.blob, STATEMENT.encode())
    assert ML_DSA_87.verify(
        STRANGER.verifier.mldsa87, STATEMENT.encode(), post_quantum.blob, ctx=b"entente/ml-dsa-87-note/v1"
    )


@pytest.mark.parametrize("line", [0, 1])
def test_a_statement_without_exactly_both_good_lines_is_refused(line: int) -> None:
    note = sign_text_note(STATEMENT, signer=STRANGER)
    broken = (
        edited(note, lambda lines: lines[:line] + lines[line + 1 :]),
        edited(note, lambda lines: [*lines, lines[line]]),
        edited(note, with_blob(line, flip(0))),
        edited(note, with_blob(line, lambda blob: blob[:-1])),
        note.replace(b"nation fr", b"nation us"),
    )
    for other in broken:
        with pytest.raises(SignatureInvalidError):
            verify_text_note(other, verifier=STRANGER.verifier)


def test_a_statement_and_a_checkpoint_are_not_taken_for_each_other() -> None:
    as_statement = sign_text_note(format_checkpoint(CHECKPOINT), signer=LOG)

    with pytest.raises(SignatureInvalidError):
        verify_log_note(as_statement, verifier=LOG.verifier)
    with pytest.raises(SignatureInvalidError):
        verify_text_note(NOTE, verifier=LOG.verifier)


def test_an_error_does_not_say_which_line_failed() -> None:
    texts = set()
    for line in (0, 1):
        with pytest.raises(SignatureInvalidError) as caught:
            verify_log_note(edited(NOTE, with_blob(line, flip(63))), verifier=LOG.verifier)
        texts.add(str(caught.value))

    assert len(texts) == 1


def test_every_flipped_character_of_a_note_is_refused() -> None:
    """But for characters that carry no bits of the required lines: there are none here."""
    for at in (*range(230), *range(230, len(NOTE), 97)):
        other = NOTE[:at] + bytes((NOTE[at] ^ 1,)) + NOTE[at + 1 :]
        with pytest.raises((MalformedError, SignatureInvalidError)):
            verify_log_note(other, verifier=LOG.verifier)


def test_base64_of_a_line_is_canonical() -> None:
    line = parse_note(NOTE).signatures[0]
    encoded = b64encode(line.key_id + line.blob)
    assert encoded.endswith(b"=")
    loose = NOTE.replace(encoded, encoded[:-2] + bytes((encoded[-2] + 1,)) + b"=")

    with pytest.raises(MalformedError):
        verify_log_note(loose, verifier=LOG.verifier)
