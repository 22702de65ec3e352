"""`entente backup-key`, `backup` and `restore`: everything of a node but its keys, in one sealed file.

A backup is made beside a running node, which cannot read it. A restore needs the private half
of the backup key, which is kept offline.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from gateway.backup.making import leave_notice_of_backup, make_backup
from gateway.backup.manifest import Manifest
from gateway.backup.restoring import restore_backup
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.init import ask_passphrase, now
from gateway.cli.log import progress_bar
from gateway.cli.refusals import reporting
from gateway.config import load_config, resolve
from gateway.core.message.wording import Language, Wording
from gateway.keyring.backupkey import make_backup_key, open_backup_key
from gateway.keyring.files import fsync_folder
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase, check_new_passphrase, read_passphrase_file
from gateway.keyring.sealedfile import BackupError

MAX_REASON_CHARACTERS = 500

_BACKUP_KEY = Wording(en="the backup key", fr="la clé de sauvegarde")
_BACKING_UP = Wording(en="backing up", fr="sauvegarde")
_RESTORING = Wording(en="restoring", fr="restauration")
_KEY_MADE = Wording(
    en="backup key {key_id} of {node}: private half in {folder}. Take it away, make a copy,\n"
    "and try `entente restore --check` with the first backup.",
    fr="clé de sauvegarde {key_id} de {node} : moitié privée dans {folder}. Emportez-la, copiez-la,\n"
    "et essayez `entente restore --check` avec la première sauvegarde.",
)
_MADE = Wording(
    en="{node}, {created}, by release {release}", fr="{node}, {created}, par la version {release}"
)
_LOG = Wording(
    en="{origin}: {size:entry|entries}, root {root}", fr="{origin} : {size:entrée|entrées}, racine {root}"
)
_SOUND = Wording(
    en="whole and sound; nothing was put in place", fr="entière et saine ; rien n'a été mis en place"
)
_KEPT = Wording(en="kept", fr="gardé")
_RESTORED = Wording(en="restored", fr="restauré")
_COLUMN = 10

HomeOption = Annotated[Path, typer.Option("--home", help="Node home.", show_default=False)]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The backup; - is standard output or input.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why, at most 500 characters. Its digest goes into the audit log.")
]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Opens the folder of the backup key.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def backup_key_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the private half.")],
    home: HomeOption,
    passphrase_file: PassphraseOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Though there is one; keep the old one.")
    ] = False,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Make the key that backups are sealed for: the private half into DIR, the public one into the home.

    DIR belongs on a medium of its own, offline: it opens every backup that is made from now on.

    Example: entente backup-key /media/backup-key --home var/demo/fr --passphrase-file /run/phrases/backup
    """
    spoken = language_of(language)
    with reporting(spoken):
        config = load_config(home)
        passphrase = (
            read_passphrase_file(passphrase_file)
            if passphrase_file
            else ask_passphrase(_BACKUP_KEY, confirm=True)
        )
        check_new_passphrase(passphrase, source=passphrase_file or Path("your input"))
        node_home = NodeHome(path=home)
        unlock = read_passphrase_file(resolve(home, config.keys.passphrase_file))
        recipient = make_backup_key(
            node_home,
            KeyFolder.open(node_home.keys, passphrase=unlock, allow_test=config.node.mode == "test"),
            folder,
            node=config.node.name,
            passphrase=passphrase,
            now=now(),
            replace=replace,
        )
    key_id = recipient.public_key.key_id.hex()
    if as_json:
        typer.echo(json.dumps({"node": recipient.node, "key_id": key_id, "folder": str(folder)}, indent=2))
        return
    typer.echo(_KEY_MADE.fill(key_id=key_id, node=recipient.node, folder=str(folder)).text(spoken))


def backup_command(
    file: FileArgument,
    home: HomeOption,
    reason: ReasonOption,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Write a sealed backup of a node, beside the running node. It holds no private key.

    Example: entente backup /backup/fr-2026-11-28 --home var/demo/fr --reason "daily"
    """
    spoken = language_of(language)
    _check_reason(reason)
    with reporting(spoken), progress_bar(_BACKING_UP.text(spoken)) as progress:
        with _target(file) as target:
            manifest = make_backup(home, target, reason=reason, now=now(), progress=progress)
        leave_notice_of_backup(home, manifest)
    # Standard output may be the backup itself.
    _print(manifest, spoken, as_json=as_json, to_stderr=str(file) == "-")


def restore_command(
    file: FileArgument,
    home: HomeOption,
    key: Annotated[Path, typer.Option("--key", help="Folder of the backup key.", show_default=False)],
    reason: ReasonOption = "",
    passphrase_file: PassphraseOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the whole backup and put nothing in place.")
    ] = False,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a home that has no database. The node refills the rest when it starts.

    What the home has (configuration, trust, high-water file, file of orders) stays as it is.

    Example: entente restore /backup/fr-2026-11-28 --home /srv/fr --key /media/backup-key --reason "disk lost"
    """
    spoken = language_of(language)
    if not check:
        _check_reason(reason)
    with reporting(spoken), progress_bar(_RESTORING.text(spoken)) as progress:
        # A production node refuses what is sealed for a test key; that is checked with the file.
        opened = open_backup_key(key, passphrase=_passphrase(passphrase_file), allow_test=True)
        with _source(file) as source:
            done = restore_backup(home, source, opened, reason=reason, only_check=check, progress=progress)
    _print(done.manifest, spoken, as_json=as_json)
    if as_json:
        return
    if check:
        typer.echo(_SOUND.text(spoken))
    for path in done.kept:
        typer.echo(f"{_KEPT.text(spoken):<{_COLUMN}}{path}")
    for path in done.written:
        typer.echo(f"{_RESTORED.text(spoken):<{_COLUMN}}{path}")


def _passphrase(file: Path | None) -> Passphrase:
    return read_passphrase_file(file) if file else ask_passphrase(_BACKUP_KEY)


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= MAX_REASON_CHARACTERS:
        msg = f"--reason says why, in 1 to {MAX_REASON_CHARACTERS} characters"
        raise typer.BadParameter(msg)


@contextmanager
def _target(file: Path) -> Iterator[BinaryIO]:
    """Have a file to write that gets its name once it is whole and durable."""
    if str(file) == "-":
        if sys.stdout.isatty():
            msg = "a backup is not for a terminal: name a file, or send standard output to one"
            raise BackupError(msg)
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = file.with_name(f"{file.name}.part")
    try:
        if file.exists():
            msg = "there is a file of this name already"
            raise BackupError(msg)
        descriptor = os.open(
            part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as target:
                yield target
                target.flush()
                os.fsync(descriptor)
            # A hard link fails if the name exists by now.
            os.link(part, file)
        finally:
            part.unlink()
        fsync_folder(file.parent)
    except OSError as error:
        msg = f"the backup could not be written: {error.strerror}"
        raise BackupError(msg) from error


@contextmanager
def _source(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        msg = f"the backup cannot be read: {error.strerror}"
        raise BackupError(msg) from error
    with source:
        yield source


def _print(manifest: Manifest, spoken: Language, *, as_json: bool, to_stderr: bool = False) -> None:
    if as_json:
        document: dict[str, Any] = {
            "node": manifest.node,
            "created": manifest.created.isoformat(),
            "program": manifest.program,
            "tables": manifest.tables,
            "logs": [
                {"origin": log.origin, "size": log.size, "root": log.root.hex()} for log in manifest.logs
            ],
        }
        typer.echo(json.dumps(document, indent=2), err=to_stderr)
        return
    created = manifest.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    made = _MADE.fill(node=manifest.node, created=created, release=manifest.program)
    typer.echo(made.text(spoken), err=to_stderr)
    for log in manifest.logs:
        line = _LOG.fill(origin=log.origin, size=log.size, root=log.root.hex())
        typer.echo(f"  {line.text(spoken)}", err=to_stderr)
