"""`entente keys new-root, switch-root`: another root for a home that exists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import key_words as words
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.asking import is_confirmed
from gateway.cli.fingerprints import print_fingerprints
from gateway.cli.init import new_root_passphrase, now, offline_of, people_of, print_transcript
from gateway.cli.opening import Home
from gateway.cli.refusals import reporting
from gateway.keyring.files import make_private_folder
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.newroot import prepare_root, read_prepared, refuse_while_prepared, switch_root
from gateway.keyring.passphrase import Passphrase, write_generated_passphrase
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.trust import read_published_as_stated


def new_root_command(
    home: Home,
    *,
    authority: Annotated[Path, typer.Option(help="Medium of the new root; holds none yet.")],
    root_passphrase_file: Annotated[
        list[Path] | None, typer.Option(help="One half of what opens the new root; once for each custodian.")
    ] = None,
    custodian: Annotated[
        list[str] | None, typer.Option(help="Name of a custodian of the root, for the transcript; twice.")
    ] = None,
    witness: Annotated[str, typer.Option(help="Name of the witness, for the transcript.")] = "",
    language: LanguageOption = "en",
) -> None:
    """Hold the ceremony of another root for a home that exists. Nothing changes before switch-root.

    The old root is not needed. Where the node is elsewhere, a stick of carry-out serves as --home.

    Example: entente keys new-root --home /media/stick/fr --authority /media/new-root
    """
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        # Before anybody is asked for a passphrase.
        refuse_while_prepared(node)
        if read_published_as_stated(node.own).statement.test and not root_passphrase_file:
            offline, people = AuthorityHome(path=authority), people_of(custodian or [], witness)
            passphrase = _test_passphrase(offline)
        else:
            offline, people = offline_of(node, authority), people_of(custodian or [], witness)
            passphrase = new_root_passphrase(root_passphrase_file or [])
        prepared = prepare_root(node, offline, passphrase, now=now(), people=people)
        print_transcript(prepared.transcript.decode(), "trust/own/next/ceremony.txt")
        typer.echo(words.ROOT_WAITS.text(spoken))


def switch_root_command(
    home: Home,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="The peer has imported it and agencies have it; do not ask.")
    ] = False,
    language: LanguageOption = "en",
) -> None:
    """Put the new root in force. A running node takes it up within seconds.

    Example: entente keys switch-root --home /srv/entente/fr
    """
    spoken = language_of(language)
    with reporting(spoken):
        node = NodeHome(path=home)
        prepared = read_prepared(node, node.own.next)
        print_fingerprints(prepared.published.fingerprints(), spoken)
        if not yes and not is_confirmed(words.HAVE_ALL_THE_ROOT, spoken):
            msg = "not put in force: the root goes on waiting"
            raise CeremonyError(msg)
        statement = switch_root(node)
        typer.echo(words.ROOT_IN_FORCE.fill(version=str(statement.version)).text(spoken))


def _test_passphrase(offline: AuthorityHome) -> Passphrase:
    """Make the passphrase of a test root, which lies beside it."""
    make_private_folder(offline.path)
    make_private_folder(offline.root)
    return write_generated_passphrase(offline.root_passphrase)
