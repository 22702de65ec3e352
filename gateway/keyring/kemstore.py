"""KEM keys: made every day, destroyed as soon as the protocol allows.

A KEM key is the 32-byte seed of the HPKE draft, sealed under the unlock key of the node's
folder, one file a key in ``keys/kem/``. It is never in the database, so no backup of the
database holds one; and it must not be in a backup of files either.

Spec: docs/spec/keys.md, "KEM keys"; draft-ietf-hpke-pq.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.core.keybox import KEM_KEY_ID_BYTES, KEM_SEED_BYTES, KemPrivateKey
from gateway.errors import MalformedError
from gateway.keyring.files import make_private_folder
from gateway.keyring.keyfile import KeyHeader, Purpose, read_header
from gateway.keyring.keyfolder import KEY_SUFFIX, KeyFolder
from gateway.keyring.refusals import KeyFileError, Refusal

_Touched = tuple[int, int, int]


class KemStore:
    """The KEM keys of a node. Calls may come from several threads."""

    def __init__(self, folder: KeyFolder, *, node: str) -> None:
        """Take an opened folder.

        Args:
            folder: The folder of KEM keys, under the node's unlock key.
            node: Node name, written in the files.

        Raises:
            KeyFileError: The folder is not private.
        """
        make_private_folder(folder.path)
        self._folder = folder
        self._node = node
        self._lock = threading.Lock()
        # Expanding a seed costs half a millisecond; bundles of one day use one key.
        self._open: dict[bytes, KemPrivateKey] = {}
        # Headers by file, with what changes when anybody touches the file.
        self._headers: dict[Path, tuple[_Touched, KeyHeader]] = {}

    def create(self, now_ms: int) -> tuple[bytes, bytes]:
        """Make a key, durable when this returns.

        Args:
            now_ms: UTC milliseconds.

        Returns:
            Key id (8 bytes) and public key (1,665 bytes).
        """
        seed = secrets.token_bytes(KEM_SEED_BYTES)
        key = KemPrivateKey.from_seed(seed)
        now = datetime.fromtimestamp(now_ms / 1_000, UTC)
        with self._lock:
            self._folder.put(
                _file(key.key_id), seed, purpose=Purpose.KEM, key_id=key.key_id, name=self._node, now=now
            )
            self._open[key.key_id] = key
        return key.key_id, key.public_key.to_bytes()

    def private(self, key_id: bytes) -> KemPrivateKey | None:
        """Return a key, or None if it was destroyed or never ours.

        Raises:
            KeyFileError: The file is there, and refused.
        """
        if len(key_id) != KEM_KEY_ID_BYTES:
            return None
        with self._lock:
            if key_id not in self._open:
                key = self._load(key_id)
                if key is None:
                    return None
                self._open[key_id] = key
            return self._open[key_id]

    def destroy(self, key_id: bytes) -> None:
        """Overwrite and remove a key, durable when this returns; unknown ids are ignored."""
        if len(key_id) != KEM_KEY_ID_BYTES:
            return
        with self._lock:
            self._open.pop(key_id, None)
            self._folder.destroy(_file(key_id))

    def created_ms(self) -> Mapping[bytes, int]:
        """Return creation times in UTC milliseconds, whole seconds, by key id, oldest first."""
        with self._lock:
            headers = self._read_headers()
        ordered = sorted(headers, key=lambda header: (header.created, header.key_id))
        return {header.key_id: int(header.created.timestamp() * 1_000) for header in ordered}

    def _read_headers(self) -> list[KeyHeader]:
        """Return what every key file says; they are asked for each second, and read once."""
        known, self._headers = self._headers, {}
        for path in self._folder.files():
            touched = _touched(path)
            found = known.get(path)
            if found is None or found[0] != touched:
                found = touched, read_header(path)
            self._headers[path] = found
        return [header for _, header in self._headers.values()]

    def _load(self, key_id: bytes) -> KemPrivateKey | None:
        path: Path = self._folder.path / _file(key_id)
        try:
            header, seed = self._folder.get(path.name, purpose=Purpose.KEM)
            key = KemPrivateKey.from_seed(seed)
        except KeyFileError as error:
            if error.refusal is Refusal.ABSENT:
                return None
            raise
        except MalformedError as error:
            raise KeyFileError(path, Refusal.ALTERED) from error
        if key.key_id != key_id or header.key_id != key_id:
            raise KeyFileError(path, Refusal.ALTERED)
        return key


def _touched(path: Path) -> _Touched:
    """Return what changes with the content, the owner or the mode of a file."""
    try:
        facts = path.lstat()
    except OSError:
        return 0, 0, 0  # whoever reads it says why
    return facts.st_ino, facts.st_ctime_ns, facts.st_size


def _file(key_id: bytes) -> str:
    return f"{key_id.hex()}{KEY_SUFFIX}"
