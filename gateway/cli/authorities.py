"""`entente keys rotate authorities --new-keys, switch-authorities`: other issuing authorities for a home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import key_words as words
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.asking import is_confirmed
from gateway.cli.init import ISSUING_KEYS, new_passphrase, now, offline_of
from gateway.cli.opening import Home, read_root
from gateway.cli.refusals import reporting
from gateway.client.transport import Language
from gateway.keyring.files import make_private_folder
from gateway.keyring.holders import without_certificate
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.newauthorities import prepare_authorities, read_waiting, switch_authorities
from gateway.keyring.passphrase import Passphrase, read_passphrase_file, write_generated_passphrase
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.trust import read_published_as_stated


def make_new_authorities(
    node: NodeHome,
    root: AuthorityHome,
    medium: Path,
    *,
    root_files: list[Path] | None,
    issuing_file: Path | None,
    spoken: Language,
) -> None:
    """Let new authorities wait beside those in force, and say what is to be done with them."""
    if read_published_as_stated(node.own).statement.test and issuing_file is None:
        offline = AuthorityHome(path=medium)
        passphrase = _test_passphrase(offline)
    else:
        offline = offline_of(node, medium)
        passphrase = new_passphrase(ISSUING_KEYS, issuing_file)
    opens_root = read_root(root, root_files)
    prepare_authorities(node, root, opens_root, offline, passphrase, now=now())
    typer.echo(words.AUTHORITIES_WAIT.text(spoken))


def say_who_is_left(node: NodeHome, issuer: IssuingAuthority, spoken: Language) -> None:
    """Say which holders have no certificate of an authority that replaces another one."""
    if left := without_certificate(node, issuer):
        typer.echo(words.STILL_WITHOUT.fill(codes=", ".join(left)).text(spoken), err=True)


def switch_authorities_command(
    home: Home,
    *,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="The peer has them and holders have certificates; do not ask."),
    ] = False,
    language: LanguageOption = "en",
) -> None:
    """Put the new authorities in force, alone. A running node takes them up within seconds.

    Example: entente keys switch-authorities --home /srv/entente/fr
    """
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        read_waiting(node, node.own.next_authorities)
        if not yes and not is_confirmed(words.HAVE_ALL_THE_AUTHORITIES, spoken):
            msg = "not put in force: the new authorities go on waiting"
            raise CeremonyError(msg)
        switch_authorities(node, now=now())
        typer.echo(words.AUTHORITIES_IN_FORCE.text(spoken))


def _test_passphrase(offline: AuthorityHome) -> Passphrase:
    """Return the passphrase of test authorities, which lies beside them."""
    if offline.issuing_passphrase.exists():
        return read_passphrase_file(offline.issuing_passphrase)
    make_private_folder(offline.path)
    make_private_folder(offline.issuing)
    return write_generated_passphrase(offline.issuing_passphrase)
