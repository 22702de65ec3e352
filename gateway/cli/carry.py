"""`entente keys carry-out, sign-statement, carry-in`: a node and an authority that no cable joins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import key_words as words
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.asking import is_confirmed
from gateway.cli.fingerprints import print_fingerprints
from gateway.cli.init import now
from gateway.cli.opening import AuthorityOption, Home, NodeFile, RootFile, open_node, open_root
from gateway.cli.refusals import reporting
from gateway.keyring.carrying import NEXT_ROOT, carry_in, carry_out, sign_on_stick, unsigned_statement
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.rotation import STAGES
from gateway.keyring.trust import read_published_as_stated

Stick = Annotated[Path, typer.Argument(metavar="STICK", help="Folder on the medium that travels.")]


def carry_out_command(
    stick: Stick,
    home: Home,
    *,
    rotate: Annotated[
        str,
        typer.Option(help="log or cosigner: make new keys here, and take along what the root has to sign."),
    ] = "",
    passphrase_file: NodeFile = None,
    language: LanguageOption = "en",
) -> None:
    """On the node: copy to a stick what an offline authority needs. No private key leaves the node.

    On the offline machine the stick serves as --home of keys revoke, issue-agency --csr and rotate crl.

    Example: entente keys carry-out /media/stick/fr --home /srv/entente/fr --rotate log
    """
    if rotate and rotate not in STAGES:
        msg = f"--rotate is one of: {', '.join(STAGES)}"
        raise typer.BadParameter(msg)
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        staged = STAGES[rotate](node, open_node(node, passphrase_file), now=now()) if rotate else None
        names = carry_out(node, NodeHome(path=stick), staged=staged)
        typer.echo(words.CARRIED_OUT.fill(count=len(names), stick=str(stick)).text(spoken))
        if staged is not None:
            typer.echo(words.NEXT_SIGN.text(spoken))


def sign_statement_command(
    stick: Stick,
    *,
    authority: AuthorityOption = None,
    root_passphrase_file: RootFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="The changes are known; do not ask.")] = False,
    language: LanguageOption = "en",
) -> None:
    """On the offline machine: let the root sign the statement that waits on the stick.

    Example: entente keys sign-statement /media/stick/fr --authority /media/root
    """
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=stick)
        statement, changes = unsigned_statement(node)
        for change in changes:
            typer.echo(f"  {change}")
        if not yes and not is_confirmed(words.SHALL_SIGN, spoken):
            msg = "not signed"
            raise CeremonyError(msg)
        offline = AuthorityHome(path=authority) if authority else node.authority
        sign_on_stick(node, statement, open_root(node, offline, root_passphrase_file))
        typer.echo(words.SIGNED.text(spoken))


def carry_in_command(
    stick: Stick, home: Home, *, passphrase_file: NodeFile = None, language: LanguageOption = "en"
) -> None:
    """On the node: verify what comes back on a stick, and install what is newer.

    Example: entente keys carry-in /media/stick/fr --home /srv/entente/fr
    """
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        installed = carry_in(node, NodeHome(path=stick), open_node(node, passphrase_file), now=now())
        for name in installed:
            typer.echo(words.INSTALLED.fill(name=name).text(spoken))
        if NEXT_ROOT in installed:
            typer.echo(words.COMPARE_ROOT.text(spoken))
            print_fingerprints(read_published_as_stated(node.own.next).fingerprints(), spoken)
        if not installed:
            typer.echo(words.NOTHING_NEWER.text(spoken))
