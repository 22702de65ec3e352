"""One private key in one sealed file.

The file is JSON in one canonical form. Everything but the secret is readable, and all of it
is bound to the secret: the whole outside is the Cobblestone context. A lock says what opens
the file:

- ``argon2id``: a passphrase. Each folder of keys has one such file, its *unlock key*.
- ``wrapped``: the unlock key of the same folder, through a key derived for the purpose.

So a folder costs one Argon2id, 0.15 s, however many keys it holds.

A checksum over the file tells damage from a wrong passphrase. It protects nothing by
itself: what protects is the seal.

Spec: docs/spec/keys.md, "Key file".
"""

from __future__ import annotations

import json
import secrets
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha384
from pathlib import Path
from typing import Any, Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.keyring.documents import parse_document
from gateway.keyring.files import read_private, write_private
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import KeyFileError, Refusal

FORMAT: Final = "entente-key-file/1"

ARGON2_MEMORY_KIB: Final = 65_536
ARGON2_PASSES: Final = 3
ARGON2_LANES: Final = 4
MAX_ARGON2_MEMORY_KIB: Final = 1_048_576
MAX_ARGON2_PASSES: Final = 16
MAX_ARGON2_LANES: Final = 16
SALT_BYTES: Final = 32
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8

_FORMAT_FAMILY: Final = "entente-key-file/"
_CONTEXT_LABEL: Final = b"entente/key-file/v1\x00"
_WRAP_LABEL: Final = b"entente/key-wrap/v1\x00"
_TEST_MARK: Final = b"TEST"
_PRODUCTION_MARK: Final = b"PROD"
_MARK_BYTES: Final = 4
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_END: Final = b"\n}\n"

# Two Argon2id derivations with lanes at the same time never end in the library's OpenSSL
# (cryptography 50.0.2: both wait for one pool of threads). One at a time, then.
_ARGON2_TURN: Final = threading.Lock()


class Purpose(StrEnum):
    """What a key may be used for. One key has one use."""

    UNLOCK = "unlock"
    STORAGE = "storage"
    LOG = "log"
    LOG_IN_TOKEN = "log-in-token"  # noqa: S105 - a use, no password
    COSIGNER = "cosigner"
    COSIGNER_IN_TOKEN = "cosigner-in-token"  # noqa: S105 - a use, no password
    TLS = "tls"
    KEM = "kem"
    ROOT_CERTIFICATE = "root-certificate"
    ROOT_STATEMENT = "root-statement"
    NODE_AUTHORITY = "node-authority"
    AGENCY_AUTHORITY = "agency-authority"
    OPERATOR_AUTHORITY = "operator-authority"
    BACKUP = "backup"
    BACKUP_SENDER = "backup-sender"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassphraseLock:
    """The file opens with a passphrase.

    Attributes:
        memory_kib: Argon2id memory in KiB.
        passes: Argon2id iterations.
        lanes: Argon2id lanes.
        salt: 32 random bytes.
    """

    memory_kib: int
    passes: int
    lanes: int
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedLock:
    """The file opens with the unlock key of its folder.

    Attributes:
        under: Key id of that unlock key, 8 bytes.
    """

    under: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHeader:
    """What a key file says without being opened.

    Attributes:
        purpose: What the key may be used for.
        key_id: 8 bytes that name the key.
        name: Whose key it is, such as a log origin or a node name.
        created: When it was made, UTC, whole seconds.
        test: Whether it is a test key.
        lock: What opens it.
    """

    purpose: Purpose
    key_id: bytes
    name: str
    created: datetime
    test: bool
    lock: PassphraseLock | WrappedLock


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockKey:
    """The opened unlock key of a folder.

    Attributes:
        key_id: 8 bytes.
        secret: 32 bytes.
    """

    key_id: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"UnlockKey({self.key_id.hex()})"

    def wrapping_key(self, purpose: Purpose) -> bytes:
        """Return the key that seals files of one purpose, 32 bytes."""
        info = _WRAP_LABEL + purpose.value.encode()
        return HKDFExpand(algorithm=SHA384(), length=KEY_BYTES, info=info).derive(self.secret)


def create_key_file(
    path: Path,
    secret: bytes,
    *,
    purpose: Purpose,
    key_id: bytes,
    name: str,
    created: datetime,
    test: bool,
    opener: Passphrase | UnlockKey,
    replace: bool = False,
) -> KeyHeader:
    """Seal a secret into a new file with mode 0600, durable when this returns.

    Args:
        path: The file; it must not exist unless ``replace``.
        secret: The key, in the form its purpose asks for.
        purpose: What it may be used for.
        key_id: 8 bytes.
        name: Whose key it is.
        created: Aware time; fractions of seconds are dropped.
        test: Whether production has to refuse it.
        opener: A passphrase, or the unlock key of the folder.
        replace: Whether an existing file may be replaced.

    Raises:
        KeyFileError: The file exists or cannot be written.
    """
    lock: PassphraseLock | WrappedLock
    if isinstance(opener, UnlockKey):
        lock = WrappedLock(under=opener.key_id)
    else:
        lock = PassphraseLock(
            memory_kib=ARGON2_MEMORY_KIB,
            passes=ARGON2_PASSES,
            lanes=ARGON2_LANES,
            salt=secrets.token_bytes(SALT_BYTES),
        )
    header = KeyHeader(
        purpose=purpose,
        key_id=key_id,
        name=name,
        created=created.astimezone(UTC).replace(microsecond=0),
        test=test,
        lock=lock,
    )
    write_private(path, seal(secret, header=header, opener=opener), replace=replace)
    return header


def seal(secret: bytes, *, header: KeyHeader, opener: Passphrase | UnlockKey) -> bytes:
    """Return the bytes of a key file. The header is taken as it is, weak or not."""
    mark = _TEST_MARK if header.test else _PRODUCTION_MARK
    encryptor = Cobblestone256Encryptor(_sealing_key(header, opener), _context(header))
    sealed = encryptor.update(mark + secret) + encryptor.finalize()
    return render(header, sealed)


def render(header: KeyHeader, sealed: bytes) -> bytes:
    """Return the canonical bytes of a key file from its parts."""
    document = _outside(header) | {"sealed": b64encode(sealed).decode()}
    checksum = sha384(_canonical(document)).hexdigest()
    return _canonical(document | {"checksum": checksum})


def open_key_file(
    path: Path,
    *,
    purpose: Purpose,
    opener: Passphrase | UnlockKey,
    allow_test: bool,
) -> tuple[KeyHeader, bytes]:
    """Return header and secret of a key file.

    Args:
        path: The file.
        purpose: What the caller will use the key for.
        opener: The passphrase of an unlock key, or the unlock key of the folder.
        allow_test: False in production.

    Raises:
        KeyFileError: With one of the reasons of `Refusal`.
    """
    header, sealed = parse(read_private(path), path=path)
    if header.purpose is not purpose:
        raise KeyFileError(path, Refusal.OTHER_PURPOSE)
    if header.test and not allow_test:
        raise KeyFileError(path, Refusal.TEST_KEY)
    check_lock(header, opener, path=path)
    try:
        decryptor = Cobblestone256Decryptor(_sealing_key(header, opener), _context(header))
        opened = decryptor.update(sealed) + decryptor.finalize()
    except InvalidTag as error:
        wrong = Refusal.WRONG_PASSPHRASE if isinstance(header.lock, PassphraseLock) else Refusal.ALTERED
        raise KeyFileError(path, wrong) from error
    # The mark is inside as well, so that it is under the seal whatever the context becomes.
    if opened[:_MARK_BYTES] != (_TEST_MARK if header.test else _PRODUCTION_MARK):
        raise KeyFileError(path, Refusal.ALTERED)
    return header, opened[_MARK_BYTES:]


def read_header(path: Path) -> KeyHeader:
    """Return what a key file says without opening it.

    Raises:
        KeyFileError: Not private, truncated, damaged, or of another format.
    """
    header, _ = parse(read_private(path), path=path)
    return header


def check_lock(header: KeyHeader, opener: Passphrase | UnlockKey, *, path: Path) -> None:
    """Refuse a lock that is too weak, too expensive, or not for this opener.

    Nothing has been allocated when this is called: a file cannot exhaust the memory.
    """
    lock = header.lock
    if isinstance(lock, WrappedLock):
        if not isinstance(opener, UnlockKey) or opener.key_id != lock.under:
            raise KeyFileError(path, Refusal.OTHER_FOLDER)
        return
    if isinstance(opener, UnlockKey):
        raise KeyFileError(path, Refusal.PASSPHRASE_NEEDED)
    weak = (
        lock.memory_kib < ARGON2_MEMORY_KIB
        or lock.passes < ARGON2_PASSES
        or lock.lanes < ARGON2_LANES
        or len(lock.salt) < SALT_BYTES
    )
    if weak:
        raise KeyFileError(path, Refusal.PARAMETERS_WEAK)
    large = (
        lock.memory_kib > MAX_ARGON2_MEMORY_KIB
        or lock.passes > MAX_ARGON2_PASSES
        or lock.lanes > MAX_ARGON2_LANES
        or len(lock.salt) > SALT_BYTES
    )
    if large:
        raise KeyFileError(path, Refusal.PARAMETERS_LARGE)


def parse(content: bytes, *, path: Path) -> tuple[KeyHeader, bytes]:
    """Return header and sealed bytes of a key file; nothing is opened.

    Args:
        content: The file.
        path: Named in errors.

    Raises:
        KeyFileError: Truncated, damaged, or of another format.
    """
    # No proper prefix of the canonical form ends like this.
    if not content.endswith(_END):
        raise KeyFileError(path, Refusal.TRUNCATED)
    try:
        document = parse_document(content)
    except ValueError as error:
        raise KeyFileError(path, Refusal.ALTERED) from error
    stated = document.get("format")
    if not isinstance(stated, str) or not stated.startswith(_FORMAT_FAMILY):
        raise KeyFileError(path, Refusal.NOT_A_KEY_FILE)
    if stated != FORMAT:
        raise KeyFileError(path, Refusal.OTHER_VERSION)
    checksum = document.pop("checksum", None)
    try:
        if checksum != sha384(_canonical(document)).hexdigest():
            raise KeyFileError(path, Refusal.ALTERED)
        header, sealed = _read(document)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(path, Refusal.NOT_A_KEY_FILE) from error
    # One comparison covers duplicate and unknown keys, order, spaces and loose base64.
    if render(header, sealed) != content:
        raise KeyFileError(path, Refusal.NOT_A_KEY_FILE)
    return header, sealed


def _sealing_key(header: KeyHeader, opener: Passphrase | UnlockKey) -> bytes:
    lock = header.lock
    if isinstance(opener, UnlockKey):
        return opener.wrapping_key(header.purpose)
    if isinstance(lock, WrappedLock):
        msg = "a wrapped key file is opened by an unlock key"
        raise TypeError(msg)
    with _ARGON2_TURN:
        return Argon2id(
            salt=lock.salt,
            length=KEY_BYTES,
            iterations=lock.passes,
            lanes=lock.lanes,
            memory_cost=lock.memory_kib,
        ).derive(opener)


def _context(header: KeyHeader) -> bytes:
    return _CONTEXT_LABEL + _canonical(_outside(header))


def _outside(header: KeyHeader) -> dict[str, Any]:
    lock: dict[str, Any]
    if isinstance(header.lock, WrappedLock):
        lock = {"kind": "wrapped", "under": header.lock.under.hex()}
    else:
        lock = {
            "kind": "argon2id",
            "memory_kib": header.lock.memory_kib,
            "passes": header.lock.passes,
            "lanes": header.lock.lanes,
            "salt": header.lock.salt.hex(),
        }
    return {
        "format": FORMAT,
        "purpose": header.purpose.value,
        "key_id": header.key_id.hex(),
        "name": header.name,
        "created": header.created.strftime(_TIME_FORMAT),
        "test": header.test,
        "lock": lock,
    }


def _read(document: dict[str, Any]) -> tuple[KeyHeader, bytes]:
    """Return the parts; raises KeyError, TypeError or ValueError on anything odd."""
    stated = document["lock"]
    lock: PassphraseLock | WrappedLock
    if stated["kind"] == "wrapped":
        lock = WrappedLock(under=_hex(stated["under"], KEY_ID_BYTES))
    elif stated["kind"] == "argon2id":
        lock = PassphraseLock(
            memory_kib=_number(stated["memory_kib"]),
            passes=_number(stated["passes"]),
            lanes=_number(stated["lanes"]),
            salt=bytes.fromhex(stated["salt"]),
        )
    else:
        raise ValueError
    if not isinstance(document["name"], str) or not isinstance(document["test"], bool):
        raise TypeError
    header = KeyHeader(
        purpose=Purpose(document["purpose"]),
        key_id=_hex(document["key_id"], KEY_ID_BYTES),
        name=document["name"],
        created=datetime.strptime(document["created"], _TIME_FORMAT).replace(tzinfo=UTC),
        test=document["test"],
        lock=lock,
    )
    return header, b64decode(document["sealed"], validate=True)


def _hex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length:
        raise ValueError
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"
