"""The language of a command is chosen in one way: `--language`, else ENTENTE_LANGUAGE, else English."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from gateway.cli import COMMANDS, Commands, app
from gateway.cli.findings import clock_finding, disk_finding
from gateway.node.room import MIB, RoomLeft

ENGLISH_ALONE = {
    # Auditors of both nations compare these word by word; docs/auditing.md has the words.
    *("audit verify", "audit notes", "audit find", "audit reconcile"),
    *("log export", "log vkeys", "log list", "log tail"),
    *("evidence export", "evidence disclose", "evidence verify"),
    # Pages in both languages.
    "schema docs",
    # Says why it stops in both.
    "serve",
}


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yield each command by its whole name."""
    for name in COMMANDS:
        found = Commands(name="entente").get_command(None, name)
        if isinstance(found, TyperGroup):
            for inner, command in found.commands.items():
                assert isinstance(command, TyperCommand)
                yield f"{name} {inner}", command
        else:
            assert isinstance(found, TyperCommand)
            yield name, found


def test_every_command_that_speaks_to_people_lets_them_choose_the_language() -> None:
    silent = set()
    for name, command in commands():
        options = [option for option in command.params if "--language" in option.opts]
        if not options:
            silent.add(name)
            continue
        (option,) = options
        assert (option.envvar, option.default) == ("ENTENTE_LANGUAGE", "en"), name

    assert silent == ENGLISH_ALONE


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["config", "check"], "la configuration est inutilisable"),
        (["backup", "FILE", "--reason", "daily"], "la configuration est inutilisable"),
        (["backup-key", "KEY"], "la configuration est inutilisable"),
        (["init", "--nation", "FR"], "la cérémonie ne peut pas se faire ainsi"),
    ],
)
def test_a_refusal_is_told_in_the_language_of_the_reader(
    tmp_path: Path, arguments: list[str], kind: str
) -> None:
    arguments = [*arguments, "--home", str(tmp_path / "nowhere")]
    french = CliRunner().invoke(app, arguments, env={"ENTENTE_LANGUAGE": "fr"})
    english = CliRunner().invoke(app, [*arguments, "--language", "en"], env={"ENTENTE_LANGUAGE": "fr"})

    assert (french.exit_code, english.exit_code) == (1, 1)
    assert kind in french.output
    assert kind not in english.output


def test_a_node_that_cannot_start_says_why_in_both_languages(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["serve", "--home", str(tmp_path)]).output

    assert "entente serve: " in said
    assert "entente serve : la configuration est inutilisable : " in said


def test_thousands_are_not_told_with_a_comma_in_french() -> None:
    disk = disk_finding(RoomLeft(free_bytes=73_274 * MIB, reserve_bytes=256 * MIB)).says
    clock = clock_finding(timedelta(seconds=7_200), now=datetime.now(UTC)).says

    assert disk.en.startswith("73,274 MiB free")
    assert disk.fr.startswith("73\N{NARROW NO-BREAK SPACE}274 Mio libres")
    assert ("7,200 s" in clock.en, "7\N{NARROW NO-BREAK SPACE}200 s" in clock.fr) == (True, True)
