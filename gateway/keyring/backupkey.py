"""The key that backups are sealed for: its public half in the home, its private half elsewhere.

A node can make backups and cannot read them: who takes over its machine learns nothing from
old backups, and a backup command needs no passphrase. The private half is the 32-byte seed
of the HPKE draft in a folder of sealed keys of its own, kept offline like the root's.

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
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal, TrustError

BACKUP_KEY: Final = "backup.key"
RECIPIENT_FORMAT: Final = "entente-backup-recipient/1"


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
    folder: Path,
    *,
    node: str,
    passphrase: Passphrase,
    test: bool,
    now: datetime,
    replace: bool = False,
) -> BackupRecipient:
    """Make a backup key in a folder of its own, and publish its public half in a home.

    Args:
        home: The node whose backups are sealed for it from now on.
        folder: Where the private half goes; outside the home.
        node: Name of the node.
        passphrase: What opens the folder.
        test: Whether production has to refuse it.
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
    made = KeyFolder.create(folder, passphrase=passphrase, name=f"{node}/backup", test=test, now=now)
    seed = secrets.token_bytes(KEM_SEED_BYTES)
    key = KemPrivateKey.from_seed(seed)
    made.put(BACKUP_KEY, seed, purpose=Purpose.BACKUP, key_id=key.key_id, name=node, now=now)
    recipient = BackupRecipient(node=node, test=test, public_key=key.public_key)
    # Last: a home never names a key whose private half is not on its medium.
    write_public(home.backup_recipient, _canonical(recipient))
    return recipient


def open_backup_key(folder: Path, *, passphrase: Passphrase, allow_test: bool) -> KemPrivateKey:
    """Return the private half of a backup key.

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
    return key


def read_recipient(home: NodeHome) -> BackupRecipient:
    """Return whom the backups of a home are sealed for.

    Raises:
        KeyFileError: There is none, or others may write the file.
        TrustError: The file is not in its canonical form.
    """
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
