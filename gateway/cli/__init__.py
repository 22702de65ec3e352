"""The command `entente`, for operators, agencies and auditors.

Commands read arguments, call the composition root, the client or the offline audit, and
print. Exit status: 0 fine, 1 the answer is no, 2 wrong usage.

A command's module is imported when the command is called: an agency that posts a message
does not wait for the database code of the node.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

AGENCIES: Final = "For agencies"
OPERATORS: Final = "For operators"
AUDITORS: Final = "For auditors"


class Place(NamedTuple):
    """Where a command is.

    Attributes:
        panel: Heading under which the help lists it.
        module: Name of its module below this package.
        name: Name there of a function, or of a Typer app with commands of its own.
    """

    panel: str
    module: str
    name: str


COMMANDS: Final = MappingProxyType(
    {
        "send": Place(AGENCIES, "send", "send_command"),
        "inbox": Place(AGENCIES, "inbox", "inbox_command"),
        "ack": Place(AGENCIES, "inbox", "ack_command"),
        "status": Place(AGENCIES, "follow", "status_command"),
        "watch": Place(AGENCIES, "follow", "watch_command"),
        "sent": Place(AGENCIES, "follow", "sent_command"),
        "withdraw": Place(AGENCIES, "send", "withdraw_command"),
        "conversations": Place(AGENCIES, "conversations", "conversations_command"),
        "whoami": Place(AGENCIES, "follow", "whoami_command"),
        "schema": Place(AGENCIES, "schema", "app"),
        "serve": Place(OPERATORS, "serve", "serve_command"),
        "health": Place(OPERATORS, "health", "health_command"),
        "doctor": Place(OPERATORS, "doctor", "doctor_command"),
        "config": Place(OPERATORS, "serve", "config_app"),
        "init": Place(OPERATORS, "init", "app"),
        "keys": Place(OPERATORS, "keys", "app"),
        "erase": Place(OPERATORS, "custody", "erase_command"),
        "hold": Place(OPERATORS, "custody", "app"),
        "pair": Place(OPERATORS, "pair", "app"),
        "queue": Place(OPERATORS, "queue", "app"),
        "incidents": Place(OPERATORS, "incidents", "incidents_command"),
        "maintenance": Place(OPERATORS, "maintenance", "app"),
        "quota": Place(OPERATORS, "maintenance", "quota_app"),
        "approval": Place(OPERATORS, "approval", "app"),
        "backup-key": Place(OPERATORS, "backup", "backup_key_command"),
        "backup": Place(OPERATORS, "backup", "backup_command"),
        "restore": Place(OPERATORS, "backup", "restore_command"),
        "log": Place(AUDITORS, "log", "app"),
        "audit": Place(AUDITORS, "audit", "app"),
        "evidence": Place(AUDITORS, "evidence", "app"),
    }
)


class Commands(TyperGroup):
    """The commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every command, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return a command, or None if there is none of this name."""
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        found = getattr(import_module(f"gateway.cli.{place.module}"), place.name)
        command = _command(cmd_name, found)
        command.name = cmd_name
        command.rich_help_panel = place.panel
        return command


def _command(name: str, found: Any) -> TyperCommand | TyperGroup:
    """Return a function, or an app with commands of its own, as a command."""
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
        found = single
    names = [command.name for command in found.registered_commands]
    return cast("TyperCommand | TyperGroup", get_command(found) if names == [name] else get_group(found))


app = typer.Typer(
    cls=Commands,
    name="entente",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Every command has --help with an example. Exit: 0 fine, 1 the answer is no, 2 wrong usage.",
)


@app.callback()
def entente() -> None:
    """Entente: exchange of intelligence between two nations, signed, encrypted and logged."""


def main() -> None:
    """Run the command line."""
    app(prog_name="entente")
