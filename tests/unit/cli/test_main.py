"""The command `entente` as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gateway.cli import COMMANDS, app

RUN = CliRunner()


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    result = RUN.invoke(app, [name, "--help"])

    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    "name", [name for name, place in COMMANDS.items() if place.name.endswith("_command")]
)
def test_the_help_of_a_command_has_an_example(name: str) -> None:
    assert "Example" in RUN.invoke(app, [name, "--help"]).output


def test_the_help_lists_every_command() -> None:
    output = RUN.invoke(app, ["--help"]).output

    assert all(name in output for name in COMMANDS)


def test_an_agencys_command_does_not_load_the_node() -> None:
    program = (
        "import sys; from gateway.cli import app\n"
        "try: app(['status', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('gateway.node', 'gateway.storage', 'sqlalchemy')\n"
        "loaded = {name for name in sys.modules if name.startswith(heavy)}\n"
        "sys.exit(1 if loaded else 0)"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_python_m_gateway_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True
    )

    assert "Usage: entente" in done.stdout
