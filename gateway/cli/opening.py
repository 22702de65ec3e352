"""What the commands about keys share: where things are, and what opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.init import (
    ISSUING_KEYS,
    NODE_KEYS,
    ask_passphrase,
    ask_root_passphrase,
    read_root_passphrase,
)
from gateway.config import load_config, resolve
from gateway.core.message.wording import Wording
from gateway.core.signature import HybridSigner
from gateway.keyring.ceremony import open_authorities, open_root_signer
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase, read_passphrase_file
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.token import token_settings
from gateway.keyring.trust import read_published_as_stated
from gateway.keyring.x509_profile import Authority

Home = Annotated[Path, typer.Option(help="Node home.")]
AuthorityOption = Annotated[
    Path | None, typer.Option("--authority", help="Folder of root and authorities; test homes hold it.")
]
IssuingFile = Annotated[
    Path | None, typer.Option("--issuing-passphrase-file", help="Opens the issuing authorities.")
]
RootFile = Annotated[
    list[Path] | None,
    typer.Option("--root-passphrase-file", help="Opens the root; twice for the halves of two custodians."),
]
NodeFile = Annotated[Path | None, typer.Option("--passphrase-file", help="Opens the node's keys.")]


def open_issuing(
    node: NodeHome, offline: AuthorityHome, file: Path | None
) -> dict[Authority, IssuingAuthority]:
    """Return the three issuing authorities, opened."""
    _need_folder(offline.issuing)
    nation = read_published_as_stated(node.own).statement.nation
    passphrase = _passphrase(ISSUING_KEYS, file, offline.issuing_passphrase)
    return open_authorities(node, offline, passphrase, nation=nation)


def open_root(node: NodeHome, offline: AuthorityHome, files: list[Path] | None) -> HybridSigner:
    """Return the root's signer, opened by what both custodians give."""
    passphrase = read_root(offline, files)
    nation = read_published_as_stated(node.own).statement.nation
    return open_root_signer(offline, passphrase, nation=nation)


def read_root(offline: AuthorityHome, files: list[Path] | None) -> Passphrase:
    """Return what both custodians give to open the root."""
    _need_folder(offline.root)
    if files:
        return read_root_passphrase(files)
    if offline.root_passphrase.exists():
        return read_passphrase_file(offline.root_passphrase)
    return ask_root_passphrase()


def open_node(node: NodeHome, file: Path | None) -> KeyFolder:
    """Return the node's keys, opened with the passphrase that the configuration names, or another."""
    config = load_config(node.path)
    passphrase = _passphrase(NODE_KEYS, file, resolve(node.path, config.keys.passphrase_file))
    return KeyFolder.open(
        node.keys, passphrase=passphrase, allow_test=True, token=token_settings(node.path, config)
    )


def _need_folder(folder: Path) -> None:
    """Refuse to look for keys where no medium is.

    Raises:
        CeremonyError: There is no such folder.
    """
    if not folder.is_dir():
        msg = f"there is no folder {folder}: --authority names the medium with the folder {folder.name}"
        raise CeremonyError(msg)


def _passphrase(what: Wording, file: Path | None, default: Path) -> Passphrase:
    """Return a passphrase from the file that was named, the usual one, or a person."""
    if file is not None:
        return read_passphrase_file(file)
    return read_passphrase_file(default) if default.exists() else ask_passphrase(what)
