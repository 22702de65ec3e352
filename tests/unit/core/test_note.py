"""A note has one form; the example of the specification is in it, and little else."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.note import (
    ALGORITHM_COSIGNATURE_ED25519,
    ALGORITHM_ED25519,
    ALGORITHM_OTHER,
    MLDSA87_COSIGNATURE,
    NoteSignature,
    SignedNote,
    VerifierKey,
    format_note,
    format_signatures,
    parse_note,
    parse_signatures,
    parse_verifier_key,
)
from gateway.errors import MalformedError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "note.json").read_text("utf-8"))
LINE = "\u2014 log.test AAAAAQID\n"
SIGNATURE = NoteSignature(name="log.test", key_id=b"\x00\x00\x00\x01", blob=b"\x02\x03")


def test_the_example_of_the_specification_verifies() -> None:
    example = VECTORS["signed_note"]
    key = parse_verifier_key(example["verifier_key"])
    note = parse_note(example["note"].encode())
    (line,) = note.signatures

    assert note.text == "This is an example message.\n"
    assert (
        (line.name, line.key_id) == (key.name, key.key_id) == ("example.com/foo", bytes.fromhex("530d903a"))
    )
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(line.blob, note.text.encode())
    assert format_note(note.text, note.signatures) == example["note"].encode()
    assert key.encode() == example["verifier_key"]


def test_a_cosigned_checkpoint_of_the_specification_is_read() -> None:
    example = VECTORS["cosigned_checkpoint"]
    note = parse_note((example["text"] + "\n" + "\n".join(example["lines"]) + "\n").encode())

    assert [len(line.blob) for line in note.signatures] == [64, 8 + 64]


def test_a_text_may_hold_empty_lines() -> None:
    for text in ("a\n\nb\n", "a\n\n", "a\n\n\n", "\n\na\n", "a\n\u2014 log.test AAAAAQID\n"):
        note = format_note(text, (SIGNATURE,))

        assert parse_note(note) == SignedNote(text=text, signatures=(SIGNATURE,))


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n" + LINE,
        "\n" + LINE,
        "\n\n" + LINE,
        "text\n\n" + LINE[:-1],
        "text\n\n" + LINE + "\n",
        "text\n\n" + LINE + "\n" + LINE + "trailing",
        "text\n\n" + LINE + "junk\n",
        "text\n\n" + LINE.replace("\u2014", "-"),
        "text\n\n" + LINE.replace("\u2014 ", "\u2014"),
        "text\n\n" + LINE.replace("\u2014 ", "\u2014  "),
        "text\n\n " + LINE,
        "text\n\n" + LINE.replace("log.test ", ""),
        "text\n\n" + LINE.replace("log.test", ""),
        "text\n\n" + LINE.replace("log.test", "log test"),
        "text\n\n" + LINE.replace("log.test", "log+test"),
        "text\n\n" + LINE.replace("log.test", "log\u00a0test"),
        "text\n\n" + LINE.replace("log.test", "log\u2028test"),
        "text\n\n" + LINE.replace("log.test", "log\ttest"),
        "text\n\n" + LINE.replace("log.test", "l" * 256),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQI"),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQI="[:-1] + "=="),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQJ="),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQIDAA"),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAA AQID"),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQID="),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQ=="),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAA_-D"),
        "text\n\n" + LINE.replace("AAAAAQID", "AAAAAQI\N{DIGIT FOUR}\u00e9"),
        "text\n\n" + LINE.replace("AAAAAQID", ""),
        "te\x00xt\n\n" + LINE,
        "te\txt\n\n" + LINE,
        "text\r\n\r\n" + LINE.replace("\n", "\r\n"),
        "text\n\n" + LINE.replace("\n", "\r\n"),
        "te\x1bxt\n\n" + LINE,
        "\x00text\n\n" + LINE,
        "text\n\n" + LINE * 17,
        "text\n\n" + LINE * 101,
    ],
)
def test_every_other_form_is_refused(note: str) -> None:
    with pytest.raises(MalformedError):
        parse_note(note.encode())


def test_sixteen_lines_are_read_in_their_order() -> None:
    lines = [LINE.replace("log", f"log{number}") for number in range(16)]

    names = [line.name for line in parse_note(("text\n\n" + "".join(lines)).encode()).signatures]

    assert names == [f"log{number}.test" for number in range(16)]


@pytest.mark.parametrize("data", [b"te\xffxt\n\n" + LINE.encode(), b"\xef\xbb", b"text\n\n\xe2\x80"])
def test_what_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_note(data)


def test_a_note_is_at_most_64_kib() -> None:
    text = "x" * (65_536 - len(b"\n\n") - len(LINE.encode())) + "\n"
    note = f"{text}\n{LINE}".encode()

    assert len(note) == 65_536
    assert parse_note(note).text == text
    with pytest.raises(MalformedError, match="65536"):
        parse_note(b"x" + note)
    with pytest.raises(MalformedError, match="65536"):
        parse_signatures(bytes(65_537))


def test_no_note_is_made_that_would_not_be_read() -> None:
    with pytest.raises(MalformedError):
        format_note("no line feed", (SIGNATURE,))
    with pytest.raises(MalformedError):
        format_note("", (SIGNATURE,))
    with pytest.raises(MalformedError):
        format_note("text\n", ())
    with pytest.raises(MalformedError):
        format_note("text\n", (SIGNATURE,) * 17)
    with pytest.raises(MalformedError):
        format_note("te\txt\n", (SIGNATURE,))
    with pytest.raises(MalformedError):
        format_note("te\ud800xt\n", (SIGNATURE,))
    with pytest.raises(MalformedError):
        format_note("text\n", (NoteSignature(name="two words", key_id=bytes(4), blob=b"1"),))
    with pytest.raises(MalformedError):
        format_note("text\n", (NoteSignature(name="short.id", key_id=bytes(2), blob=b"1"),))
    with pytest.raises(MalformedError, match="4 bytes"):
        format_note("text\n", (NoteSignature(name="short.id", key_id=bytes(2), blob=bytes(64)),))


def test_signature_lines_travel_alone_too() -> None:
    lines = format_signatures((SIGNATURE, SIGNATURE))

    assert lines == LINE.encode() * 2
    assert parse_signatures(lines) == (SIGNATURE, SIGNATURE)
    for data in (b"", b"\n", lines[:-1], b"\n" + lines, b"text\n\n" + lines, lines + b"\xff\n"):
        with pytest.raises(MalformedError):
            parse_signatures(data)


def test_a_key_id_depends_on_name_algorithm_and_key() -> None:
    log = VerifierKey(name="a", algorithm=ALGORITHM_ED25519, identifier=b"", public_key=bytes(32))
    others = [
        VerifierKey(name="b", algorithm=ALGORITHM_ED25519, identifier=b"", public_key=bytes(32)),
        VerifierKey(name="a", algorithm=ALGORITHM_COSIGNATURE_ED25519, identifier=b"", public_key=bytes(32)),
        VerifierKey(name="a", algorithm=ALGORITHM_ED25519, identifier=b"", public_key=bytes(31) + b"\x01"),
    ]

    assert len({key.key_id for key in (log, *others)}) == 4
    for key in (log, *others):
        assert parse_verifier_key(key.encode()) == key


def test_a_post_quantum_verifier_key_carries_its_identifier() -> None:
    key = VerifierKey(
        name="log.test", algorithm=ALGORITHM_OTHER, identifier=MLDSA87_COSIGNATURE, public_key=bytes(2_592)
    )
    line = key.encode()

    assert line.startswith(f"log.test+{key.key_id.hex()}+")
    assert b64encode(b"\xffentente/ml-dsa-87-cosignature/v1" + bytes(2_592)).decode() in line
    assert parse_verifier_key(line) == key


GOOD_KEY = VECTORS["signed_note"]["verifier_key"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "example.com/foo",
        GOOD_KEY + "\n",
        " " + GOOD_KEY,
        GOOD_KEY[:-1],
        GOOD_KEY[:-1] + "l",
        GOOD_KEY + "AAAA",
        GOOD_KEY.replace("530d903a", "530D903A"),
        GOOD_KEY.replace("530d903a", "530d903b"),
        GOOD_KEY.replace("530d903a", "0530d903a"),
        GOOD_KEY.replace("foo", "bar"),
        GOOD_KEY.replace("foo+", "f+oo+"),
        GOOD_KEY.replace("example", "exam\u00a0ple"),
        GOOD_KEY.replace("+Aeky", "+Beky"),
        GOOD_KEY.replace("+Aeky", "+Auky"),
        f"a+00000000+{b64encode(b'').decode()}",
        f"a+00000000+{b64encode(bytes([6]) + bytes(1312)).decode()}",
        f"a+00000000+{b64encode(bytes([255]) + b'unknown/v1' + bytes(2592)).decode()}",
        f"a+00000000+{b64encode(bytes([255]) + MLDSA87_COSIGNATURE + bytes(2591)).decode()}",
    ],
)
def test_every_other_verifier_key_is_refused(line: str) -> None:
    with pytest.raises(MalformedError):
        parse_verifier_key(line)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\x00b", "a\u3000b", "a\udfffb", "x" * 256, "\u00e9" * 128]
)
def test_no_verifier_key_has_a_name_that_no_line_can_carry(name: str) -> None:
    with pytest.raises(MalformedError, match="key name"):
        VerifierKey(name=name, algorithm=ALGORITHM_ED25519, identifier=b"", public_key=bytes(32))


@pytest.mark.parametrize(
    ("algorithm", "identifier", "length"),
    [(1, b"", 31), (1, b"x", 32), (2, b"", 32), (6, b"", 1_312), (255, b"", 2_592), (255, b"other", 2_592)],
)
def test_no_verifier_key_is_made_of_unknown_form(algorithm: int, identifier: bytes, length: int) -> None:
    with pytest.raises(MalformedError):
        VerifierKey(name="a", algorithm=algorithm, identifier=identifier, public_key=bytes(length))
