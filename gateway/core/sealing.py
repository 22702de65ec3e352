"""Content, encrypted once.

A message is encrypted with a content key of its own, under a scheme that commits to key and
context: one ciphertext opens to one plaintext only, and only with the header it was sealed
with. The same ciphertext is stored at the sender, travels, and is stored at the receiver.
At rest the content key is wrapped under a node's storage key; destroying the wrapped key is
what erases the message.

Spec: docs/spec/content.md; C2SP chunked-encryption (Cobblestone-256); RFC 8452 (wrapped keys).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NewType

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from gateway.core.encoding import (
    Value,
    decode,
    encode,
    expect_array,
    expect_bytes,
    expect_int,
    expect_text,
)
from gateway.core.quick import quick_value
from gateway.errors import MalformedError, PeerError

CONTENT_KEY_BYTES: Final = 32
STORAGE_KEY_BYTES: Final = 32
MAX_CONTENT_BYTES: Final = 2 * 1024 * 1024
"""Longest content, padding included: a message of 1 MiB with the largest manifest."""

MAX_ATTACHMENTS: Final = 64

ContentKey = NewType("ContentKey", bytes)
"""Key for one message, 32 random bytes."""

StorageKey = NewType("StorageKey", bytes)
"""Key of a node that wraps content keys at rest, 32 random bytes."""

_CONTENT_LABEL: Final = b"entente/content/v1\x00"
_AT_REST_LABEL: Final = b"entente/at-rest/v1\x00"
# The first bytes of a UUIDv7 are the slow part of its time; the 12 that follow are the nonce.
_ID_TIME_BYTES: Final = 4
_LENGTH_BYTES: Final = 4
_FIELDS: Final = 3
_BYTES_OF_LENGTH: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""First byte of a byte string, and in how many bytes its length follows."""
_NO_MORE: Final = b"\x90\xc0"
"""How a content ends that has no attachments: an empty manifest, and nothing in the third field."""

_ATTACHMENT_FIELDS: Final = 4
_DIGEST_BYTES: Final = 48
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_REFUSED: Final = "the ciphertext does not open with this key and context"


class SealError(PeerError):
    """A ciphertext does not open with this key and context, or its content is malformed.

    The two are one error on purpose: who does not hold the key learns nothing from it.
    """

    code = "content-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a manifest says about one attachment. The bytes do not travel yet.

    Attributes:
        name: File name as the agency gave it; never used as a path.
        media_type: Such as ``application/pdf``.
        size: Length in bytes.
        digest: SHA-384, 48 bytes.
    """

    name: str
    media_type: str
    size: int
    digest: bytes


Manifest = tuple[Attachment, ...]


@quick_value
class Content:
    """What is encrypted.

    Attributes:
        message: The JSON document, byte for byte as it was validated.
        manifest: Its attachments.
    """

    message: bytes
    manifest: Manifest = ()


def padded_length(length: int) -> int:
    """Return the Padmé class of a length: it shows log2(log2) bits of it, at 12 % at most.

    Args:
        length: Number of bytes, 0 or more.

    Spec: docs/spec/content.md, "Padding".
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    # The top bits of a floating-point number with a mantissa as long as the exponent's own
    # length are kept; the rest is rounded up.
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


def encode_content(content: Content) -> bytes:
    """Return the padded encoding of a content.

    Raises:
        ValueError: The content is larger than 2 MiB when padded.
    """
    return _encode(content.message, content.manifest)


def _encode(message: bytes, attachments: Manifest) -> bytes:
    if attachments:
        manifest = [(item.name, item.media_type, item.size, item.digest) for item in attachments]
        parts: tuple[bytes, ...] = (encode((message, manifest, None)),)
    else:
        parts = (_head_of(len(message)), message, _NO_MORE)
    body_bytes = sum(map(len, parts))
    length = _LENGTH_BYTES + body_bytes
    total = padded_length(length)
    if total > MAX_CONTENT_BYTES:
        msg = f"a content is at most {MAX_CONTENT_BYTES} bytes with its padding"
        raise ValueError(msg)
    return b"".join((body_bytes.to_bytes(_LENGTH_BYTES, "big"), *parts, bytes(total - length)))


def decode_content(data: bytes) -> Content:
    """Return the content of its padded encoding.

    Raises:
        MalformedError: The length, the array or the padding is not in the one form.
    """
    if not _LENGTH_BYTES < len(data) <= MAX_CONTENT_BYTES:
        msg = "a content is too short or too long"
        raise MalformedError(msg)
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    if padded_length(end) != len(data) or data.count(0, end) != len(data) - end:
        msg = "the padding of a content is not zeros up to the class of its length"
        raise MalformedError(msg)
    message = _message_alone(data, end)
    if message is not None:
        return Content(message=message)
    fields = expect_array(
        decode(data[_LENGTH_BYTES:end], max_bytes=MAX_CONTENT_BYTES), field="content", length=_FIELDS
    )
    if fields[2] is not None:
        msg = "the third field of a content is reserved"
        raise MalformedError(msg)
    items = expect_array(fields[1], field="manifest", max_length=MAX_ATTACHMENTS)
    return Content(
        message=expect_bytes(fields[0], field="message"),
        manifest=tuple([_attachment(item) for item in items]),
    )


def _message_alone(data: bytes, end: int) -> bytes | None:
    """Return the message of a content without attachments, or None if it is not one in its one form.

    What stands around such a message is a dozen bytes, so these are compared: to decode all and to
    write it again would copy the message twice more.
    """
    width = _BYTES_OF_LENGTH.get(data[_LENGTH_BYTES + 1]) if end > _LENGTH_BYTES + 1 else None
    if width is None:
        return None
    start, stop = _LENGTH_BYTES + 2 + width, end - len(_NO_MORE)
    is_alone = (
        start <= stop and data[_LENGTH_BYTES:start] == _head_of(stop - start) and data[stop:end] == _NO_MORE
    )
    return data[start:stop] if is_alone else None


def _head_of(length: int) -> bytes:
    """Return what stands before a message of this length: an array of three, a byte string."""
    if length < 0x100:
        return b"\x93\xc4" + length.to_bytes(1, "big")
    if length < 0x1_0000:
        return b"\x93\xc5" + length.to_bytes(2, "big")
    return b"\x93\xc6" + length.to_bytes(4, "big")


def seal_content(message: bytes, *, content_key: ContentKey, header: bytes, manifest: Manifest = ()) -> bytes:
    """Encrypt a message and bind it to its header.

    Args:
        message: JSON document that the schema accepts.
        content_key: Fresh key, used for this message only.
        header: Encoded header (`gateway.core.envelope`); readable by both nodes.
        manifest: Attachments of the message.

    Returns:
        The ciphertext: 72 bytes and the padded content, and 16 bytes more for each full
        16 KiB.

    Raises:
        ValueError: The key is not 32 bytes, or the content is too large.

    Spec: docs/spec/content.md, "Ciphertext".
    """
    return _encrypt(_encode(message, manifest), key=content_key, context=_CONTENT_LABEL + header)


def open_content(ciphertext: bytes, *, content_key: ContentKey, header: bytes) -> bytes:
    """Return the message of a ciphertext.

    Raises:
        SealError: Another key, another header, altered, truncated or extended, or a
            content that is not in its one form.
    """
    return open_sealed(ciphertext, content_key=content_key, header=header).message


def reopen_content(ciphertext: bytes, *, content_key: ContentKey, header: bytes) -> bytes:
    """Return the message of a ciphertext that was sealed here, or opened here before it was stored.

    A ciphertext opens to one plaintext only, and with one key and header only. So a content that
    was in its one form then is in it now, and that is not proven again.

    Raises:
        SealError: Another key, another header, altered, truncated or extended, or no content.
    """
    data = _decrypt(ciphertext, key=content_key, context=_CONTENT_LABEL + header)
    # Length, the array's first byte, and the byte string's: its kind says how long its length is.
    width = _BYTES_OF_LENGTH.get(data[_LENGTH_BYTES + 1]) if len(data) > _LENGTH_BYTES + 1 else None
    if width is None:
        raise SealError(_REFUSED)
    start = _LENGTH_BYTES + 2 + width
    return data[start : start + int.from_bytes(data[_LENGTH_BYTES + 2 : start], "big")]


def open_sealed(ciphertext: bytes, *, content_key: ContentKey, header: bytes) -> Content:
    """Return message and manifest of a ciphertext.

    Raises:
        SealError: As for `open_content`.
    """
    data = _decrypt(ciphertext, key=content_key, context=_CONTENT_LABEL + header)
    try:
        return decode_content(data)
    except MalformedError as error:
        raise SealError(_REFUSED) from error


class KeyWrap:
    """Wraps content keys for storage, each bound to its message, under one storage key.

    AES-256-GCM-SIV (RFC 8452). The nonce is taken from the message id, so it needs no room
    and no randomness; should one come twice, this algorithm still tells no more than whether
    the same key was wrapped for the same message again, which is no secret.

    Threads may share one: a call changes nothing in it.

    Spec: docs/spec/content.md, "At rest".
    """

    def __init__(self, storage_key: StorageKey) -> None:
        """Use a storage key of 32 bytes.

        Raises:
            ValueError: It is not 32 bytes.
        """
        if len(storage_key) != STORAGE_KEY_BYTES:
            msg = f"a storage key is {STORAGE_KEY_BYTES} bytes"
            raise ValueError(msg)
        self._cipher = AESGCMSIV(storage_key)

    def wrap(self, content_key: ContentKey, *, message_id: bytes) -> bytes:
        """Return a content key as it is stored: 48 bytes.

        Args:
            content_key: The key, 32 bytes.
            message_id: Of its message, 16 bytes.

        Raises:
            ValueError: Key or id have another length.
        """
        if len(content_key) != CONTENT_KEY_BYTES:
            msg = f"a content key is {CONTENT_KEY_BYTES} bytes"
            raise ValueError(msg)
        return self._cipher.encrypt(message_id[_ID_TIME_BYTES:], content_key, _AT_REST_LABEL + message_id)

    def unwrap(self, wrapped: bytes, *, message_id: bytes) -> ContentKey:
        """Return the content key of a stored message.

        Raises:
            SealError: Another storage key or message, or altered.
        """
        try:
            key = self._cipher.decrypt(message_id[_ID_TIME_BYTES:], wrapped, _AT_REST_LABEL + message_id)
        except (InvalidTag, ValueError) as error:
            raise SealError(_REFUSED) from error
        if len(key) != CONTENT_KEY_BYTES:
            raise SealError(_REFUSED)
        return ContentKey(key)


def _encrypt(plaintext: bytes, *, key: bytes, context: bytes) -> bytes:
    encryptor = Cobblestone256Encryptor(key, context)
    return encryptor.update(plaintext) + encryptor.finalize()


def _decrypt(ciphertext: bytes, *, key: bytes, context: bytes) -> bytes:
    try:
        decryptor = Cobblestone256Decryptor(key, context)
        # Nothing is used before the end is authenticated.
        return decryptor.update(ciphertext) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise SealError(_REFUSED) from error


def _attachment(value: Value) -> Attachment:
    name, media_type, size, digest = expect_array(value, field="attachment", length=_ATTACHMENT_FIELDS)
    return Attachment(
        name=expect_text(name, field="attachment name"),
        media_type=expect_text(media_type, field="attachment type", pattern=_MEDIA_TYPE),
        size=expect_int(size, field="attachment size", maximum=2**53 - 1),
        digest=expect_bytes(digest, field="attachment digest", length=_DIGEST_BYTES),
    )
