"""A file of any length, sealed for one key, written and read as a stream.

A header in the clear says what the file is and for whom; a secret that is drawn for this one
file lies in it, sealed by HPKE. From it and the sender secret follows the key of what comes
then: one Cobblestone-256 ciphertext, which binds the header, the order of its pieces and its
end. So memory stays small however long the file is, and a file that was cut, altered or put
together anew does not open. Who lacks the private half reads nothing; who lacks the sender
secret forges nothing.

A reader hands on what is proven piece by piece. Only `SealedReader.finish` proves the end:
nothing may be put to use before it has returned.

Spec: docs/spec/backup.md, "Sealed file"; C2SP chunked-encryption.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.core.keybox import BoxInvalidError, KemPublicKey
from gateway.errors import OperatorError
from gateway.keyring.backupkey import BackupKey
from gateway.keyring.documents import parse_document

MAGIC: Final = b"entente-backup/1\n"
SECRET_BYTES: Final = 32
MAX_HEADER_BYTES: Final = 16_384
PIECE_BYTES: Final = 262_144

_FAMILY: Final = b"entente-backup/"
_LENGTH_BYTES: Final = 4
_KEY_LABEL: Final = b"entente/backup-key/v1\x00"
_STREAM_LABEL: Final = b"entente/backup-stream/v1\x00"
_CONTEXT_LABEL: Final = b"entente/backup/v1\x00"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


class BackupError(OperatorError):
    """A backup cannot be made, or a file cannot be used as one; the text says why."""

    code = "backup-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedHeader:
    """What a sealed file says without being opened.

    Attributes:
        node: Name of the node that it belongs to.
        created: When it was made, UTC, whole seconds.
        test: Whether it is sealed for a test key.
        key_id: 8 bytes, names the key that opens it.
    """

    node: str
    created: datetime
    test: bool
    key_id: bytes


class SealedWriter:
    """Writes a sealed file. `finish` ends it; without that it does not open."""

    def __init__(
        self, target: BinaryIO, header: SealedHeader, recipient: KemPublicKey, *, sender: bytes
    ) -> None:
        """Write the header.

        Args:
            target: Where the file goes, open for writing.
            header: Its key id is the recipient's.
            recipient: Whom it is sealed for.
            sender: Sender secret, 32 bytes.
        """
        if header.key_id != recipient.key_id:
            msg = "the header names another key than the recipient's"
            raise ValueError(msg)
        secret = secrets.token_bytes(SECRET_BYTES)
        outside = _outside(header)
        box = recipient.seal(secret, info=_KEY_LABEL + _canonical(outside))
        text = _canonical(outside | {"box": b64encode(box).decode()})
        target.write(MAGIC + len(text).to_bytes(_LENGTH_BYTES, "big") + text)
        self._target = target
        self._encryptor = Cobblestone256Encryptor(_stream_key(secret, sender), _CONTEXT_LABEL + text)

    def write(self, piece: bytes) -> int:
        """Seal and write the next bytes."""
        self._target.write(self._encryptor.update(piece))
        return len(piece)

    def finish(self) -> None:
        """Write the end."""
        self._target.write(self._encryptor.finalize())


class SealedReader:
    """Reads a sealed file."""

    def __init__(self, source: BinaryIO, key: BackupKey) -> None:
        """Read the header and open the secret of the file.

        Raises:
            BackupError: Not such a file, of another version, for another key, or damaged.
        """
        self.header, box, text = _read_header(source)
        if self.header.key_id != key.private.key_id:
            msg = "the backup was sealed for another backup key than this one"
            raise BackupError(msg)
        try:
            secret = key.private.open(box, info=_KEY_LABEL + _canonical(_outside(self.header)))
        except BoxInvalidError as error:
            raise _damaged() from error
        self._source = source
        self._decryptor = Cobblestone256Decryptor(_stream_key(secret, key.sender), _CONTEXT_LABEL + text)
        self._buffer = bytearray()
        self._is_whole = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than ``size`` only at the end.

        Raises:
            BackupError: The file was altered, or ends early.
        """
        while len(self._buffer) < size and not self._is_whole:
            piece = self._source.read(PIECE_BYTES)
            try:
                if piece:
                    self._buffer += self._decryptor.update(piece)
                else:
                    self._buffer += self._decryptor.finalize()
                    self._is_whole = True
            except (InvalidTag, ValueError) as error:
                raise _damaged() from error
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def finish(self) -> None:
        """Read to the end, which proves that the file is whole.

        Raises:
            BackupError: The file was altered, or ends early.
        """
        while self.read(PIECE_BYTES):
            pass


def _read_header(source: BinaryIO) -> tuple[SealedHeader, bytes, bytes]:
    """Return header, sealed key, and the header's bytes as they are bound to the content."""
    magic = source.read(len(MAGIC))
    if magic != MAGIC:
        if magic.startswith(_FAMILY):
            msg = "the backup has a format that this version does not know: use the release that made it"
        else:
            msg = "this is not a backup of Entente"
        raise BackupError(msg)
    length = int.from_bytes(source.read(_LENGTH_BYTES), "big")
    if length > MAX_HEADER_BYTES:
        raise _damaged()
    text = source.read(length)
    try:
        document = parse_document(text)
        header = SealedHeader(
            node=str(document["node"]),
            created=datetime.strptime(document["created"], _TIME_FORMAT).replace(tzinfo=UTC),
            test=document["test"] is True,
            key_id=bytes.fromhex(document["key_id"]),
        )
        box = b64decode(document["box"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error
    # One comparison covers unknown keys, order, spaces and loose base64.
    if _canonical(_outside(header) | {"box": b64encode(box).decode()}) != text:
        raise _damaged()
    return header, box, text


def _stream_key(secret: bytes, sender: bytes) -> bytes:
    """Return the key of the stream; as HPKE mixes in a pre-shared key (RFC 9180, section 5.1)."""
    derive = HKDF(algorithm=SHA384(), length=SECRET_BYTES, salt=secret, info=_STREAM_LABEL)
    return derive.derive(sender)


def _outside(header: SealedHeader) -> dict[str, Any]:
    return {
        "node": header.node,
        "created": header.created.astimezone(UTC).strftime(_TIME_FORMAT),
        "test": header.test,
        "key_id": header.key_id.hex(),
    }


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"


def _damaged() -> BackupError:
    return BackupError(
        "the backup is truncated, altered or damaged, or was not made by its node: use another copy; "
        "nothing was written"
    )
