"""The key that backups are sealed for: its public half in the home, its private half elsewhere.

A node can make backups and cannot read them: who takes over its machine learns nothing from
old backups. The private half is the 32-byte seed of the HPKE draft in a folder of sealed keys
of its own, kept offline like the root's.

Anybody may have the public half, so it says nothing about who made a backup. A *sender
secret* does: 32 bytes that lie sealed in the home and in the offline folder, and without which
no file is made that opens.

Spec: docs/spec/backup.md, "Key".
"""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.core.keybox import KEM_SEED_BYTES, KemPrivateKey, KemPublicKey
from gateway.errors import MalformedError
from gateway.keyring.documents import parse_document
from gateway.keyring.files import read_public, write_public
from gateway.keyring.home import BACKUP_SENDER_KEY, NodeHome
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal, TrustError

BACKUP_KEY: Final = "backup.key"
SENDER_BYTES: Final = 32
RECIPIENT_FORMAT: Final = "entente-backup-recipient/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKey:
    """What opens backups.

    Attributes:
        private: Private half of the KEM key.
        sender: Sender secret, 32 bytes.
    """

    private: KemPrivateKey
    sender: bytes

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"BackupKey({self.private.key_id.hex()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecipient:
    """Whom backups of a node are sealed for.

    Attributes:
        node: Name of the node.
        test: Whether it is a test key.
        public_key: ML-KEM-1024 and P-384.
    """

    node: str
    test: bool
    public_key: KemPublicKey


def make_backup_key(
    home: NodeHome,
    keys: KeyFolder,
    folder: Path,
    *,
    node: str,
    passphrase: Passphrase,
    now: datetime,
    replace: bool = False,
) -> BackupRecipient:
    """Make a backup key in a folder of its own, and publish its public half in a home.

    Args:
        home: The node whose backups are sealed for it from now on.
        keys: Its opened keys; the sender secret joins them.
        folder: Where the private half goes; outside the home.
        node: Name of the node.
        passphrase: What opens the folder.
        now: Aware time.
        replace: Whether a key that the home names already may be replaced. Older backups
            still need the older key.

    Raises:
        CeremonyError: The folder lies inside the home, or the home names a key already.
        KeyFileError: The folder holds keys already, or cannot be written.
    """
    if folder.resolve().is_relative_to(home.path.resolve()):
        msg = "the private half of a backup key lies outside the node home: name another folder"
        raise CeremonyError(msg)
    if home.backup_recipient.exists() and not replace:
        msg = "the home names a backup key already: --replace makes another; old backups need the old one"
        raise CeremonyError(msg)
    made = KeyFolder.create(folder, passphrase=passphrase, name=f"{node}/backup", test=keys.test, now=now)
    seed = secrets.token_bytes(KEM_SEED_BYTES)
    key = KemPrivateKey.from_seed(seed)
    made.put(BACKUP_KEY, seed, purpose=Purpose.BACKUP, key_id=key.key_id, name=node, now=now)
    sender = secrets.token_bytes(SENDER_BYTES)
    for place in (made, keys):
        place.put(
            BACKUP_SENDER_KEY,
            sender,
            purpose=Purpose.BACKUP_SENDER,
            key_id=key.key_id,
            name=node,
            now=now,
            # In the home, what an interrupted run left may be replaced: nothing names it.
            replace=place is keys,
        )
    recipient = BackupRecipient(node=node, test=keys.test, public_key=key.public_key)
    # Last: a home never names a key whose private half is not on its medium.
    write_public(home.backup_recipient, _canonical(recipient))
    return recipient


def open_backup_key(folder: Path, *, passphrase: Passphrase, allow_test: bool) -> BackupKey:
    """Return what opens backups, from its offline folder.

    Raises:
        KeyFileError: With one of the reasons of `Refusal`.
    """
    opened = KeyFolder.open(folder, passphrase=passphrase, allow_test=allow_test)
    header, seed = opened.get(BACKUP_KEY, purpose=Purpose.BACKUP)
    try:
        key = KemPrivateKey.from_seed(seed)
    except MalformedError as error:
        raise KeyFileError(folder / BACKUP_KEY, Refusal.ALTERED) from error
    if key.key_id != header.key_id:
        raise KeyFileError(folder / BACKUP_KEY, Refusal.ALTERED)
    return BackupKey(private=key, sender=open_sender(opened, key.key_id))


def open_sender(keys: KeyFolder, key_id: bytes) -> bytes:
    """Return the sender secret of a backup key, from the home or from the offline folder.

    Raises:
        KeyFileError: With one of the reasons of `Refusal`; it is of another backup key.
    """
    header, sender = keys.get(BACKUP_SENDER_KEY, purpose=Purpose.BACKUP_SENDER)
    if header.key_id != key_id or len(sender) != SENDER_BYTES:
        raise KeyFileError(keys.path / BACKUP_SENDER_KEY, Refusal.ALTERED)
    return sender


def read_recipient(home: NodeHome) -> BackupRecipient:
    """Return whom the backups of a home are sealed for.

    Raises:
        CeremonyError: There is none yet.
        KeyFileError: Others may write the file.
        TrustError: The file is not in its canonical form.
    """
    if not home.backup_recipient.exists():
        msg = f"there is no key yet that backups of {home.path} are sealed for: make one (entente backup-key)"
        raise CeremonyError(msg)
    content = read_public(home.backup_recipient)
    msg = "trust/backup.json is damaged: make a new backup key (entente backup-key --replace)"
    try:
        document = parse_document(content)
        recipient = BackupRecipient(
            node=document["node"],
            test=document["test"],
            public_key=KemPublicKey.from_bytes(b64decode(document["public_key"], validate=True)),
        )
    except (KeyError, TypeError, ValueError, MalformedError) as error:
        raise TrustError(msg) from error
    # One comparison covers unknown keys, order, spaces and loose base64.
    if _canonical(recipient) != content:
        raise TrustError(msg)
    return recipient


def _canonical(recipient: BackupRecipient) -> bytes:
    document: dict[str, Any] = {
        "format": RECIPIENT_FORMAT,
        "node": recipient.node,
        "test": recipient.test,
        "key_id": recipient.public_key.key_id.hex(),
        "public_key": b64encode(recipient.public_key.to_bytes()).decode(),
    }
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"
