"""`entente health` and the doctor beside a node of another release, as during an upgrade."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.findings import State, node_finding
from gateway.cli.health import ask_health
from gateway.keyring.home import NodeHome

OF_0_1_0 = {
    "status": "ready",
    "phase": "running",
    "peer": {"reachable": True, "breaker": "closed"},
    "waiting": 3,
    "admission": 0,
    "held": 0,
    "not_agreed": [],
    "erasure": "done",
    "log": None,
    "mirror": None,
}
"""What release 0.1.0 answers."""


@pytest.fixture
def home() -> Iterator[NodeHome]:
    # Not tmp_path: the path of a socket has some 100 bytes at most.
    with tempfile.TemporaryDirectory(prefix="entente-") as folder:
        made = NodeHome(path=Path(folder))
        made.data.mkdir(mode=0o700)
        yield made


@contextmanager
def telling(path: Path, answer: dict[str, Any]) -> Iterator[None]:
    """Answer at a socket, to one caller after the other."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(orjson.dumps(answer))

        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("status", "exit_status"), [("ready", 0), ("not-ready", 1)])
def test_a_node_of_release_0_1_0_is_understood(home: NodeHome, status: str, exit_status: int) -> None:
    with telling(home.health_socket, OF_0_1_0 | {"status": status}):
        done = CliRunner().invoke(app, ["health", "--home", str(home.path)])
        found = node_finding(ask_health(home.health_socket))
    assert done.exit_code == exit_status
    assert done.stdout == f"{status}: running, peer reached, 3 waiting\n"
    assert found.says.en.startswith(f"{status}: running, 3 messages waiting to be sent")
    assert found.state is (State.OK if status == "ready" else State.FAIL)


def test_a_reason_of_a_later_release_is_said_in_its_own_words() -> None:
    reason = {"code": "of-tomorrow", "says": "The moon is away.", "do": "Wait."}
    found = node_finding(OF_0_1_0 | {"status": "degraded", "overdue": 0, "reasons": [reason]})
    assert found.state is State.WARN
    assert found.says.fr.endswith("The moon is away.")
    assert found.do.en == found.do.fr == "Wait."
