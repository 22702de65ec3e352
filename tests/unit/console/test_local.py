"""The socket on which a node says how it is, and the command that asks there."""

from __future__ import annotations

import asyncio
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.console.app import health_document
from gateway.console.local import tell_health
from gateway.keyring.home import NodeHome
from gateway.node.health import Phase
from tests.unit.console.test_app import Node, health


@pytest.fixture
def home() -> Iterator[NodeHome]:
    # Not tmp_path: the path of a socket has some 100 bytes at most.
    with tempfile.TemporaryDirectory(prefix="entente-") as folder:
        made = NodeHome(path=Path(folder))
        made.data.mkdir(mode=0o700)
        yield made


async def ask(home: NodeHome, *arguments: str) -> tuple[int, str, str]:
    """Run the command beside the event loop that answers it."""
    command = ["health", "--home", str(home.path), *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    return result.exit_code, result.stdout, result.stderr


async def test_a_running_node_is_ready(home: NodeHome) -> None:
    async with tell_health(Node(), home.health_socket):
        assert await ask(home) == (0, "ready: running, peer reached, 3 waiting\n", "")


async def test_a_node_that_recovers_is_live_and_not_ready(home: NodeHome) -> None:
    async with tell_health(Node(health(Phase.RECOVERING)), home.health_socket):
        status, text, _ = await ask(home)
        assert (status, text.partition(",")[0]) == (1, "not-ready: recovering")
        status, _, _ = await ask(home, "--live")
        assert status == 0


async def test_it_speaks_french_to_the_shifts_of_the_french_node(home: NodeHome) -> None:
    _, _, silent = await ask(home, "--language", "fr")
    assert silent.startswith("pas de réponse du nœud")
    async with tell_health(Node(health(Phase.RECOVERING)), home.health_socket):
        status, text, _ = await ask(home, "--language", "fr")
        wrong, _, _ = await ask(home, "--language", "de")
    assert (status, wrong) == (1, 2)
    assert text.startswith("not-ready : recovering, pair ")
    assert "recovering: Le nœud récupère auprès du pair" in text


async def test_it_says_what_the_operator_port_says(home: NodeHome) -> None:
    async with tell_health(Node(), home.health_socket):
        status, text, _ = await ask(home, "--json")
    assert status == 0
    assert orjson.loads(text) == health_document(health())


async def test_nobody_but_the_nodes_user_may_ask(home: NodeHome) -> None:
    async with tell_health(Node(), home.health_socket):
        assert stat.S_IMODE(home.health_socket.stat().st_mode) == 0o600


async def test_no_node_gives_no_answer(home: NodeHome) -> None:
    status, text, error = await ask(home, "--live")
    assert (status, text) == (1, "")
    assert "is it running?" in error


async def test_a_socket_that_a_killed_process_left_is_no_answer_and_is_replaced(home: NodeHome) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home.health_socket))
    status, _, _ = await ask(home, "--live")
    assert status == 1
    async with tell_health(Node(), home.health_socket):
        status, _, _ = await ask(home)
        assert status == 0
    assert not home.health_socket.exists()


async def test_a_node_runs_on_where_there_can_be_no_socket(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 50) / "health.sock"
    path.parent.mkdir()
    async with tell_health(Node(), path):
        assert not path.exists()


@pytest.mark.parametrize("answer", [b"", b"[]\n", b"not JSON\n", b"0" * 100_000])
async def test_what_is_no_answer_of_a_node_is_told_as_none(home: NodeHome, answer: bytes) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(say, home.health_socket)
    status, text, _ = await ask(home)
    server.close()
    assert (status, text) == (1, "")


async def test_whoever_does_not_listen_to_the_answer_does_no_harm(home: NodeHome) -> None:
    async with tell_health(Node(), home.health_socket):
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as hasty:
                hasty.connect(str(home.health_socket))
        status, _, _ = await ask(home)
        assert status == 0
