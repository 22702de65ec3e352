"""`entente keys carry-out, sign-statement, carry-in`: a node and an authority that no cable joins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.init import now, reporting
from gateway.cli.opening import AuthorityOption, Home, NodeFile, RootFile, open_node, open_root
from gateway.keyring.carrying import carry_in, carry_out, sign_on_stick, unsigned_statement
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.rotation import STAGES

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
) -> None:
    """On the node: copy to a stick what an offline authority needs. No private key leaves the node.

    On the offline machine the stick serves as --home of keys revoke, issue-agency --csr and rotate crl.

    Example: entente keys carry-out /media/stick/fr --home /srv/entente/fr --rotate log
    """
    if rotate and rotate not in STAGES:
        msg = f"--rotate is one of: {', '.join(STAGES)}"
        raise typer.BadParameter(msg)
    with reporting():
        node = NodeHome(path=home)
        staged = STAGES[rotate](node, open_node(node, passphrase_file), now=now()) if rotate else None
        names = carry_out(node, NodeHome(path=stick), staged=staged)
        typer.echo(f"{len(names)} files in {stick}; nothing in the node has changed")
        if staged is not None:
            typer.echo("next, on the offline machine: entente keys sign-statement")


def sign_statement_command(
    stick: Stick,
    *,
    authority: AuthorityOption = None,
    root_passphrase_file: RootFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="The changes are known; do not ask.")] = False,
) -> None:
    """On the offline machine: let the root sign the statement that waits on the stick.

    Example: entente keys sign-statement /media/stick/fr --authority /media/root
    """
    with reporting():
        node = NodeHome(path=stick)
        statement, changes = unsigned_statement(node)
        for change in changes:
            typer.echo(f"  {change}")
        if not yes and not typer.confirm("Shall the root state this? / La racine doit-elle l'attester ?"):
            msg = "not signed"
            raise CeremonyError(msg)
        offline = AuthorityHome(path=authority) if authority else node.authority
        sign_on_stick(node, statement, open_root(node, offline, root_passphrase_file))
        typer.echo("signed; next, on the node: entente keys carry-in")


def carry_in_command(stick: Stick, home: Home, *, passphrase_file: NodeFile = None) -> None:
    """On the node: verify what comes back on a stick, and install what is newer.

    Example: entente keys carry-in /media/stick/fr --home /srv/entente/fr
    """
    with reporting():
        node = NodeHome(path=home)
        installed = carry_in(node, NodeHome(path=stick), open_node(node, passphrase_file), now=now())
        for name in installed:
            typer.echo(f"installed {name}")
        if not installed:
            typer.echo("nothing on the stick is newer than what the node has")
