"""Signed notes: a text, and lines that say who signed it.

::

    note      = text LF line+
    text      = lines, each ended by LF; the last LF belongs to the text
    line      = U+2014 SP key name SP base64(key ID, 4 bytes || blob) LF

This module reads and writes the form alone. What a blob means, which keys are required and
that *both* lines of a hybrid key must verify is decided in `gateway.core.cosignature`.

Spec: C2SP signed-note; docs/spec/log.md, "Notes".
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from gateway.errors import MalformedError

MAX_NOTE_BYTES: Final = 65_536
MAX_SIGNATURES: Final = 16
MAX_NAME_BYTES: Final = 255
KEY_ID_BYTES: Final = 4

ALGORITHM_ED25519: Final = 0x01
ALGORITHM_COSIGNATURE_ED25519: Final = 0x04
ALGORITHM_OTHER: Final = 0xFF
"""An algorithm without a byte of its own; an identifier precedes the public key."""

MLDSA87_COSIGNATURE: Final = b"entente/ml-dsa-87-cosignature/v1"
MLDSA87_NOTE: Final = b"entente/ml-dsa-87-note/v1"

_ED25519_PUBLIC_BYTES: Final = 32
_MLDSA87_PUBLIC_BYTES: Final = 2_592
_KEY_BYTES: Final = {
    (ALGORITHM_ED25519, b""): _ED25519_PUBLIC_BYTES,
    (ALGORITHM_COSIGNATURE_ED25519, b""): _ED25519_PUBLIC_BYTES,
    (ALGORITHM_OTHER, MLDSA87_COSIGNATURE): _MLDSA87_PUBLIC_BYTES,
    (ALGORITHM_OTHER, MLDSA87_NOTE): _MLDSA87_PUBLIC_BYTES,
}

_DASH: Final = "\u2014 ".encode()
_CONTROL: Final = bytes({*range(0x20)} - {0x0A})
_NAME: Final = re.compile(r"[^+\s\x00-\x1f\ud800-\udfff]+")
_VERIFIER_KEY: Final = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: Key name, as it stands in the line.
        key_id: 4 bytes. A label to look a key up by, together with the name; it proves
            nothing.
        blob: What follows the key ID; its form depends on the key's algorithm.
    """

    name: str
    key_id: bytes
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedNote:
    """A note in its one form. Nothing in it is verified.

    Attributes:
        text: The text with its final line feed.
        signatures: 1 to 16 signature lines in the order of the note.
    """

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with the name it signs under.

    Attributes:
        name: Key name.
        algorithm: Signature type byte.
        identifier: What names the algorithm behind type 0xff; empty for other types.
        public_key: 32 bytes (Ed25519) or 2,592 bytes (ML-DSA-87).
        key_id: The key ID, 4 bytes; it follows from the others.
    """

    name: str
    algorithm: int
    identifier: bytes
    public_key: bytes
    key_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a name that no line can carry, and keys of unknown form."""
        check_name(self.name)
        if _KEY_BYTES.get((self.algorithm, self.identifier)) != len(self.public_key):
            msg = "the verifier key is of an unknown algorithm, or its length is wrong"
            raise MalformedError(msg)
        digest = sha256(self.name.encode() + b"\n" + self._material).digest()
        object.__setattr__(self, "key_id", digest[:KEY_ID_BYTES])

    @property
    def _material(self) -> bytes:
        return bytes((self.algorithm,)) + self.identifier + self.public_key

    def encode(self) -> str:
        """Return the key as one line of text: name, key ID in hexadecimal, base64."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(self._material).decode()}"

    def signature(self, blob: bytes) -> NoteSignature:
        """Return the signature line of this key with the given blob."""
        return NoteSignature(name=self.name, key_id=self.key_id, blob=blob)


def parse_note(data: bytes) -> SignedNote:
    """Read a signed note without verifying it.

    Args:
        data: The note as received, at most 64 KiB.

    Raises:
        MalformedError: Too long, not UTF-8, with control characters, without text, without
            signature lines or with more than 16, or with a line in another form.

    Spec: C2SP signed-note, "Format".
    """
    if len(data) > MAX_NOTE_BYTES:
        msg = f"a note is at most {MAX_NOTE_BYTES} bytes"
        raise MalformedError(msg)
    # The separator is the last empty line; a text may hold others.
    head, separator, lines = data.rpartition(b"\n\n")
    if not separator or not head or len(data.translate(None, _CONTROL)) != len(data):
        msg = "a note is a text, an empty line and signature lines, without control characters"
        raise MalformedError(msg)
    return SignedNote(text=_decode_utf8(head) + "\n", signatures=_parse_lines(lines))


def format_note(text: str, signatures: Sequence[NoteSignature]) -> bytes:
    """Return a note as bytes.

    Args:
        text: What was signed; ends with a line feed.
        signatures: 1 to 16 signature lines.

    Raises:
        MalformedError: The parts do not make a note that `parse_note` accepts.
    """
    if not text.endswith("\n"):
        msg = "the text of a note ends with a line feed"
        raise MalformedError(msg)
    try:
        note = f"{text}\n".encode() + format_signatures(signatures)
    except UnicodeEncodeError as error:
        msg = "a note is UTF-8"
        raise MalformedError(msg) from error
    # The reader is the one description of the form: what it would not give back is not written.
    if parse_note(note) != SignedNote(text=text, signatures=tuple(signatures)):
        msg = "a key ID has 4 bytes"
        raise MalformedError(msg)
    return note


def parse_signatures(data: bytes) -> tuple[NoteSignature, ...]:
    """Read signature lines that travel without their text, as a witness answers them.

    Raises:
        MalformedError: As for `parse_note`.
    """
    if len(data) > MAX_NOTE_BYTES:
        msg = f"a note is at most {MAX_NOTE_BYTES} bytes"
        raise MalformedError(msg)
    return _parse_lines(data)


def format_signatures(signatures: Sequence[NoteSignature]) -> bytes:
    """Return signature lines without a text."""
    return b"".join(
        [
            b"%b%b %b\n" % (_DASH, item.name.encode(), b64encode(item.key_id + item.blob))
            for item in signatures
        ]
    )


def parse_verifier_key(line: str) -> VerifierKey:
    """Read a verifier key, without line feed.

    Raises:
        MalformedError: Not the form that `VerifierKey.encode` writes, another algorithm, or
            a key ID that is not the key's.
    """
    match = _VERIFIER_KEY.fullmatch(line)
    material = b"" if match is None else _decode_base64(match[3].encode())
    for (algorithm, identifier), length in _KEY_BYTES.items():
        prefix = bytes((algorithm,)) + identifier
        if match and material.startswith(prefix) and len(material) == len(prefix) + length:
            key = VerifierKey(
                name=match[1],
                algorithm=algorithm,
                identifier=identifier,
                public_key=material[len(prefix) :],
            )
            if key.encode() == line:
                return key
    msg = "not a verifier key of this protocol, or its key ID is wrong"
    raise MalformedError(msg)


def check_name(name: str) -> None:
    """Refuse a key name that a signature line cannot carry.

    Raises:
        MalformedError: Empty, longer than 255 bytes, or with a space, a plus sign or a
            control character.
    """
    if _NAME.fullmatch(name) is None or len(name.encode()) > MAX_NAME_BYTES:
        msg = "a key name has 1 to 255 bytes, no space, no plus sign and no control character"
        raise MalformedError(msg)


def _parse_lines(lines: bytes) -> tuple[NoteSignature, ...]:
    *signatures, rest = lines.split(b"\n")
    if rest or not 1 <= len(signatures) <= MAX_SIGNATURES:
        msg = f"a note has 1 to {MAX_SIGNATURES} signature lines, each ended by a line feed"
        raise MalformedError(msg)
    return tuple(_parse_line(line) for line in signatures)


def _parse_line(line: bytes) -> NoteSignature:
    encoded_name, space, encoded = line.removeprefix(_DASH).partition(b" ")
    if not line.startswith(_DASH) or not space:
        msg = "a signature line is a dash, a key name and base64"
        raise MalformedError(msg)
    name = _decode_utf8(encoded_name)
    check_name(name)
    material = _decode_base64(encoded)
    if len(material) <= KEY_ID_BYTES:
        msg = "a signature line holds a key ID of 4 bytes and a signature"
        raise MalformedError(msg)
    return NoteSignature(name=name, key_id=material[:KEY_ID_BYTES], blob=material[KEY_ID_BYTES:])


def _decode_utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = "a note is UTF-8"
        raise MalformedError(msg) from error


def _decode_base64(encoded: bytes) -> bytes:
    """Return the bytes of padded base64 in its one form."""
    try:
        data = a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        msg = "not base64"
        raise MalformedError(msg) from error
    # The library accepts pad bits that are not zero.
    if b64encode(data) != encoded:
        msg = "not base64 in its canonical form"
        raise MalformedError(msg)
    return data
