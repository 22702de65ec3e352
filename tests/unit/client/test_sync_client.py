"""The client without asyncio: threads, forks, and its end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.client import Client, ClientClosedError


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Yield a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def client_of(server: socket.socket) -> Client:
    return Client(f"http://127.0.0.1:{server.getsockname()[1]}", context=None)


def test_closing_ends_the_calls_of_other_threads(silent: socket.socket) -> None:
    client = client_of(silent)
    ends: list[BaseException] = []

    def read() -> None:
        try:
            next(client.inbox())
        except ClientClosedError as error:
            ends.append(error)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    connections = [silent.accept()[0] for _ in readers]

    client.close()

    for reader in readers:
        reader.join(10)
    assert len(ends) == len(readers)
    for connection in connections:
        connection.close()


def test_a_closed_client_says_so(silent: socket.socket) -> None:
    client = client_of(silent)
    client.close()
    with pytest.raises(ClientClosedError):
        client.whoami()


def test_a_client_is_of_the_process_that_opened_it(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(silent) as client, monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: 1)
        with pytest.raises(ClientClosedError, match="after the fork"):
            client.whoami()
        client.close()  # has nothing to close here, and waits for no thread
